#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accumulator;
mod backoff;
mod config;
mod encode;
mod input;
mod interceptor;
mod machine;
mod output;
mod partitioner;
mod random;
mod record;
mod result;
mod send_error;
mod sender;
mod sequences;
mod stats;

pub use accumulator::{PartitionUpdate, TopicUpdate, WaiterId};
pub use config::{
    Acks, CheckedProducerConfig, ConfigError, ConfigKey, PRODUCER_CONFIG_KEYS, PartitionerKind, ProducerConfig,
};
pub use encode::{Encode, EncodeContext, EncodeError, PrepareError, RecordEncoder, RecordPart};
pub use input::{Input, PartitionAnswer};
pub use interceptor::{Interceptor, Interceptors};
pub use machine::Producer;
pub use output::{CompletedBatch, FlushId, Output, ProduceBatch, ProduceRequest, RequestId, Wake};
pub use partitioner::{ConsistentRandom, KeyHash, PartitionChoice, PartitionQuery, Partitioner, RoundRobin};
pub use record::{Header, ProducerRecord, SerializedRecord};
pub use result::{ProduceError, RecordMetadata};
pub use send_error::{Refusal, SendError, WaitFor};
pub use sender::TransactionState;
pub use stats::Stats;
