//! DeleteRecords (21): raises the log start offset.

use highwater_types::{ErrorCode, Offset, TopicName};
use highwater_wire::messages::DeleteRecordsRequest;
use highwater_wire::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::error_map::ToCode;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DeleteRecordsRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let topics = body
        .topics
        .iter()
        .map(|topic| DeleteRecordsTopicResult {
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let result = delete(cx, &topic.name, asked.partition_index, asked.offset);
                    DeleteRecordsPartitionResult {
                        partition_index: asked.partition_index,
                        low_watermark: result.map_or(-1, Offset::to_wire),
                        error_code: result.err().unwrap_or(ErrorCode::None) as i16,
                        ..DeleteRecordsPartitionResult::default()
                    }
                })
                .collect(),
            name: topic.name,
            ..DeleteRecordsTopicResult::default()
        })
        .collect();
    request.to.send(out, &DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() })
}

fn delete(cx: &Cx<'_>, topic: &str, index: i32, before: i64) -> Result<Offset, ErrorCode> {
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
    locked.with_log(|log| log.delete_records(before)).map_err(|error| error.to_code())
}

/// Asks to delete everything that can be read.
const HIGH_WATERMARK: i64 = -1;
