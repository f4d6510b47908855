//! What consumers of classic groups put into each other's bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_consumer::{AssignmentStrategy, MemberSubscription};
use highwater_types::{PartitionIndex, TopicName, TopicPartition};
use highwater_wire::records_schema::embedded::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as AssignedPartitions,
};
use highwater_wire::records_schema::embedded::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as OwnedPartitions,
};
use highwater_wire::records_schema::encode_versioned;
use highwater_wire::{EncodeError, Message, Reader};

/// What a member says of itself to whoever leads its group.
pub(super) fn encode_subscription(strategy: &str, member: &MemberSubscription) -> Result<Vec<u8>, EncodeError> {
    let owned = by_topic(&member.owned);
    let owned_partitions = owned.iter().map(|(topic, partitions)| OwnedPartitions {
        topic: topic.as_str().into(),
        partitions: partitions.clone().into(),
    });
    let is_sticky = strategy == AssignmentStrategy::Sticky.name();
    let subscription = ConsumerProtocolSubscription {
        topics: member.topics.iter().map(|topic| topic.as_str().into()).collect(),
        user_data: is_sticky.then(|| sticky_user_data(&owned, member.generation).into()),
        owned_partitions: owned_partitions.collect(),
        generation_id: wire_generation(member.generation),
        rack_id: member.rack.as_deref().map(Into::into),
    };
    let mut bytes = Vec::new();
    encode_versioned(&mut bytes, ConsumerProtocolSubscription::VERSIONS.max, &subscription)?;
    Ok(bytes)
}

/// What another member says of itself; nothing if its bytes say nothing that is known.
pub(super) fn decode_subscription(strategy: &str, bytes: &[u8]) -> MemberSubscription {
    let mut reader = Reader::new(bytes);
    let Ok(version) = reader.i16() else { return MemberSubscription::default() };
    let version = version.clamp(0, ConsumerProtocolSubscription::VERSIONS.max);
    let Ok(subscription) = ConsumerProtocolSubscription::decode(&mut reader, version) else {
        return MemberSubscription::default();
    };
    let mut member = MemberSubscription {
        topics: subscription.topics.iter().filter_map(|topic| TopicName::new(&topic).ok()).collect(),
        owned: Vec::new(),
        generation: u32::try_from(subscription.generation_id).ok(),
        rack: subscription.rack_id.as_deref().map(Arc::from),
    };
    for topic in &subscription.owned_partitions {
        add(&mut member.owned, &topic.topic, topic.partitions.iter());
    }
    if strategy == AssignmentStrategy::Sticky.name()
        && let Some((owned, generation)) = subscription.user_data.as_deref().and_then(read_sticky)
    {
        (member.owned, member.generation) = (owned, generation.or(member.generation));
    }
    member
}

