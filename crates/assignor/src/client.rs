//! The assignors that clients run in the classic protocol, where the leader of a group assigns.
//!
//! They differ from those of the coordinator in what they are told: topics have names, and what members own is what
//! they claim, each for the generation in which it was theirs.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{PartitionIndex, TopicId, Uuid};

use crate::{Partitions, range as range_by_id, uniform};

/// Partitions by the name of their topic.
pub type NamedPartitions = BTreeMap<String, Vec<PartitionIndex>>;

/// A member of a group, as its leader knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Topics that it subscribes to.
    pub topics: Vec<String>,
    /// What it says it owns. Only the sticky assignors look at it.
    pub owned: NamedPartitions,
    /// In which generation it owned that; older than any if it does not say.
    pub generation: Option<i32>,
}

/// Contiguous ranges of each topic, the first members getting one more where they do not divide evenly. Like Java's
/// `RangeAssignor`, without racks.
///
/// Topics with the same number of partitions and the same subscribers are divided alike. What members owned does not
/// matter. The result has the order of `members`; `partitions` are the topics that exist. Takes O(m log m + t + p) for m
/// members with t subscriptions and p partitions.
///
/// ```
/// use highwater_assignor::client::{Member, range};
///
/// let member = |id: &str| Member { id: id.into(), topics: vec!["t".into()], ..Member::default() };
/// let assigned = range(&[member("a"), member("b")], &[("t".to_owned(), 3)].into());
/// assert_eq!((assigned[0]["t"].len(), assigned[1]["t"].len()), (2, 1));
/// ```
#[must_use]
pub fn range(members: &[Member], partitions: &BTreeMap<String, u32>) -> Vec<NamedPartitions> {
    let names = Names::new(partitions);
    names.assign(members, |_| Partitions::EMPTY, |views, count| range_by_id(views, count))
}

/// All partitions of all topics, in order, dealt to the members in a circle; who does not subscribe to a topic is passed
/// over. Like Java's `RoundRobinAssignor`.
///
/// Even within one where all subscribe to the same topics; where they do not it may be far from even. What members owned
/// does not matter. The result has the order of `members`. Takes O(m log m + p · m) at worst.
///
/// ```
/// use highwater_assignor::client::{Member, round_robin};
///
/// let member = |id: &str| Member { id: id.into(), topics: vec!["t".into(), "u".into()], ..Member::default() };
/// let topics = [("t".to_owned(), 3), ("u".to_owned(), 3)].into();
/// let assigned = round_robin(&[member("a"), member("b")], &topics);
/// assert_eq!((assigned[0]["t"].len(), assigned[0]["u"].len()), (2, 1));
/// ```
#[must_use]
pub fn round_robin(members: &[Member], partitions: &BTreeMap<String, u32>) -> Vec<NamedPartitions> {
    let mut assigned = vec![NamedPartitions::new(); members.len()];
    let mut circle: Vec<usize> = (0..members.len()).collect();
    circle.sort_by_key(|at| rank(&members[*at]));
    let mut next = 0;
    for (topic, count) in partitions {
        if !members.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for partition in 0..*count {
            while !members[circle[next % circle.len()]].topics.contains(topic) {
                next += 1;
            }
            let to = circle[next % circle.len()];
            assigned[to].entry(topic.clone()).or_default().push(PartitionIndex::new(partition));
            next += 1;
        }
    }
    assigned
}

/// As even as can be, and with as few moves as that allows. Like Java's `StickyAssignor`.
///
/// Fairness and movement are those of [`uniform`]. A claim of an older generation gives way to one of a newer; of two
/// claims of the same generation neither counts, since one of the members must have lost the partition unawares.
///
/// The result has the order of `members`. Takes what [`uniform`] takes.
///
/// ```
/// use highwater_assignor::client::{Member, sticky};
///
/// let topics = [("t".to_owned(), 4)].into();
/// let member = |id: &str| Member { id: id.into(), topics: vec!["t".into()], ..Member::default() };
/// let first = sticky(&[member("a")], &topics);
/// let a = Member { owned: first[0].clone(), generation: Some(1), ..member("a") };
/// let second = sticky(&[a, member("b")], &topics);
/// assert!(second[0]["t"].iter().all(|partition| first[0]["t"].contains(partition)));
/// assert_eq!(second[1]["t"].len(), 2);
/// ```
#[must_use]
pub fn sticky(members: &[Member], partitions: &BTreeMap<String, u32>) -> Vec<NamedPartitions> {
    let names = Names::new(partitions);
    let claims = names.claims(members);
    names.assign(members, |at| claims[at].clone(), |views, count| uniform(views, count))
}

