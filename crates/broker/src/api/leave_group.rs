//! LeaveGroup (13).

use highwater_group::{LeaveGroup, LeavingMember, Request as GroupRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::LeaveGroupRequest;
use highwater_wire::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::coordinator::{ask, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: LeaveGroupRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.members.len())?;
    let named: Vec<_> = body.members.iter().collect();
    let members = if request.version() < 3 {
        vec![LeavingMember { member: &body.member_id, instance_id: None, reason: None }]
    } else {
        let leaving = named.iter().map(|member| LeavingMember {
            member: &member.member_id,
            instance_id: member.group_instance_id.as_deref(),
            reason: member.reason.as_deref(),
        });
        leaving.collect()
    };
    let leave = LeaveGroup { group: &body.group_id, members };
    ask(cx, request, out, &body.group_id, GroupRequest::Leave(leave), reply)
}

fn reply(response: Response, to: ReplyTo, out: &mut Out) -> Result<Outcome, Refused> {
    let Response::Leave(left) = response else { return unexpected() };
    if to.version < 3 {
        // The request names one member, whose error is that of the request.
        let own = left.members.first().map_or(ErrorCode::None, |(_, _, error)| *error);
        let error = if left.error == ErrorCode::None { own } else { left.error };
        return to.send(out, &LeaveGroupResponse { error_code: error as i16, ..LeaveGroupResponse::default() });
    }
    let members = left.members.iter().map(|(member, instance, error)| MemberResponse {
        member_id: (&**member).into(),
        group_instance_id: instance.as_deref().map(Into::into),
        error_code: *error as i16,
        ..MemberResponse::default()
    });
    let response = LeaveGroupResponse {
        error_code: left.error as i16,
        members: members.collect(),
        ..LeaveGroupResponse::default()
    };
    to.send(out, &response)
}
