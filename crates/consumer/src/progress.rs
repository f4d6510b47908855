//! How far something has been consumed.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_types::{LeaderEpoch, Offset, TopicPartition};

/// A position that can be committed: the next offset to be consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The next offset to be consumed.
    pub offset: Offset,
    /// Epoch of the record before it, if known: tells later whether the log was cut (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the application wants to have beside it.
    pub metadata: Option<Arc<str>>,
}

impl OffsetAndMetadata {
    /// The offset alone.
    #[must_use]
    pub const fn new(offset: Offset) -> Self {
        Self { offset, leader_epoch: None, metadata: None }
    }
}

/// How far partitions have been consumed: what a [`commit`](crate::Consumer::commit) stores. Outlives the consumer, and
/// can go to another thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
}

impl Progress {
    /// No partitions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there are no partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The partitions in order, each with the next offset to be consumed.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.offsets.iter()
    }

    /// The next offset of a partition.
    #[must_use]
    pub fn of(&self, partition: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.offsets.get(partition)
    }

    /// Sets a partition, back as well as forth.
    pub fn set(&mut self, partition: TopicPartition, to: OffsetAndMetadata) {
        self.offsets.insert(partition, to);
    }

    /// Takes what `later` has over what is here.
    pub fn merge(&mut self, later: &Self) {
        self.offsets.extend(later.offsets.iter().map(|(partition, at)| (partition.clone(), at.clone())));
    }

    /// Keeps only some partitions.
    pub fn retain(&mut self, mut keep: impl FnMut(&TopicPartition) -> bool) {
        self.offsets.retain(|partition, _| keep(partition));
    }
}

impl FromIterator<(TopicPartition, OffsetAndMetadata)> for Progress {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, OffsetAndMetadata)>>(offsets: I) -> Self {
        Self { offsets: offsets.into_iter().collect() }
    }
}