/// What the leader gives a member.
pub(super) fn encode_assignment(partitions: &[TopicPartition]) -> Result<Vec<u8>, EncodeError> {
    let topics = by_topic(partitions);
    let assigned = topics.iter().map(|(topic, partitions)| AssignedPartitions {
        topic: topic.as_str().into(),
        partitions: partitions.clone().into(),
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned.collect(), user_data: None };
    let mut bytes = Vec::new();
    encode_versioned(&mut bytes, ASSIGNMENT_VERSION, &assignment)?;
    Ok(bytes)
}

/// What a member was given. No bytes are no partitions; `None` if they say nothing that is known.
pub(super) fn decode_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let version = reader.i16().ok()?.clamp(0, ConsumerProtocolAssignment::VERSIONS.max);
    let assignment = ConsumerProtocolAssignment::decode(&mut reader, version).ok()?;
    let mut partitions = Vec::new();
    for topic in &assignment.assigned_partitions {
        add(&mut partitions, &topic.topic, topic.partitions.iter());
    }
    Some(partitions)
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<TopicName, Vec<i32>> {
    let mut topics: BTreeMap<TopicName, Vec<i32>> = BTreeMap::new();
    partitions.iter().for_each(|at| topics.entry(at.topic.clone()).or_default().push(at.partition.to_wire()));
    topics
}

fn add(to: &mut Vec<TopicPartition>, topic: &str, partitions: impl Iterator<Item = i32>) {
    let Ok(topic) = TopicName::new(topic) else { return };
    let partitions = partitions.filter_map(PartitionIndex::from_wire);
    to.extend(partitions.map(|partition| TopicPartition { topic: topic.clone(), partition }));
}

/// The bytes that Kafka's `StickyAssignor` leaves for itself: what the member has, and since which generation.
fn sticky_user_data(owned: &BTreeMap<TopicName, Vec<i32>>, generation: Option<u32>) -> Vec<u8> {
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes();
    let mut bytes = count(owned.len()).to_vec();
    for (topic, partitions) in owned {
        let name = topic.as_str().as_bytes();
        bytes.extend(i16::try_from(name.len()).unwrap_or(i16::MAX).to_be_bytes());
        bytes.extend(name);
        bytes.extend(count(partitions.len()));
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend(wire_generation(generation).to_be_bytes());
    bytes
}

fn read_sticky(bytes: &[u8]) -> Option<(Vec<TopicPartition>, Option<u32>)> {
    let mut reader = Reader::new(bytes);
    let mut owned = Vec::new();
    // No count is believed further than there are bytes.
    for _ in 0..reader.i32().ok()? {
        let length = usize::try_from(reader.i16().ok()?).ok()?;
        let topic = std::str::from_utf8(reader.take(length).ok()?).ok()?;
        for _ in 0..reader.i32().ok()? {
            let partition = reader.i32().ok()?;
            add(&mut owned, topic, std::iter::once(partition));
        }
    }
    // Older versions have no generation.
    Some((owned, reader.i32().ok().and_then(|generation| u32::try_from(generation).ok())))
}

fn wire_generation(generation: Option<u32>) -> i32 {
    generation.and_then(|generation| i32::try_from(generation).ok()).unwrap_or(-1)
}

/// As Kafka's consumers write it.
const ASSIGNMENT_VERSION: i16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: u32) -> TopicPartition {
        TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionIndex::new(partition) }
    }

    fn member() -> MemberSubscription {
        MemberSubscription {
            topics: vec![TopicName::new("a").unwrap(), TopicName::new("b").unwrap()],
            owned: vec![at("a", 0), at("a", 2), at("b", 1)],
            generation: Some(7),
            rack: Some("r".into()),
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        for strategy in ["range", "sticky", "cooperative-sticky"] {
            let bytes = encode_subscription(strategy, &member()).unwrap();
            assert_eq!(decode_subscription(strategy, &bytes), member(), "{strategy}");
        }
        let partitions = vec![at("a", 0), at("a", 2), at("b", 1)];
        assert_eq!(decode_assignment(&encode_assignment(&partitions).unwrap()), Some(partitions));
        assert_eq!(decode_assignment(&[]), Some(Vec::new()));
    }

    #[test]
    fn sticky_user_data_is_kafkas() {
        let owned = [(TopicName::new("t").unwrap(), vec![0, 1])].into();
        let expected = [0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5];
        assert_eq!(sticky_user_data(&owned, Some(5)), expected);
        assert_eq!(read_sticky(&expected), Some((vec![at("t", 0), at("t", 1)], Some(5))));
        assert_eq!(read_sticky(&expected[..19]), Some((vec![at("t", 0), at("t", 1)], None)));
    }

    #[test]
    fn nonsense_is_nothing() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 0, 0];
        assert_eq!(read_sticky(&huge), None);
        assert_eq!(decode_subscription("sticky", &huge), MemberSubscription::default());
        assert_eq!(decode_subscription("range", &[]), MemberSubscription::default());
        assert_eq!(decode_assignment(&[0]), None);
        assert_eq!(decode_assignment(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
    }
}
