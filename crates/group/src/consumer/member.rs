//! A member of a consumer group.

use std::collections::BTreeMap;

use crate::record::{AssignedPartitions, ConsumerCurrentValue, ConsumerMemberState, ConsumerMemberValue};

/// A member of a consumer group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// What it says of itself.
    pub(super) value: ConsumerMemberValue,
    /// What it has.
    pub(super) current: ConsumerCurrentValue,
}

impl Member {
    /// One that has nothing yet.
    pub(super) fn new(value: ConsumerMemberValue) -> Self {
        Self { value, current: nothing(0) }
    }

    /// It speaks the classic protocol.
    pub(super) fn is_classic(&self) -> bool {
        self.value.classic.is_some()
    }

    pub(super) fn rebalance_timeout_ms(&self) -> u64 {
        u64::try_from(self.value.rebalance_timeout_ms).unwrap_or(0)
    }
}

/// What a member has that has just joined, at an epoch.
pub(super) fn nothing(epoch: i32) -> ConsumerCurrentValue {
    ConsumerCurrentValue {
        epoch,
        previous_epoch: epoch,
        state: ConsumerMemberState::Stable,
        assigned: AssignedPartitions::new(),
        pending_revocation: AssignedPartitions::new(),
    }
}

/// Whether `owned`, as a member reports it, has nothing but what is in `assigned`.
pub(super) fn is_within(owned: &[(highwater_types::TopicId, Vec<i32>)], assigned: &AssignedPartitions) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let known = assigned.get(topic);
        partitions.iter().all(|partition| has(known, *partition))
    })
}

/// Whether `owned`, as a member reports it, has something of `partitions`.
pub(super) fn overlaps(owned: &[(highwater_types::TopicId, Vec<i32>)], partitions: &AssignedPartitions) -> bool {
    owned.iter().any(|(topic, reported)| {
        let known = partitions.get(topic);
        reported.iter().any(|partition| has(known, *partition))
    })
}

fn has(known: Option<&BTreeMap<highwater_types::PartitionIndex, i32>>, partition: i32) -> bool {
    let partition = highwater_types::PartitionIndex::from_wire(partition);
    known.zip(partition).is_some_and(|(known, partition)| known.contains_key(&partition))
}
