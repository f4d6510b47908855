//! Which partitions a broker has to do with, so that its coming and going costs no look at the others.

use crate::{image::PartitionImage, record::MetadataRecord};
use highwater_types::{NodeId, PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};

pub(super) type PartitionKey = (TopicId, PartitionIndex);

/// Kept by applying records; follows from the image alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PartitionsIndex {
    /// Partitions of which the broker has a replica.
    replicas: BTreeMap<NodeId, BTreeSet<PartitionKey>>,
    /// Partitions that the broker leads.
    leaders: BTreeMap<NodeId, BTreeSet<PartitionKey>>,
    leaderless: BTreeSet<PartitionKey>,
    /// Partitions with a leader that is not the first replica.
    imbalanced: BTreeSet<PartitionKey>,
    reassigning: BTreeSet<PartitionKey>,
}

impl PartitionsIndex {
    pub(super) fn of_broker(&self, node: NodeId) -> impl Iterator<Item = PartitionKey> {
        self.replicas.get(&node).into_iter().flatten().copied()
    }

    pub(super) fn led_by(&self, node: NodeId) -> usize {
        self.leaders.get(&node).map_or(0, BTreeSet::len)
    }

    pub(super) fn leaderless(&self) -> impl Iterator<Item = PartitionKey> {
        self.leaderless.iter().copied()
    }

    pub(super) fn imbalanced(&self) -> impl Iterator<Item = PartitionKey> {
        self.imbalanced.iter().copied()
    }

    pub(super) fn reassigning(&self) -> impl Iterator<Item = PartitionKey> {
        self.reassigning.iter().copied()
    }

    /// Follows one partition from its `old` state to its `new` one.
    pub(super) fn update(&mut self, key: PartitionKey, old: Option<&PartitionImage>, new: Option<&PartitionImage>) {
        if let Some(old) = old {
            for node in nodes(old) {
                take(&mut self.replicas, node, key);
            }
            if let Some(leader) = old.leader {
                take(&mut self.leaders, leader, key);
            }
            self.leaderless.remove(&key);
            self.imbalanced.remove(&key);
            self.reassigning.remove(&key);
        }
        let Some(new) = new else { return };
        for node in nodes(new) {
            self.replicas.entry(node).or_default().insert(key);
        }
        match new.leader {
            Some(leader) => {
                self.leaders.entry(leader).or_default().insert(key);
                if new.replicas.first() != Some(&leader) {
                    self.imbalanced.insert(key);
                }
            }
            None => {
                self.leaderless.insert(key);
            }
        }
        if !new.adding.is_empty() || !new.removing.is_empty() {
            self.reassigning.insert(key);
        }
    }

    /// The partition that a record creates or changes.
    pub(super) fn key_of(record: &MetadataRecord) -> Option<PartitionKey> {
        match record {
            MetadataRecord::Partition(record) => Some((record.topic_id, record.partition)),
            MetadataRecord::PartitionChange(change) => Some((change.topic_id, change.partition)),
            _ => None,
        }
    }
}

/// Everybody a partition names; in a log that we wrote, its replicas.
fn nodes(partition: &PartitionImage) -> impl Iterator<Item = NodeId> {
    partition.replicas.iter().chain(&partition.isr).chain(&partition.elr).chain(&partition.leader).copied()
}

fn take(map: &mut BTreeMap<NodeId, BTreeSet<PartitionKey>>, node: NodeId, key: PartitionKey) {
    let Some(keys) = map.get_mut(&node) else { return };
    keys.remove(&key);
    if keys.is_empty() {
        map.remove(&node);
    }
}
