//! Offsets inside open transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_types::{Offset, PartitionIndex, ProducerId};

use super::stored::StoredOffset;

/// What producers have committed in transactions that have not ended.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_producer: BTreeMap<ProducerId, BTreeMap<Key, StoredOffset>>,
    /// Which producers have something pending for a partition.
    by_group: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Producers>>,
}

/// The producers by partition of a topic.
type Producers = BTreeMap<PartitionIndex, BTreeSet<ProducerId>>;

/// Group, topic and partition.
pub(super) type Key = (Arc<str>, Arc<str>, PartitionIndex);

impl Pending {
    /// A producer has committed; the last of its commits for a partition counts.
    pub(super) fn insert(&mut self, producer: ProducerId, key: Key, offset: StoredOffset) {
        let (group, topic, partition) = key.clone();
        let partitions = self.by_group.entry(group).or_default().entry(topic).or_default();
        partitions.entry(partition).or_default().insert(producer);
        self.by_producer.entry(producer).or_default().insert(key, offset);
    }

    /// Takes out all that a producer has pending: its transaction has ended.
    pub(super) fn end(&mut self, producer: ProducerId) -> BTreeMap<Key, StoredOffset> {
        let ended = self.by_producer.remove(&producer).unwrap_or_default();
        for (group, topic, partition) in ended.keys() {
            self.forget(group, topic, *partition, |producers| {
                producers.remove(&producer);
            });
        }
        ended
    }

    /// Takes out what all producers have pending for a partition: its offset has been deleted.
    pub(super) fn remove(&mut self, group: &Arc<str>, topic: &Arc<str>, partition: PartitionIndex) {
        let key = (Arc::clone(group), Arc::clone(topic), partition);
        for producer in self.producers(group, topic, partition).collect::<Vec<_>>() {
            if let Some(offsets) = self.by_producer.get_mut(&producer) {
                offsets.remove(&key);
                if offsets.is_empty() {
                    self.by_producer.remove(&producer);
                }
            }
        }
        self.forget(group, topic, partition, BTreeSet::clear);
    }

    /// Whether anything is pending in a group.
    pub(super) fn has_group(&self, group: &str) -> bool {
        self.by_group.contains_key(group)
    }

    /// Whether anything is pending for a partition.
    pub(super) fn contains(&self, group: &str, topic: &str, partition: PartitionIndex) -> bool {
        self.producers(group, topic, partition).next().is_some()
    }

    /// Where the last commit that is pending for a partition lies in the log.
    pub(super) fn last(&self, group: &Arc<str>, topic: &Arc<str>, partition: PartitionIndex) -> Option<Offset> {
        if !self.has_group(group) {
            return None;
        }
        let key = (Arc::clone(group), Arc::clone(topic), partition);
        let stored = |producer| self.by_producer.get(&producer)?.get(&key).map(|stored| stored.at);
        self.producers(group, topic, partition).filter_map(stored).max()
    }

    /// The partitions of a group for which something is pending.
    pub(super) fn partitions(&self, group: &str) -> impl Iterator<Item = (&Arc<str>, PartitionIndex)> {
        let topics = self.by_group.get(group).into_iter().flatten();
        topics.flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (topic, *partition)))
    }

    /// The groups in which something is pending.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_group.keys()
    }

    /// Whether anything is pending for a topic.
    pub(super) fn has_topic(&self, topic: &str) -> bool {
        self.by_group.values().any(|topics| topics.contains_key(topic))
    }

    fn producers(&self, group: &str, topic: &str, partition: PartitionIndex) -> impl Iterator<Item = ProducerId> {
        let find = || self.by_group.get(group)?.get(topic)?.get(&partition);
        find().into_iter().flatten().copied()
    }

    /// Changes who has something pending for a partition, and drops what is empty then.
    fn forget(
        &mut self,
        group: &str,
        topic: &str,
        partition: PartitionIndex,
        change: impl FnOnce(&mut BTreeSet<ProducerId>),
    ) {
        let Some(topics) = self.by_group.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        let Some(producers) = partitions.get_mut(&partition) else { return };
        change(producers);
        if producers.is_empty() {
            partitions.remove(&partition);
        }
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.by_group.remove(group);
        }
    }
}
