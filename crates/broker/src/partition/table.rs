//! Finding a partition by its topic's name or id.

use std::collections::HashMap;
use std::sync::Arc;

use highwater_types::{TopicId, TopicName};

use super::Partition;

/// A topic and those of its partitions that live on this broker.
pub(crate) struct TopicEntry {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    /// By partition index; `None` where the partition lives on other brokers only.
    pub(crate) partitions: Vec<Option<Arc<Partition>>>,
}

impl TopicEntry {
    /// The partition with this wire index, if it lives here.
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)?.as_ref()
    }
}

/// Every topic of the cluster with the partitions of it that this broker holds.
#[derive(Clone, Default)]
pub(crate) struct PartitionTable {
    by_name: HashMap<TopicName, Arc<TopicEntry>>,
    by_id: HashMap<TopicId, Arc<TopicEntry>>,
}

impl PartitionTable {
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<TopicEntry>> {
        self.by_name.get(name)
    }

    pub(crate) fn by_id(&self, id: TopicId) -> Option<&Arc<TopicEntry>> {
        self.by_id.get(&id)
    }

    /// Adds a topic or replaces what was known of it.
    pub(crate) fn insert(&mut self, entry: TopicEntry) {
        let entry = Arc::new(entry);
        self.by_id.insert(entry.id, Arc::clone(&entry));
        if let Some(old) = self.by_name.insert(entry.name.clone(), Arc::clone(&entry))
            && old.id != entry.id
        {
            self.by_id.remove(&old.id);
        }
    }

    pub(crate) fn remove(&mut self, id: TopicId) -> Option<Arc<TopicEntry>> {
        let entry = self.by_id.remove(&id)?;
        if self.by_name.get(&entry.name).is_some_and(|named| named.id == id) {
            self.by_name.remove(&entry.name);
        }
        Some(entry)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Arc<TopicEntry>> {
        self.by_id.values()
    }

    /// Every partition on this broker, in no particular order.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.by_id.values().flat_map(|topic| topic.partitions.iter().flatten())
    }
}
