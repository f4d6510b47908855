//! UnregisterBroker (64): a broker that has left for good.

use highwater_types::{ErrorCode, NodeId};
use highwater_wire::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;
use crate::quorum::ControllerError;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: UnregisterBrokerRequest<'_> = request.decode()?;
    let Some(node) = NodeId::from_wire(body.broker_id) else {
        let why = format!("Broker ID {} is not currently registered", body.broker_id);
        return request.to.send(out, &failed(ErrorCode::BrokerIdNotRegistered, why));
    };
    let submitted = cx.node.quorum.try_decide_and_tell(
        cx.peer.token(),
        move |controller| controller.unregister_broker(node),
        move |done, ()| {
            if let Some(heartbeats) = &mut done.heartbeats {
                heartbeats.unregistered(node);
            }
        },
    );
    match submitted {
        Ok(job) => Ok(park_for(request, job, |unregistered, to, out| match unregistered {
            Ok(()) => to.send(out, &UnregisterBrokerResponse::default()),
            Err(ControllerError::Refused(error)) => to.send(out, &failed(error.code, error.message)),
            Err(error) => to.send(out, &failed(error.to_code(), error.to_string())),
        })),
        Err(busy) => request.to.send(out, &failed(busy.to_code(), "the controller has too much to do".to_owned())),
    }
}

fn failed(code: ErrorCode, why: String) -> UnregisterBrokerResponse<'static> {
    UnregisterBrokerResponse {
        error_code: code as i16,
        error_message: Some(why.into()),
        ..UnregisterBrokerResponse::default()
    }
}
