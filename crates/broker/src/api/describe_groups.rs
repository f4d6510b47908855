//! DescribeGroups (15): groups of the classic protocol.

use highwater_group::{GroupDescription, GroupState, Request as GroupRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::DescribeGroupsRequest;
use highwater_wire::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

use super::coordinator::{GROUP_OPERATIONS, NO_OPERATIONS, answer_all, ask_each};
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeGroupsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.groups.len())?;
    let (groups, asked) = ask_each(cx, &body.groups, |group| GroupRequest::Describe { group });
    let operations = if body.include_authorized_operations { GROUP_OPERATIONS } else { NO_OPERATIONS };
    answer_all(request, out, asked, move |responses, to, out| {
        let groups = groups.iter().zip(&responses).map(|(group, response)| {
            let described = match response {
                Response::Describe(described) => described.as_ref().map_err(|error| *error),
                _ => Err(ErrorCode::UnknownServerError),
            };
            let mut answer = match described {
                Ok(description) => described_group(description),
                Err(ErrorCode::GroupIdNotFound) if to.version < 6 => dead(ErrorCode::None),
                Err(error @ ErrorCode::GroupIdNotFound) => {
                    DescribedGroup { error_message: Some(format!("Group {group} not found.").into()), ..dead(error) }
                }
                Err(error) => DescribedGroup { error_code: error as i16, ..DescribedGroup::default() },
            };
            answer.group_id = group.as_str().into();
            answer.authorized_operations = operations;
            answer
        });
        to.send(out, &DescribeGroupsResponse { groups: groups.collect(), ..DescribeGroupsResponse::default() })
    })
}

/// A group that is not there.
fn dead(error: ErrorCode) -> DescribedGroup<'static> {
    DescribedGroup {
        error_code: error as i16,
        group_state: GroupState::Dead.name().into(),
        ..DescribedGroup::default()
    }
}

fn described_group(description: &GroupDescription) -> DescribedGroup<'_> {
    let members = description.members.iter().map(|member| DescribedGroupMember {
        member_id: (&*member.id).into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: (&*member.client_id).into(),
        client_host: (&*member.client_host).into(),
        member_metadata: (&*member.metadata).into(),
        member_assignment: (&*member.assignment).into(),
        ..DescribedGroupMember::default()
    });
    DescribedGroup {
        group_state: description.state.name().into(),
        protocol_type: (&*description.protocol_type).into(),
        protocol_data: (&*description.protocol).into(),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}
