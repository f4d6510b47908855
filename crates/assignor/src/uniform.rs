//! Evenly, and moving as little as possible.

use std::collections::BTreeMap;

use highwater_types::{PartitionIndex, TopicId};

use crate::{Member, Partitions};

/// Gives every member as many partitions as any other, and lets each keep what it has as far as that allows: Kafka's
/// server-side `uniform`, the default of the consumer protocol.
///
/// Where all members subscribe to the same topics, no member has more than one partition more than another, and as few
/// partitions move as any such assignment needs. Takes O(m + p log p) for m members and p partitions.
///
/// Where subscriptions differ, no single move would make the assignment more even, and a partition moves only if that
/// makes it so. Takes O(p · s) for each pass over the p partitions with s subscribers each; every pass but the last
/// makes the assignment more even, and a few are enough in practice.
///
/// The result has the order of `members`.
///
/// ```
/// use highwater_assignor::{Member, Partitions, uniform};
/// use highwater_types::{TopicId, Uuid};
///
/// let topic = TopicId(Uuid::from_bytes([1; 16]));
/// let nothing = Partitions::EMPTY;
/// let first = uniform(&[Member { id: "a", instance_id: None, topics: &[topic], owned: &nothing }], |_| 4);
/// assert_eq!(first[0].count(), 4);
/// // Somebody joins: half of them move, the others stay.
/// let a = Member { id: "a", instance_id: None, topics: &[topic], owned: &first[0] };
/// let b = Member { id: "b", instance_id: None, topics: &[topic], owned: &nothing };
/// let second = uniform(&[a, b], |_| 4);
/// assert!(second[0].is_subset(&first[0]) && second[0].count() == 2);
/// ```
#[must_use]
pub fn uniform(members: &[Member<'_>], partitions_of: impl Fn(TopicId) -> u32) -> Vec<Partitions> {
    let Some(first) = members.first() else { return Vec::new() };
    if members.iter().all(|member| member.topics == first.topics) {
        alike(members, first.topics, &partitions_of)
    } else {
        mixed(members, &partitions_of)
    }
}

type Partition = (TopicId, PartitionIndex);

/// Which partitions are given to somebody.
struct Taken {
    /// By topic, one flag for each partition.
    topics: BTreeMap<TopicId, Vec<bool>>,
}

impl Taken {
    fn new(topics: impl Iterator<Item = TopicId>, partitions_of: &impl Fn(TopicId) -> u32) -> Self {
        Self { topics: topics.map(|topic| (topic, vec![false; partitions_of(topic) as usize])).collect() }
    }

    /// Takes a partition; `false` if it is not there, or somebody has it.
    fn take(&mut self, (topic, partition): Partition) -> bool {
        let flags = self.topics.get_mut(&topic);
        match flags.and_then(|flags| flags.get_mut(partition.value() as usize)) {
            Some(taken) => !std::mem::replace(taken, true),
            None => false,
        }
    }

    fn count(&self) -> usize {
        self.topics.values().map(Vec::len).sum()
    }

    /// What nobody has, in order.
    fn free(&self) -> impl Iterator<Item = Partition> {
        self.topics.iter().flat_map(|(topic, flags)| {
            let free = (0..).zip(flags).filter(|(_, taken)| !**taken);
            free.map(|(partition, _)| (*topic, PartitionIndex::new(partition)))
        })
    }
}

/// All members subscribe to the same topics.
fn alike(members: &[Member<'_>], topics: &[TopicId], partitions_of: &impl Fn(TopicId) -> u32) -> Vec<Partitions> {
    let mut taken = Taken::new(topics.iter().copied(), partitions_of);
    let total = taken.count();
    let each = total / members.len();
    // Those who may have one more.
    let mut more = total % members.len();
    let mut assigned: Vec<Vec<Partition>> = Vec::with_capacity(members.len());
    for member in members {
        let mut kept = Vec::with_capacity(each + 1);
        for partition in member.owned.iter() {
            let may_keep = kept.len() < each || (kept.len() == each && 0 < more);
            if may_keep && taken.take(partition) {
                kept.push(partition);
                more -= usize::from(each < kept.len());
            }
        }
        assigned.push(kept);
    }
    let mut free = taken.free();
    for kept in &mut assigned {
        let missing = each.saturating_sub(kept.len());
        kept.extend(free.by_ref().take(missing));
    }
    for kept in &mut assigned {
        if kept.len() == each
            && let Some(partition) = free.next()
        {
            kept.push(partition);
        }
    }
    assigned.into_iter().map(|partitions| partitions.into_iter().collect()).collect()
}

/// Members subscribe to different topics.
fn mixed(members: &[Member<'_>], partitions_of: &impl Fn(TopicId) -> u32) -> Vec<Partitions> {
    let mut subscribers: BTreeMap<TopicId, Vec<usize>> = BTreeMap::new();
    for (at, member) in members.iter().enumerate() {
        for topic in member.topics {
            subscribers.entry(*topic).or_default().push(at);
        }
    }
    let mut taken = Taken::new(subscribers.keys().copied(), partitions_of);
    let mut owners: BTreeMap<Partition, usize> = BTreeMap::new();
    let mut loads = vec![0_usize; members.len()];
    for (at, member) in members.iter().enumerate() {
        for partition in member.owned.iter() {
            if member.topics.binary_search(&partition.0).is_ok() && taken.take(partition) {
                owners.insert(partition, at);
                loads[at] += 1;
            }
        }
    }
    // Those that few may have come first, while all are still without much.
    let mut free: Vec<Partition> = taken.free().collect();
    free.sort_by_key(|(topic, _)| subscribers[topic].len());
    let least_of = |loads: &[usize], topic: TopicId| {
        subscribers[&topic].iter().copied().min_by_key(|at| loads[*at]).expect("every topic here has a subscriber")
    };
    for partition in free {
        let least = least_of(&loads, partition.0);
        owners.insert(partition, least);
        loads[least] += 1;
    }
    loop {
        let mut has_moved = false;
        for ((topic, _), owner) in &mut owners {
            let least = least_of(&loads, *topic);
            // Each move makes the sum of the squares of the loads smaller, so this ends.
            if loads[least] + 1 < loads[*owner] {
                loads[*owner] -= 1;
                loads[least] += 1;
                *owner = least;
                has_moved = true;
            }
        }
        if !has_moved {
            break;
        }
    }
    let mut assigned: Vec<Vec<Partition>> = vec![Vec::new(); members.len()];
    for (partition, owner) in owners {
        assigned[owner].push(partition);
    }
    assigned.into_iter().map(|partitions| partitions.into_iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, case, case_alike, check_owners};
    use proptest::prelude::*;

    /// How many partitions have an owner that did not have them before.
    fn moved(members: &[Member<'_>], assigned: &[Partitions]) -> usize {
        members.iter().zip(assigned).map(|(member, assigned)| assigned.difference(member.owned).count()).sum()
    }

    /// The fewest partitions that any even assignment can move, by what may stay: everybody keeps up to the quota, and
    /// so many have one more.
    fn fewest_moves(case: &Case, views: &[Member<'_>]) -> usize {
        let total: usize = case.counts.values().map(|count| *count as usize).sum();
        let (each, more) = (total / views.len(), total % views.len());
        let (mut kept, mut larger) = (0, 0);
        let mut seen = Partitions::EMPTY;
        for member in views {
            let exists =
                |(topic, partition): &Partition| case.counts.get(topic).is_some_and(|count| partition.value() < *count);
            let valid: Vec<Partition> = member.owned.iter().filter(exists).collect();
            let own = valid.iter().filter(|(topic, partition)| !seen.contains(*topic, *partition)).count();
            valid.iter().for_each(|(topic, partition)| {
                seen.insert(*topic, *partition);
            });
            kept += own.min(each);
            larger += usize::from(each < own);
        }
        total - kept - larger.min(more)
    }

    proptest! {
        #[test]
        fn members_alike_differ_by_one_and_move_the_least(case in case_alike()) {
            let views = case.views();
            let assigned = uniform(&views, |topic| case.counts[&topic]);
            check_owners(&case, &assigned)?;
            let counts: Vec<usize> = assigned.iter().map(Partitions::count).collect();
            prop_assert!(counts.iter().max().unwrap() <= &(counts.iter().min().unwrap() + 1));
            if case.is_consistent() {
                prop_assert_eq!(moved(&views, &assigned), fewest_moves(&case, &views));
            }
            let again: Vec<Member<'_>> =
                views.iter().zip(&assigned).map(|(member, owned)| Member { owned, ..*member }).collect();
            prop_assert_eq!(uniform(&again, |topic| case.counts[&topic]), assigned);
        }

        #[test]
        fn no_single_move_makes_it_more_even(case in case()) {
            let views = case.views();
            let assigned = uniform(&views, |topic| case.counts[&topic]);
            check_owners(&case, &assigned)?;
            for (at, partitions) in assigned.iter().enumerate() {
                for (topic, _) in partitions.iter() {
                    for (other, member) in views.iter().enumerate() {
                        if member.topics.contains(&topic) {
                            prop_assert!(assigned[at].count() <= assigned[other].count() + 1);
                        }
                    }
                }
            }
            let again: Vec<Member<'_>> =
                views.iter().zip(&assigned).map(|(member, owned)| Member { owned, ..*member }).collect();
            prop_assert_eq!(uniform(&again, |topic| case.counts[&topic]), assigned);
        }
    }
}
