//! SyncGroup (14).

use std::borrow::Cow;

use highwater_group::{MemberAssignment, Request as GroupRequest, Response, SyncGroup};
use highwater_types::ErrorCode;
use highwater_wire::messages::{SyncGroupRequest, SyncGroupResponse};

use super::coordinator::{ask, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::group::codec::encode_assignment;
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: SyncGroupRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.assignments.len())?;
    if 5 <= request.version() && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        // From this version on they have to be given.
        let error_code = ErrorCode::InconsistentGroupProtocol as i16;
        return request.to.send(out, &SyncGroupResponse { error_code, ..SyncGroupResponse::default() });
    }
    let assignments: Vec<_> = body.assignments.iter().collect();
    let sync = SyncGroup {
        group: &body.group_id,
        generation: body.generation_id,
        member: &body.member_id,
        instance_id: body.group_instance_id.as_deref(),
        protocol_type: body.protocol_type.as_deref(),
        protocol_name: body.protocol_name.as_deref(),
        assignments: assignments.iter().map(|each| (&*each.member_id, &*each.assignment)).collect(),
    };
    ask(cx, request, out, &body.group_id, GroupRequest::Sync(sync), reply)
}

fn reply(response: Response, to: ReplyTo, out: &mut Out) -> Result<Outcome, Refused> {
    let Response::Sync(synced) = response else { return unexpected() };
    let assignment: Cow<'_, [u8]> = match &synced.assignment {
        MemberAssignment::Opaque(bytes) => Cow::Borrowed(bytes),
        MemberAssignment::Partitions { version, partitions } => Cow::Owned(encode_assignment(*version, partitions)?),
    };
    let response = SyncGroupResponse {
        error_code: synced.error as i16,
        protocol_type: synced.protocol_type.as_deref().map(Into::into),
        protocol_name: synced.protocol_name.as_deref().map(Into::into),
        assignment,
        ..SyncGroupResponse::default()
    };
    to.send(out, &response)
}
