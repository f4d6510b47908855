//! The records of the metadata log, as the controller writes and applies them.
//!
//! They mirror Apache Kafka's metadata records field by field; the broker translates between these and
//! the encoded form. Kinds that are not here (ACLs, quotas, credentials, delegation tokens) must be
//! refused by the translator: a controller that skipped them would silently weaken a cluster.

use crate::{config::ResourceKind, image::PartitionImage};
use highwater_types::{BrokerEpoch, DirectoryId, NodeId, PartitionIndex, ProducerId, TopicId, TopicName, Uuid};

/// One record of the metadata log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetadataRecord {
    /// A broker process has registered; replaces what was known of the broker.
    RegisterBroker(RegisterBroker),
    /// A broker has left for good.
    UnregisterBroker {
        /// The broker.
        node: NodeId,
        /// Its epoch at that time.
        epoch: BrokerEpoch,
    },
    /// A topic without partitions; its partitions follow.
    Topic {
        /// Its name.
        name: TopicName,
        /// Its id, never used before.
        id: TopicId,
    },
    /// A new partition.
    Partition(PartitionRecord),
    /// Some fields of a partition have changed. Raises its partition epoch by one.
    PartitionChange(PartitionChange),
    /// A topic with all its partitions and configs is gone.
    RemoveTopic {
        /// Which one.
        id: TopicId,
    },
    /// A config was set or removed.
    Config(ConfigChange),
    /// A broker may not lead or be in sync (old form of [`BrokerRegistrationChange`]).
    FenceBroker {
        /// The broker.
        node: NodeId,
        /// Its epoch.
        epoch: BrokerEpoch,
    },
    /// A broker may lead and be in sync (old form of [`BrokerRegistrationChange`]).
    UnfenceBroker {
        /// The broker.
        node: NodeId,
        /// Its epoch.
        epoch: BrokerEpoch,
    },
    /// Some fields of a broker's registration have changed.
    BrokerRegistrationChange(BrokerRegistrationChange),
    /// A feature was finalized at a level; 0 removes it.
    FeatureLevel {
        /// Kafka's name, such as `metadata.version`.
        name: String,
        /// The level.
        level: i16,
    },
    /// A block of producer ids was handed out.
    ProducerIds {
        /// Broker that asked.
        node: NodeId,
        /// Its epoch.
        epoch: Option<BrokerEpoch>,
        /// First id of the next block.
        next: ProducerId,
    },
    /// A controller process has registered.
    RegisterController(RegisterController),
    /// The eligible leader replicas are forgotten (KIP-966).
    ClearElr {
        /// Of this topic only; of all if `None`.
        topic: Option<String>,
    },
    /// Nothing; lets the high watermark move.
    NoOp,
    /// The records up to the end of this transaction apply together or not at all (KIP-868).
    BeginTransaction {
        /// For people who read the log.
        name: Option<String>,
    },
    /// Applies the records since [`MetadataRecord::BeginTransaction`].
    EndTransaction,
    /// Drops the records since [`MetadataRecord::BeginTransaction`].
    AbortTransaction {
        /// For people who read the log.
        reason: Option<String>,
    },
}

impl MetadataRecord {
    /// Kafka's name of the record kind, as its tools print it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RegisterBroker(_) => "REGISTER_BROKER_RECORD",
            Self::UnregisterBroker { .. } => "UNREGISTER_BROKER_RECORD",
            Self::Topic { .. } => "TOPIC_RECORD",
            Self::Partition(_) => "PARTITION_RECORD",
            Self::PartitionChange(_) => "PARTITION_CHANGE_RECORD",
            Self::RemoveTopic { .. } => "REMOVE_TOPIC_RECORD",
            Self::Config(_) => "CONFIG_RECORD",
            Self::FenceBroker { .. } => "FENCE_BROKER_RECORD",
            Self::UnfenceBroker { .. } => "UNFENCE_BROKER_RECORD",
            Self::BrokerRegistrationChange(_) => "BROKER_REGISTRATION_CHANGE_RECORD",
            Self::FeatureLevel { .. } => "FEATURE_LEVEL_RECORD",
            Self::ProducerIds { .. } => "PRODUCER_IDS_RECORD",
            Self::RegisterController(_) => "REGISTER_CONTROLLER_RECORD",
            Self::ClearElr { .. } => "CLEAR_ELR_RECORD",
            Self::NoOp => "NO_OP_RECORD",
            Self::BeginTransaction { .. } => "BEGIN_TRANSACTION_RECORD",
            Self::EndTransaction => "END_TRANSACTION_RECORD",
            Self::AbortTransaction { .. } => "ABORT_TRANSACTION_RECORD",
        }
    }
}

