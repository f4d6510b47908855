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
use crate::net::{Out, Wake};
use crate::partition::Partition;
use crate::session::{SessionFetch, SessionRequest};
use read::{Limits, Reads};
use want::{PartitionKey, Want};

/// A fetch that may wait for records.
pub(crate) struct ParkedFetch {
    to: ReplyTo,
    session: SessionFetch<PartitionKey, Want>,
    /// One for each partition wanted.
    targets: Vec<Result<Arc<Partition>, ErrorCode>>,
    limits: Limits,
    deadline: Instant,
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: FetchRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    at_most(NAMES_MAX, body.forgotten_topics_data.iter().map(|topic| topic.partitions.len()).sum())?;
    let by_id = request.version() >= VERSION_WITH_TOPIC_IDS;
    let session = SessionRequest {
        session_id: body.session_id,
        epoch: body.session_epoch,
        uses_topic_ids: by_id,
        from_follower: false,
    };
    let (wanted, forgotten) = (want::wanted(&body, by_id), want::forgotten(&body, by_id));
    let session = match cx.node.sessions.begin(session, wanted, forgotten, cx.node.uptime_ms(cx.now)) {
        Ok(session) => session,
        Err(error) => {
            let error_code = error.error_code() as i16;
            return request.to.send(out, &FetchResponse { error_code, ..FetchResponse::default() });
        }
    };
    let mut targets = want::resolve(&cx.view, session.wanted());
    if body.replica_id >= 0 || body.replica_state.replica_id >= 0 {
        // A follower. Nothing is replicated to others, so it is not one of our replicas.
        for target in &mut targets {
            *target = target.clone().and(Err(ErrorCode::NotLeaderOrFollower));
        }
    }
    let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    let limits = Limits::of(&body, cx.node.settings.fetch_bytes_max);
    let fetch = ParkedFetch { to: request.to, session, targets, limits, deadline: cx.now.instant + wait };
    let reads = fetch.read();
    if wait.is_zero() || reads.is_enough(&fetch.limits) {
        return answer::send(cx, fetch, reads, out);
    }
    wait_for_more(cx, fetch, out)
}

/// Looks again at what a parked fetch waits for.
pub(super) fn resume(cx: &mut Cx<'_>, fetch: ParkedFetch, why: Wake, out: &mut Out) -> Result<Outcome, Refused> {
    let reads = fetch.read();
    if why != Wake::Ready || fetch.deadline <= cx.now.instant || reads.is_enough(&fetch.limits) {
        fetch.leave(cx);
        return answer::send(cx, fetch, reads, out);
    }
    wait_for_more(cx, fetch, out)
}

/// Parks, unless something has arrived while we went to wait for it.
fn wait_for_more(cx: &mut Cx<'_>, fetch: ParkedFetch, out: &mut Out) -> Result<Outcome, Refused> {
    fetch.partitions().for_each(|partition| partition.watch(cx.peer.token()));
    let reads = fetch.read();
    if reads.is_enough(&fetch.limits) {
        fetch.leave(cx);
        return answer::send(cx, fetch, reads, out);
    }
    let deadline = Some(fetch.deadline);
    Ok(Outcome::Park { parked: Parked::Fetch(Box::new(fetch)), deadline })
}

impl ParkedFetch {
    fn read(&self) -> Reads {
        Reads::collect(self.session.wanted(), &self.targets, &self.limits)
    }

    fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.targets.iter().flatten()
    }

    fn leave(&self, cx: &Cx<'_>) {
        self.partitions().for_each(|partition| partition.unwatch(cx.peer.token()));
    }
}

const VERSION_WITH_TOPIC_IDS: i16 = 13;
