#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "the sender, which uses the accumulator, comes next")]

mod accumulator;
mod config;
mod encode;
mod interceptor;
mod output;
mod partitioner;
mod record;
mod result;
mod sequences;

pub use accumulator::{PartitionUpdate, TopicUpdate, WaiterId};
pub use config::{
    Acks, CheckedProducerConfig, ConfigError, ConfigKey, PRODUCER_CONFIG_KEYS, PartitionerKind, ProducerConfig,
};
pub use encode::{Encode, EncodeContext, EncodeError, PrepareError, RecordEncoder, RecordPart};
pub use interceptor::{Interceptor, Interceptors};
pub use output::{CompletedBatch, FlushId, Output, ProduceBatch, ProduceRequest, RequestId, Wake};
pub use partitioner::{ConsistentRandom, KeyHash, PartitionChoice, PartitionQuery, Partitioner, RoundRobin};
pub use record::{Header, ProducerRecord, SerializedRecord};
pub use result::{ProduceError, RecordMetadata};
