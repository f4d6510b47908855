//! Random groups for the tests of assignors.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{PartitionIndex, TopicId, Uuid};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::{Member, Partitions};

/// A group and the topics there are.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) members: Vec<Owner>,
    pub(crate) counts: BTreeMap<TopicId, u32>,
}

/// A member that owns its data.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) id: String,
    pub(crate) topics: Vec<TopicId>,
    pub(crate) owned: Partitions,
}

impl Case {
    pub(crate) fn views(&self) -> Vec<Member<'_>> {
        let views =
            self.members.iter().map(|Owner { id, topics, owned }| Member { id, instance_id: None, topics, owned });
        views.collect()
    }

    /// Whether no partition was owned twice.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.members.iter().flat_map(|member| member.owned.iter()).all(|partition| seen.insert(partition))
    }
}

fn topic(number: u8) -> TopicId {
    TopicId(Uuid::from_bytes([number; 16]))
}

fn owned() -> impl Strategy<Value = Partitions> {
    let partition = (0..5_u8, 0..12_u32).prop_map(|(number, index)| (topic(number), PartitionIndex::new(index)));
    prop::collection::vec(partition, 0..12).prop_map(|partitions| partitions.into_iter().collect())
}

fn counts() -> impl Strategy<Value = BTreeMap<TopicId, u32>> {
    prop::collection::btree_map((0..4_u8).prop_map(topic), 0..12_u32, 1..4)
}

/// Members subscribe to whatever there is.
pub(crate) fn case() -> impl Strategy<Value = Case> {
    let member = (prop::collection::btree_set(0..4_u8, 0..4), owned());
    (counts(), prop::collection::vec(member, 1..8)).prop_map(|(counts, members)| {
        let owner = |(at, (topics, owned)): (usize, (BTreeSet<u8>, Partitions))| Owner {
            id: format!("m{at}"),
            topics: topics.into_iter().map(topic).filter(|topic| counts.contains_key(topic)).collect(),
            owned,
        };
        let members = members.into_iter().enumerate().map(owner).collect();
        Case { members, counts }
    })
}

/// All members subscribe to everything, and mostly own what nobody else does.
pub(crate) fn case_alike() -> impl Strategy<Value = Case> {
    (counts(), prop::collection::vec(owned(), 1..8), any::<bool>()).prop_map(|(counts, owned, overlaps)| {
        let mut seen = Partitions::EMPTY;
        let members = owned.into_iter().enumerate().map(|(at, owned)| {
            let owned = if overlaps { owned } else { owned.difference(&seen) };
            seen = seen.union(&owned);
            Owner { id: format!("m{at}"), topics: counts.keys().copied().collect(), owned }
        });
        Case { members: members.collect(), counts: counts.clone() }
    })
}

/// Every partition of a topic that somebody subscribes to has one owner, who subscribes to it.
pub(crate) fn check_owners(case: &Case, assigned: &[Partitions]) -> Result<(), TestCaseError> {
    prop_assert_eq!(assigned.len(), case.members.len());
    let mut owners = BTreeMap::new();
    for (at, (member, partitions)) in case.members.iter().zip(assigned).enumerate() {
        for partition in partitions.iter() {
            prop_assert!(member.topics.contains(&partition.0), "m{at} does not subscribe to {partition:?}");
            prop_assert_eq!(owners.insert(partition, at), None, "{:?} has two owners", partition);
        }
    }
    let subscribed: BTreeSet<TopicId> = case.members.iter().flat_map(|member| member.topics.iter().copied()).collect();
    let expected: u32 = subscribed.iter().map(|topic| case.counts[topic]).sum();
    prop_assert_eq!(owners.len(), expected as usize);
    Ok(())
}
