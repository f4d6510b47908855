//! DeleteGroups (42).

use highwater_group::{Request as GroupRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::DeleteGroupsRequest;
use highwater_wire::messages::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};

use super::coordinator::{answer_all, ask_each};
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DeleteGroupsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.groups_names.len())?;
    let (groups, asked) = ask_each(cx, &body.groups_names, |group| GroupRequest::DeleteGroup { group });
    answer_all(request, out, asked, move |responses, to, out| {
        let results = groups.iter().zip(&responses).map(|(group, response)| {
            let error = match response {
                Response::DeleteGroup(error) => *error,
                _ => ErrorCode::UnknownServerError,
            };
            DeletableGroupResult {
                group_id: group.as_str().into(),
                error_code: error as i16,
                ..DeletableGroupResult::default()
            }
        });
        to.send(out, &DeleteGroupsResponse { results: results.collect(), ..DeleteGroupsResponse::default() })
    })
}
