//! Groups of the consumer protocol (KIP-848).

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use crate::classic::Handover;
use crate::describe::{ConsumerGroupDescription, GroupListing, GroupState, GroupType};
use crate::record::GroupRecord;
use crate::request::{ConsumerHeartbeat, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, OffsetFetch, SyncGroup};
use crate::shard::{Corrupt, Expiration, Timer, Turn};
use crate::topics::Topics;

/// A group whose members heartbeat, and whose partitions the coordinator assigns.
///
/// Everything in it is durable: requests read it and ask for records, and [`apply`](Self::apply) alone changes it. A
/// group that is not in the log yet is an empty one, made for the length of a request.
#[derive(Debug)]
pub(crate) struct ConsumerGroup {
    id: Arc<str>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self { id }
    }

    pub(crate) fn state(&self) -> GroupState {
        GroupState::Empty
    }

    /// ConsumerGroupHeartbeat.
    pub(crate) fn consumer_heartbeat(&self, _turn: &mut Turn<'_>, _token: Token, _heartbeat: &ConsumerHeartbeat<'_>) {}

    /// The first ConsumerGroupHeartbeat in a classic group: asks for the records of a consumer group with the members
    /// of the classic one and the new member, and answers. The classic group's tombstone precedes them.
    pub(crate) fn upgrade(
        _id: &Arc<str>,
        _classic: Handover,
        _turn: &mut Turn<'_>,
        _token: Token,
        _heartbeat: &ConsumerHeartbeat<'_>,
    ) {
    }

    /// JoinGroup of a classic member. The group has members.
    pub(crate) fn join(&self, _turn: &mut Turn<'_>, _token: Token, _join: &JoinGroup<'_>) {}

    /// SyncGroup of a classic member.
    pub(crate) fn sync(&self, _turn: &mut Turn<'_>, _token: Token, _sync: &SyncGroup<'_>) {}

    /// Heartbeat of a classic member.
    pub(crate) fn heartbeat(&self, _turn: &mut Turn<'_>, _token: Token, _heartbeat: &Heartbeat<'_>) {}

    /// LeaveGroup, of classic members, or by an administrator of any.
    pub(crate) fn leave(&self, _turn: &mut Turn<'_>, _token: Token, _leave: &LeaveGroup<'_>) {}

    pub(crate) fn timed_out(&self, _turn: &mut Turn<'_>, _timer: &Timer) {}

    /// The metadata has changed.
    pub(crate) fn topics_changed(&self, _turn: &mut Turn<'_>) {}

    /// Replay is over: arms the timers.
    pub(crate) fn start(&self, _turn: &mut Turn<'_>) {}

    pub(crate) fn validate_commit(&self, _turn: &mut Turn<'_>, _commit: &OffsetCommit<'_>) -> Result<(), ErrorCode> {
        Ok(())
    }

    pub(crate) fn validate_fetch(&self, _fetch: &OffsetFetch<'_>) -> Result<(), ErrorCode> {
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
            protocol_type: Arc::from("consumer"),
            state: self.state(),
            kind: GroupType::Consumer,
        }
    }

    pub(crate) fn describe(&self, _topics: &dyn Topics) -> ConsumerGroupDescription {
        ConsumerGroupDescription {
            state: self.state(),
            epoch: 0,
            assignment_epoch: 0,
            assignor: Arc::from(""),
            members: Vec::new(),
        }
    }

    /// Applies one of the records of this group.
    pub(crate) fn apply(&mut self, _now: Now, _record: GroupRecord) -> Result<(), Corrupt> {
        Ok(())
    }
}
