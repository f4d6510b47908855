//! The topics of the metadata, as groups see them.

use highwater_group::Topics;
use highwater_metadata::MetadataImage;
use highwater_types::{Offset, PartitionIndex, TopicId};

/// One version of the metadata.
pub(super) struct MetadataTopics {
    pub(super) image: MetadataImage,
    /// Offset of the last metadata record in it.
    pub(super) version: Offset,
}

impl Topics for MetadataTopics {
    fn version(&self) -> i64 {
        self.version.to_wire()
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, u32)> {
        let topic = self.image.topic(name)?;
        Some((topic.id(), count(topic.partition_count())))
    }

    fn by_id(&self, id: TopicId) -> Option<(&str, u32)> {
        let topic = self.image.topic_by_id(id)?;
        Some((topic.name().as_str(), count(topic.partition_count())))
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.image.topics().for_each(|topic| visit(topic.name().as_str()));
    }

    fn racks(&self, id: TopicId, partition: PartitionIndex) -> Vec<&str> {
        let replicas = self.image.topic_by_id(id).and_then(|topic| topic.partition(partition));
        let replicas = replicas.into_iter().flat_map(|state| &state.replicas);
        replicas.filter_map(|node| self.image.broker(*node)?.rack.as_deref()).collect()
    }
}

fn count(partitions: usize) -> u32 {
    u32::try_from(partitions).unwrap_or(u32::MAX)
}
