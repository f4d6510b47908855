#![doc = include_str!("../README.md")]

pub mod admin;
mod client;
mod config;
mod consumer;
mod error;
mod io;
#[cfg(feature = "json")]
mod json;
mod metadata;
mod pending;
mod producer;

pub use admin::Admin;
pub use client::Client;
pub use config::{CLIENT_CONFIG_KEYS, ClientConfig, ConfigError};
pub use consumer::{Consumer, ConsumerBuilder, Event, Next, Revocation};
pub use error::{ClientError, ProtocolFault};
#[cfg(feature = "json")]
pub use json::Json;
pub use metadata::Node;
pub use pending::Pending;
pub use producer::{Delivery, Enqueue, Producer, ProducerBuilder, Send, SendError, TrySendError};

pub use highwater_consumer::{
    AssignmentStrategy, CommitError, ConsumerConfig, ConsumerError, ConsumerRecord, Decode, DecodeContext, DecodeError,
    GroupMembership, GroupProtocol, IsolationLevel, OffsetAndMetadata, OffsetReset, Progress, QueryError, Records,
    SeekTo, UsageError,
};
pub use highwater_producer::{
    Acks, Encode, EncodeContext, EncodeError, Header, Interceptor, KeyHash, PartitionChoice, PartitionQuery,
    Partitioner, PartitionerKind, ProduceError, ProducerConfig, ProducerRecord, RecordMetadata, SerializedRecord,
    Stats,
};
pub use highwater_records::Codec;
pub use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition,
};
