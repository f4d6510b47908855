//! From what a member has to what it shall have.

use std::sync::Arc;

use highwater_assignor::Partitions;
use highwater_types::{PartitionIndex, TopicId};

use super::ConsumerGroup;
use super::member::overlaps;
use crate::record::{AssignedPartitions, ConsumerCurrentValue, ConsumerMemberState};

/// What a member reports to own; `None` for as before.
pub(super) type Owned<'a> = Option<&'a [(TopicId, Vec<i32>)]>;

/// Where a member shall get to.
pub(super) struct Goal<'a> {
    /// The assignment epoch.
    pub(super) epoch: i32,
    /// Its target, without topics that it does not subscribe to any more.
    pub(super) target: &'a Partitions,
}

impl ConsumerGroup {
    /// The next step of a member, as far as it can go now; `None` if it stays where it is.
    ///
    /// First it gives back what it shall not keep, and stays in its epoch until it has said that it did. Then it gets
    /// what nobody else has, and the epoch of the target. What others still have it gets once they have let go.
    pub(super) fn reconcile(
        &self,
        id: &Arc<str>,
        current: &ConsumerCurrentValue,
        goal: &Goal<'_>,
        owned: Owned<'_>,
    ) -> Option<ConsumerCurrentValue> {
        match current.state {
            ConsumerMemberState::Stable if current.epoch == goal.epoch && has_all(goal.target, &current.assigned) => {
                None
            }
            // It has not said yet that it gave back what it must.
            ConsumerMemberState::UnrevokedPartitions
                if owned.is_none_or(|owned| overlaps(owned, &current.pending_revocation)) =>
            {
                None
            }
            // Written by a coordinator that knew more: a member that has nothing can start again.
            ConsumerMemberState::Unknown if owned.is_none_or(|owned| !owned.is_empty()) => None,
            _ => Some(self.next(id, current, goal, owned)).filter(|next| next != current),
        }
    }

    fn next(
        &self,
        id: &Arc<str>,
        current: &ConsumerCurrentValue,
        goal: &Goal<'_>,
        owned: Owned<'_>,
    ) -> ConsumerCurrentValue {
        let (mut assigned, mut revoked) = (AssignedPartitions::new(), AssignedPartitions::new());
        split(&current.assigned, goal.target, &mut assigned, &mut revoked);
        let is_owning = !revoked.is_empty() && owned.is_none_or(|owned| overlaps(owned, &revoked));
        if is_owning {
            return ConsumerCurrentValue {
                epoch: current.epoch,
                previous_epoch: current.epoch,
                state: ConsumerMemberState::UnrevokedPartitions,
                assigned,
                pending_revocation: revoked,
            };
        }
        let mut has_unreleased = false;
        for (topic, partition) in goal.target.iter() {
            if contains(&assigned, topic, partition) {
                continue;
            }
            // What it has itself, and gives back just now, is no reason to wait (KAFKA-19449).
            if self.owners.get(&(topic, partition)).is_some_and(|owner| owner != id) {
                has_unreleased = true;
            } else {
                assigned.entry(topic).or_default().insert(partition, goal.epoch);
            }
        }
        let state =
            if has_unreleased { ConsumerMemberState::UnreleasedPartitions } else { ConsumerMemberState::Stable };
        let has_changed = goal.epoch != current.epoch || state != current.state || assigned != current.assigned;
        ConsumerCurrentValue {
            epoch: goal.epoch,
            // Nothing new is no new answer: the one before is still the one that may have been lost.
            previous_epoch: if has_changed { current.epoch } else { current.previous_epoch },
            state,
            assigned,
            pending_revocation: AssignedPartitions::new(),
        }
    }
}

/// Splits what a member has by whether it is in the target.
fn split(
    had: &AssignedPartitions,
    target: &Partitions,
    kept: &mut AssignedPartitions,
    revoked: &mut AssignedPartitions,
) {
    for (topic, partitions) in had {
        for (partition, epoch) in partitions {
            let into = if target.contains(*topic, *partition) { &mut *kept } else { &mut *revoked };
            into.entry(*topic).or_default().insert(*partition, *epoch);
        }
    }
}

fn contains(assigned: &AssignedPartitions, topic: TopicId, partition: PartitionIndex) -> bool {
    assigned.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition))
}

/// Whether a member has its target, and nothing else.
fn has_all(target: &Partitions, assigned: &AssignedPartitions) -> bool {
    let count: usize = assigned.values().map(std::collections::BTreeMap::len).sum();
    count == target.count() && target.iter().all(|(topic, partition)| contains(assigned, topic, partition))
}
