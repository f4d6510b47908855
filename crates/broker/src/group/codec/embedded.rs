//! What consumers of the classic protocol put into each other's bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{ClassicProtocol, Subscription};
use highwater_types::PartitionIndex;
use highwater_wire::records_schema::embedded::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition,
};
use highwater_wire::records_schema::embedded::consumer_protocol_subscription::ConsumerProtocolSubscription;
use highwater_wire::records_schema::encode_versioned;
use highwater_wire::{EncodeError, Message as _, Reader};

/// A protocol that a member supports; its metadata is looked into if the members are consumers.
pub(crate) fn classic_protocol(protocol_type: &str, name: Arc<str>, metadata: &[u8]) -> ClassicProtocol {
    let subscription = if protocol_type == CONSUMER { decode_subscription(metadata) } else { None };
    ClassicProtocol { name, metadata: Arc::from(metadata), subscription: subscription.map(Arc::new) }
}

/// Decodes a `ConsumerProtocolSubscription`, as Kafka does: a newer version begins like the newest that is known, and
/// what follows is not looked at. `None` if the bytes are none.
pub(crate) fn decode_subscription(bytes: &[u8]) -> Option<Subscription> {
    let mut r = Reader::new(bytes);
    let version = r.i16().ok()?.min(ConsumerProtocolSubscription::VERSIONS.max);
    let subscription = ConsumerProtocolSubscription::decode(&mut r, version).ok()?;
    let mut owned: BTreeMap<Arc<str>, Vec<PartitionIndex>> = BTreeMap::new();
    for topic in &subscription.owned_partitions {
        let partitions = topic.partitions.iter().filter_map(PartitionIndex::from_wire);
        owned.entry(Arc::from(&*topic.topic)).or_default().extend(partitions);
    }
    Some(Subscription {
        version,
        topics: subscription.topics.iter().map(|topic| Arc::from(&*topic)).collect(),
        owned,
        generation: subscription.generation_id,
        rack_id: subscription.rack_id.as_deref().map(Arc::from),
        user_data: subscription.user_data.as_deref().map(Arc::from),
    })
}

/// Encodes a `ConsumerProtocolAssignment` without user data, in the nearest version that is known.
///
/// # Errors
///
/// A topic's name is longer than 32,767 bytes, which none is.
pub(crate) fn encode_assignment(
    version: i16,
    partitions: &BTreeMap<Arc<str>, Vec<PartitionIndex>>,
) -> Result<Vec<u8>, EncodeError> {
    let assigned_partitions = partitions.iter().map(|(topic, partitions)| TopicPartition {
        topic: (&**topic).into(),
        partitions: partitions.iter().map(|partition| partition.to_wire()).collect(),
    });
    let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned_partitions.collect(), user_data: None };
    let versions = ConsumerProtocolAssignment::VERSIONS;
    let mut bytes = Vec::new();
    encode_versioned(&mut bytes, version.clamp(versions.min, versions.max), &assignment)?;
    Ok(bytes)
}

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";
