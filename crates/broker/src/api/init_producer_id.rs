//! InitProducerId (22): ids for idempotent producers.

use std::sync::Arc;

use highwater_types::{ErrorCode, ProducerId};
use highwater_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: InitProducerIdRequest<'_> = request.decode()?;
    let refused = match &body.transactional_id {
        Some(id) if id.is_empty() => Some(ErrorCode::InvalidRequest),
        Some(_) if !(1..=cx.node.settings.transaction_timeout_ms_max).contains(&body.transaction_timeout_ms) => {
            Some(ErrorCode::InvalidTransactionTimeout)
        }
        // FindCoordinator gives the same answer for transactions: clients ask again, and no half transaction begins.
        Some(_) => Some(ErrorCode::CoordinatorNotAvailable),
        None if (body.producer_id == -1) != (body.producer_epoch == -1) => Some(ErrorCode::InvalidRequest),
        None => None,
    };
    if let Some(error) = refused {
        return request.to.send(out, &response(Err(error)));
    }
    if let Some(id) = cx.node.producer_ids.next() {
        return request.to.send(out, &response(Ok(id)));
    }
    let node = Arc::clone(cx.node);
    match cx.node.forwarder.submit_for(cx.peer.token(), move |link| node.producer_ids.next_of_new_block(link)) {
        Ok(job) => Ok(park_for(request, job, |id, to, out| to.send(out, &response(id)))),
        Err(busy) => request.to.send(out, &response(Err(busy.to_code()))),
    }
}

fn response(id: Result<ProducerId, ErrorCode>) -> InitProducerIdResponse<'static> {
    match id {
        Ok(id) => InitProducerIdResponse { producer_id: id.to_wire(), ..InitProducerIdResponse::default() },
        Err(error) => {
            InitProducerIdResponse { error_code: error as i16, producer_epoch: -1, ..InitProducerIdResponse::default() }
        }
    }
}
