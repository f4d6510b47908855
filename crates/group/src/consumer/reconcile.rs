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

#[cfg(test)]
mod tests {
    use super::*;
    use ConsumerMemberState::{Stable, Unknown, UnreleasedPartitions as Waits, UnrevokedPartitions as Revokes};
    use highwater_types::Uuid;

    const TOPIC: TopicId = TopicId(Uuid::from_bytes([1; 16]));

    /// A member: its state, epoch, and what it has, with what it has to give back.
    type Row = (ConsumerMemberState, i32, &'static [u32], &'static [u32]);

    fn assigned(partitions: &[u32], epoch: i32) -> AssignedPartitions {
        let all = partitions.iter().map(|index| (PartitionIndex::new(*index), epoch));
        if partitions.is_empty() { AssignedPartitions::new() } else { [(TOPIC, all.collect())].into() }
    }

    fn value((state, epoch, has, gives): Row) -> ConsumerCurrentValue {
        ConsumerCurrentValue {
            epoch,
            previous_epoch: 3,
            state,
            assigned: assigned(has, 4),
            pending_revocation: assigned(gives, 4),
        }
    }

    /// The next step of member `m` towards `target` in epoch 6, when another member has partition 9.
    fn step(from: Row, target: &[u32], owned: Option<&[i32]>) -> Option<Row> {
        let mut group = ConsumerGroup::new(Arc::from("g"));
        let id: Arc<str> = Arc::from("m");
        for index in from.2.iter().chain(from.3) {
            group.owners.insert((TOPIC, PartitionIndex::new(*index)), Arc::clone(&id));
        }
        group.owners.insert((TOPIC, PartitionIndex::new(9)), Arc::from("other"));
        let target = target.iter().map(|index| (TOPIC, PartitionIndex::new(*index))).collect();
        let owned = owned.map(|owned| if owned.is_empty() { Vec::new() } else { vec![(TOPIC, owned.to_vec())] });
        let next = group.reconcile(&id, &value(from), &Goal { epoch: 6, target: &target }, owned.as_deref())?;
        assert_eq!(next.previous_epoch, from.1, "the answer before this one may have been lost");
        let list = |partitions: &AssignedPartitions| -> &'static [u32] {
            let all = partitions.values().flat_map(std::collections::BTreeMap::keys);
            Vec::leak(all.map(|index| u32::try_from(index.to_wire()).unwrap()).collect())
        };
        Some((next.state, next.epoch, list(&next.assigned), list(&next.pending_revocation)))
    }

    #[test]
    fn gives_back_then_takes() {
        type Case = (Row, &'static [u32], Option<&'static [i32]>, Option<Row>);
        let cases: [Case; 16] = [
            // Nothing to do.
            ((Stable, 6, &[0, 1], &[]), &[0, 1], None, None),
            // Nothing but the epoch.
            ((Stable, 5, &[0, 1], &[]), &[0, 1], None, Some((Stable, 6, &[0, 1], &[]))),
            // More.
            ((Stable, 5, &[0], &[]), &[0, 1], None, Some((Stable, 6, &[0, 1], &[]))),
            // Less: not until it has said that it does not have it.
            ((Stable, 5, &[0, 1], &[]), &[0, 2], None, Some((Revokes, 5, &[0], &[1]))),
            ((Stable, 5, &[0, 1], &[]), &[0, 2], Some(&[1]), Some((Revokes, 5, &[0], &[1]))),
            ((Stable, 5, &[0, 1], &[]), &[0, 2], Some(&[0]), Some((Stable, 6, &[0, 2], &[]))),
            ((Revokes, 5, &[0], &[1]), &[0, 2], None, None),
            ((Revokes, 5, &[0], &[1]), &[0, 2], Some(&[0, 1]), None),
            ((Revokes, 5, &[0], &[1]), &[0, 2], Some(&[0]), Some((Stable, 6, &[0, 2], &[]))),
            // It gets back what it has just given back.
            ((Revokes, 5, &[0], &[1]), &[0, 1], Some(&[0]), Some((Stable, 6, &[0, 1], &[]))),
            // There is more to give back by now.
            ((Revokes, 5, &[0, 2], &[1]), &[0], Some(&[0, 2]), Some((Revokes, 5, &[0], &[2]))),
            // Others have it.
            ((Stable, 5, &[0], &[]), &[0, 1, 9], None, Some((Waits, 6, &[0, 1], &[]))),
            ((Waits, 6, &[0, 1], &[]), &[0, 1, 9], None, None),
            ((Waits, 5, &[0], &[]), &[0, 1], None, Some((Stable, 6, &[0, 1], &[]))),
            // By the word of a coordinator that knew more.
            ((Unknown, 5, &[0], &[]), &[1], None, None),
            ((Unknown, 5, &[0], &[]), &[1], Some(&[]), Some((Stable, 6, &[1], &[]))),
        ];
        for (from, target, owned, to) in cases {
            assert_eq!(step(from, target, owned), to, "{from:?} to {target:?} owning {owned:?}");
        }
    }
}
