//! Groups of the classic protocol.

mod join;
mod leave;
mod member;
mod rebalance;
mod rules;
mod stored;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_coordinator::{Now, Reply};
use highwater_types::{ErrorCode, TimestampMs};

use crate::describe::{GroupDescription, GroupListing, GroupState, GroupType, MemberDescription};
use crate::protocol::ClassicProtocol;
use crate::record::{ClassicMemberValue, GroupRecord};
use crate::response::Response;
use member::Member;
pub(crate) use stored::ClassicEffect;

/// A group whose members join and sync.
///
/// ```text
///            a member joins            everybody has joined          the leader's sync is stored
///   Empty ------------------> Preparing ----------------> Completing ---------------------------> Stable
///     ^                        |  ^                           |                                     |
///     +------------------------+  +---------------------------+-------------------------------------+
///        nobody has joined          members come, go, or want something else
/// ```
///
/// Who waits, timers and everything of a rebalance that has not ended are soft state: after a failover members find out
/// by their next heartbeat and join again. What a generation has agreed on is durable, and stored with the leader's sync.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
    phase: Phase,
    /// When the group took this phase.
    since: TimestampMs,
    /// `consumer`, ..; `None` until the first member joins.
    protocol_type: Option<Arc<str>>,
    generation: i32,
    /// What the members voted for, from the end of the join phase on.
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids of static members by instance id.
    statics: BTreeMap<Arc<str>, Arc<str>>,
    /// New members that were told their id and have to come back with it.
    pending: BTreeSet<Arc<str>>,
    /// The log has a record of the group.
    is_stored: bool,
}

/// Where a group is in its rebalance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No members.
    Empty,
    /// Waits for members to join.
    Preparing {
        /// Set in the first rebalance of a group that was empty: it waits for more members to come.
        initial: Option<InitialDelay>,
    },
    /// Waits for the leader's assignment.
    Completing,
    /// Everybody has an assignment, or can get it.
    Stable,
}

/// The first rebalance of a group that was empty waits for others to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InitialDelay {
    /// What is left of the rebalance timeout when the running delay is over.
    left_ms: u64,
    /// Somebody has come during the running delay.
    has_new_member: bool,
}

/// A classic group as a consumer group takes it over (KIP-848 online upgrade).
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    /// Becomes the group epoch.
    pub(crate) generation: i32,
    pub(crate) members: Vec<HandoverMember>,
}

/// A member of a group that is taken over.
#[derive(Clone, Debug)]
pub(crate) struct HandoverMember {
    pub(crate) value: ClassicMemberValue,
    /// All its protocols, in its order of preference.
    pub(crate) protocols: Vec<ClassicProtocol>,
}

impl ClassicGroup {
    pub(crate) fn new(id: Arc<str>, now: Now) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            since: now.wall,
            protocol_type: None,
            generation: 0,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeSet::new(),
            is_stored: false,
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    /// Whether nothing would be lost with the group: it has nobody, and the log knows nothing of it.
    pub(crate) fn is_void(&self) -> bool {
        self.phase == Phase::Empty && self.members.is_empty() && self.pending.is_empty() && !self.is_stored
    }

    /// What a consumer group would take over; `None` if its members are no consumers, or say things that cannot be
    /// decoded.
    pub(crate) fn hand_over(&self) -> Option<Handover> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let members = self.members.iter().map(|(id, member)| {
            let is_consumer = member.protocols.iter().any(|protocol| protocol.subscription.is_some());
            is_consumer.then(|| HandoverMember {
                value: member.value(id, self.protocol.as_deref(), Arc::clone(&member.assignment)),
                protocols: member.protocols.clone(),
            })
        });
        Some(Handover { generation: self.generation, members: members.collect::<Option<_>>()? })
    }

    /// Asks for the group's record to be deleted.
    pub(crate) fn delete(&self, records: &mut Vec<GroupRecord>) {
        records.push(GroupRecord::Classic { group: Arc::clone(&self.id), value: None });
    }

    pub(crate) fn listing(&self) -> GroupListing {
        GroupListing {
            group: Arc::clone(&self.id),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state(),
            kind: GroupType::Classic,
        }
    }

    /// Metadata and assignments are shown of a stable group alone: before, they are not what they will be.
    pub(crate) fn describe(&self) -> GroupDescription {
        let protocol = self.protocol.as_ref().filter(|_| self.phase == Phase::Stable);
        let members = self.members.iter().map(|(id, member)| MemberDescription {
            id: Arc::clone(id),
            instance_id: member.instance_id.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            metadata: protocol.map_or_else(Arc::default, |protocol| member.metadata(protocol)),
            assignment: protocol.map_or_else(Arc::default, |_| Arc::clone(&member.assignment)),
        });
        GroupDescription {
            state: self.state(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: protocol.cloned().unwrap_or_default(),
            members: members.collect(),
        }
    }

    /// The leadership of the shard ends: answers everybody who waits.
    pub(crate) fn resign(&mut self, error: ErrorCode, replies: &mut Vec<Reply<Response>>) {
        for (id, member) in &mut self.members {
            replies.extend(member.interrupt(id, error));
        }
    }

    fn become_phase(&mut self, now: Now, phase: Phase) {
        self.phase = phase;
        self.since = now.wall;
    }
}

/// Protocol type of consumers.
const CONSUMER: &str = "consumer";
