//! Heartbeat (12).

use highwater_group::{Heartbeat, Request as GroupRequest, Response};
use highwater_types::ErrorCode;
use highwater_wire::messages::{HeartbeatRequest, HeartbeatResponse};

use super::coordinator::{ask, unexpected};
use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: HeartbeatRequest<'_> = request.decode()?;
    let heartbeat = Heartbeat {
        group: &body.group_id,
        generation: body.generation_id,
        member: &body.member_id,
        instance_id: body.group_instance_id.as_deref(),
    };
    ask(cx, request, out, &body.group_id, GroupRequest::Heartbeat(heartbeat), |response, to, out| {
        let Response::Heartbeat(error) = response else { return unexpected() };
        // While the group is loaded nobody knows better, and some clients give up on an error: as Kafka does.
        let error = if error == ErrorCode::CoordinatorLoadInProgress { ErrorCode::None } else { error };
        to.send(out, &HeartbeatResponse { error_code: error as i16, ..HeartbeatResponse::default() })
    })
}
