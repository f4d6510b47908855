//! Consumer groups (KIP-848): types 3 to 8, and 16.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{
    AssignedPartitions, ClassicMemberMetadata, ConsumerCurrentValue, ConsumerGroupValue, ConsumerMemberState,
    ConsumerMemberValue, ConsumerTargetValue, GroupRecord, ResolvedRegex,
};
use highwater_types::{PartitionIndex, TimestampMs, TopicId};
use highwater_wire::records_schema::offsets::consumer_group_current_member_assignment_value::TopicPartitions;
use highwater_wire::records_schema::offsets::consumer_group_member_metadata_value as member_value;
use highwater_wire::records_schema::offsets::consumer_group_target_assignment_member_value::TopicPartition;
use highwater_wire::records_schema::offsets::{
    ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataKey, ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue, OffsetsKey,
};
use highwater_wire::records_schema::{decode_versioned, encode_key, encode_versioned};
use highwater_wire::{Array, DecodeError, EncodeError, Message};

use super::embedded::classic_protocol;

pub(super) fn encode(record: &GroupRecord, key: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match record {
        GroupRecord::Offset { .. } | GroupRecord::Classic { .. } => unreachable!("a record of a consumer group"),
        GroupRecord::Consumer { group, value } => {
            encode_key(key, &ConsumerGroupMetadataKey { group_id: (&**group).into() })?;
            encode_value(
                out,
                value.as_ref().map(|value| ConsumerGroupMetadataValue {
                    epoch: value.epoch,
                    metadata_hash: value.metadata_hash,
                    ..ConsumerGroupMetadataValue::default()
                }),
            )
        }
        GroupRecord::ConsumerTopics { group, is_present } => {
            encode_key(key, &ConsumerGroupPartitionMetadataKey { group_id: (&**group).into() })?;
            encode_value(out, is_present.then(ConsumerGroupPartitionMetadataValue::default))
        }
        GroupRecord::ConsumerMember { group, member, value } => {
            let (group_id, member_id) = ((&**group).into(), (&**member).into());
            encode_key(key, &ConsumerGroupMemberMetadataKey { group_id, member_id })?;
            encode_value(out, value.as_ref().map(encode_member))
        }
        GroupRecord::ConsumerTarget { group, value } => {
            encode_key(key, &ConsumerGroupTargetAssignmentMetadataKey { group_id: (&**group).into() })?;
            encode_value(
                out,
                value.as_ref().map(|value| ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: value.epoch,
                    assignment_timestamp: value.timestamp.map_or(0, TimestampMs::value),
                    ..ConsumerGroupTargetAssignmentMetadataValue::default()
                }),
            )
        }
        GroupRecord::ConsumerMemberTarget { group, member, value } => {
            let (group_id, member_id) = ((&**group).into(), (&**member).into());
            encode_key(key, &ConsumerGroupTargetAssignmentMemberKey { group_id, member_id })?;
            encode_value(
                out,
                value.as_ref().map(|value| {
                    let topics = value.topics().map(|(TopicId(topic_id), partitions)| TopicPartition {
                        topic_id,
                        partitions: partitions.iter().map(|partition| partition.to_wire()).collect(),
                        ..TopicPartition::default()
                    });
                    let topic_partitions = topics.collect();
                    ConsumerGroupTargetAssignmentMemberValue { topic_partitions, ..Default::default() }
                }),
            )
        }
        GroupRecord::ConsumerCurrent { group, member, value } => {
            let (group_id, member_id) = ((&**group).into(), (&**member).into());
            encode_key(key, &ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id })?;
            encode_value(out, value.as_ref().map(encode_current))
        }
        GroupRecord::ConsumerRegex { group, regex, value } => {
            let (group_id, regular_expression) = ((&**group).into(), (&**regex).into());
            encode_key(key, &ConsumerGroupRegularExpressionKey { group_id, regular_expression })?;
            encode_value(
                out,
                value.as_ref().map(|value| ConsumerGroupRegularExpressionValue {
                    topics: value.topics.iter().map(|topic| (&**topic).into()).collect(),
                    version: value.version,
                    timestamp: value.timestamp.value(),
                    ..ConsumerGroupRegularExpressionValue::default()
                }),
            )
        }
    }
}

