//! Fetch (1): hands out slices of log files.
//!
//! A fetch whose answer would hold less than `min_bytes` parks on its partitions until there is enough, something is
//! wrong, or `max_wait_ms` has passed. Records are not read on the way out: the answer is a header with slices of
//! segment files between its fields.

mod answer;
mod read;
mod want;

use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::messages::{FetchRequest, FetchResponse};

pub(crate) use want::Sessions;

use super::parked::Parked;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::api::quorum_rpc;
use crate::net::{Out, Wake};
use crate::partition::Partition;
use crate::quorum::messages;
use crate::session::{SessionFetch, SessionRequest};
use read::{Limits, ReadContext, Reader, Reads};
use want::{PartitionKey, Want};

/// A fetch that may wait for records.
pub(crate) struct ParkedFetch {
    to: ReplyTo,
    session: SessionFetch<PartitionKey, Want>,
    /// One for each partition wanted.
    targets: Vec<Result<Arc<Partition>, ErrorCode>>,
    limits: Limits,
    reader: Reader,
    deadline: Instant,
}

fn refuse(request: &Request<'_>, code: ErrorCode, out: &mut Out) -> Result<Outcome, Refused> {
    request.to.send(out, &FetchResponse { error_code: code as i16, ..FetchResponse::default() })
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: FetchRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    at_most(NAMES_MAX, body.forgotten_topics_data.iter().map(|topic| topic.partitions.len()).sum())?;
    if cx.node.is_for_controllers(cx.peer) || messages::is_metadata_fetch(&body) {
        // The metadata log is there for controllers and brokers only.
        return if cx.node.is_for_controllers(cx.peer) {
            quorum_rpc::fetch(cx, &body, request, out)
        } else {
            refuse(request, ErrorCode::UnknownTopicId, out)
        };
    }
    let by_id = request.version() >= VERSION_WITH_TOPIC_IDS;
    let reader = Reader::of(cx, &body, request.version());
    let session = SessionRequest {
        session_id: body.session_id,
        epoch: body.session_epoch,
        uses_topic_ids: by_id,
        from_follower: matches!(reader, Reader::Replica { .. }),
    };
    let (wanted, forgotten) = (want::wanted(&body, by_id), want::forgotten(&body, by_id));
    let session = match cx.node.sessions.begin(session, wanted, forgotten, cx.node.uptime_ms(cx.now)) {
        Ok(session) => session,
        Err(error) => {
            return refuse(request, error.error_code(), out);
        }
    };
    let targets = want::resolve(&cx.view, session.wanted());
    let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    // How much followers fetch is what this cluster's own configuration says.
    let bytes_max = if let Reader::Replica { .. } = reader { u32::MAX } else { cx.node.settings.fetch_bytes_max };
    let limits = Limits::of(&body, bytes_max);
    let fetch = ParkedFetch { to: request.to, session, targets, limits, reader, deadline: cx.now.instant + wait };
    let reads = fetch.read(cx, true);
    if wait.is_zero() || reads.is_enough(&fetch.limits) {
        return answer::send(cx, fetch, reads, out);
    }
    wait_for_more(cx, fetch, out)
}

/// Looks again at what a parked fetch waits for.
pub(super) fn resume(cx: &mut Cx<'_>, fetch: ParkedFetch, why: Wake, out: &mut Out) -> Result<Outcome, Refused> {
    let reads = fetch.read(cx, false);
    if why != Wake::Ready || fetch.deadline <= cx.now.instant || reads.is_enough(&fetch.limits) {
        fetch.leave(cx);
        return answer::send(cx, fetch, reads, out);
    }
    wait_for_more(cx, fetch, out)
}

/// Parks, unless something has arrived while we went to wait for it.
fn wait_for_more(cx: &mut Cx<'_>, fetch: ParkedFetch, out: &mut Out) -> Result<Outcome, Refused> {
    let awaited = fetch.reader.awaits();
    fetch.partitions().for_each(|partition| partition.watch(awaited, cx.peer.token()));
    let reads = fetch.read(cx, false);
    if reads.is_enough(&fetch.limits) {
        fetch.leave(cx);
        return answer::send(cx, fetch, reads, out);
    }
    let deadline = Some(fetch.deadline);
    Ok(Outcome::Park { parked: Parked::Fetch(Box::new(fetch)), deadline })
}

impl ParkedFetch {
    fn read(&self, cx: &Cx<'_>, is_first: bool) -> Reads {
        let context = ReadContext {
            image: &cx.view.image,
            wakers: &cx.node.wakers,
            leader_quota: &cx.node.quotas.leader,
            now: cx.now.ticks(),
        };
        Reads::collect(&context, self.session.wanted(), &self.targets, &self.limits, &self.reader, is_first)
    }

    fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.targets.iter().flatten()
    }

    fn leave(&self, cx: &Cx<'_>) {
        let awaited = self.reader.awaits();
        self.partitions().for_each(|partition| partition.unwatch(awaited, cx.peer.token()));
    }
}

const VERSION_WITH_TOPIC_IDS: i16 = 13;