/// Where a broker or controller listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener, such as `PLAINTEXT`.
    pub name: String,
    /// Advertised host name or address.
    pub host: String,
    /// Advertised port.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 plaintext, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// The levels of one feature that a process can work at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// Kafka's name of the feature.
    pub name: String,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// The registration of one broker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// The broker.
    pub node: NodeId,
    /// Drawn anew by each process.
    pub incarnation: Uuid,
    /// Offset of this record in the metadata log.
    pub epoch: BrokerEpoch,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: Vec<FeatureRange>,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Whether it may neither lead nor be in sync.
    pub fenced: bool,
    /// Whether it is on its way out (KIP-841): still serving, no longer eligible.
    pub in_controlled_shutdown: bool,
    /// Its log directories that work.
    pub log_dirs: Vec<DirectoryId>,
}

/// A change of a broker's registration; `None` leaves a field alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// The broker.
    pub node: NodeId,
    /// The registration that changes.
    pub epoch: BrokerEpoch,
    /// The new fencing.
    pub fenced: Option<bool>,
    /// Whether controlled shutdown begins; it ends with the next registration only.
    pub in_controlled_shutdown: bool,
    /// The new set of working log directories; empty on the wire means unchanged.
    pub log_dirs: Option<Vec<DirectoryId>>,
}

/// The registration of one controller process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterController {
    /// The controller.
    pub node: NodeId,
    /// Drawn anew by each process.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: Vec<FeatureRange>,
}

/// A new partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number.
    pub partition: PartitionIndex,
    /// Everything about it.
    pub state: PartitionImage,
}

/// A change of a partition; `None` leaves a field alone.
///
/// A `leader` that is present raises the leader epoch by one, even if it names the same leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number.
    pub partition: PartitionIndex,
    /// The new in-sync replicas.
    pub isr: Option<Vec<NodeId>>,
    /// The new leader; `Some(None)` if there is none now.
    pub leader: Option<Option<NodeId>>,
    /// The new replicas, in order of preference.
    pub replicas: Option<Vec<NodeId>>,
    /// The replicas on their way out.
    pub removing: Option<Vec<NodeId>>,
    /// The replicas on their way in.
    pub adding: Option<Vec<NodeId>>,
    /// Whether the leader recovers from an unclean election.
    pub recovery: Option<LeaderRecovery>,
    /// The directory of each replica, in the order of `replicas`.
    pub directories: Option<Vec<DirectoryId>>,
    /// The new eligible leader replicas (KIP-966).
    pub elr: Option<Vec<NodeId>>,
    /// The new last known eligible leader replicas.
    pub last_known_elr: Option<Vec<NodeId>>,
}

/// Whether a leader was elected from replicas that had every committed record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecovery {
    /// It was, or has recovered since. Number 0 in the log.
    #[default]
    Recovered,
    /// It was not, and is still finding out what it lacks. Number 1 in the log.
    Recovering,
}

/// A config that was set or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Kind of the resource.
    pub kind: ResourceKind,
    /// Name of the resource; empty for the default of all brokers.
    pub resource: String,
    /// Name of the config.
    pub name: String,
    /// The new value; `None` removes the override.
    pub value: Option<String>,
}
