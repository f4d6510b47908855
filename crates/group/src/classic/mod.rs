//! Groups of the classic protocol.

mod commit;
mod join;
mod leave;
mod members;
mod rebalance;
mod stored;
mod sync;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::{ErrorCode, TimestampMs};

use crate::consumer::ConsumerGroup;
use crate::describe::GroupState;
use crate::protocol::ClassicProtocol;
use crate::record::ClassicMemberValue;
use crate::request::Heartbeat;
use crate::response::Response;
use crate::shard::{Timer, Turn};
use members::{Member, Members};
use rebalance::InitialDelay;

/// A group whose members join and sync.
///
/// ```text
///         a member joins                    all have joined, or had their time
///  Empty ----------------> PreparingRebalance ------------------> CompletingRebalance
///    ^                       |          ^  ^                        |          |
///    |  nobody has joined    |          |  +------------------------+          | the leader's assignment
///    +-----------------------+          |    one joins, leaves, is silent,     | is stored
///                                       |    or does not sync                  v
///                                       +----------------------------------- Stable
/// ```
///
/// The log has the group as it was when it became Stable or Empty, or when a static member came back under a new id.
/// All that happens in between is soft: a new coordinator finds the last of these states, and its members find out
/// with their next heartbeat.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
    state: GroupState,
    /// Since when it is in its state; `None` after a load from an old record.
    state_timestamp: Option<TimestampMs>,
    generation: i32,
    /// Empty for a group that never had members.
    protocol_type: Arc<str>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    members: Members,
    /// Ids that were given out and have not come back.
    pending: BTreeSet<Arc<str>>,
    /// Topics of all members as of this generation; `None` if they are no consumers, or cannot be understood.
    subscribed: Option<Arc<BTreeSet<Arc<str>>>>,
    /// Set while a group that was Empty waits for its first members.
    initial_delay: Option<Box<InitialDelay>>,
    /// Whether the log has a record of it.
    is_stored: bool,
    /// The consumer group without members that it stands for, until that one's tombstones are in the log.
    replaced: Option<Box<ConsumerGroup>>,
}

/// What a classic group has changed in its soft state together with records.
#[derive(Debug)]
pub(crate) struct ClassicEffect {
    group: Arc<str>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    /// It lost its last member.
    Emptied,
    /// It took its leader's assignment.
    Assigned,
    /// A static member came back: as the record does not tell it, with all its protocols.
    Returned(Box<Member>),
    /// It stands for a consumer group without members.
    Replaced,
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

impl ClassicEffect {
    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }
}

impl ClassicGroup {
    pub(crate) fn new(id: Arc<str>, now: Now) -> Self {
        Self {
            id,
            state: GroupState::Empty,
            state_timestamp: Some(now.wall),
            generation: 0,
            protocol_type: Arc::from(""),
            protocol: None,
            leader: None,
            members: Members::default(),
            pending: BTreeSet::new(),
            subscribed: None,
            initial_delay: None,
            is_stored: false,
            replaced: None,
        }
    }

    /// Stands for a consumer group that has lost its last member; the step deletes that one.
    pub(crate) fn replace(consumer: ConsumerGroup, id: Arc<str>, turn: &mut Turn<'_>) -> Self {
        consumer.delete(&mut turn.step.records);
        let mut group = Self::new(id, turn.now);
        if !turn.step.records.is_empty() {
            group.remind(turn, Change::Replaced);
            group.replaced = Some(Box::new(consumer));
        }
        group
    }

    /// The consumer group for which it stands, since that could not be deleted.
    pub(crate) fn take_replaced(&mut self) -> Option<ConsumerGroup> {
        self.replaced.take().map(|consumer| *consumer)
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state
    }

    /// Whether nothing would be lost with it.
    pub(crate) fn is_void(&self) -> bool {
        self.state == GroupState::Empty && !self.is_stored && self.members.is_empty() && self.pending.is_empty()
    }

    pub(crate) fn heartbeat(&mut self, turn: &mut Turn<'_>, token: Token, heartbeat: &Heartbeat<'_>) {
        let code = self.take_heartbeat(turn, heartbeat).err().unwrap_or(ErrorCode::None);
        turn.step.reply(token, Response::Heartbeat(code));
    }

    fn take_heartbeat(&mut self, turn: &mut Turn<'_>, heartbeat: &Heartbeat<'_>) -> Result<(), ErrorCode> {
        self.validate_member(heartbeat.member, heartbeat.instance_id)?;
        if heartbeat.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.arm_session(turn, heartbeat.member);
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(crate) fn timed_out(&mut self, turn: &mut Turn<'_>, timer: &Timer) {
        match timer {
            Timer::ClassicSession { member, .. } => self.expire_session(turn, member),
            Timer::ClassicPending { member, .. } => self.expire_pending(turn, member),
            Timer::ClassicJoin { .. } => self.expire_join(turn),
            Timer::ClassicSync { .. } => self.expire_sync(turn),
            Timer::ClassicRebalance { .. } if self.state == GroupState::Stable => self.prepare_rebalance(turn),
            _ => {}
        }
    }

    /// Whether a request comes from the member that it names.
    fn validate_member(&self, member: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            let known = self.members.of_instance(instance_id).ok_or(ErrorCode::UnknownMemberId)?;
            if **known != *member {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        self.members.get(member).map(|_| ()).ok_or(ErrorCode::UnknownMemberId)
    }

    /// A member has been heard of: counts its silence from now.
    fn arm_session(&self, turn: &mut Turn<'_>, member: &str) {
        if let Some(member) = self.members.get(member) {
            self.arm_session_of(turn, member);
        }
    }

    fn arm_session_of(&self, turn: &mut Turn<'_>, member: &Member) {
        // A new member does not know its id and cannot heartbeat, and whether it is still there cannot be seen. If new
        // members never went, one that asks again and again would fill the group with members that nobody is.
        let timeout_ms = if member.is_new { NEW_MEMBER_JOIN_TIMEOUT_MS } else { millis(member.session_timeout_ms) };
        turn.timers.set(self.session_timer(&member.id), turn.now.ticks.plus_ms(timeout_ms));
    }

    fn session_timer(&self, member: &Arc<str>) -> Timer {
        Timer::ClassicSession { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    fn pending_timer(&self, member: &Arc<str>) -> Timer {
        Timer::ClassicPending { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    fn join_timer(&self) -> Timer {
        Timer::ClassicJoin { group: Arc::clone(&self.id) }
    }

    fn sync_timer(&self) -> Timer {
        Timer::ClassicSync { group: Arc::clone(&self.id) }
    }

    /// Wants to be told what became of the records of the step.
    fn remind(&self, turn: &mut Turn<'_>, change: Change) {
        turn.step.effect.get_or_insert_default().classic = Some(ClassicEffect { group: Arc::clone(&self.id), change });
    }

    fn move_to(&mut self, turn: &Turn<'_>, state: GroupState) {
        self.state = state;
        self.state_timestamp = Some(turn.now.wall);
    }

    fn is_consumers(&self) -> bool {
        &*self.protocol_type == "consumer"
    }
}

/// A time from the wire, where it may be negative.
fn millis(ms: i32) -> u64 {
    u64::try_from(ms).unwrap_or_default()
}

/// How long a new member may wait in its first join. Kafka's `group.new.member.join.timeout.ms`, which is internal.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 300_000;
