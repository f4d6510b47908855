//! From frames to appended batches.

use std::ops::Range;
use std::sync::Arc;

use highwater_log::{AppendOrigin, AppendSet};
use highwater_replication::leader::{Acknowledgement, Acks};
use highwater_types::ErrorCode;
use highwater_wire::Records;
use highwater_wire::messages::ProduceRequest;

use super::answer::{Appended, Failure, ItemOutcome};
use super::check::check_records;
use crate::api::error_map::ToCode;
use crate::api::request::{Cx, NAMES_MAX, Refused, ReplyTo, at_most};
use crate::api::service::read_header;
use crate::api::supported::SupportedApi;
use crate::partition::{Partition, PartitionError};

/// Vectors that the batches of one loop reuse.
#[derive(Default)]
pub(crate) struct Scratch {
    items: Vec<Item>,
    order: Vec<usize>,
}

/// Produce requests that are appended together.
pub(super) struct Batch<'f> {
    pub(super) requests: Vec<Staged<'f>>,
    pub(super) items: Vec<Item>,
    order: Vec<usize>,
}

/// One request of a batch.
pub(super) struct Staged<'f> {
    pub(super) parsed: Parsed,
    pub(super) frame: &'f mut [u8],
}

/// What has been read of a request.
pub(super) struct Parsed {
    pub(super) to: ReplyTo,
    pub(super) acks: i16,
    pub(super) timeout_ms: i32,
    /// Where the body begins in the frame.
    pub(super) body_at: usize,
    /// The partitions of this request among the batch's items.
    pub(super) items: Range<usize>,
}

/// One partition of one request.
pub(super) struct Item {
    pub(super) partition: Option<Arc<Partition>>,
    /// Where the records are in the request's frame.
    records: Range<usize>,
    acks: Acks,
    pub(super) outcome: ItemOutcome,
}

impl<'f> Batch<'f> {
    pub(super) fn new(cx: &mut Cx<'_>) -> Self {
        let Scratch { items, order } = std::mem::take(&mut cx.scratch.produce);
        Self { requests: Vec::new(), items, order }
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Gives the vectors back.
    pub(super) fn recycle(mut self, cx: &mut Cx<'_>) {
        self.items.clear();
        self.order.clear();
        cx.scratch.produce = Scratch { items: self.items, order: self.order };
    }

    /// Reads a request and finds its partitions and records.
    pub(super) fn parse(&mut self, cx: &Cx<'_>, api: &SupportedApi, frame: &[u8]) -> Result<Parsed, Refused> {
        let request = read_header(api, frame)?;
        let body: ProduceRequest<'_> = request.decode()?;
        at_most(NAMES_MAX, body.topic_data.iter().map(|topic| topic.partition_data.len()).sum())?;
        let first_item = self.items.len();
        let acks = Acks::from_wire(body.acks);
        let from_admin = request.client_id.as_deref() == Some(ADMIN_CLIENT);
        for topic in &body.topic_data {
            let entry = cx.view.topic_by(&topic.name, topic.topic_id);
            for partition in &topic.partition_data {
                let records = match partition.records {
                    Records::Bytes(bytes) => bytes,
                    _ => &[],
                };
                let target = entry.and_then(|entry| cx.view.partition_of(entry, partition.index));
                let checked = target.map_err(|code| Failure::new(code, None)).and_then(|partition| {
                    check_records(records, request.version())
                        .map_err(|(code, message)| Failure::new(code, Some(message.to_owned())))?;
                    if acks.is_none() {
                        return Err(Failure::new(ErrorCode::InvalidRequiredAcks, None));
                    }
                    if partition.name().topic.is_internal() && !from_admin {
                        return Err(Failure::new(ErrorCode::InvalidTopicException, None));
                    }
                    Ok(Arc::clone(partition))
                });
                let start = (records.as_ptr() as usize).saturating_sub(frame.as_ptr() as usize);
                let (partition, outcome) = match checked {
                    Ok(partition) => (Some(partition), ItemOutcome::Staged),
                    Err(failure) => (None, ItemOutcome::Failed(Box::new(failure))),
                };
                self.items.push(Item {
                    partition,
                    records: start..start + records.len(),
                    acks: acks.unwrap_or(Acks::None),
                    outcome,
                });
            }
        }
        Ok(Parsed {
            to: request.to,
            acks: body.acks,
            timeout_ms: body.timeout_ms,
            body_at: frame.len() - request.body.len(),
            items: first_item..self.items.len(),
        })
    }

    /// Takes a request that has been read into the batch.
    pub(super) fn stage(&mut self, parsed: Parsed, frame: &'f mut [u8]) {
        self.requests.push(Staged { parsed, frame });
    }

    /// Appends everything, partition by partition.
    pub(super) fn append(&mut self, cx: &Cx<'_>) {
        let Self { requests, items, order } = self;
        let mut sets: Vec<Option<&mut [u8]>> = Vec::with_capacity(items.len());
        for request in requests.iter_mut() {
            let ranges = items[request.parsed.items.clone()].iter().map(|item| item.records.clone());
            carve(request.frame, ranges, &mut sets);
        }
        order.extend((0..items.len()).filter(|index| items[*index].partition.is_some()));
        let place = |item: &Item| item.partition.as_ref().map_or(0, |partition| Arc::as_ptr(partition) as usize);
        if order.len() > 1 {
            // Stable, so that the batches of one partition stay in the order of their requests.
            order.sort_by_key(|index| place(&items[*index]));
        }
        let mut rest = &order[..];
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|index| place(&items[**index]) == place(&items[*first])).count();
            let (run, others) = rest.split_at(same);
            append_run(cx, items, run, &mut sets);
            rest = others;
        }
    }
}