/// `None` for a key of another kind of group.
pub(super) fn decode(key: OffsetsKey<'_>, value: Option<&[u8]>) -> Result<Option<GroupRecord>, DecodeError> {
    let record = match key {
        OffsetsKey::ConsumerGroupMetadata(key) => {
            let decode = |value: ConsumerGroupMetadataValue<'_>| ConsumerGroupValue {
                epoch: value.epoch,
                metadata_hash: value.metadata_hash,
            };
            GroupRecord::Consumer { group: arc(&key.group_id), value: decode_value(value, decode)? }
        }
        OffsetsKey::ConsumerGroupPartitionMetadata(key) => {
            let is_present = decode_value(value, |_: ConsumerGroupPartitionMetadataValue<'_>| ())?.is_some();
            GroupRecord::ConsumerTopics { group: arc(&key.group_id), is_present }
        }
        OffsetsKey::ConsumerGroupMemberMetadata(key) => {
            let (group, member) = (arc(&key.group_id), arc(&key.member_id));
            GroupRecord::ConsumerMember { group, member, value: decode_value(value, |value| decode_member(&value))? }
        }
        OffsetsKey::ConsumerGroupTargetAssignmentMetadata(key) => {
            let decode = |value: ConsumerGroupTargetAssignmentMetadataValue<'_>| ConsumerTargetValue {
                epoch: value.assignment_epoch,
                timestamp: (value.assignment_timestamp != 0).then_some(TimestampMs(value.assignment_timestamp)),
            };
            GroupRecord::ConsumerTarget { group: arc(&key.group_id), value: decode_value(value, decode)? }
        }
        OffsetsKey::ConsumerGroupTargetAssignmentMember(key) => {
            let decode = |value: ConsumerGroupTargetAssignmentMemberValue<'_>| {
                let topics = value.topic_partitions.iter();
                let partitions = topics.flat_map(|topic| {
                    let known: Vec<_> = topic.partitions.iter().filter_map(PartitionIndex::from_wire).collect();
                    known.into_iter().map(move |partition| (TopicId(topic.topic_id), partition))
                });
                partitions.collect()
            };
            let (group, member) = (arc(&key.group_id), arc(&key.member_id));
            GroupRecord::ConsumerMemberTarget { group, member, value: decode_value(value, decode)? }
        }
        OffsetsKey::ConsumerGroupCurrentMemberAssignment(key) => {
            let (group, member) = (arc(&key.group_id), arc(&key.member_id));
            GroupRecord::ConsumerCurrent { group, member, value: decode_value(value, |value| decode_current(&value))? }
        }
        OffsetsKey::ConsumerGroupRegularExpression(key) => {
            let decode = |value: ConsumerGroupRegularExpressionValue<'_>| ResolvedRegex {
                topics: sorted(&value.topics),
                version: value.version,
                timestamp: TimestampMs(value.timestamp),
            };
            let (group, regex) = (arc(&key.group_id), arc(&key.regular_expression));
            GroupRecord::ConsumerRegex { group, regex, value: decode_value(value, decode)? }
        }
        _ => return Ok(None),
    };
    Ok(Some(record))
}

fn encode_member(member: &ConsumerMemberValue) -> ConsumerGroupMemberMetadataValue<'_> {
    let classic = member.classic.as_ref().map(|classic| {
        let protocols = classic.protocols.iter().map(|protocol| member_value::ClassicProtocol {
            name: (&*protocol.name).into(),
            metadata: (&*protocol.metadata).into(),
            ..Default::default()
        });
        member_value::ClassicMemberMetadata {
            session_timeout_ms: classic.session_timeout_ms,
            supported_protocols: protocols.collect(),
            ..Default::default()
        }
    });
    ConsumerGroupMemberMetadataValue {
        instance_id: member.instance_id.as_deref().map(Into::into),
        rack_id: member.rack_id.as_deref().map(Into::into),
        client_id: (&*member.client_id).into(),
        client_host: (&*member.client_host).into(),
        subscribed_topic_names: member.topic_names.iter().map(|topic| (&**topic).into()).collect(),
        // Kafka has an empty one for a member without.
        subscribed_topic_regex: Some(member.topic_regex.as_deref().unwrap_or_default().into()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.server_assignor.as_deref().map(Into::into),
        classic_member_metadata: classic,
        ..Default::default()
    }
}

