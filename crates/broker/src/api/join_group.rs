//! JoinGroup (11).

use std::borrow::Cow;
use std::sync::Arc;

use highwater_group::{Client, JoinGroup, Request as GroupRequest, Response};
use highwater_wire::messages::JoinGroupRequest;
use highwater_wire::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};

use super::coordinator::{ask, client_host, unexpected};
use super::request::{Cx, Outcome, Refused, ReplyTo, Request, at_most};
use crate::group::codec::classic_protocol;
use crate::net::Out;
use crate::random::random_uuid;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: JoinGroupRequest<'_> = request.decode()?;
    at_most(PROTOCOLS_MAX, body.protocols.len())?;
    let version = request.version();
    let mut room: usize = SUBSCRIPTIONS_BYTES_MAX;
    let protocols = body.protocols.iter().map(|protocol| {
        // Decoded, a subscription takes many times its bytes.
        let left = room.checked_sub(protocol.metadata.len());
        room = left.unwrap_or(0);
        let protocol_type = if left.is_some() { &*body.protocol_type } else { "" };
        classic_protocol(protocol_type, Arc::from(&*protocol.name), &protocol.metadata)
    });
    let host = client_host(cx.peer);
    let join = JoinGroup {
        group: &body.group_id,
        member: &body.member_id,
        instance_id: body.group_instance_id.as_deref(),
        client: Client { id: request.client_id.as_deref().unwrap_or_default(), host: &host },
        session_timeout_ms: body.session_timeout_ms,
        // Version 0 knows one timeout for both.
        rebalance_timeout_ms: if version == 0 { body.session_timeout_ms } else { body.rebalance_timeout_ms },
        protocol_type: &body.protocol_type,
        protocols: protocols.collect(),
        requires_known_member_id: 4 <= version && body.group_instance_id.is_none(),
        supports_skipping_assignment: 9 <= version,
        reason: body.reason.as_deref(),
        new_member: random_uuid(),
    };
    ask(cx, request, out, &body.group_id, GroupRequest::Join(join), reply)
}

fn reply(response: Response, to: ReplyTo, out: &mut Out) -> Result<Outcome, Refused> {
    let Response::Join(joined) = response else { return unexpected() };
    let borrow = |name: &'_ Option<Arc<str>>| name.as_deref().map(|name| Cow::Owned(name.to_owned()));
    let members = joined.members.iter().map(|member| JoinGroupResponseMember {
        member_id: (&*member.id).into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        metadata: (&*member.metadata).into(),
        ..JoinGroupResponseMember::default()
    });
    let response = JoinGroupResponse {
        error_code: joined.error as i16,
        generation_id: joined.generation,
        protocol_type: borrow(&joined.protocol_type),
        // It may be null from version 7 on.
        protocol_name: match &joined.protocol_name {
            None if to.version < 7 => Some("".into()),
            name => borrow(name),
        },
        leader: (&*joined.leader).into(),
        skip_assignment: joined.skip_assignment,
        member_id: (&*joined.member).into(),
        members: members.collect(),
        ..JoinGroupResponse::default()
    };
    to.send(out, &response)
}

/// Assignors that a member may offer; clients offer a few.
const PROTOCOLS_MAX: usize = 1000;
/// Subscriptions of one member that are looked into; beyond that they are bytes for the other members. A member that
/// says more than this cannot be stored, with the default `max.message.bytes`.
const SUBSCRIPTIONS_BYTES_MAX: usize = 1 << 20;
