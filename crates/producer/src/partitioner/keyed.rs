//! By the hash of the key.

use highwater_records::crc32;
use highwater_types::{PartitionIndex, murmur2_partition};

use super::{PartitionChoice, PartitionQuery, Partitioner};

/// Kafka's own partitioner: by murmur2 of the key, as every Java client has it.
///
/// An empty key is a key; only null is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHash {
    /// Whether records with a key are treated as if they had none.
    pub ignore_keys: bool,
}

impl Partitioner for KeyHash {
    fn partition(&mut self, query: &PartitionQuery<'_>) -> PartitionChoice {
        match query.key {
            Some(key) if !self.ignore_keys => PartitionChoice::Partition(murmur2_partition(key, query.partition_count)),
            _ => PartitionChoice::Sticky,
        }
    }
}

/// librdkafka's default, `consistent_random`: by CRC-32 of the key, so that both kinds of client agree on a key.
///
/// An empty key counts as none.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsistentRandom;

impl Partitioner for ConsistentRandom {
    fn partition(&mut self, query: &PartitionQuery<'_>) -> PartitionChoice {
        match query.key {
            None | Some([]) => PartitionChoice::Sticky,
            Some(key) => PartitionChoice::Partition(PartitionIndex::new(crc32(key) % query.partition_count)),
        }
    }
}
