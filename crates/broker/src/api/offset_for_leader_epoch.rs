//! OffsetForLeaderEpoch (23): where the records of a leader epoch end (KIP-101, KIP-320).

use highwater_types::{ErrorCode, LeaderEpoch, Offset};
use highwater_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use highwater_wire::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::error_map::ToCode;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: OffsetForLeaderEpochRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let topics = body
        .topics
        .iter()
        .map(|topic| OffsetForLeaderTopicResult {
            partitions: topic
                .partitions
                .iter()
                .map(|asked| response(&asked, end_of(cx, &topic.topic, &asked)))
                .collect(),
            topic: topic.topic,
            ..OffsetForLeaderTopicResult::default()
        })
        .collect();
    request.to.send(out, &OffsetForLeaderEpochResponse { topics, ..OffsetForLeaderEpochResponse::default() })
}

fn end_of(
    cx: &Cx<'_>,
    topic: &str,
    asked: &OffsetForLeaderPartition<'_>,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let partition = cx.view.partition(topic, asked.partition)?;
    let locked = partition.lock_leader().map_err(|error| error.to_code())?;
    locked.check_epoch(asked.current_leader_epoch).map_err(|error| error.to_code())?;
    let log = locked.log();
    Ok(LeaderEpoch::from_wire(asked.leader_epoch).and_then(|epoch| log.epochs().end_offset_for(epoch, log.log_end())))
}

fn response(
    asked: &OffsetForLeaderPartition<'_>,
    end: Result<Option<(LeaderEpoch, Offset)>, ErrorCode>,
) -> EpochEndOffset<'static> {
    let mut response = EpochEndOffset { partition: asked.partition, ..EpochEndOffset::default() };
    match end {
        Ok(Some((epoch, offset))) => {
            response.leader_epoch = epoch.to_wire();
            response.end_offset = offset.to_wire();
        }
        // Both stay -1: the epoch is not known here.
        Ok(None) => {}
        Err(error) => response.error_code = error as i16,
    }
    response
}