fn decode_member(member: &ConsumerGroupMemberMetadataValue<'_>) -> ConsumerMemberValue {
    let classic = member.classic_member_metadata.as_ref().map(|classic| {
        // A member of a consumer group is a consumer.
        let protocols = classic.supported_protocols.iter();
        let protocols = protocols.map(|protocol| classic_protocol("consumer", arc(&protocol.name), &protocol.metadata));
        ClassicMemberMetadata { session_timeout_ms: classic.session_timeout_ms, protocols: protocols.collect() }
    });
    let regex = member.subscribed_topic_regex.as_deref().filter(|regex| !regex.is_empty());
    ConsumerMemberValue {
        instance_id: member.instance_id.as_deref().map(Arc::from),
        rack_id: member.rack_id.as_deref().map(Arc::from),
        client_id: arc(&member.client_id),
        client_host: arc(&member.client_host),
        topic_names: sorted(&member.subscribed_topic_names),
        topic_regex: regex.map(Arc::from),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: member.server_assignor.as_deref().map(Arc::from),
        classic,
    }
}

fn encode_current(current: &ConsumerCurrentValue) -> ConsumerGroupCurrentMemberAssignmentValue<'_> {
    ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: current.epoch,
        previous_member_epoch: current.previous_epoch,
        state: match current.state {
            ConsumerMemberState::Stable => STABLE,
            ConsumerMemberState::UnrevokedPartitions => UNREVOKED_PARTITIONS,
            ConsumerMemberState::UnreleasedPartitions => UNRELEASED_PARTITIONS,
            ConsumerMemberState::Unknown => UNKNOWN,
        },
        assigned_partitions: encode_assigned(&current.assigned),
        partitions_pending_revocation: encode_assigned(&current.pending_revocation),
        ..Default::default()
    }
}

fn encode_assigned(assigned: &AssignedPartitions) -> Array<'_, TopicPartitions<'_>> {
    let topics = assigned.iter().map(|(TopicId(topic_id), partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.keys().map(|partition| partition.to_wire()).collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
        ..Default::default()
    });
    topics.collect()
}

fn decode_current(current: &ConsumerGroupCurrentMemberAssignmentValue<'_>) -> ConsumerCurrentValue {
    ConsumerCurrentValue {
        epoch: current.member_epoch,
        previous_epoch: current.previous_member_epoch,
        state: match current.state {
            STABLE => ConsumerMemberState::Stable,
            UNREVOKED_PARTITIONS => ConsumerMemberState::UnrevokedPartitions,
            UNRELEASED_PARTITIONS => ConsumerMemberState::UnreleasedPartitions,
            _ => ConsumerMemberState::Unknown,
        },
        assigned: decode_assigned(&current.assigned_partitions, current.member_epoch),
        pending_revocation: decode_assigned(&current.partitions_pending_revocation, current.member_epoch),
    }
}

/// Kafka before 4.3 wrote no epochs beside the partitions: the member's stands for them.
fn decode_assigned(topics: &Array<'_, TopicPartitions<'_>>, member_epoch: i32) -> AssignedPartitions {
    let mut assigned = AssignedPartitions::new();
    for topic in topics {
        let mut epochs = topic.assignment_epochs.iter().flatten();
        let partitions: BTreeMap<_, _> = topic
            .partitions
            .iter()
            .map(|partition| (partition, epochs.next().unwrap_or(member_epoch)))
            .filter_map(|(partition, epoch)| Some((PartitionIndex::from_wire(partition)?, epoch)))
            .collect();
        if !partitions.is_empty() {
            assigned.entry(TopicId(topic.topic_id)).or_default().extend(partitions);
        }
    }
    assigned
}

fn encode_value<'m, M: Message<'m>>(out: &mut Vec<u8>, value: Option<M>) -> Result<(), EncodeError> {
    value.map_or(Ok(()), |value| encode_versioned(out, 0, &value))
}

fn decode_value<'v, M: Message<'v>, T>(
    value: Option<&'v [u8]>,
    decode: impl FnOnce(M) -> T,
) -> Result<Option<T>, DecodeError> {
    value.map(|bytes| Ok(decode(decode_versioned(bytes)?.1))).transpose()
}

fn arc(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn sorted(names: &Array<'_, std::borrow::Cow<'_, str>>) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = names.iter().map(|name| arc(&name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

// The numbers of the states of a member.
const STABLE: i8 = 0;
const UNREVOKED_PARTITIONS: i8 = 1;
const UNRELEASED_PARTITIONS: i8 = 2;
const UNKNOWN: i8 = 127;
