//! Contiguous ranges of each topic.

use std::collections::BTreeMap;

use highwater_types::{PartitionIndex, TopicId};

use crate::{Member, Partitions};

/// Gives each member a contiguous range of every topic that it subscribes to: Kafka's server-side `range`.
///
/// For each topic its subscribers are put in order, static members first, and the partitions are divided among them;
/// the first ones get one more where they do not divide evenly. Topics with the same number of partitions and the same
/// subscribers are divided alike, so that joins of co-partitioned topics find both sides on one member.
///
/// What members owned before does not matter: when one comes or goes, ranges shift.
///
/// The result has the order of `members`. Takes O(m log m + t + p) for m members with t subscriptions in all, and p
/// partitions.
///
/// ```
/// use highwater_assignor::{Member, Partitions, range};
/// use highwater_types::{PartitionIndex, TopicId, Uuid};
///
/// let topic = TopicId(Uuid::from_bytes([1; 16]));
/// let (topics, nothing) = ([topic], Partitions::EMPTY);
/// let member = |id| Member { id, instance_id: None, topics: &topics, owned: &nothing };
/// let assigned = range(&[member("b"), member("a")], |_| 3);
/// assert_eq!(assigned[1].of(topic), [PartitionIndex::new(0), PartitionIndex::new(1)]);
/// assert_eq!(assigned[0].of(topic), [PartitionIndex::new(2)]);
/// ```
#[must_use]
pub fn range(members: &[Member<'_>], partitions_of: impl Fn(TopicId) -> u32) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|at| members[*at].rank());
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for at in order {
        for topic in members[at].topics {
            subscribers.entry(*topic).or_default().push(at);
        }
    }
    let mut assigned: Vec<Vec<(TopicId, PartitionIndex)>> = vec![Vec::new(); members.len()];
    for (topic, subscribers) in subscribers {
        let (count, sharers) = (partitions_of(topic), u32::try_from(subscribers.len()).unwrap_or(u32::MAX));
        let (each, more) = (count / sharers, count % sharers);
        let mut next = 0;
        for (rank, at) in (0..).zip(subscribers) {
            let end = next + each + u32::from(rank < more);
            assigned[at].extend((next..end).map(|partition| (topic, PartitionIndex::new(partition))));
            next = end;
        }
    }
    assigned.into_iter().map(|partitions| partitions.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, case, check_owners};
    use highwater_types::Uuid;
    use proptest::prelude::*;

    fn topic(number: u8) -> TopicId {
        TopicId(Uuid::from_bytes([number; 16]))
    }

    fn of(assigned: &Partitions, number: u8) -> Vec<u32> {
        assigned.of(topic(number)).iter().map(|partition| partition.value()).collect()
    }

    #[test]
    fn co_partitioned_topics_are_divided_alike_and_static_members_come_first() {
        let (topics, nothing) = ([topic(1), topic(2)], Partitions::EMPTY);
        let member = |id, instance_id| Member { id, instance_id, topics: &topics, owned: &nothing };
        let members = [member("a", None), member("z", Some("i")), member("b", None)];
        let assigned = range(&members, |_| 7);
        for number in [1, 2] {
            assert_eq!(of(&assigned[1], number), [0, 1, 2]);
            assert_eq!(of(&assigned[0], number), [3, 4]);
            assert_eq!(of(&assigned[2], number), [5, 6]);
        }
    }

    #[test]
    fn with_more_members_than_partitions_the_last_get_nothing() {
        let (topics, nothing) = ([topic(1)], Partitions::EMPTY);
        let member = |id| Member { id, instance_id: None, topics: &topics, owned: &nothing };
        let assigned = range(&[member("c"), member("a"), member("b")], |_| 2);
        assert_eq!((of(&assigned[1], 1), of(&assigned[2], 1), of(&assigned[0], 1)), (vec![0], vec![1], vec![]));
        assert!(range(&[], |_| 3).is_empty());
    }

    proptest! {
        #[test]
        fn everything_has_one_owner_and_each_topic_is_even(case in case()) {
            let Case { members, counts } = &case;
            let views = case.views();
            let assigned = range(&views, |topic| counts[&topic]);
            check_owners(&case, &assigned)?;
            for topic in counts.keys() {
                let sizes = members.iter().zip(&assigned).filter(|(member, _)| member.topics.contains(topic));
                let sizes: Vec<usize> = sizes.map(|(_, assigned)| assigned.of(*topic).len()).collect();
                let (most, least) = (sizes.iter().max().copied(), sizes.iter().min().copied());
                prop_assert!(most.unwrap_or(0) <= least.unwrap_or(0) + 1);
            }
            for partitions in &assigned {
                for (_, partitions) in partitions.topics() {
                    let is_range = partitions.windows(2).all(|pair| pair[0].value() + 1 == pair[1].value());
                    prop_assert!(is_range, "{partitions:?}");
                }
            }
        }
    }
}
