//! What the driver reports.

use std::sync::Arc;

use bytes::Bytes;
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, TimestampMs, TopicId, TopicName, TopicPartition,
};

use crate::{MemberSubscription, OffsetAndMetadata, PartitionsById, RequestId};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Metadata have arrived.
    Metadata(MetadataUpdate),
    /// A request is answered.
    Answered(RequestId, Answer),
    /// A request will not be answered.
    Failed(RequestId, Failure),
}

/// Why a request will not be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection was lost, or could not be made.
    Disconnected,
    /// No answer came within `request.timeout.ms`.
    TimedOut,
    /// The broker has no version of the API that can say this.
    Unsupported,
}

/// What metadata say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataUpdate {
    /// Topics. Of others nothing is said, unless these are all.
    pub topics: Vec<TopicUpdate>,
    /// Whether these are all topics that there are.
    pub is_complete: bool,
}

/// What metadata say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicUpdate {
    /// Its name.
    pub name: TopicName,
    /// Its id; `None` from brokers that know none.
    pub id: Option<TopicId>,
    /// Whether it belongs to the brokers.
    pub is_internal: bool,
    /// Its partitions in order, or why there are none.
    pub partitions: Result<Vec<PartitionUpdate>, ErrorCode>,
}

/// What metadata say of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionUpdate {
    /// Who leads it, if anybody does.
    pub leader: Option<NodeId>,
    /// In which epoch, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// A broker's answer, to the request of the same name. One to another request is taken for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// FindCoordinator.
    FindCoordinator(Result<NodeId, ErrorCode>),
    /// JoinGroup.
    JoinGroup(JoinGroupAnswer),
    /// SyncGroup: the member's partitions.
    SyncGroup(Result<Vec<TopicPartition>, ErrorCode>),
    /// Heartbeat.
    Heartbeat(ErrorCode),
    /// LeaveGroup.
    LeaveGroup(ErrorCode),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatAnswer),
    /// OffsetCommit, by partition.
    OffsetCommit(Vec<(TopicPartition, ErrorCode)>),
    /// OffsetFetch.
    OffsetFetch(OffsetFetchAnswer),
    /// ListOffsets, by partition.
    ListOffsets(Vec<ListOffsetsAnswer>),
    /// OffsetForLeaderEpoch, by partition.
    OffsetForLeaderEpoch(Vec<OffsetForLeaderEpochAnswer>),
    /// Fetch.
    Fetch(FetchAnswer),
}

/// What a coordinator says to a member that joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupAnswer {
    /// `NONE`, or why the member has not joined.
    pub error: ErrorCode,
    /// The member's id, also with `MEMBER_ID_REQUIRED`.
    pub member: Arc<str>,
    /// The new generation.
    pub generation: u32,
    /// The strategy that was chosen.
    pub protocol: Arc<str>,
    /// Whether the member is the leader.
    pub is_leader: bool,
    /// Whether the leader shall not assign, since what was assigned stays (KIP-814).
    pub skip_assignment: bool,
    /// All members, if this one is the leader.
    pub members: Vec<GroupMember>,
}

/// A member as the leader of its group hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// What it says of itself.
    pub subscription: MemberSubscription,
}

/// What a coordinator says to a KIP-848 member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatAnswer {
    /// `NONE`, or what is wrong.
    pub error: ErrorCode,
    /// The same in words.
    pub message: Option<Arc<str>>,
    /// The member's epoch, where it is not negative.
    pub epoch: u32,
    /// When it wants to hear of the member again, in milliseconds.
    pub interval_ms: u32,
    /// What the member shall have; `None` for what it was told last.
    pub assignment: Option<PartitionsById>,
}

/// Offsets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchAnswer {
    /// `NONE`, or what is wrong with the whole.
    pub error: ErrorCode,
    /// By partition: what is committed, if anything.
    pub partitions: Vec<(TopicPartition, Result<Option<OffsetAndMetadata>, ErrorCode>)>,
}

/// An offset of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsAnswer {
    /// The partition.
    pub partition: TopicPartition,
    /// `NONE`, or what is wrong.
    pub error: ErrorCode,
    /// The offset, if there is such a record.
    pub offset: Option<Offset>,
    /// Its timestamp; [`TimestampMs::NONE`] for none.
    pub timestamp: TimestampMs,
    /// Its epoch, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// Where an epoch ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetForLeaderEpochAnswer {
    /// The partition.
    pub partition: TopicPartition,
    /// `NONE`, or what is wrong.
    pub error: ErrorCode,
    /// The epoch that was asked for, or the one before it that the leader has; `None` for neither.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The offset after its last record; `None` if it has no such epoch.
    pub end_offset: Option<Offset>,
}

/// Records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// `NONE`, or what is wrong with the whole.
    pub error: ErrorCode,
    /// The session; 0 for none.
    pub session: i32,
    /// In a session only partitions of which there is something to say.
    pub partitions: Vec<FetchedPartition>,
}

/// Records of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// `NONE`, or what is wrong.
    pub error: ErrorCode,
    /// The end of what is committed; `None` for unknown.
    pub high_watermark: Option<Offset>,
    /// The first offset of an open transaction, or else the high watermark; `None` for unknown.
    pub last_stable: Option<Offset>,
    /// The start of the log; `None` for unknown.
    pub log_start: Option<Offset>,
    /// Transactions among these records that were aborted.
    pub aborted: Vec<AbortedTransaction>,
    /// A replica that is nearer (KIP-392).
    pub preferred_replica: Option<NodeId>,
    /// Who leads now, if the broker says (KIP-951).
    pub leader: Option<(NodeId, LeaderEpoch)>,
    /// The record set as it came: whole batches, and perhaps the start of another. Slices of this go to the application,
    /// so it should not be a small part of something much larger.
    pub records: Bytes,
}

impl FetchedPartition {
    /// An answer that says no more than this.
    #[must_use]
    pub const fn new(topic: TopicName, index: PartitionIndex, error: ErrorCode, records: Bytes) -> Self {
        Self {
            partition: TopicPartition { topic, partition: index },
            error,
            high_watermark: None,
            last_stable: None,
            log_start: None,
            aborted: Vec::new(),
            preferred_replica: None,
            leader: None,
            records,
        }
    }
}

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Its first offset in the partition.
    pub first_offset: Offset,
}