/// The result of [`sticky`] without what would go from one member to another: the one that has it gives it back first,
/// and the next rebalance hands it out (KIP-429). Like Java's `CooperativeStickyAssignor`.
///
/// The result has the order of `members`. Takes what [`uniform`] takes.
///
/// ```
/// use highwater_assignor::client::{Member, cooperative_sticky};
///
/// let topics = [("t".to_owned(), 4)].into();
/// let member = |id: &str| Member { id: id.into(), topics: vec!["t".into()], ..Member::default() };
/// let first = cooperative_sticky(&[member("a")], &topics);
/// let a = Member { owned: first[0].clone(), generation: Some(1), ..member("a") };
/// let second = cooperative_sticky(&[a, member("b")], &topics);
/// assert_eq!((second[0]["t"].len(), second[1].len()), (2, 0));
/// ```
#[must_use]
pub fn cooperative_sticky(members: &[Member], partitions: &BTreeMap<String, u32>) -> Vec<NamedPartitions> {
    let names = Names::new(partitions);
    let mut holders: BTreeMap<(TopicId, PartitionIndex), usize> = BTreeMap::new();
    for (at, claimed) in names.claims(members).iter().enumerate() {
        holders.extend(claimed.iter().map(|partition| (partition, at)));
    }
    let mut assigned = sticky(members, partitions);
    for (at, given) in assigned.iter_mut().enumerate() {
        for (topic, partitions) in given.iter_mut() {
            let Some(id) = names.id(topic) else { continue };
            partitions.retain(|partition| holders.get(&(id, *partition)).is_none_or(|holder| *holder == at));
        }
        given.retain(|_, partitions| !partitions.is_empty());
    }
    assigned
}

/// Static members first, by instance id, then the others by their own, as Java compares them.
fn rank(member: &Member) -> (bool, &str) {
    (member.instance_id.is_none(), member.instance_id.as_deref().unwrap_or(&member.id))
}

/// The topics that exist, numbered in the order of their names, for the assignors that know ids.
struct Names<'a> {
    counts: Vec<(&'a str, u32)>,
}

impl<'a> Names<'a> {
    fn new(partitions: &'a BTreeMap<String, u32>) -> Self {
        Self { counts: partitions.iter().map(|(name, count)| (name.as_str(), *count)).collect() }
    }

    fn id(&self, name: &str) -> Option<TopicId> {
        let at = self.counts.binary_search_by_key(&name, |(name, _)| name).ok()?;
        let number = u128::try_from(at).ok()?;
        Some(TopicId(Uuid::from_bytes(number.to_be_bytes())))
    }

    fn at(&self, id: TopicId) -> Option<(&'a str, u32)> {
        let at = usize::try_from(u128::from_be_bytes(*id.0.as_bytes())).ok()?;
        self.counts.get(at).copied()
    }

