//! Committed offsets: types 0 and 1.

use std::sync::Arc;

use highwater_group::{CommittedOffset, GroupRecord};
use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, Uuid};
use highwater_wire::records_schema::offsets::{OffsetCommitKey, OffsetCommitValue};
use highwater_wire::records_schema::{decode_versioned, encode_key, encode_versioned};
use highwater_wire::{DecodeError, EncodeError};

pub(super) fn encode(
    group: &str,
    topic: &str,
    partition: PartitionIndex,
    committed: Option<&CommittedOffset>,
    key: &mut Vec<u8>,
    value: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_key(key, &OffsetCommitKey { group: group.into(), topic: topic.into(), partition: partition.to_wire() })?;
    let Some(committed) = committed else { return Ok(()) };
    // No other version has the time of expiration, which the coordinator keeps as long as the offset.
    let version = if committed.expire_timestamp.is_some() { 1 } else { VERSION };
    let encoded = OffsetCommitValue {
        offset: committed.offset.to_wire(),
        leader_epoch: committed.leader_epoch.map_or(-1, LeaderEpoch::to_wire),
        metadata: (&*committed.metadata).into(),
        commit_timestamp: committed.commit_timestamp.value(),
        expire_timestamp: committed.expire_timestamp.map_or(-1, TimestampMs::value),
        topic_id: committed.topic_id.filter(|_| version == VERSION).map_or(Uuid::ZERO, |TopicId(id)| id),
        ..OffsetCommitValue::default()
    };
    encode_versioned(value, version, &encoded)
}

pub(super) fn decode(
    group: &str,
    topic: &str,
    partition: i32,
    value: Option<&[u8]>,
) -> Result<Option<GroupRecord>, DecodeError> {
    let value = value.map(decode_versioned::<OffsetCommitValue<'_>>).transpose()?;
    let committed = value.and_then(|(_, value)| {
        Some(CommittedOffset {
            offset: Offset::from_wire(value.offset)?,
            leader_epoch: LeaderEpoch::from_wire(value.leader_epoch),
            metadata: if value.metadata.is_empty() { Arc::default() } else { Arc::from(&*value.metadata) },
            commit_timestamp: TimestampMs(value.commit_timestamp),
            expire_timestamp: (value.expire_timestamp != -1).then_some(TimestampMs(value.expire_timestamp)),
            topic_id: (!value.topic_id.is_zero()).then_some(TopicId(value.topic_id)),
        })
    });
    let Some(partition) = PartitionIndex::from_wire(partition) else { return Ok(None) };
    let (group, topic) = (Arc::from(group), Arc::from(topic));
    Ok(Some(GroupRecord::Offset { group, topic, partition, value: committed }))
}

/// The version of a value without a time of expiration.
const VERSION: i16 = 4;
