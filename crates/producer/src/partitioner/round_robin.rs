//! One after the other.

use std::collections::BTreeMap;

use highwater_types::{PartitionIndex, TopicName};

use super::{PartitionChoice, PartitionQuery, Partitioner};

/// Kafka's `RoundRobinPartitioner`: every record to the next partition of its topic that has a leader, whatever its key;
/// to the next of all of them while none has.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    /// How many records each topic has had.
    counts: BTreeMap<TopicName, u64>,
}

impl Partitioner for RoundRobin {
    fn partition(&mut self, query: &PartitionQuery<'_>) -> PartitionChoice {
        if !self.counts.contains_key(query.topic) {
            self.counts.insert(query.topic.clone(), 0);
        }
        let count = self.counts.get_mut(query.topic).expect("it was there or has been inserted");
        let number = *count;
        *count = count.wrapping_add(1);
        let among = |length: u64| number.checked_rem(length).unwrap_or(0);
        let available = usize::try_from(among(query.available.len() as u64)).ok().and_then(|i| query.available.get(i));
        // Below the count of partitions, which fits 31 bits.
        let any = || PartitionIndex::new(among(query.partition_count.into()) as u32);
        PartitionChoice::Partition(available.copied().unwrap_or_else(any))
    }
}