/// Appends the batches of one partition with one lock and one write.
fn append_run(cx: &Cx<'_>, items: &mut [Item], run: &[usize], bytes: &mut [Option<&mut [u8]>]) {
    let Some(partition) = run.first().and_then(|index| items[*index].partition.clone()) else { return };
    let fail = |items: &mut [Item], error: &PartitionError| {
        for index in run {
            if let ItemOutcome::Staged = items[*index].outcome {
                items[*index].outcome = ItemOutcome::Failed(Box::new(Failure::of_partition(error)));
            }
        }
    };
    let mut locked = match partition.lock_leader() {
        Ok(locked) => locked,
        Err(error) => return fail(items, &error),
    };
    let epoch = locked.leader_epoch();
    let mut sets = Vec::with_capacity(run.len());
    for index in run {
        let item = &mut items[*index];
        match locked.admit(item.acks) {
            Ok(()) => sets.push(AppendSet::new(bytes[*index].take().unwrap_or_default(), AppendOrigin::Client)),
            Err(error) => item.outcome = ItemOutcome::Failed(Box::new(Failure::new(error.to_code(), None))),
        }
    }
    let committed_before = locked.log().high_watermark();
    let due_flush = match locked.append(&mut sets, cx.now.wall) {
        Ok(due_flush) => due_flush,
        Err(error) => {
            drop(locked);
            return fail(items, &error);
        }
    };
    let log_start = locked.log().log_start();
    let staged = run.iter().filter(|index| matches!(items[**index].outcome, ItemOutcome::Staged));
    let staged: Vec<usize> = staged.copied().collect();
    for (index, set) in staged.into_iter().zip(&mut sets) {
        let item = &mut items[index];
        item.outcome = match set.take_result() {
            Ok(info) => {
                let end = info.last_offset.next();
                match locked.acknowledge(item.acks, epoch, end) {
                    Err(error) => ItemOutcome::Failed(Box::new(Failure::of_partition(&error))),
                    Ok(Acknowledgement::Refused(error)) => {
                        ItemOutcome::Failed(Box::new(Failure::new(error.code(), None)))
                    }
                    Ok(acknowledgement) => ItemOutcome::Appended(Appended {
                        base_offset: info.base_offset,
                        append_time: info.append_time,
                        log_start: info.log_start,
                        wait_for: (acknowledgement == Acknowledgement::Wait).then_some((item.acks, epoch, end)),
                    }),
                }
            }
            Err(error) => ItemOutcome::Failed(Box::new(Failure::of_append(&error, log_start))),
        };
    }
    // What has to be synced first is not there for anyone yet; the end of the sync wakes those who wait.
    let is_shown = !locked.awaits_sync(locked.log().log_end());
    // Alone in sync, the leader has committed them. Otherwise that is news of the followers' next fetches.
    let is_committed = committed_before < locked.log().high_watermark();
    drop(locked);
    if is_shown {
        partition.wake_for_log_end(&cx.node.wakers);
        if is_committed {
            partition.wake_for_committed(&cx.node.wakers);
        }
    }
    if let Some(task) = due_flush {
        cx.node.syncs.submit(&partition, task);
    }
}

/// Splits the ranges, which are in order, out of a frame.
fn carve<'b>(frame: &'b mut [u8], ranges: impl Iterator<Item = Range<usize>>, pieces: &mut Vec<Option<&'b mut [u8]>>) {
    let mut rest = frame;
    let mut at = 0;
    for range in ranges {
        if range.is_empty() {
            pieces.push(None);
            continue;
        }
        let (_, tail) = rest.split_at_mut(range.start - at);
        let (piece, tail) = tail.split_at_mut(range.len());
        pieces.push(Some(piece));
        at = range.end;
        rest = tail;
    }
}

/// The one client id that may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";
