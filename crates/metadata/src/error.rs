//! Errors: what a caller asked wrongly, and what a committed record contradicts.

use crate::config::ResourceKind;
use highwater_types::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerId, TopicId, TopicName,
};

/// Why the controller refused a request, in the form that goes to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct ApiError {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What was wrong and why, for people.
    pub message: String,
}

impl ApiError {
    /// An error with what it says.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A committed record that contradicts the state it applies to.
///
/// The log is damaged or was written by something this version does not understand. Whoever replays must
/// stop: going on would make this node's state differ from the others'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The record names a topic id that does not exist.
    #[error("{kind} names topic id {id}, which does not exist")]
    UnknownTopic {
        /// Kind of the record.
        kind: &'static str,
        /// The id.
        id: TopicId,
    },
    /// The record names a partition that its topic does not have.
    #[error("{kind} names partition {partition} of topic {topic}, which does not exist")]
    UnknownPartition {
        /// Kind of the record.
        kind: &'static str,
        /// Name of the topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The record creates a topic whose name or id is taken.
    #[error("topic {name} with id {id} collides with topic {other_name} with id {other_id}")]
    TopicExists {
        /// Name in the record.
        name: TopicName,
        /// Id in the record.
        id: TopicId,
        /// Name of the topic that is there.
        other_name: TopicName,
        /// Id of the topic that is there.
        other_id: TopicId,
    },
    /// The record names a broker that is not registered.
    #[error("{kind} names broker {node}, which is not registered")]
    UnknownBroker {
        /// Kind of the record.
        kind: &'static str,
        /// The broker.
        node: NodeId,
    },
    /// The record is about another registration of the broker than the one that holds.
    #[error("{kind} names epoch {} of broker {node}, whose epoch is {}", given.0, current.0)]
    BrokerEpoch {
        /// Kind of the record.
        kind: &'static str,
        /// The broker.
        node: NodeId,
        /// Epoch in the record.
        given: BrokerEpoch,
        /// Epoch of the registration that holds.
        current: BrokerEpoch,
    },
    /// An epoch of a partition is at its largest value, so the record cannot raise it.
    #[error(
        "partition {partition} of topic {topic} has used up its epochs: leader epoch {leader_epoch}, partition epoch {partition_epoch}"
    )]
    EpochExhausted {
        /// Name of the topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// Its leader epoch.
        leader_epoch: LeaderEpoch,
        /// Its partition epoch.
        partition_epoch: PartitionEpoch,
    },
    /// The record would hand out producer ids again.
    #[error("next producer id {given} is behind {current}")]
    ProducerIdsBackwards {
        /// Next id in the record.
        given: ProducerId,
        /// Next id known.
        current: ProducerId,
    },
    /// The record sets the config of a resource that cannot have any in the metadata log.
    #[error("a config record for {kind:?} {resource:?} cannot be in the metadata log")]
    ConfigResource {
        /// Kind of the resource.
        kind: ResourceKind,
        /// Name of the resource.
        resource: String,
    },
    /// The record finalizes `metadata.version` at a level this version cannot read.
    #[error("metadata.version {level} is not among the supported levels {min} to {max}")]
    MetadataVersion {
        /// Level in the record.
        level: i16,
        /// Lowest supported level.
        min: i16,
        /// Highest supported level.
        max: i16,
    },
    /// A metadata transaction begins inside another, or ends without having begun.
    #[error("{kind} while {} transaction is open", if *open { "a" } else { "no" })]
    Transaction {
        /// Kind of the record.
        kind: &'static str,
        /// Whether a transaction was open.
        open: bool,
    },
}
