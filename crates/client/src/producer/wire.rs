//! Produce requests and answers on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_producer::{Acks, PartitionAnswer, ProduceRequest};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TimestampMs, TopicName, Uuid};
use highwater_wire::messages::ProduceResponse;
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::{ApiKey, Records};

use crate::ClientError;
use crate::io::{Io, Link, Submitted};
use crate::metadata::Cluster;

/// The names of the topics that a request calls by their ids.
pub(super) type Names = BTreeMap<Uuid, TopicName>;

/// Queues a request. Its batches are not copied.
pub(super) fn submit(
    io: &Io,
    link: Link,
    cluster: &Cluster,
    request: ProduceRequest,
) -> Result<(Submitted, Names), ClientError> {
    let id = |name: &TopicName| cluster.topics.get(name).and_then(|topic| topic.id).map_or(Uuid::ZERO, |id| id.0);
    let mut topics: BTreeMap<TopicName, Vec<PartitionProduceData<'_>>> = BTreeMap::new();
    let mut batches: BTreeMap<TopicName, Vec<Arc<Vec<u8>>>> = BTreeMap::new();
    for batch in request.batches {
        let records = Records::External(u32::try_from(batch.bytes.len()).unwrap_or(u32::MAX));
        let partition = PartitionProduceData { index: batch.partition.to_wire(), records, ..Default::default() };
        topics.entry(batch.topic.clone()).or_default().push(partition);
        batches.entry(batch.topic).or_default().push(batch.bytes);
    }
    let all_have_ids = topics.keys().all(|name| !id(name).is_zero());
    let version_max = if all_have_ids { i16::MAX } else { NAMED_TOPICS };
    let version = io.version(link, ApiKey::Produce, version_max)?;
    let mut names = Names::new();
    let topic_data = topics.into_iter().map(|(name, partitions)| {
        let partition_data = partitions.into();
        if version <= NAMED_TOPICS {
            return TopicProduceData { name: name.as_str().to_owned().into(), partition_data, ..Default::default() };
        }
        let topic_id = id(&name);
        names.insert(topic_id, name);
        TopicProduceData { topic_id, partition_data, ..Default::default() }
    });
    let body = highwater_wire::messages::ProduceRequest {
        acks: request.acks.to_wire(),
        timeout_ms: i32::try_from(request.timeout_ms).unwrap_or(i32::MAX),
        topic_data: topic_data.collect(),
        ..Default::default()
    };
    let records = batches.into_values().flatten().collect();
    let submitted = io.submit(link, version, &body, records, request.acks != Acks::Zero)?;
    Ok((submitted, names))
}

/// What the broker says of each batch.
pub(super) fn answers(response: &ProduceResponse<'_>, names: &Names) -> Vec<PartitionAnswer> {
    let mut answers = Vec::new();
    for topic in &response.responses {
        let named = || TopicName::new(&topic.name).ok();
        let Some(name) = names.get(&topic.topic_id).cloned().or_else(named) else { continue };
        for partition in &topic.partition_responses {
            let Some(index) = PartitionIndex::from_wire(partition.index) else { continue };
            let error = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
            let mut answer = PartitionAnswer::new(name.clone(), index, error);
            answer.base_offset = Offset::from_wire(partition.base_offset);
            answer.append_time =
                (0 <= partition.log_append_time_ms).then_some(TimestampMs(partition.log_append_time_ms));
            answer.log_start = Offset::from_wire(partition.log_start_offset);
            answer.message = partition.error_message.as_deref().map(Arc::from);
            let leader = NodeId::from_wire(partition.current_leader.leader_id);
            answer.leader = leader.zip(LeaderEpoch::from_wire(partition.current_leader.leader_epoch));
            for record in &partition.record_errors {
                if let Ok(at) = u32::try_from(record.batch_index) {
                    answer.record_errors.push((at, record.batch_index_error_message.as_deref().map(Arc::from)));
                }
            }
            answers.push(answer);
        }
    }
    answers
}

/// Last version of Produce that calls topics by name.
const NAMED_TOPICS: i16 = 12;
