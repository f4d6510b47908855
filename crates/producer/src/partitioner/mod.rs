//! Which partition a record goes to.

mod keyed;
mod round_robin;
mod sticky;

pub use keyed::{ConsistentRandom, KeyHash};
pub use round_robin::RoundRobin;

pub(crate) use sticky::{Queue, Sticky, choose};

use highwater_types::{PartitionIndex, TopicName};

use crate::{PartitionerKind, ProducerConfig};

/// What a partitioner may look at.
#[derive(Clone, Copy, Debug)]
pub struct PartitionQuery<'a> {
    /// The record's topic.
    pub topic: &'a TopicName,
    /// The record's key; `None` for null.
    pub key: Option<&'a [u8]>,
    /// The record's value; `None` for null.
    pub value: Option<&'a [u8]>,
    /// Partitions of the topic: at least one.
    pub partition_count: u32,
    /// Those that have a leader, in ascending order.
    pub available: &'a [PartitionIndex],
    /// Random bits, new for every record.
    pub random: u64,
}

/// What a partitioner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// This one.
    Partition(PartitionIndex),
    /// Whichever is convenient: the producer fills a batch of one partition and then goes on with another (KIP-480,
    /// KIP-794), so that records without a key make few, large batches.
    Sticky,
}

/// Chooses a partition for every record whose application has not.
pub trait Partitioner {
    /// The partition for a record. One that the topic does not have is refused.
    fn partition(&mut self, query: &PartitionQuery<'_>) -> PartitionChoice;
}

impl PartitionerKind {
    /// The partitioner that a config names.
    #[must_use]
    pub fn build(self, config: &ProducerConfig) -> Box<dyn Partitioner + Send> {
        match self {
            Self::Default => Box::new(KeyHash { ignore_keys: config.ignore_keys }),
            Self::RoundRobin => Box::new(RoundRobin::default()),
            Self::ConsistentRandom => Box::new(ConsistentRandom),
        }
    }
}
