//! One partition until it has had a batch's worth: for records without a key.

use highwater_types::PartitionIndex;

/// The partition that records without a key go to at present, of one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<PartitionIndex>,
    /// What it has had since it was chosen.
    produced_bytes: u64,
}

impl Sticky {
    /// The partition, unless another has to be chosen first.
    pub(crate) const fn partition(&self) -> Option<PartitionIndex> {
        self.partition
    }

    /// Stays with `partition` from now on.
    pub(crate) const fn set(&mut self, partition: PartitionIndex) {
        self.partition = Some(partition);
        self.produced_bytes = 0;
    }

    /// Counts what has been added, and leaves the partition once it has had a batch's worth: at the end of a batch,
    /// lest a small one be left behind, unless twice as much has been added without one.
    pub(crate) const fn add(&mut self, bytes: u64, batch_bytes: u64, batches_are_full: bool) {
        self.produced_bytes = self.produced_bytes.saturating_add(bytes);
        let enough = batch_bytes <= self.produced_bytes && batches_are_full;
        if enough || batch_bytes.saturating_mul(2) <= self.produced_bytes {
            self.partition = None;
        }
    }
}

/// A partition that could be chosen, and how many batches wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue {
    pub(crate) partition: PartitionIndex,
    pub(crate) batches: u64,
}

/// One of `queues` at random, the more likely the shorter it is (KIP-794): with the length of the longest as the measure
/// of nearly never. `None` if there are none.
pub(crate) fn choose(queues: impl Iterator<Item = Queue> + Clone, random: u64) -> Option<PartitionIndex> {
    let longest = queues.clone().map(|queue| queue.batches).max()?;
    let weight = |queue: &Queue| longest.saturating_sub(queue.batches).saturating_add(1);
    let sum = queues.clone().fold(0, |sum: u64, queue| sum.saturating_add(weight(&queue)));
    let mut left = random.checked_rem(sum)?;
    for queue in queues {
        let weight = weight(&queue);
        if left < weight {
            return Some(queue.partition);
        }
        left -= weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(lengths: &[u64]) -> Vec<Queue> {
        let partitions = (0..).map(PartitionIndex::new);
        partitions.zip(lengths).map(|(partition, batches)| Queue { partition, batches: *batches }).collect()
    }

    /// How often each partition is chosen, if every remainder comes up once.
    fn frequencies(lengths: &[u64], sum: u64) -> Vec<usize> {
        let queues = queues(lengths);
        let chosen: Vec<u32> = (0..sum).map(|random| choose(queues.iter().copied(), random).unwrap().value()).collect();
        (0..lengths.len() as u32).map(|partition| chosen.iter().filter(|other| **other == partition).count()).collect()
    }

    /// KIP-794's example: queues of 0, 3 and 1 batches are chosen in the ratio 4 : 1 : 3.
    #[test]
    fn short_queues_are_more_likely() {
        assert_eq!(frequencies(&[0, 3, 1], 8), [4, 1, 3]);
        assert_eq!(frequencies(&[2, 2, 2], 3), [1, 1, 1]);
        assert_eq!(frequencies(&[7], 1), [1]);
    }

    #[test]
    fn no_queue_is_no_choice() {
        assert_eq!(choose(core::iter::empty(), 5), None);
    }

    #[test]
    fn a_partition_is_left_at_the_end_of_a_batch_or_after_two() {
        let mut sticky = Sticky::default();
        sticky.set(PartitionIndex::new(3));
        sticky.add(60, 100, true);
        assert_eq!(sticky.partition(), Some(PartitionIndex::new(3)), "less than a batch");
        sticky.add(60, 100, false);
        assert_eq!(sticky.partition(), Some(PartitionIndex::new(3)), "in the middle of a batch");
        sticky.add(60, 100, true);
        assert_eq!(sticky.partition(), None, "at the end of one");
        sticky.set(PartitionIndex::new(4));
        sticky.add(200, 100, false);
        assert_eq!(sticky.partition(), None, "twice as much");
    }
}
