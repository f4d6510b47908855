//! Produce (0): appends record batches.
//!
//! All produce requests that arrive together on a connection are staged: parsed and checked one by one, then appended
//! with one lock and one write for each partition, then answered in order.

mod answer;
mod check;
mod parked;
mod staged;

pub(super) use parked::{ParkedProduce, resume};
pub(super) use staged::Scratch;

use super::request::{Cx, Outcome, Refused};
use super::service::accept;
use super::supported::Route;
use crate::net::{Frames, Out};
use staged::Batch;

/// Serves the next request, which is a produce request, and those that follow it directly.
pub(super) fn serve(cx: &mut Cx<'_>, frames: &mut Frames<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    // Whoever decides about each request has to see each.
    let staged_max = if cx.node.interposer.is_some() { 1 } else { STAGED_REQUESTS_MAX };
    let mut batch = Batch::new(cx);
    while batch.len() < staged_max && !out.is_full() {
        let Some(frame) = frames.peek() else { break };
        let Some(api) = accept(frame).filter(|api| matches!(api.route, Route::Produce)) else { break };
        match batch.parse(cx, api, frame) {
            Ok(parsed) => {
                let frame = frames.next(out).expect("the frame was peeked at and the output is not full");
                batch.stage(parsed, frame);
            }
            Err(refused) if batch.is_empty() => return Err(refused),
            // It comes first in the next batch and is refused there, after the answers to those before it.
            Err(_) => break,
        }
    }
    batch.append(cx);
    batch.answer(cx, out)
}

/// Requests staged together; the next ones make the next batch.
const STAGED_REQUESTS_MAX: usize = 256;