    /// What each member may keep: its claims that nobody contests with as good a right.
    fn claims(&self, members: &[Member]) -> Vec<Partitions> {
        let mut best: BTreeMap<(TopicId, PartitionIndex), (Option<i32>, Option<usize>)> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            for (topic, partitions) in &member.owned {
                let Some(id) = self.id(topic) else { continue };
                for partition in partitions.iter().copied().collect::<BTreeSet<_>>() {
                    let claim = best.entry((id, partition)).or_insert((member.generation, Some(at)));
                    if claim.0 < member.generation {
                        *claim = (member.generation, Some(at));
                    } else if claim.0 == member.generation && claim.1 != Some(at) {
                        claim.1 = None;
                    }
                }
            }
        }
        let mut claims = vec![Vec::new(); members.len()];
        for (partition, (_, holder)) in best {
            if let Some(at) = holder {
                claims[at].push(partition);
            }
        }
        claims.into_iter().map(|partitions| partitions.into_iter().collect()).collect()
    }

    /// Lets an assignor that knows ids assign.
    fn assign(
        &self,
        members: &[Member],
        owned: impl Fn(usize) -> Partitions,
        assign: impl FnOnce(&[crate::Member<'_>], &dyn Fn(TopicId) -> u32) -> Vec<Partitions>,
    ) -> Vec<NamedPartitions> {
        let prepared: Vec<(Vec<TopicId>, Partitions)> = members
            .iter()
            .enumerate()
            .map(|(at, member)| {
                let topics: BTreeSet<TopicId> = member.topics.iter().filter_map(|topic| self.id(topic)).collect();
                (topics.into_iter().collect(), owned(at))
            })
            .collect();
        let views: Vec<crate::Member<'_>> = members
            .iter()
            .zip(&prepared)
            .map(|(member, (topics, owned))| crate::Member {
                id: &member.id,
                instance_id: member.instance_id.as_deref(),
                topics,
                owned,
            })
            .collect();
        let count = |id| self.at(id).map_or(0, |(_, count)| count);
        let named = |assigned: Partitions| {
            let topics =
                assigned.topics().filter_map(|(id, partitions)| Some((self.at(id)?.0.to_owned(), partitions.to_vec())));
            topics.collect()
        };
        assign(&views, &count).into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Flat = BTreeSet<(String, u32)>;

    fn flat(named: &NamedPartitions) -> Flat {
        let each = |(topic, partitions): (&String, &Vec<PartitionIndex>)| {
            partitions.iter().map(|partition| (topic.clone(), partition.value())).collect::<Vec<_>>()
        };
        named.iter().flat_map(each).collect()
    }

    fn member(id: &str, topics: &[&str]) -> Member {
        Member { id: id.into(), topics: topics.iter().map(|topic| (*topic).into()).collect(), ..Member::default() }
    }

    fn shown(assigned: &[NamedPartitions]) -> Vec<String> {
        let show = |named: &NamedPartitions| {
            let each: Vec<String> =
                flat(named).iter().map(|(topic, partition)| format!("{topic}{partition}")).collect();
            each.join(" ")
        };
        assigned.iter().map(show).collect()
    }

    /// The examples in the documentation of Java's assignors.
    #[test]
    fn the_examples_of_javas_assignors_come_out() {
        let topics = [("t0".to_owned(), 3), ("t1".to_owned(), 3)].into();
        let two = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
        assert_eq!(shown(&range(&two, &topics)), ["t00 t01 t10 t11", "t02 t12"]);
        assert_eq!(shown(&round_robin(&two, &topics)), ["t00 t02 t11", "t01 t10 t12"]);
        let topics = [("t0".to_owned(), 1), ("t1".to_owned(), 2), ("t2".to_owned(), 3)].into();
        let three = [member("C0", &["t0"]), member("C1", &["t0", "t1"]), member("C2", &["t0", "t1", "t2"])];
        assert_eq!(shown(&round_robin(&three, &topics)), ["t00", "t10", "t11 t20 t21 t22"]);
        assert_eq!(shown(&sticky(&three, &topics)), ["t00", "t10 t11", "t20 t21 t22"]);
    }

    #[test]
    fn of_two_claims_the_newer_counts_and_of_equal_ones_none() {
        let topics = [("t".to_owned(), 2)].into();
        let claims = |id: &str, generation| Member {
            owned: [("t".to_owned(), vec![PartitionIndex::new(0)])].into(),
            generation: Some(generation),
            ..member(id, &["t"])
        };
        let names = Names::new(&topics);
        let kept = |members: &[Member]| names.claims(members).iter().map(Partitions::count).collect::<Vec<_>>();
        assert_eq!(kept(&[claims("a", 1), claims("b", 2)]), [0, 1]);
        assert_eq!(kept(&[claims("a", 2), claims("b", 1)]), [1, 0]);
        assert_eq!(kept(&[claims("a", 2), claims("b", 2)]), [0, 0]);
        assert_eq!(kept(&[claims("a", 2), claims("b", 2), claims("c", 3)]), [0, 0, 1]);
    }

    fn group() -> impl Strategy<Value = (Vec<Member>, BTreeMap<String, u32>)> {
        let name = || prop::sample::select(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        let owned = prop::collection::btree_map(
            name(),
            prop::collection::vec((0..6_u32).prop_map(PartitionIndex::new), 0..4),
            0..3,
        );
        let one = (prop::collection::vec(name(), 0..4), owned, prop::option::of(0..3_i32));
        (prop::collection::vec(one, 1..6), prop::collection::btree_map(name(), 0..6_u32, 0..4)).prop_map(
            |(members, topics)| {
                let make = |(at, (topics, owned, generation))| Member {
                    id: format!("m{at}"),
                    instance_id: None,
                    topics,
                    owned,
                    generation,
                };
                (members.into_iter().enumerate().map(make).collect(), topics)
            },
        )
    }

    fn all(members: &[Member], topics: &BTreeMap<String, u32>) -> Flat {
        let subscribed = topics.iter().filter(|(topic, _)| members.iter().any(|member| member.topics.contains(topic)));
        subscribed.flat_map(|(topic, count)| (0..*count).map(move |partition| (topic.clone(), partition))).collect()
    }

    proptest! {
        #[test]
        fn everything_has_one_owner_who_subscribes((members, topics) in group()) {
            for assigned in [range(&members, &topics), round_robin(&members, &topics), sticky(&members, &topics)] {
                let mut owners = Flat::new();
                for (member, given) in members.iter().zip(&assigned) {
                    for partition in flat(given) {
                        prop_assert!(member.topics.contains(&partition.0));
                        prop_assert!(owners.insert(partition));
                    }
                }
                prop_assert_eq!(owners, all(&members, &topics));
            }
        }

        #[test]
        fn cooperation_takes_two_steps((members, topics) in group()) {
            let first = cooperative_sticky(&members, &topics);
            let claims = Names::new(&topics).claims(&members);
            let names = Names::new(&topics);
            for (at, given) in first.iter().enumerate() {
                for (topic, partition) in flat(given) {
                    let id = names.id(&topic).unwrap();
                    let holder = claims.iter().position(|claimed| claimed.contains(id, PartitionIndex::new(partition)));
                    prop_assert!(holder.is_none_or(|holder| holder == at));
                }
            }
            let holding = |assigned: &[NamedPartitions]| -> Vec<Member> {
                let hold = |(member, owned): (&Member, &NamedPartitions)| Member {
                    owned: owned.clone(),
                    generation: Some(9),
                    ..member.clone()
                };
                members.iter().zip(assigned).map(hold).collect()
            };
            let second = cooperative_sticky(&holding(&first), &topics);
            let third = cooperative_sticky(&holding(&second), &topics);
            let held: Flat = third.iter().flat_map(flat).collect();
            prop_assert_eq!(held, all(&members, &topics));
            prop_assert_eq!(cooperative_sticky(&holding(&third), &topics), third);
        }
    }
}
