//! One topic and its partitions.

use crate::{chunk_map::ChunkMap, record::LeaderRecovery};
use highwater_types::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId, TopicName};
use std::sync::Arc;

/// One topic. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicImage {
    name: TopicName,
    id: TopicId,
    partitions: ChunkMap<PartitionIndex, Arc<PartitionImage>>,
}

impl TopicImage {
    pub(super) fn new(name: TopicName, id: TopicId) -> Self {
        Self { name, id, partitions: ChunkMap::default() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// One of its partitions.
    #[must_use]
    pub fn partition(&self, partition: PartitionIndex) -> Option<&Arc<PartitionImage>> {
        self.partitions.get(&partition)
    }

    /// Its partitions, by number.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, &Arc<PartitionImage>)> {
        self.partitions.iter().map(|(index, partition)| (*index, partition))
    }

    /// Number of its partitions.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partitions.len()
    }

    /// Replicas of each partition, which is that of the first one; 0 for a topic without partitions.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.partition(PartitionIndex::ZERO).map_or(0, |partition| partition.replicas.len())
    }

    pub(super) fn partition_mut(&mut self, partition: PartitionIndex) -> Option<&mut PartitionImage> {
        self.partitions.get_mut(&partition).map(Arc::make_mut)
    }

    /// Adds or replaces a partition; whether it was new.
    pub(super) fn set_partition(&mut self, index: PartitionIndex, partition: PartitionImage) -> bool {
        self.partitions.insert(index, Arc::new(partition)).is_none()
    }
}

/// One partition: who has it, who leads it, who is in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    /// Brokers that have a replica, in order of preference as leader.
    pub replicas: Vec<NodeId>,
    /// Replicas that have every committed record.
    pub isr: Vec<NodeId>,
    /// Replicas on their way out (KIP-455).
    pub removing: Vec<NodeId>,
    /// Replicas on their way in (KIP-455).
    pub adding: Vec<NodeId>,
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// Whether the leader recovers from an unclean election.
    pub recovery: LeaderRecovery,
    /// Number of the leader's term.
    pub leader_epoch: LeaderEpoch,
    /// Number of this state.
    pub partition_epoch: PartitionEpoch,
    /// The directory of each replica, in the order of `replicas`; all zero if not yet known.
    pub directories: Vec<DirectoryId>,
    /// Replicas out of sync that still have every committed record (KIP-966).
    pub elr: Vec<NodeId>,
    /// Replicas that were last known to, from which nothing can be concluded any more.
    pub last_known_elr: Vec<NodeId>,
}
