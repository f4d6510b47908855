//! What the coordinator answers.

use std::sync::Arc;

use highwater_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::describe::{ConsumerGroupDescription, GroupDescription, GroupListing};
use crate::protocol::MemberAssignment;

/// The answer to a [`Request`](crate::Request), of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// JoinGroup (11).
    Join(JoinGroupResponse),
    /// SyncGroup (14).
    Sync(SyncGroupResponse),
    /// Heartbeat (12).
    Heartbeat(ErrorCode),
    /// LeaveGroup (13).
    Leave(LeaveGroupResponse),
    /// ConsumerGroupHeartbeat (68).
    ConsumerHeartbeat(ConsumerHeartbeatResponse),
    /// OffsetCommit (8): one code for each offset of the request.
    OffsetCommit(Vec<ErrorCode>),
    /// OffsetFetch (9).
    OffsetFetch(OffsetFetchResponse),
    /// OffsetDelete (47).
    OffsetDelete(OffsetDeleteResponse),
    /// DeleteGroups (42).
    DeleteGroup(ErrorCode),
    /// DescribeGroups (15).
    Describe(Result<GroupDescription, ErrorCode>),
    /// ConsumerGroupDescribe (69).
    ConsumerDescribe(Result<ConsumerGroupDescription, ErrorCode>),
    /// ListGroups (16).
    List(Result<Vec<GroupListing>, ErrorCode>),
}

/// JoinGroup (11).
#[derive(Clone, Debug, PartialEq)]
pub struct JoinGroupResponse {
    /// What happened.
    pub error: ErrorCode,
    /// -1 with an error.
    pub generation: i32,
    /// `consumer`, ..
    pub protocol_type: Option<Arc<str>>,
    /// What the vote chose.
    pub protocol_name: Option<Arc<str>>,
    /// Member id of the leader; empty with an error.
    pub leader: Arc<str>,
    /// The leader need not assign: its assignment still holds (KIP-814).
    pub skip_assignment: bool,
    /// Id of the member.
    pub member: Arc<str>,
    /// For the leader: everybody's metadata of the chosen protocol.
    pub members: Vec<JoinedMember>,
}

/// One member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Metadata of the chosen protocol.
    pub metadata: Arc<[u8]>,
}

/// SyncGroup (14).
#[derive(Clone, Debug, PartialEq)]
pub struct SyncGroupResponse {
    /// What happened.
    pub error: ErrorCode,
    /// `consumer`, ..
    pub protocol_type: Option<Arc<str>>,
    /// What the vote chose.
    pub protocol_name: Option<Arc<str>>,
    /// What the member shall consume; empty bytes with an error.
    pub assignment: MemberAssignment,
}

/// LeaveGroup (13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveGroupResponse {
    /// Of the whole request.
    pub error: ErrorCode,
    /// One for each member of the request, in its order: member id, instance id, code.
    pub members: Vec<(Arc<str>, Option<Arc<str>>, ErrorCode)>,
}

/// ConsumerGroupHeartbeat (68).
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerHeartbeatResponse {
    /// What happened.
    pub error: ErrorCode,
    /// Why, for people.
    pub message: Option<String>,
    /// Id of the member.
    pub member: Option<Arc<str>>,
    /// Its epoch.
    pub member_epoch: i32,
    /// When to heartbeat next.
    pub heartbeat_interval_ms: i32,
    /// What it shall own; `None` for as before.
    pub assignment: Option<Vec<(TopicId, Vec<PartitionIndex>)>>,
}

/// OffsetFetch (9).
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetFetchResponse {
    /// Of the whole group.
    pub error: ErrorCode,
    /// In the order of the request, or of names.
    pub topics: Vec<(Arc<str>, Vec<FetchedOffset>)>,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// Which partition.
    pub partition: PartitionIndex,
    /// `None` where nothing is committed: `-1` on the wire, and no error.
    pub offset: Option<Offset>,
    /// Leader epoch of the record before it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the client wrote beside it; empty for none.
    pub metadata: Arc<str>,
    /// Of this partition.
    pub error: ErrorCode,
}

/// OffsetDelete (47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetDeleteResponse {
    /// Of the whole request.
    pub error: ErrorCode,
    /// In the order of the request.
    pub topics: Vec<(Arc<str>, Vec<DeletedOffset>)>,
}

/// A partition whose offset was to be deleted, and what became of that.
pub type DeletedOffset = (PartitionIndex, ErrorCode);
