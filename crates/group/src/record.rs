//! What `__consumer_offsets` holds, without its encoding.

use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

use crate::protocol::ClassicProtocol;

/// One record of the offsets topic. `None` for a value stands for a tombstone.
///
/// The variants are the record types of Kafka's schemas (`GroupMetadataKey`, `ConsumerGroup*Key`, ..), which whoever
/// owns the log encodes.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    /// Types 0 and 1: a committed offset.
    Offset {
        /// Which group.
        group: Arc<str>,
        /// Which topic.
        topic: Arc<str>,
        /// Which of its partitions.
        partition: PartitionIndex,
        /// What was committed.
        value: Option<CommittedOffset>,
    },
    /// Type 2: a classic group, with all its members.
    Classic {
        /// Which group.
        group: Arc<str>,
        /// The group as of a generation.
        value: Option<ClassicGroupValue>,
    },
    /// Type 3: a consumer group (KIP-848) and its epoch.
    Consumer {
        /// Which group.
        group: Arc<str>,
        /// Its epoch.
        value: Option<ConsumerGroupValue>,
    },
    /// Type 4, written by Kafka before 4.1: the topics that a group had seen. Kept only to be deleted.
    ConsumerTopics {
        /// Which group.
        group: Arc<str>,
        /// Whether it is there; never written as `true`.
        is_present: bool,
    },
    /// Type 5: what a member of a consumer group says of itself.
    ConsumerMember {
        /// Which group.
        group: Arc<str>,
        /// Which member.
        member: Arc<str>,
        /// Its subscription.
        value: Option<ConsumerMemberValue>,
    },
    /// Type 6: the epoch for which the target assignment was computed. Written behind the members' targets.
    ConsumerTarget {
        /// Which group.
        group: Arc<str>,
        /// The epoch.
        value: Option<ConsumerTargetValue>,
    },
    /// Type 7: what a member shall own.
    ConsumerMemberTarget {
        /// Which group.
        group: Arc<str>,
        /// Which member.
        member: Arc<str>,
        /// Its partitions.
        value: Option<Partitions>,
    },
    /// Type 8: what a member owns.
    ConsumerCurrent {
        /// Which group.
        group: Arc<str>,
        /// Which member.
        member: Arc<str>,
        /// Its epochs and partitions.
        value: Option<ConsumerCurrentValue>,
    },
    /// Type 16: the topics that a regular expression of members matches.
    ConsumerRegex {
        /// Which group.
        group: Arc<str>,
        /// The expression.
        regex: Arc<str>,
        /// What it matches.
        value: Option<ResolvedRegex>,
    },
}

/// A position that a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next record to consume.
    pub offset: Offset,
    /// Leader epoch of the record before it, where the client gave it (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client wrote beside it; may be empty.
    pub metadata: Arc<str>,
    /// When it was committed; retention counts from here.
    pub commit_timestamp: TimestampMs,
    /// When it expires by the word of an old client (value version 1). `None`: by the broker's retention.
    pub expire_timestamp: Option<TimestampMs>,
    /// Id of the topic, where it was known.
    pub topic_id: Option<TopicId>,
}

/// A classic group at the end of a rebalance.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicGroupValue {
    /// `consumer` for consumers, anything for others; empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// Grows by one with each completed rebalance.
    pub generation: i32,
    /// The assignor that the members voted for; `None` without members.
    pub protocol: Option<Arc<str>>,
    /// Member id of the leader.
    pub leader: Option<Arc<str>>,
    /// When the group took this state; `None` in old records.
    pub state_timestamp: Option<TimestampMs>,
    /// In the order of their ids.
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicMemberValue {
    /// Given by the coordinator.
    pub id: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address the client came from.
    pub client_host: Arc<str>,
    /// In milliseconds. Old records have none and mean the session timeout.
    pub rebalance_timeout_ms: Option<i32>,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// Metadata of the protocol that won the vote.
    pub subscription: ClassicProtocol,
    /// What the leader gave it, opaque here.
    pub assignment: Arc<[u8]>,
}

/// A consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    /// Grows with every change of members, subscriptions or topics.
    pub epoch: i32,
    /// Fingerprint of the subscribed topics as of this epoch; 0 where the writer knew none.
    pub metadata_hash: i64,
}

/// What a member of a consumer group says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerMemberValue {
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// `client.rack`.
    pub rack_id: Option<Arc<str>>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Address the client came from.
    pub client_host: Arc<str>,
    /// Topics it subscribes to by name, sorted.
    pub topic_names: Vec<Arc<str>>,
    /// Topics it subscribes to by pattern.
    pub topic_regex: Option<Arc<str>>,
    /// How long it may take to revoke, in milliseconds; -1 as in Kafka for none given.
    pub rebalance_timeout_ms: i32,
    /// The assignor it prefers.
    pub server_assignor: Option<Arc<str>>,
    /// Set for a member that speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
}

/// What is kept of a classic member in a consumer group.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassicMemberMetadata {
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// In its order of preference.
    pub protocols: Vec<ClassicProtocol>,
}

/// The epoch of a target assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerTargetValue {
    /// The group epoch for which it was computed.
    pub epoch: i32,
    /// When; `None` in records of older Kafka.
    pub timestamp: Option<TimestampMs>,
}

/// What a member of a consumer group owns.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerCurrentValue {
    /// The epoch up to which it has reconciled.
    pub epoch: i32,
    /// The one before, for a client whose answer was lost.
    pub previous_epoch: i32,
    /// Where it is in its reconciliation.
    pub state: ConsumerMemberState,
    /// What it owns, with the epoch at which each partition was assigned to it.
    pub assigned: AssignedPartitions,
    /// What it must give back before it gets more.
    pub pending_revocation: AssignedPartitions,
}

/// Partitions with the member epoch in which each was assigned, by topic and partition.
pub type AssignedPartitions = std::collections::BTreeMap<TopicId, std::collections::BTreeMap<PartitionIndex, i32>>;

/// Where a member is in its reconciliation, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerMemberState {
    /// 0: it owns its target.
    Stable,
    /// 1: it has to give partitions back.
    UnrevokedPartitions,
    /// 2: it waits for partitions that others have to give back.
    UnreleasedPartitions,
    /// 127: written by a newer coordinator.
    Unknown,
}

/// What a regular expression matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedRegex {
    /// Names, sorted.
    pub topics: Vec<Arc<str>>,
    /// Version of the metadata it was resolved against.
    pub version: i64,
    /// When.
    pub timestamp: TimestampMs,
}

impl GroupRecord {
    /// Whether the record deletes what its key names.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Offset { value, .. } => value.is_none(),
            Self::Classic { value, .. } => value.is_none(),
            Self::Consumer { value, .. } => value.is_none(),
            Self::ConsumerTopics { is_present, .. } => !is_present,
            Self::ConsumerMember { value, .. } => value.is_none(),
            Self::ConsumerTarget { value, .. } => value.is_none(),
            Self::ConsumerMemberTarget { value, .. } => value.is_none(),
            Self::ConsumerCurrent { value, .. } => value.is_none(),
            Self::ConsumerRegex { value, .. } => value.is_none(),
        }
    }
}
