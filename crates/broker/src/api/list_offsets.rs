//! ListOffsets (2): offsets by time, and the ends of partitions.

use std::collections::HashSet;

use highwater_log::{TimestampAnswer, TimestampQuery};
use highwater_replication::leader::Leader;
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use highwater_wire::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::error_map::ToCode;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;
use crate::partition::{LockedPartition, PartitionError};

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ListOffsetsRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let reader = Reader::of(&body);
    let repeated = repeated_partitions(&body);
    let topics = body
        .topics
        .iter()
        .map(|topic| ListOffsetsTopicResponse {
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let answer = if repeated.contains(&(topic.name.clone(), asked.partition_index)) {
                        Err(ErrorCode::InvalidRequest)
                    } else {
                        look_up(cx, &topic.name, &asked, reader, request.version())
                    };
                    response(&asked, answer, request.version())
                })
                .collect(),
            name: topic.name,
            ..ListOffsetsTopicResponse::default()
        })
        .collect();
    request.to.send(out, &ListOffsetsResponse { topics, ..ListOffsetsResponse::default() })
}

/// How far the asker may see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// A consumer, up to the high watermark.
    Uncommitted,
    /// A consumer, up to the last stable offset.
    Committed,
    /// A replica or a tool that asks like one, up to the log end.
    Replica,
}

impl Reader {
    fn of(body: &ListOffsetsRequest<'_>) -> Self {
        match (body.replica_id, body.isolation_level) {
            (-1, 1) => Self::Committed,
            (-1, _) => Self::Uncommitted,
            _ => Self::Replica,
        }
    }

    /// Refuses consumers what only the true high watermark can tell, while a new leader does not know it (KIP-207).
    fn check(self, partition: &LockedPartition<'_>, version: i16) -> Result<(), ErrorCode> {
        let knows = partition.leader().is_ok_and(Leader::knows_high_watermark);
        match self {
            Self::Replica => Ok(()),
            Self::Uncommitted | Self::Committed if knows => Ok(()),
            _ if VERSION_WITH_NOT_AVAILABLE <= version => Err(ErrorCode::OffsetNotAvailable),
            _ => Err(ErrorCode::LeaderNotAvailable),
        }
    }

    fn end(self, partition: &LockedPartition<'_>) -> Offset {
        match self {
            Self::Uncommitted => partition.log().high_watermark(),
            Self::Committed => partition.log().last_stable(),
            Self::Replica => partition.log().log_end(),
        }
    }
}

/// Partitions that one request names more than once; all their answers are an error, as in Kafka.
fn repeated_partitions<'a>(body: &ListOffsetsRequest<'a>) -> HashSet<(std::borrow::Cow<'a, str>, i32)> {
    let mut seen = HashSet::new();
    let names = body.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|asked| (topic.name.clone(), asked.partition_index)).collect::<Vec<_>>()
    });
    names.filter(|name| !seen.insert(name.clone())).collect()
}

fn look_up(
    cx: &Cx<'_>,
    topic: &str,
    asked: &ListOffsetsPartition<'_>,
    reader: Reader,
    version: i16,
) -> Result<Option<TimestampAnswer>, ErrorCode> {
    let partition = cx.view.partition(topic, asked.partition_index)?;
    let mut locked = partition.lock_leader().map_err(|error| error.to_code())?;
    locked.check_epoch(asked.current_leader_epoch).map_err(|error| error.to_code())?;
    let query = match asked.timestamp {
        LATEST => {
            reader.check(&locked, version)?;
            return Ok(Some(TimestampAnswer {
                offset: reader.end(&locked),
                timestamp: TimestampMs::NONE,
                leader_epoch: Some(locked.leader_epoch()),
            }));
        }
        EARLIEST => TimestampQuery::Earliest,
        MAX_TIMESTAMP if version >= 7 => TimestampQuery::MaxTimestamp,
        EARLIEST_LOCAL if version >= 8 => TimestampQuery::EarliestLocal,
        // Nothing is tiered.
        LATEST_TIERED if version >= 9 => return Ok(None),
        EARLIEST_PENDING_UPLOAD if version >= 11 => return Ok(None),
        time if time >= 0 => TimestampQuery::At(TimestampMs(time)),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    let visible_end = reader.end(&locked);
    let answer =
        locked.with_log(|log| log.offset_for_timestamp(query)).map_err(|error: PartitionError| error.to_code())?;
    Ok(match query {
        TimestampQuery::At(_) | TimestampQuery::MaxTimestamp => {
            let visible = answer.filter(|found| found.offset < visible_end);
            if visible.is_none() {
                reader.check(&locked, version)?;
            }
            visible
        }
        _ => answer,
    })
}

fn response(
    asked: &ListOffsetsPartition<'_>,
    answer: Result<Option<TimestampAnswer>, ErrorCode>,
    version: i16,
) -> ListOffsetsPartitionResponse<'static> {
    let mut response = ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
    match answer {
        Ok(Some(found)) => {
            response.offset = found.offset.to_wire();
            response.timestamp = found.timestamp.value();
            if version >= VERSION_WITH_EPOCH {
                response.leader_epoch = found.leader_epoch.map_or(-1, LeaderEpoch::to_wire);
            }
        }
        // Offset and timestamp stay -1: nothing is that late.
        Ok(None) => {}
        Err(error) => response.error_code = error as i16,
    }
    response
}

const VERSION_WITH_EPOCH: i16 = 4;
/// The version that has an error of its own for an offset that is not known yet.
const VERSION_WITH_NOT_AVAILABLE: i16 = 5;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;
