//! Finding what a request names.

use std::sync::Arc;

use highwater_types::{ErrorCode, PartitionIndex, TopicId, Uuid};

use crate::partition::{Partition, TopicEntry};
use crate::view::View;

impl View {
    /// The topic that a request names by id, if it has one, and by name otherwise.
    pub(super) fn topic_by(&self, name: &str, id: Uuid) -> Result<&Arc<TopicEntry>, ErrorCode> {
        if id == Uuid::ZERO {
            self.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)
        } else {
            self.topics.by_id(TopicId(id)).ok_or(ErrorCode::UnknownTopicId)
        }
    }

    /// A partition of `topic` on this broker.
    pub(super) fn partition_of<'t>(&self, topic: &'t TopicEntry, index: i32) -> Result<&'t Arc<Partition>, ErrorCode> {
        if let Some(partition) = topic.partition(index) {
            return Ok(partition);
        }
        let known = PartitionIndex::from_wire(index)
            .and_then(|index| self.image.topic_by_id(topic.id)?.partition(index).map(|state| state.leader));
        Err(match known {
            None => ErrorCode::UnknownTopicOrPartition,
            // It should be here, but its log could not be created or read.
            Some(Some(leader)) if leader == self.image.controller() => ErrorCode::KafkaStorageError,
            Some(_) => ErrorCode::NotLeaderOrFollower,
        })
    }

    /// A partition on this broker, named by its topic's name.
    pub(super) fn partition(&self, topic: &str, index: i32) -> Result<&Arc<Partition>, ErrorCode> {
        let topic = self.topics.by_name(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        self.partition_of(topic, index)
    }
}
