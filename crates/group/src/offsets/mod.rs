//! Committed offsets.

mod clean;
mod names;
mod pending;
mod small_map;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_coordinator::TransactionOutcome;
use highwater_types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId};

pub(crate) use clean::Progress;

use crate::record::{CommittedOffset, GroupRecord};
use crate::response::FetchedOffset;
use clean::{DeletedTopics, Position};
use names::TopicNames;
use pending::Pending;
use small_map::SmallMap;
use stored::StoredOffset;

/// The committed offsets of all groups of a shard.
///
/// Everything is durable, and changes in the `apply` functions alone, but for where the walk of [`clean`](Self::clean)
/// stands.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    /// No group, and no topic of one, is empty.
    groups: BTreeMap<Arc<str>, TopicOffsets>,
    names: TopicNames,
    pending: Pending,
    /// Where the last record of an offset lies.
    last: Option<Offset>,
    deleted_topics: DeletedTopics,
    walk: Option<Position>,
}

/// The offsets of a group.
type TopicOffsets = SmallMap<Arc<str>, SmallMap<PartitionIndex, StoredOffset>>;

impl Offsets {
    /// Applies a plain commit, or its deletion, that lies at `at` in the log.
    pub(crate) fn apply(
        &mut self,
        group: Arc<str>,
        topic: Arc<str>,
        partition: PartitionIndex,
        at: Offset,
        value: Option<CommittedOffset>,
    ) {
        self.last = Some(at);
        match value {
            Some(value) => self.store(group, topic, partition, StoredOffset::new(at, value)),
            None => {
                self.remove(&group, &topic, partition);
                self.pending.remove(&group, &topic, partition);
            }
        }
    }

    /// Applies a commit inside a transaction.
    #[expect(clippy::too_many_arguments, reason = "a key, a value and where they come from")]
    pub(crate) fn apply_pending(
        &mut self,
        producer: ProducerId,
        _epoch: ProducerEpoch,
        group: Arc<str>,
        topic: Arc<str>,
        partition: PartitionIndex,
        at: Offset,
        value: CommittedOffset,
    ) {
        self.last = Some(at);
        self.pending.insert(producer, (group, topic, partition), StoredOffset::new(at, value));
    }

    /// Applies the end of a transaction.
    ///
    /// Its epoch does not matter: a producer has one transaction at a time, and the marker that an epoch's successor
    /// writes ends what the older one has left.
    pub(crate) fn apply_marker(&mut self, producer: ProducerId, _epoch: ProducerEpoch, outcome: TransactionOutcome) {
        let ended = self.pending.end(producer);
        if outcome == TransactionOutcome::Abort {
            return;
        }
        for ((group, topic, partition), stored) in ended {
            // A commit that came after this one, outside the transaction, is newer. Compaction may have removed what
            // lay between, so that only the offsets of the records tell.
            let known = self.find(&group, &topic, partition);
            if known.is_none_or(|known| known.at < stored.at) {
                self.store(group, topic, partition, stored);
            }
        }
    }

    /// What a group has committed for the partitions of `topics`, or for all; nothing where nothing is known.
    pub(crate) fn fetch(
        &self,
        group: &str,
        topics: Option<&[(&str, Vec<PartitionIndex>)]>,
        require_stable: bool,
    ) -> Vec<(Arc<str>, Vec<FetchedOffset>)> {
        let known = self.groups.get(group);
        let fetch = |topic: &str, partition, stored: Option<&StoredOffset>| {
            if require_stable && self.pending.contains(group, topic, partition) {
                return FetchedOffset { error: ErrorCode::UnstableOffsetCommit, ..FetchedOffset::none(partition) };
            }
            stored.map_or_else(|| FetchedOffset::none(partition), |stored| stored.fetched(partition))
        };
        let Some(topics) = topics else {
            let all = known.into_iter().flat_map(SmallMap::iter);
            let all = all.map(|(topic, partitions)| {
                let offsets = partitions.iter().map(|(partition, stored)| fetch(topic, *partition, Some(stored)));
                (Arc::clone(topic), offsets.collect())
            });
            return all.collect();
        };
        let asked = topics.iter().map(|(topic, partitions)| {
            let known = known.and_then(|topics| topics.get_key_value(*topic));
            let stored = |partition: &PartitionIndex| known.and_then(|(_, offsets)| offsets.get(partition));
            let offsets = partitions.iter().map(|partition| fetch(topic, *partition, stored(partition)));
            (known.map_or_else(|| Arc::from(*topic), |(name, _)| Arc::clone(name)), offsets.collect())
        });
        asked.collect()
    }

