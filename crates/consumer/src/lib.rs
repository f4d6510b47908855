#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backoff;
mod buffer;
mod commit;
mod config;
mod decode;
mod error;
mod event;
mod fetch;
mod group;
mod input;
mod interceptor;
mod machine;
mod metadata;
mod output;
mod partition;
mod pending;
mod poll;
mod positions;
mod progress;
mod query;
mod random;
mod record;
mod request;
mod retry;
mod stats;
mod subscription;

pub use config::{
    AssignmentStrategy, CONSUMER_CONFIG_KEYS, CheckedConsumerConfig, ConfigError, ConfigKey, ConsumerConfig,
    GroupProtocol, IsolationLevel, OffsetReset,
};
pub use decode::{Decode, DecodeContext, DecodeError, RecordPart};
pub use error::{CommitError, ConsumerError, QueryError, UsageError};
pub use event::{Event, RevocationId, Revoking};
pub use input::{
    AbortedTransaction, Answer, ConsumerGroupHeartbeatAnswer, Failure, FetchAnswer, FetchedPartition, GroupMember,
    Input, JoinGroupAnswer, ListOffsetsAnswer, MetadataUpdate, OffsetFetchAnswer, OffsetForLeaderEpochAnswer,
    PartitionUpdate, TopicUpdate,
};
pub use interceptor::{Interceptor, Interceptors};
pub use machine::{Consumer, GroupMembership, SeekTo};
pub use output::{Output, WantedTopics};
pub use progress::{OffsetAndMetadata, Progress};
pub use record::{ConsumerRecord, Records, RecordsIter};
pub use request::{
    ConsumerGroupHeartbeatRequest, FetchPartition, FetchRequest, FetchSession, FindCoordinatorRequest,
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetsPartition, ListOffsetsRequest,
    MemberSubscription, Membership, OffsetCommitRequest, OffsetFetchRequest, OffsetForLeaderEpochPartition,
    OffsetForLeaderEpochRequest, OffsetSpec, PartitionsById, Request, RequestId, SyncGroupRequest, Target,
};
pub use stats::Stats;
