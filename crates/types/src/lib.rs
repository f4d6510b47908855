#![doc = include_str!("../README.md")]

mod error_code;
mod id;
mod murmur2;
mod offset;
mod ticks;
mod topic;
mod uuid;

pub use error_code::ErrorCode;
pub use id::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, ProducerEpoch, ProducerId, Sequence};
pub use murmur2::{murmur2, murmur2_partition};
pub use offset::{Offset, TimestampMs};
pub use ticks::Ticks;
pub use topic::{InvalidTopicName, TopicName, TopicPartition};
pub use uuid::{DirectoryId, InvalidUuid, TopicId, Uuid};
