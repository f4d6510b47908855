//! Requests that only the active controller can answer: handed to it in an Envelope (58, KIP-590), and taken out of one.

use highwater_types::ErrorCode;
use highwater_wire::messages::{EnvelopeRequest, EnvelopeResponse};

use super::parked::{Forwarded, Parked};
use super::request::{Cx, Envelope, Outcome, Refused, ReplyTo, Request};
use super::service::{accept, read_header};
use super::supported::Route;
use crate::net::{Out, Wake};

/// Hands a request to the active controller.
pub(super) fn begin(cx: &mut Cx<'_>, frame: &[u8], out: &mut Out) -> Result<Outcome, Refused> {
    let address = cx.peer.peer_addr().ip().to_canonical();
    match cx.node.forwarder.forward(cx.peer.token(), frame.to_vec(), address) {
        Ok(job) => {
            let parked = Parked::Forwarded(Box::new(Forwarded { frame: frame.to_vec(), job }));
            Ok(Outcome::Park { parked, deadline: None })
        }
        // Says that this node is not the controller.
        Err(_) => answer_here(cx, frame, out),
    }
}

/// Passes the controller's answer on.
pub(super) fn resume(cx: &mut Cx<'_>, forwarded: Forwarded, why: Wake, out: &mut Out) -> Result<Outcome, Refused> {
    match forwarded.job.take() {
        Some(Ok(Some(answer))) => {
            let size = u32::try_from(answer.len()).unwrap_or(u32::MAX);
            out.buf().extend_from_slice(&size.to_be_bytes());
            out.buf().extend_from_slice(&answer);
            Ok(Outcome::Answered)
        }
        Some(Ok(None)) => answer_here(cx, &forwarded.frame, out),
        Some(Err(_)) => Ok(Outcome::Close),
        None if why == Wake::Stopping => Ok(Outcome::Close),
        None => Ok(Outcome::Park { parked: Parked::Forwarded(Box::new(forwarded)), deadline: None }),
    }
}

fn answer_here(cx: &mut Cx<'_>, frame: &[u8], out: &mut Out) -> Result<Outcome, Refused> {
    let Some(api) = accept(frame) else { return Ok(Outcome::Close) };
    let Route::Controller(handler) = api.route else { return Ok(Outcome::Close) };
    let request = read_header(api, frame)?;
    handler(cx, &request, out)
}

/// Envelope (58): answers the request in it, if this node is the active controller.
pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: EnvelopeRequest<'_> = request.decode()?;
    let refuse = |code: ErrorCode| EnvelopeResponse { error_code: code as i16, ..EnvelopeResponse::default() };
    if !cx.node.quorum.state().is_active() {
        return request.to.send(out, &refuse(ErrorCode::NotController));
    }
    let frame: &[u8] = &body.request_data;
    let inner = accept(frame).and_then(|api| match api.route {
        Route::Controller(handler) => Some((api, handler)),
        Route::One(_) | Route::Produce | Route::Quorum(_) => None,
    });
    let Some((api, handler)) = inner else { return request.to.send(out, &refuse(ErrorCode::InvalidRequest)) };
    let inner = read_header(api, frame)?;
    let envelope = Envelope { version: request.to.version, correlation_id: request.to.correlation_id };
    let to = ReplyTo { envelope: Some(envelope), ..inner.to };
    handler(cx, &Request { to, ..inner }, out)
}
