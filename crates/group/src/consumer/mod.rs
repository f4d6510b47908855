//! Groups of the consumer protocol (KIP-848).

mod apply;
mod classic;
mod convert;
mod draft;
mod heartbeat;
mod leave;
mod member;
mod reconcile;
mod regexes;
mod rules;
mod timers;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_types::{PartitionIndex, TimestampMs, TopicId};

use crate::describe::GroupState;
use crate::record::{ConsumerMemberState, ResolvedRegex};
use crate::shard::Timer;
use member::Member;

/// A group whose members heartbeat, and whose partitions the coordinator assigns.
///
/// Everything in it is durable: requests read it and ask for records, and [`apply`](Self::apply) alone changes it. A
/// group that is not in the log yet is an empty one, made for the length of a request.
///
/// Three epochs follow each other: the *group epoch* grows with every change of members, subscriptions or topics; the
/// *assignment epoch* is the group epoch for which the target assignment was computed; a *member's epoch* is the
/// assignment epoch up to which it has given back and taken what it shall.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    id: Arc<str>,
    epoch: i32,
    /// Fingerprint of the subscribed topics as of this epoch.
    metadata_hash: i64,
    target_epoch: i32,
    /// When the target assignment was computed.
    target_timestamp: Option<TimestampMs>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids of static members by instance id.
    statics: BTreeMap<Arc<str>, Arc<str>>,
    targets: BTreeMap<Arc<str>, Partitions>,
    /// Who has which partition, also if it has to give it back.
    owners: BTreeMap<(TopicId, PartitionIndex), Arc<str>>,
    /// What the regular expressions of members match.
    regexes: BTreeMap<Arc<str>, ResolvedRegex>,
}

impl ConsumerGroup {
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            epoch: 0,
            metadata_hash: 0,
            target_epoch: 0,
            target_timestamp: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            targets: BTreeMap::new(),
            owners: BTreeMap::new(),
            regexes: BTreeMap::new(),
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        let has_its_target = |member: &Member| {
            member.current.state == ConsumerMemberState::Stable && member.current.epoch == self.target_epoch
        };
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.target_epoch < self.epoch {
            GroupState::Assigning
        } else if self.members.values().all(has_its_target) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    fn session_timer(&self, member: &Arc<str>) -> Timer {
        Timer::ConsumerSession { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    fn rebalance_timer(&self, member: &Arc<str>) -> Timer {
        Timer::ConsumerRebalance { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    fn sync_timer(&self, member: &Arc<str>) -> Timer {
        Timer::ConsumerSync { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    fn assign_timer(&self) -> Timer {
        Timer::ConsumerAssign { group: Arc::clone(&self.id) }
    }
}

/// Epoch with which a member joins.
const JOIN_EPOCH: i32 = 0;
/// Epoch with which a member leaves.
const LEAVE_EPOCH: i32 = -1;
/// Epoch with which a static member leaves that will be back.
const LEAVE_STATIC_EPOCH: i32 = -2;
