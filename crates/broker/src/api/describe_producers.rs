//! DescribeProducers (61): the idempotent producers that a partition remembers.

use std::collections::HashSet;

use highwater_types::{ErrorCode, Offset};
use highwater_wire::Array;
use highwater_wire::messages::DescribeProducersRequest;
use highwater_wire::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

use super::error_map::ToCode;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeProducersRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partition_indexes.len()).sum())?;
    // A partition is described once: a repeated name must not multiply the answer.
    let mut seen = HashSet::new();
    let mut topics = Vec::new();
    for topic in &body.topics {
        let partitions = topic
            .partition_indexes
            .iter()
            .filter(|index| seen.insert((topic.name.clone(), *index)))
            .map(|index| {
                let (error, active_producers) = match producers(cx, &topic.name, index) {
                    Ok(producers) => (ErrorCode::None, producers),
                    Err(error) => (error, Array::new()),
                };
                PartitionResponse {
                    partition_index: index,
                    error_code: error as i16,
                    active_producers,
                    ..PartitionResponse::default()
                }
            })
            .collect();
        topics.push(TopicResponse { name: topic.name.clone(), partitions, ..TopicResponse::default() });
    }
    request.to.send(out, &DescribeProducersResponse { topics: topics.into(), ..DescribeProducersResponse::default() })
}

fn producers(cx: &Cx<'_>, topic: &str, index: i32) -> Result<Array<'static, ProducerState<'static>>, ErrorCode> {
    let locked = cx.view.partition(topic, index)?.lock_leader().map_err(|error| error.to_code())?;
    Ok(locked
        .log()
        .producers()
        .map(|producer| ProducerState {
            producer_id: producer.producer_id.to_wire(),
            producer_epoch: i32::from(producer.epoch.to_wire()),
            last_sequence: producer.sequences.map_or(-1, |sequences| sequences.last.to_wire()),
            last_timestamp: producer.last_timestamp.value(),
            coordinator_epoch: producer.coordinator_epoch.map_or(-1, |epoch| i32::try_from(epoch).unwrap_or(i32::MAX)),
            current_txn_start_offset: producer.txn_first_offset.map_or(-1, Offset::to_wire),
            ..ProducerState::default()
        })
        .collect())
}
