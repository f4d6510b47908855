#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod chunk_map;
pub mod config;
mod controller;
mod delta;
mod error;
pub mod features;
mod heartbeat;
mod image;
pub mod record;

pub use config::{ConfigResolver, ResolvedConfig, ResourceKind, StaticConfig, TopicConfig};
pub use controller::{
    AlterConfigs, AlterConfigsResult, AlterIsr, AlterIsrResult, AlterPartition, AlterReassignments,
    AssignReplicasToDirs, BALANCE_PER_PASS_MAX, BrokerHeartbeat, BrokerRegistration, BrokerState, ConfigEdit,
    Controller, ControllerConfig, CreatePartitions, CreatePartitionsResult, CreateTopicResult, CreateTopics,
    CreatedTopic, Decision, DeleteTopicResult, Election, ElectionResult, FeatureUpdate, HeartbeatAnswer,
    IncrementalAlterConfigs, IncrementalResource, NewPartitions, NewTopic, PRODUCER_IDS_PER_BLOCK, ProducerIdBlock,
    RECORDS_PER_BATCH_MAX, ReassignPartition, Reassignment, ReplaceResource, ReplicaAssignment, TopicSelector,
    UpdateFeatures, UpgradeType,
};
pub use delta::MetadataDelta;
pub use error::{ApiError, ApplyError};
pub use heartbeat::{HeartbeatConfig, Heartbeats};
pub use image::{BrokerImage, ConfigMap, MetadataImage, PartitionImage, TopicImage};
pub use record::{
    BrokerRegistrationChange, ConfigChange, Endpoint, FeatureRange, LeaderRecovery, MetadataRecord, PartitionChange,
    PartitionRecord, RegisterBroker, RegisterController,
};
