//! What clients ask of the coordinator of a group.

use std::borrow::Cow;
use std::sync::Arc;

use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};

use crate::describe::{GroupState, GroupType};
use crate::protocol::ClassicProtocol;

/// A request about one group, or about all groups of a shard.
///
/// Topic ids have been resolved to names before, and a request for several groups has been split.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// JoinGroup (11).
    Join(JoinGroup<'a>),
    /// SyncGroup (14).
    Sync(SyncGroup<'a>),
    /// Heartbeat (12).
    Heartbeat(Heartbeat<'a>),
    /// LeaveGroup (13).
    Leave(LeaveGroup<'a>),
    /// ConsumerGroupHeartbeat (68).
    ConsumerHeartbeat(ConsumerHeartbeat<'a>),
    /// OffsetCommit (8).
    OffsetCommit(OffsetCommit<'a>),
    /// OffsetFetch (9), for one group.
    OffsetFetch(OffsetFetch<'a>),
    /// OffsetDelete (47).
    OffsetDelete(OffsetDelete<'a>),
    /// DeleteGroups (42), for one group.
    DeleteGroup {
        /// Which.
        group: &'a str,
    },
    /// DescribeGroups (15), for one group.
    Describe {
        /// Which.
        group: &'a str,
    },
    /// ConsumerGroupDescribe (69), for one group.
    ConsumerDescribe {
        /// Which.
        group: &'a str,
    },
    /// ListGroups (16), for this shard.
    List {
        /// Only these states; all if empty.
        states: Vec<GroupState>,
        /// Only these types; all if empty.
        types: Vec<GroupType>,
    },
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// `client.id`; empty for none.
    pub id: &'a str,
    /// Its address, as Kafka writes it: `/127.0.0.1`.
    pub host: &'a str,
}

/// JoinGroup (11).
#[derive(Clone, Debug)]
pub struct JoinGroup<'a> {
    /// Which group.
    pub group: &'a str,
    /// Empty for a member that is new.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// Who asks.
    pub client: Client<'a>,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// `max.poll.interval.ms`; for version 0 the session timeout.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, ..
    pub protocol_type: &'a str,
    /// In order of preference.
    pub protocols: Vec<ClassicProtocol>,
    /// A new dynamic member is first told its id and has to come back with it (version 4 on, KIP-394).
    pub requires_known_member_id: bool,
    /// The client knows of `skip_assignment` (version 9 on, KIP-814).
    pub supports_skipping_assignment: bool,
    /// Why it joins (version 8 on, KIP-800); for the log.
    pub reason: Option<&'a str>,
    /// Random; becomes the tail of a new member's id.
    pub new_member: Uuid,
}

/// SyncGroup (14).
#[derive(Clone, Debug)]
pub struct SyncGroup<'a> {
    /// Which group.
    pub group: &'a str,
    /// Generation that the member has joined.
    pub generation: i32,
    /// Which member.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// Given from version 5 on; must then be the group's.
    pub protocol_type: Option<&'a str>,
    /// Given from version 5 on; must then be the group's.
    pub protocol_name: Option<&'a str>,
    /// From the leader: bytes for each member.
    pub assignments: Vec<(&'a str, &'a [u8])>,
}

/// Heartbeat (12).
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat<'a> {
    /// Which group.
    pub group: &'a str,
    /// Generation of the member.
    pub generation: i32,
    /// Which member.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
}

/// LeaveGroup (13). Versions before 3 name one member.
#[derive(Clone, Debug)]
pub struct LeaveGroup<'a> {
    /// Which group.
    pub group: &'a str,
    /// Who leaves.
    pub members: Vec<LeavingMember<'a>>,
}

/// A member that leaves, or is removed by an administrator.
#[derive(Clone, Copy, Debug)]
pub struct LeavingMember<'a> {
    /// Empty when it is named by its instance id.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// Why (version 5 on); for the log.
    pub reason: Option<&'a str>,
}

/// ConsumerGroupHeartbeat (68). `None` stands for "as before" in a member that is known.
#[derive(Clone, Debug)]
pub struct ConsumerHeartbeat<'a> {
    /// Which group.
    pub group: &'a str,
    /// Chosen by the client from version 1 on; empty for a new member of version 0.
    pub member: &'a str,
    /// 0 to join, -1 to leave, -2 for a static member that will be back.
    pub member_epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// `client.rack`.
    pub rack_id: Option<&'a str>,
    /// Who asks.
    pub client: Client<'a>,
    /// `max.poll.interval.ms`; -1 for as before.
    pub rebalance_timeout_ms: i32,
    /// Topics by name.
    pub topic_names: Option<Vec<Cow<'a, str>>>,
    /// Topics by RE2 pattern (version 1 on); empty for none any more.
    pub topic_regex: Option<&'a str>,
    /// The assignor it prefers.
    pub server_assignor: Option<&'a str>,
    /// What it owns now.
    pub owned: Option<Vec<(TopicId, Vec<i32>)>>,
    /// Version 0 lets the coordinator choose the member id.
    pub may_choose_member_id: bool,
    /// Random; becomes the id of a new member that brings none.
    pub new_member: Uuid,
}

/// OffsetCommit (8).
#[derive(Clone, Debug)]
pub struct OffsetCommit<'a> {
    /// Which group.
    pub group: &'a str,
    /// Empty for one that is no member.
    pub member: &'a str,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<&'a str>,
    /// Generation or member epoch; negative for one that is no member.
    pub generation_or_epoch: i32,
    /// `retention_time_ms` of versions 2 to 4; `None` for the broker's.
    pub retention_ms: Option<i64>,
    /// What to commit, flat.
    pub offsets: Vec<OffsetToCommit<'a>>,
    /// Version 9 on: a consumer group's member learns STALE_MEMBER_EPOCH, older ones ILLEGAL_GENERATION.
    pub knows_member_epochs: bool,
}

/// One position to commit.
#[derive(Clone, Debug)]
pub struct OffsetToCommit<'a> {
    /// Name of the topic; the same allocation for all partitions of it.
    pub topic: Arc<str>,
    /// Its id, where known.
    pub topic_id: Option<TopicId>,
    /// Which partition.
    pub partition: PartitionIndex,
    /// The next record to consume.
    pub offset: Offset,
    /// Leader epoch of the record before it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Null on the wire is empty here.
    pub metadata: Cow<'a, str>,
}

/// OffsetFetch (9), for one group.
#[derive(Clone, Debug)]
pub struct OffsetFetch<'a> {
    /// Which group.
    pub group: &'a str,
    /// Version 9 on, for members of consumer groups; empty or absent for others.
    pub member: Option<&'a str>,
    /// Version 9 on; negative for one that is no member.
    pub member_epoch: i32,
    /// `None`: everything the group has committed.
    pub topics: Option<Vec<(&'a str, Vec<PartitionIndex>)>>,
    /// Answer UNSTABLE_OFFSET_COMMIT for what an open transaction may change (KIP-447).
    pub require_stable: bool,
}

/// OffsetDelete (47).
#[derive(Clone, Debug)]
pub struct OffsetDelete<'a> {
    /// Which group.
    pub group: &'a str,
    /// What to delete.
    pub topics: Vec<(&'a str, Vec<PartitionIndex>)>,
}
