//! The leader of a classic group assigns.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_assignor::client::{self, Member, NamedPartitions};
use highwater_types::{ErrorCode, TopicName, TopicPartition};

use super::Protocol;
use super::classic::State;
use crate::{AssignmentStrategy, Consumer, GroupMember};

impl<T> Consumer<T> {
    /// Whether metadata have said something of every topic that members subscribe to.
    pub(super) fn knows_led_topics(&self) -> bool {
        let Some(Protocol::Classic(classic)) = self.group.as_ref().map(|group| &group.protocol) else { return true };
        classic.led_topics.iter().all(|topic| self.metadata.topic(topic).is_some())
    }

    /// Assigns the partitions of all topics that are known.
    pub(super) fn assign_all(&mut self) {
        let strategy = self.chosen_strategy();
        self.note_led_counts();
        let Some(classic) = self.group.as_mut().and_then(super::Group::classic) else { return };
        let State::Assigning { members, .. } = core::mem::replace(&mut classic.state, State::Unjoined) else { return };
        let Some(strategy) = strategy else {
            return self.be_refused(ErrorCode::InconsistentGroupProtocol, None);
        };
        let counts = classic.led_counts.iter();
        let counts: BTreeMap<String, u32> =
            counts.filter_map(|(topic, count)| Some((topic.as_str().to_owned(), (*count)?))).collect();
        let described: Vec<Member> = members.iter().map(describe).collect();
        let assigned = match strategy {
            AssignmentStrategy::Range => client::range(&described, &counts),
            AssignmentStrategy::RoundRobin => client::round_robin(&described, &counts),
            AssignmentStrategy::Sticky => client::sticky(&described, &counts),
            AssignmentStrategy::CooperativeSticky => client::cooperative_sticky(&described, &counts),
        };
        let assignments = members.into_iter().zip(assigned).map(|(member, given)| (member.id, by_partition(&given)));
        let assignments: Vec<(Arc<str>, Vec<TopicPartition>)> = assignments.collect();
        self.sync(assignments);
    }

    /// Remembers what it assigns, or would.
    pub(super) fn note_led_counts(&mut self) {
        let metadata = &self.metadata;
        if let Some(classic) = self.group.as_mut().and_then(super::Group::classic) {
            let counts = classic.led_topics.iter().map(|topic| (topic.clone(), metadata.partition_count(topic)));
            classic.led_counts = counts.collect();
        }
    }

    /// Assigns again if topics have other partitions than they had.
    pub(super) fn leader_knows_more(&mut self) {
        let metadata = &self.metadata;
        let Some(classic) = self.group.as_mut().and_then(super::Group::classic) else { return };
        let is_changed = |(topic, count): (&TopicName, &Option<u32>)| metadata.partition_count(topic) != *count;
        if matches!(classic.state, State::Stable) && classic.led_counts.iter().any(is_changed) {
            classic.rejoin();
        }
        self.go_round();
    }
}

fn describe(member: &GroupMember) -> Member {
    let subscription = &member.subscription;
    let mut owned = NamedPartitions::new();
    for partition in &subscription.owned {
        owned.entry(partition.topic.as_str().to_owned()).or_default().push(partition.partition);
    }
    Member {
        id: member.id.to_string(),
        instance_id: member.instance.as_deref().map(str::to_owned),
        topics: subscription.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
        owned,
        generation: subscription.generation.and_then(|generation| i32::try_from(generation).ok()),
    }
}

fn by_partition(given: &NamedPartitions) -> Vec<TopicPartition> {
    let topics = given.iter().filter_map(|(topic, partitions)| Some((TopicName::new(topic).ok()?, partitions)));
    topics
        .flat_map(|(topic, partitions)| partitions.iter().map(move |p| TopicPartition::new(topic.clone(), *p)))
        .collect()
}
