#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod encode;
mod interceptor;
mod partitioner;
mod record;
mod result;

pub use config::{
    Acks, CheckedProducerConfig, ConfigError, ConfigKey, PRODUCER_CONFIG_KEYS, PartitionerKind, ProducerConfig,
};
pub use encode::{Encode, EncodeContext, EncodeError, PrepareError, RecordEncoder, RecordPart};
pub use interceptor::{Interceptor, Interceptors};
pub use partitioner::{ConsistentRandom, KeyHash, PartitionChoice, PartitionQuery, Partitioner, RoundRobin};
pub use record::{Header, ProducerRecord, SerializedRecord};
pub use result::{ProduceError, RecordMetadata};
