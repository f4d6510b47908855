//! Sets of partitions.

use highwater_types::{PartitionIndex, TopicId};

/// A set of partitions of topics known by id.
///
/// Sorted vectors: what a member owns is compared, searched and copied far more often than changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    /// Sorted by id; no partition list is empty; each is sorted without repeats.
    topics: Vec<(TopicId, Vec<PartitionIndex>)>,
}

impl Partitions {
    /// The empty set.
    pub const EMPTY: Self = Self { topics: Vec::new() };

    /// Whether there is no partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.topics.iter().map(|(_, partitions)| partitions.len()).sum()
    }

    /// Topics with their partitions, both in order.
    pub fn topics(&self) -> impl ExactSizeIterator<Item = (TopicId, &[PartitionIndex])> {
        self.topics.iter().map(|(topic, partitions)| (*topic, partitions.as_slice()))
    }

    /// All partitions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        self.topics().flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
    }

    /// The partitions of one topic, in order.
    #[must_use]
    pub fn of(&self, topic: TopicId) -> &[PartitionIndex] {
        self.find(topic).map_or(&[], |at| &self.topics[at].1)
    }

    /// Whether the set has this partition.
    #[must_use]
    pub fn contains(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.of(topic).binary_search(&partition).is_ok()
    }

    /// Whether `other` has every partition of this set.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }

    /// Adds a partition; `false` if it was there.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        match self.topics.binary_search_by_key(&topic, |(topic, _)| *topic) {
            Ok(at) => {
                let partitions = &mut self.topics[at].1;
                match partitions.binary_search(&partition) {
                    Ok(_) => false,
                    Err(at) => {
                        partitions.insert(at, partition);
                        true
                    }
                }
            }
            Err(at) => {
                self.topics.insert(at, (topic, vec![partition]));
                true
            }
        }
    }

    /// Removes a partition; `false` if it was not there.
    pub fn remove(&mut self, topic: TopicId, partition: PartitionIndex) -> bool {
        let Some(at) = self.find(topic) else { return false };
        let partitions = &mut self.topics[at].1;
        let Ok(found) = partitions.binary_search(&partition) else { return false };
        partitions.remove(found);
        if partitions.is_empty() {
            self.topics.remove(at);
        }
        true
    }

    /// The partitions that both sets have.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|(topic, partition)| other.contains(*topic, *partition)).collect()
    }

    /// The partitions of this set that `other` does not have.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.iter().filter(|(topic, partition)| !other.contains(*topic, *partition)).collect()
    }

    /// The partitions that either set has.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    fn find(&self, topic: TopicId) -> Option<usize> {
        self.topics.binary_search_by_key(&topic, |(topic, _)| *topic).ok()
    }
}

impl FromIterator<(TopicId, PartitionIndex)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionIndex)>>(partitions: I) -> Self {
        let mut sorted: Vec<_> = partitions.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut topics: Vec<(TopicId, Vec<PartitionIndex>)> = Vec::new();
        for (topic, partition) in sorted {
            match topics.last_mut() {
                Some((last, partitions)) if *last == topic => partitions.push(partition),
                _ => topics.push((topic, vec![partition])),
            }
        }
        Self { topics }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::Uuid;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Model = BTreeSet<(TopicId, PartitionIndex)>;

    fn set() -> impl Strategy<Value = Model> {
        let partition = (0..4_u8, 0..6_u32)
            .prop_map(|(topic, index)| (TopicId(Uuid::from_bytes([topic; 16])), PartitionIndex::new(index)));
        prop::collection::btree_set(partition, 0..16)
    }

    fn model(partitions: &Partitions) -> Model {
        partitions.iter().collect()
    }

    proptest! {
        #[test]
        fn like_a_tree_set(a in set(), b in set()) {
            let (left, right): (Partitions, Partitions) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(model(&left), a.clone());
            prop_assert_eq!(left.count(), a.len());
            prop_assert_eq!(left.is_empty(), a.is_empty());
            prop_assert_eq!(left.is_subset(&right), a.is_subset(&b));
            prop_assert_eq!(model(&left.intersection(&right)), &a & &b);
            prop_assert_eq!(model(&left.difference(&right)), &a - &b);
            prop_assert_eq!(model(&left.union(&right)), &a | &b);
            let (mut grown, mut grown_model) = (left.clone(), a.clone());
            for (topic, partition) in &b {
                prop_assert_eq!(grown.insert(*topic, *partition), grown_model.insert((*topic, *partition)));
            }
            prop_assert_eq!(&grown, &left.union(&right));
            for (topic, partition) in &b {
                prop_assert_eq!(grown.remove(*topic, *partition), grown_model.remove(&(*topic, *partition)));
                prop_assert!(!grown.contains(*topic, *partition));
            }
            prop_assert_eq!(&grown, &left.difference(&right));
        }
    }
}
