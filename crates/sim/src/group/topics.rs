//! The topics of the simulated cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::Topics;
use highwater_types::{PartitionIndex, TopicId, Uuid};

/// One version of the metadata.
#[derive(Clone, Debug, Default)]
pub(super) struct SimTopics {
    version: i64,
    by_name: BTreeMap<Arc<str>, (TopicId, u32)>,
}

impl SimTopics {
    /// Makes a topic, or lets it grow.
    pub(super) fn put(&mut self, name: &str, partitions: u32) {
        self.version += 1;
        let number = u128::try_from(self.version).expect("versions count up") + 1000;
        let entry = self.by_name.entry(Arc::from(name));
        let (_, count) = entry.or_insert((TopicId(Uuid::from_bytes(number.to_be_bytes())), 0));
        *count = partitions.max(*count);
    }

    /// Deletes a topic; whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.version += 1;
        self.by_name.remove(name).is_some()
    }

    pub(super) fn count(&self, name: &str) -> u32 {
        self.by_name.get(name).map_or(0, |(_, count)| *count)
    }

    pub(super) fn name_of(&self, id: TopicId) -> Option<Arc<str>> {
        self.by_name.iter().find(|(_, (known, _))| *known == id).map(|(name, _)| Arc::clone(name))
    }

    pub(super) fn id_of(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).map(|(id, _)| *id)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }
}

impl Topics for SimTopics {
    fn version(&self) -> i64 {
        self.version
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, u32)> {
        self.by_name.get(name).copied()
    }

    fn by_id(&self, id: TopicId) -> Option<(&str, u32)> {
        let found = self.by_name.iter().find(|(_, (known, _))| *known == id);
        found.map(|(name, (_, count))| (&**name, *count))
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.by_name.keys().for_each(|name| visit(name));
    }

    fn racks(&self, _id: TopicId, _partition: PartitionIndex) -> Vec<&str> {
        Vec::new()
    }
}
