//! What the consumer asks of brokers, as plain facts: the driver has the wire format.

use std::sync::Arc;

use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition};

use crate::{IsolationLevel, OffsetAndMetadata};

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Whom a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// This broker, as partition leader or replica.
    Node(NodeId),
    /// This broker, as coordinator of the group: over a connection of its own, since a heartbeat must not wait behind a
    /// fetch. Its address is in the answer to [`FindCoordinatorRequest`], and may be in no metadata.
    Coordinator(NodeId),
    /// Whatever broker can be reached.
    AnyBroker,
}

/// A request to a broker. Partitions are by name; the id of a topic, where a version of the API wants it, is in the
/// metadata that the driver reported. A fetch may name a topic to forget that was deleted or made anew since: if its former
/// id is gone, leave it out; the broker notices, and the session begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// FindCoordinator.
    FindCoordinator(FindCoordinatorRequest),
    /// JoinGroup.
    JoinGroup(JoinGroupRequest),
    /// SyncGroup.
    SyncGroup(SyncGroupRequest),
    /// Heartbeat.
    Heartbeat(HeartbeatRequest),
    /// LeaveGroup.
    LeaveGroup(LeaveGroupRequest),
    /// ConsumerGroupHeartbeat.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeatRequest),
    /// OffsetCommit.
    OffsetCommit(OffsetCommitRequest),
    /// OffsetFetch.
    OffsetFetch(OffsetFetchRequest),
    /// ListOffsets.
    ListOffsets(ListOffsetsRequest),
    /// OffsetForLeaderEpoch.
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest),
    /// Fetch.
    Fetch(FetchRequest),
}

/// Who coordinates a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindCoordinatorRequest {
    /// The group.
    pub group: Arc<str>,
}

/// What a member of a classic group says of itself: the consumer protocol's subscription, version 3.
///
/// For [`sticky`](crate::AssignmentStrategy::Sticky) the driver also puts `owned` and `generation` into the user data, as
/// Kafka's `StickyAssignor` does, and reads them from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    /// Topics it subscribes to.
    pub topics: Vec<TopicName>,
    /// Partitions it has. For eager strategies other than sticky always empty.
    pub owned: Vec<TopicPartition>,
    /// In which generation it got those; `None` if never, and from members that do not say.
    pub generation: Option<u32>,
    /// Where it is.
    pub rack: Option<Arc<str>>,
}

/// Joins a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroupRequest {
    /// The group.
    pub group: Arc<str>,
    /// After how long without a heartbeat the member is given up, in milliseconds.
    pub session_timeout_ms: u32,
    /// How long members may take to join again, in milliseconds.
    pub rebalance_timeout_ms: u32,
    /// The member's id; empty for one that has none yet.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// Strategies by name, the preferred one first, with what each is told. The protocol type is `consumer`.
    pub protocols: Vec<(&'static str, MemberSubscription)>,
}

/// Says what the leader of a classic group has assigned, and asks for one's own part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroupRequest {
    /// The group.
    pub group: Arc<str>,
    /// The generation that was joined.
    pub generation: u32,
    /// The member's id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// The strategy that the coordinator chose.
    pub protocol: Arc<str>,
    /// Members with their partitions, from the leader; otherwise empty. Encoded as the consumer protocol's assignment.
    pub assignments: Vec<(Arc<str>, Vec<TopicPartition>)>,
}

/// Says that a classic member lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The group.
    pub group: Arc<str>,
    /// The member's generation.
    pub generation: u32,
    /// The member's id.
    pub member: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
}

/// Leaves a classic group. Static members do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupRequest {
    /// The group.
    pub group: Arc<str>,
    /// The member's id.
    pub member: Arc<str>,
    /// Why, for the coordinator's log.
    pub reason: &'static str,
}

/// What a KIP-848 member wants with a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// To join: epoch 0 on the wire.
    Join,
    /// To stay, in this epoch.
    Stay(u32),
    /// To leave: -1.
    Leave,
    /// To come back soon as the same static member: -2.
    LeaveForNow,
}

/// Partitions of topics by id.
pub type PartitionsById = Vec<(TopicId, Vec<PartitionIndex>)>;

/// Joins, stays in or leaves a KIP-848 group. What has not changed since the last answer is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatRequest {
    /// The group.
    pub group: Arc<str>,
    /// The member's id, which it has made itself.
    pub member: Arc<str>,
    /// What it wants.
    pub membership: Membership,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// Where it is.
    pub rack: Option<Arc<str>>,
    /// How long it may take to give partitions back, in milliseconds.
    pub rebalance_timeout_ms: Option<u32>,
    /// Topics it subscribes to. Patterns are matched here, not by the coordinator.
    pub topics: Option<Vec<TopicName>>,
    /// The coordinator's assignor that it wants.
    pub assignor: Option<Arc<str>>,
    /// Partitions that it has.
    pub owned: Option<PartitionsById>,
}

/// Stores offsets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group: Arc<str>,
    /// Who commits, with its generation or epoch; `None` for one that is no member.
    pub member: Option<(Arc<str>, u32)>,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
    /// The next offset to be consumed, by partition.
    pub offsets: Vec<(TopicPartition, OffsetAndMetadata)>,
}

/// Asks for offsets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// The group.
    pub group: Arc<str>,
    /// Who asks, with its epoch, in the KIP-848 protocol; otherwise `None`.
    pub member: Option<(Arc<str>, u32)>,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// Whether offsets of open transactions are to be waited for.
    pub require_stable: bool,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first: -2.
    Earliest,
    /// The end, of what the isolation level shows: -1.
    Latest,
    /// The first record that is not older.
    Timestamp(TimestampMs),
    /// The first record that is not older than this many milliseconds before now, by the driver's clock.
    Ago(u64),
}

/// Asks for offsets of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsRequest {
    /// What counts as the end.
    pub isolation: IsolationLevel,
    /// What is asked.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// One question for an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The leader's epoch as the consumer knows it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Which offset.
    pub at: OffsetSpec,
}

/// Asks where epochs end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetForLeaderEpochRequest {
    /// What is asked.
    pub partitions: Vec<OffsetForLeaderEpochPartition>,
}

/// One question for the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetForLeaderEpochPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The leader's epoch as the consumer knows it.
    pub current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch whose end is asked for.
    pub leader_epoch: LeaderEpoch,
}

/// Where a fetch session is (KIP-227), as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSession {
    /// Its id; 0 for none yet.
    pub id: i32,
    /// Number of the fetch in it; 0 begins one.
    pub epoch: i32,
}

/// Fetches records. In a session, only of partitions that differ from the last fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// The session.
    pub session: FetchSession,
    /// How long the broker may wait for `bytes_min`, in milliseconds.
    pub wait_ms_max: u32,
    /// Bytes for which it waits.
    pub bytes_min: u32,
    /// Most bytes of the answer.
    pub bytes_max: u32,
    /// Which records.
    pub isolation: IsolationLevel,
    /// Where the consumer is.
    pub rack: Option<Arc<str>>,
    /// Partitions that are new in the session, or have changed.
    pub partitions: Vec<FetchPartition>,
    /// Partitions that are no longer in the session.
    pub forgotten: Vec<TopicPartition>,
}

/// One partition of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset wanted.
    pub offset: Offset,
    /// The leader's epoch as the consumer knows it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Most bytes, unless the first batch is larger.
    pub bytes_max: u32,
}