    /// Whether a group has committed for a partition, or has something pending for it.
    pub(crate) fn knows(&self, group: &str, topic: &str, partition: PartitionIndex) -> bool {
        self.find(group, topic, partition).is_some() || self.pending.contains(group, topic, partition)
    }

    /// Whether a group has committed anything, or has something pending.
    pub(crate) fn has_offsets(&self, group: &str) -> bool {
        self.groups.contains_key(group) || self.pending.has_group(group)
    }

    /// The groups that have offsets, or pending ones, in order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        let pending = self.pending.groups().filter(|group| !self.groups.contains_key(*group));
        let (mut committed, mut pending) = (self.groups.keys().peekable(), pending.peekable());
        std::iter::from_fn(move || match (committed.peek(), pending.peek()) {
            (Some(first), Some(second)) if second < first => pending.next(),
            (Some(_), _) => committed.next(),
            (None, _) => pending.next(),
        })
    }

    /// Asks for all offsets of a group to be deleted.
    pub(crate) fn delete_group(&self, group: &str, records: &mut Vec<GroupRecord>) {
        let committed = self.groups.get(group).into_iter().flat_map(SmallMap::iter).flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, _)| (Arc::clone(topic), *partition))
        });
        let pending = self.pending.partitions(group).map(|(topic, partition)| (Arc::clone(topic), partition));
        let all: BTreeSet<(Arc<str>, PartitionIndex)> = committed.chain(pending).collect();
        let id: Arc<str> = Arc::from(group);
        records.extend(all.into_iter().map(|(topic, partition)| tombstone(&id, &topic, partition)));
    }

    fn find(&self, group: &str, topic: &str, partition: PartitionIndex) -> Option<&StoredOffset> {
        self.groups.get(group)?.get(topic)?.get(&partition)
    }

    /// Allocates nothing for a partition that has an offset already.
    fn store(&mut self, group: Arc<str>, topic: Arc<str>, partition: PartitionIndex, stored: StoredOffset) {
        let topics = self.groups.entry(group).or_default();
        if let Some(partitions) = topics.get_mut(&*topic) {
            partitions.insert(partition, stored);
            return;
        }
        let mut partitions = SmallMap::new();
        partitions.insert(partition, stored);
        topics.insert(self.names.acquire(topic), partitions);
    }

    fn remove(&mut self, group: &str, topic: &str, partition: PartitionIndex) {
        let Some(topics) = self.groups.get_mut(group) else { return };
        let Some(partitions) = topics.get_mut(topic) else { return };
        partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
            self.names.release(topic);
        }
        if topics.is_empty() {
            self.groups.remove(group);
        }
    }
}

impl FetchedOffset {
    /// Nothing is committed for the partition.
    pub(crate) fn none(partition: PartitionIndex) -> Self {
        Self { partition, offset: None, leader_epoch: None, metadata: Arc::default(), error: ErrorCode::None }
    }
}

/// The record that deletes an offset.
pub(crate) fn tombstone(group: &Arc<str>, topic: &Arc<str>, partition: PartitionIndex) -> GroupRecord {
    GroupRecord::Offset { group: Arc::clone(group), topic: Arc::clone(topic), partition, value: None }
}

#[cfg(test)]
mod tests;
