//! Why a record was not taken.

use highwater_records::BuildError;
use highwater_types::{ErrorCode, PartitionIndex, TopicName};

/// A record that the producer has not taken. Its token comes back: nothing else will be heard of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError<T> {
    /// What would have been told of the record.
    pub token: T,
    /// Why.
    pub reason: Refusal,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Something is missing that may come: [`wait`](crate::Producer::wait) for it, or give up.
    #[error("{0}")]
    Wait(WaitFor),
    /// The record is larger than `key` allows.
    #[error(
        "the message is {bytes} bytes when serialized which is larger than {limit_bytes}, which is the value of {key}"
    )]
    TooLarge {
        /// Its size, in a batch of its own.
        bytes: u64,
        /// What is allowed.
        limit_bytes: u64,
        /// By this config.
        key: &'static str,
    },
    /// The partitioner has chosen a partition that does not exist.
    #[error("the partitioner chose partition {partition} of {topic}, which has {partition_count}")]
    NoSuchPartition {
        /// The topic.
        topic: TopicName,
        /// What was chosen.
        partition: PartitionIndex,
        /// How many there are.
        partition_count: u32,
    },
    /// The record cannot be written.
    #[error("the record cannot be written: {0}")]
    Unwritable(BuildError),
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
    /// The producer can never send again.
    #[error("the producer is in a state of fatal error: {0}")]
    Fatal(ErrorCode),
}

/// What a record waits for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitFor {
    /// Metadata that have the topic, with the partition if one is named.
    #[error("topic {topic} is not present in metadata, or not with partition {}", partition.unwrap_or_default())]
    Topic {
        /// The topic.
        topic: TopicName,
        /// The partition, if the application has chosen one.
        partition: Option<PartitionIndex>,
    },
    /// Room in `buffer.memory`.
    #[error("{bytes} bytes of buffer.memory are not free")]
    Memory {
        /// How much.
        bytes: u64,
    },
}
