//! ListGroups (16): all groups that this broker coordinates.

use highwater_group::{GroupListing, GroupState, GroupType, Request as GroupRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::ListGroupsRequest;
use highwater_wire::messages::list_groups_response::{ListGroupsResponse, ListedGroup};

use super::coordinator::answer_all;
use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ListGroupsRequest<'_> = request.decode()?;
    let states: Vec<GroupState> = body.states_filter.iter().filter_map(|name| GroupState::from_name(&name)).collect();
    let types: Vec<GroupType> = body.types_filter.iter().filter_map(|name| GroupType::from_name(&name)).collect();
    // What nobody knows is asked for, and nothing is that.
    let wants_nothing =
        (states.is_empty() && !body.states_filter.is_empty()) || (types.is_empty() && !body.types_filter.is_empty());
    let coordinators = &cx.node.coordinators;
    let partitions = if wants_nothing { 0 } else { coordinators.partitions() };
    let asked = (0..partitions).filter_map(|index| {
        let list = GroupRequest::List { states: states.clone(), types: types.clone() };
        coordinators.ask_partition(cx.now, cx.peer.token(), index, list)
    });
    answer_all(request, out, asked.collect(), |responses, to, out| {
        let mut groups: Vec<&GroupListing> = Vec::new();
        for response in &responses {
            match response {
                Response::List(Ok(listed)) => groups.extend(listed),
                // It has lost that partition since: whoever leads it now lists its groups.
                Response::List(Err(ErrorCode::NotCoordinator)) => {}
                Response::List(Err(error)) => {
                    let response = ListGroupsResponse { error_code: *error as i16, ..ListGroupsResponse::default() };
                    return to.send(out, &response);
                }
                _ => {}
            }
        }
        let groups = groups.into_iter().map(|group| ListedGroup {
            group_id: (&*group.group).into(),
            protocol_type: (&*group.protocol_type).into(),
            group_state: group.state.name().into(),
            group_type: group.kind.name().into(),
            ..ListedGroup::default()
        });
        to.send(out, &ListGroupsResponse { groups: groups.collect(), ..ListGroupsResponse::default() })
    })
}
