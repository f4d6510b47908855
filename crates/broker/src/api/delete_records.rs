//! DeleteRecords (21): raises the log start offset.
//!
//! The answer waits until all replicas on brokers that live have deleted the records, or for the request's timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_types::{ErrorCode, Offset, TopicName};
use highwater_wire::messages::DeleteRecordsRequest;
use highwater_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::error_map::ToCode;
use super::parked::Parked;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::{Out, Wake};
use crate::partition::{Awaited, Partition};

/// A deletion that waits for followers.
pub(crate) struct ParkedDeletion {
    to: ReplyTo,
    topics: Vec<DeletedTopic>,
    /// Partitions whose followers still have the records.
    waits: Vec<Wait>,
    deadline: Instant,
}

struct DeletedTopic {
    name: String,
    partitions: Vec<DeleteRecordsPartitionResult<'static>>,
}

struct Wait {
    partition: Arc<Partition>,
    /// Where all replicas are to begin.
    before: Offset,
    topic_at: usize,
    partition_at: usize,
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DeleteRecordsRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let mut waits = Vec::new();
    let mut topics = Vec::with_capacity(body.topics.len());
    for (topic_at, topic) in body.topics.iter().enumerate() {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for (partition_at, asked) in topic.partitions.iter().enumerate() {
            let result = delete(cx, &topic.name, asked.partition_index, asked.offset);
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: result.as_ref().map_or(-1, Deleted::low_watermark),
                error_code: result.as_ref().err().copied().unwrap_or(ErrorCode::None) as i16,
                ..DeleteRecordsPartitionResult::default()
            });
            if let Ok(Deleted { partition, before, low_watermark }) = result
                && low_watermark.is_none_or(|low| low < before)
            {
                waits.push(Wait { partition, before, topic_at, partition_at });
            }
        }
        topics.push(DeletedTopic { name: topic.name.into_owned(), partitions });
    }
    let timeout = Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or(0));
    let deletion = ParkedDeletion { to: request.to, topics, waits, deadline: cx.now.instant + timeout };
    if deletion.waits.is_empty() {
        return deletion.send(out);
    }
    deletion.waits.iter().for_each(|wait| wait.partition.wake(&cx.node.wakers));
    resume(cx, deletion, Wake::Ready, out)
}

/// Goes on waiting, or answers.
pub(super) fn resume(cx: &Cx<'_>, mut deletion: ParkedDeletion, why: Wake, out: &mut Out) -> Result<Outcome, Refused> {
    deletion.waits.iter().for_each(|wait| wait.partition.watch(Awaited::Committed, cx.peer.token()));
    deletion.settle();
    if why == Wake::Stopping || deletion.deadline <= cx.now.instant {
        deletion.give_up();
    }
    if !deletion.waits.is_empty() {
        let deadline = Some(deletion.deadline);
        return Ok(Outcome::Park { parked: Parked::Deletion(Box::new(deletion)), deadline });
    }
    deletion.send(out)
}

/// What was deleted here.
struct Deleted {
    partition: Arc<Partition>,
    /// Where this replica begins, and all others shall.
    before: Offset,
    low_watermark: Option<Offset>,
}

impl Deleted {
    /// `-1` while a follower has not said where it begins.
    fn low_watermark(&self) -> i64 {
        self.low_watermark.map_or(-1, Offset::to_wire)
    }
}

fn delete(cx: &Cx<'_>, topic: &str, index: i32, before: i64) -> Result<Deleted, ErrorCode> {
    let partition = cx.view.partition(topic, index)?;
    if TopicName::is_internal(&partition.name().topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let mut locked = partition.lock_leader().map_err(|error| error.to_code())?;
    if !locked.log().config().cleanup.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let high_watermark = locked.log().high_watermark();
    let before = match before {
        HIGH_WATERMARK => high_watermark,
        offset => Offset::from_wire(offset).ok_or(ErrorCode::OffsetOutOfRange)?,
    };
    if high_watermark < before {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    locked.with_log(|log| log.delete_records(before)).map_err(|error| error.to_code())?;
    let low_watermark = locked.low_watermark().map_err(|error| error.to_code())?;
    Ok(Deleted { partition: Arc::clone(partition), before, low_watermark })
}

impl ParkedDeletion {
    /// Drops the waits that are over.
    fn settle(&mut self) {
        let Self { topics, waits, .. } = self;
        waits.retain(|wait| {
            let low_watermark = wait.partition.lock().and_then(|locked| locked.low_watermark());
            let (error, low) = match low_watermark {
                Ok(Some(low)) if wait.before <= low => (ErrorCode::None, low.to_wire()),
                Ok(_) => return true,
                Err(error) => (error.to_code(), -1),
            };
            if let Some(result) = result_of(topics, wait) {
                (result.error_code, result.low_watermark) = (error as i16, low);
            }
            false
        });
    }

    /// Fails the waits that are left. They keep the low watermark that there was after the deletion.
    fn give_up(&mut self) {
        for wait in self.waits.drain(..) {
            if let Some(result) = result_of(&mut self.topics, &wait) {
                result.error_code = ErrorCode::RequestTimedOut as i16;
            }
        }
    }

    fn send(self, out: &mut Out) -> Result<Outcome, Refused> {
        let topics = self.topics.into_iter().map(|topic| DeleteRecordsTopicResult {
            name: topic.name.into(),
            partitions: topic.partitions.into(),
            ..DeleteRecordsTopicResult::default()
        });
        let response = DeleteRecordsResponse { topics: topics.collect(), ..DeleteRecordsResponse::default() };
        self.to.send(out, &response)
    }
}

fn result_of<'t>(topics: &'t mut [DeletedTopic], wait: &Wait) -> Option<&'t mut DeleteRecordsPartitionResult<'static>> {
    topics.get_mut(wait.topic_at)?.partitions.get_mut(wait.partition_at)
}

/// Asks to delete everything that can be read.
const HIGH_WATERMARK: i64 = -1;
