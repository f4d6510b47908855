//! The topics of the cluster, as groups see them.

use highwater_types::{PartitionIndex, TopicId};

/// Looks topics up in one immutable version of the cluster's metadata.
pub trait Topics: Send + Sync {
    /// Grows with every change; written into resolved regular expressions.
    fn version(&self) -> i64;

    /// Id and number of partitions of a topic.
    fn by_name(&self, name: &str) -> Option<(TopicId, u32)>;

    /// Name and number of partitions of a topic.
    fn by_id(&self, id: TopicId) -> Option<(&str, u32)>;

    /// Calls `visit` with the name of every topic, in order.
    fn for_each_name(&self, visit: &mut dyn FnMut(&str));

    /// Racks of the brokers that hold a replica of a partition, in no order; empty where brokers have none.
    fn racks(&self, id: TopicId, partition: PartitionIndex) -> Vec<&str>;
}
