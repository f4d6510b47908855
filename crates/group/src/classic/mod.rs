//! Groups of the classic protocol.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_coordinator::{Now, Reply, Token};
use highwater_types::ErrorCode;

use crate::describe::{GroupDescription, GroupListing, GroupState, GroupType};
use crate::protocol::ClassicProtocol;
use crate::record::{ClassicGroupValue, ClassicMemberValue, GroupRecord};
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, SyncGroup};
use crate::response::Response;
use crate::shard::{Expiration, Timer, Turn};

/// A group whose members join and sync.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    id: Arc<str>,
}

/// What a classic group has changed in its soft state together with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicEffect {
    group: Arc<str>,
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
    pub(crate) fn new(id: Arc<str>, _now: Now) -> Self {
        Self { id }
    }

    pub(crate) fn state(&self) -> GroupState {
        GroupState::Empty
    }

    pub(crate) fn join(&mut self, _turn: &mut Turn<'_>, _token: Token, _join: &JoinGroup<'_>) {}

    pub(crate) fn sync(&mut self, _turn: &mut Turn<'_>, _token: Token, _sync: &SyncGroup<'_>) {}

    pub(crate) fn heartbeat(&mut self, _turn: &mut Turn<'_>, _token: Token, _heartbeat: &Heartbeat<'_>) {}

    pub(crate) fn leave(&mut self, _turn: &mut Turn<'_>, _token: Token, _leave: &LeaveGroup<'_>) {}

    pub(crate) fn timed_out(&mut self, _turn: &mut Turn<'_>, _timer: &Timer) {}

    /// Replay is over: arms the timers.
    pub(crate) fn start(&mut self, _turn: &mut Turn<'_>) {}

    /// What a consumer group would take over; `None` if its members are no consumers, or say things that cannot be
    /// decoded.
    pub(crate) fn hand_over(&self) -> Option<Handover> {
        None
    }

    /// Answers everybody who waits, since the group becomes a consumer group: they have to join anew.
    pub(crate) fn dissolve(&mut self, _turn: &mut Turn<'_>) {}

    pub(crate) fn validate_commit(
        &mut self,
        _turn: &mut Turn<'_>,
        _commit: &OffsetCommit<'_>,
    ) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn is_subscribed(&self, _topic: &str) -> bool {
        false
    }

    pub(crate) fn expiration(&self) -> Expiration {
        Expiration::SinceCommit { subscribed: BTreeSet::new() }
    }

    pub(crate) fn delete(&self, _records: &mut Vec<GroupRecord>) {}

    pub(crate) fn listing(&self) -> GroupListing {
        GroupListing {
            group: Arc::clone(&self.id),
            protocol_type: Arc::from(""),
            state: self.state(),
            kind: GroupType::Classic,
        }
    }

    pub(crate) fn describe(&self) -> GroupDescription {
        GroupDescription {
            state: self.state(),
            protocol_type: Arc::from(""),
            protocol: Arc::from(""),
            members: Vec::new(),
        }
    }

    /// Takes the state of a record: at replay all of it, on the leader what it had decided.
    pub(crate) fn apply(&mut self, _now: Now, _value: ClassicGroupValue) {}

    pub(crate) fn appended(&mut self, _now: Now, _effect: ClassicEffect) {}

    pub(crate) fn append_failed(&mut self, _turn: &mut Turn<'_>, _effect: ClassicEffect, _error: ErrorCode) {}

    pub(crate) fn resign(&mut self, _error: ErrorCode, _replies: &mut Vec<Reply<Response>>) {}
}
