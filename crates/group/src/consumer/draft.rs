//! A consumer group as it will be once the records of a step are applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_assignor::{Member as AssignorMember, Partitions, range, uniform};
use highwater_types::TopicId;

use super::ConsumerGroup;
use super::regexes;
use crate::config::ServerAssignor;
use crate::record::{ConsumerGroupValue, ConsumerMemberValue, ConsumerTargetValue, GroupRecord, ResolvedRegex};
use crate::shard::Turn;
use crate::topics::Topics;

/// A step on a consumer group: what is asked for so far counts for what is decided next.
pub(super) struct Draft<'g> {
    pub(super) group: &'g ConsumerGroup,
    /// The member whose subscription changes, or who comes.
    updated: Option<(Arc<str>, ConsumerMemberValue)>,
    /// Members that go.
    removed: BTreeSet<Arc<str>>,
    /// Under which member's name the target of one that goes was kept, for the one that takes its place.
    inherited: Option<(Arc<str>, Arc<str>)>,
    regexes: BTreeMap<Arc<str>, Option<ResolvedRegex>>,
    pub(super) epoch: i32,
    pub(super) target_epoch: i32,
    /// Where the records of this draft begin among those of the step.
    start: usize,
    /// Targets computed in this step.
    targets: BTreeMap<Arc<str>, Partitions>,
}

impl<'g> Draft<'g> {
    /// A draft whose records begin at `start` among those of the step.
    pub(super) fn new(group: &'g ConsumerGroup, start: usize) -> Self {
        Self {
            group,
            updated: None,
            removed: BTreeSet::new(),
            inherited: None,
            regexes: BTreeMap::new(),
            epoch: group.epoch,
            target_epoch: group.target_epoch,
            start,
            targets: BTreeMap::new(),
        }
    }

    /// Asks for a member to be stored.
    pub(super) fn put_member(&mut self, turn: &mut Turn<'_>, id: &Arc<str>, value: ConsumerMemberValue) {
        turn.step.record(GroupRecord::ConsumerMember {
            group: Arc::clone(&self.group.id),
            member: Arc::clone(id),
            value: Some(value.clone()),
        });
        self.updated = Some((Arc::clone(id), value));
    }

    /// Asks for a member and all it has to be forgotten. Its target goes to `heir`, if there is one.
    pub(super) fn remove_member(&mut self, turn: &mut Turn<'_>, id: &Arc<str>, heir: Option<&Arc<str>>) {
        let (group, member) = (&self.group.id, id);
        let target = self.target(id).cloned();
        turn.step.record(GroupRecord::ConsumerCurrent {
            group: Arc::clone(group),
            member: Arc::clone(member),
            value: None,
        });
        turn.step.record(GroupRecord::ConsumerMemberTarget {
            group: Arc::clone(group),
            member: Arc::clone(member),
            value: None,
        });
        turn.step.record(GroupRecord::ConsumerMember {
            group: Arc::clone(group),
            member: Arc::clone(member),
            value: None,
        });
        if let Some(heir) = heir {
            turn.step.record(GroupRecord::ConsumerMemberTarget {
                group: Arc::clone(group),
                member: Arc::clone(heir),
                value: Some(target.unwrap_or_default()),
            });
            self.inherited = Some((Arc::clone(id), Arc::clone(heir)));
        }
        self.removed.insert(Arc::clone(id));
        // Its timers run on, and find nobody: if this cannot be stored, they still have somebody to look after.
    }

    /// Everybody who is there when the step is done.
    pub(super) fn members(&self) -> impl Iterator<Item = (&Arc<str>, &ConsumerMemberValue)> {
        let updated = self.updated.as_ref();
        let is_there =
            move |id: &Arc<str>| !self.removed.contains(id) && updated.is_none_or(|(updated, _)| updated != id);
        let known = self.group.members.iter().filter(move |(id, _)| is_there(id));
        known.map(|(id, member)| (id, &member.value)).chain(updated.map(|(id, value)| (id, value)))
    }

    fn regex(&self, pattern: &str) -> Option<&ResolvedRegex> {
        match self.regexes.get(pattern) {
            Some(resolved) => resolved.as_ref(),
            None => self.group.regexes.get(pattern),
        }
    }

    /// Makes sure that every pattern in use is resolved, against the newest metadata if `refresh` says so, and that
    /// none is kept that is not in use.
    pub(super) fn resolve_regexes(&mut self, turn: &mut Turn<'_>, refresh: bool) {
        if self.group.regexes.is_empty() && self.members().all(|(_, value)| value.topic_regex.is_none()) {
            return;
        }
        let used: BTreeSet<Arc<str>> = self.members().filter_map(|(_, value)| value.topic_regex.clone()).collect();
        for pattern in &used {
            let known = self.group.regexes.get(pattern);
            if known.is_some_and(|known| !refresh || known.version == turn.topics.version()) {
                continue;
            }
            let resolved = regexes::resolve(pattern, turn.topics, turn.now.wall);
            if known.is_some_and(|known| known.topics == resolved.topics) {
                continue;
            }
            self.put_regex(turn, pattern, Some(resolved));
        }
        for pattern in self.group.regexes.keys().filter(|pattern| !used.contains(*pattern)) {
            self.put_regex(turn, pattern, None);
        }
    }

    fn put_regex(&mut self, turn: &mut Turn<'_>, pattern: &Arc<str>, value: Option<ResolvedRegex>) {
        turn.step.record(GroupRecord::ConsumerRegex {
            group: Arc::clone(&self.group.id),
            regex: Arc::clone(pattern),
            value: value.clone(),
        });
        self.regexes.insert(Arc::clone(pattern), value);
    }

    /// Names that a member subscribes to, some perhaps twice.
    fn names<'a>(&'a self, value: &'a ConsumerMemberValue) -> impl Iterator<Item = &'a Arc<str>> {
        let matched = value.topic_regex.as_deref().and_then(|pattern| self.regex(pattern));
        value.topic_names.iter().chain(matched.into_iter().flat_map(|resolved| &resolved.topics))
    }

    /// The topics that a member subscribes to and that exist.
    pub(super) fn topics_of(&self, value: &ConsumerMemberValue, topics: &dyn Topics) -> Vec<TopicId> {
        let mut ids: Vec<TopicId> =
            self.names(value).filter_map(|name| topics.by_name(name)).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// A fingerprint of the topics that members subscribe to, with their partitions; 0 for none.
    pub(super) fn metadata_hash(&self, topics: &dyn Topics) -> i64 {
        let names: BTreeSet<&Arc<str>> = self.members().flat_map(|(_, value)| self.names(value)).collect();
        let known = names.into_iter().filter_map(|name| topics.by_name(name));
        let hash = known.fold(0, |hash, (id, partitions)| {
            let bytes = id.0.as_bytes().iter().copied().chain(partitions.to_be_bytes());
            bytes.fold(if hash == 0 { FNV_OFFSET } else { hash }, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
            })
        });
        hash.cast_signed()
    }

    /// Asks for a new group epoch, before everything that it is for: where a crash keeps only the first records, members
    /// must not have changed without anybody assigning anew.
    pub(super) fn bump(&mut self, turn: &mut Turn<'_>) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        let value = ConsumerGroupValue { epoch: self.epoch, metadata_hash: self.metadata_hash(turn.topics) };
        let record = GroupRecord::Consumer { group: Arc::clone(&self.group.id), value: Some(value) };
        turn.step.records.insert(self.start, record);
    }

    /// Computes a new target assignment if it is out of date, unless the last one is too young: then the timer will.
    pub(super) fn assign(&mut self, turn: &mut Turn<'_>) {
        if self.epoch == self.target_epoch || self.members().next().is_none() {
            return;
        }
        let interval_ms = u64::from(turn.config.consumer_assignment_interval_ms(&self.group.id));
        let since = self.group.target_timestamp.map(|then| turn.now.wall.ms_since(then));
        // A clock that went back must not put the next assignment off for long.
        let age_ms = since.map_or(u64::MAX, |ms| u64::try_from(ms).unwrap_or(u64::MAX));
        if age_ms < interval_ms {
            turn.timers.set(self.group.assign_timer(), turn.now.ticks.plus_ms(interval_ms - age_ms));
            return;
        }
        turn.timers.cancel(&self.group.assign_timer());
        let assigned = self.compute(turn);
        let group = &self.group.id;
        for (member, target) in assigned {
            if self.stored_target(&member) != Some(&target) {
                turn.step.record(GroupRecord::ConsumerMemberTarget {
                    group: Arc::clone(group),
                    member: Arc::clone(&member),
                    value: Some(target.clone()),
                });
            }
            self.targets.insert(member, target);
        }
        self.target_epoch = self.epoch;
        let value = ConsumerTargetValue { epoch: self.epoch, timestamp: Some(turn.now.wall) };
        turn.step.record(GroupRecord::ConsumerTarget { group: Arc::clone(group), value: Some(value) });
    }

    fn compute(&self, turn: &Turn<'_>) -> Vec<(Arc<str>, Partitions)> {
        let roster: Vec<(&Arc<str>, &ConsumerMemberValue)> = self.members().collect();
        // Most members subscribe to the same.
        let mut subscriptions: Vec<(&ConsumerMemberValue, Vec<TopicId>)> = Vec::new();
        let mut places = Vec::with_capacity(roster.len());
        for (_, value) in &roster {
            let is_same = |(other, _): &(&ConsumerMemberValue, _)| {
                other.topic_names == value.topic_names && other.topic_regex == value.topic_regex
            };
            places.push(subscriptions.iter().position(is_same).unwrap_or_else(|| {
                subscriptions.push((value, self.topics_of(value, turn.topics)));
                subscriptions.len() - 1
            }));
        }
        let nothing = Partitions::EMPTY;
        let members: Vec<AssignorMember<'_>> = roster
            .iter()
            .zip(&places)
            .map(|((id, value), place)| AssignorMember {
                id,
                instance_id: value.instance_id.as_deref(),
                topics: &subscriptions[*place].1,
                owned: self.stored_target(id).unwrap_or(&nothing),
            })
            .collect();
        let partitions_of = |topic| turn.topics.by_id(topic).map_or(0, |(_, partitions)| partitions);
        let assigned = match self.assignor(turn) {
            ServerAssignor::Uniform => uniform(&members, partitions_of),
            ServerAssignor::Range => range(&members, partitions_of),
        };
        roster.into_iter().map(|(id, _)| Arc::clone(id)).zip(assigned).collect()
    }

    /// The assignor that most members prefer; without a preference the first that is configured.
    fn assignor(&self, turn: &Turn<'_>) -> ServerAssignor {
        preferred(self.members().map(|(_, value)| value), &turn.config.consumer_assignors)
    }

    /// What a member shall have.
    pub(super) fn target(&self, id: &Arc<str>) -> Option<&Partitions> {
        self.targets.get(id).or_else(|| self.stored_target(id))
    }

    /// What a member shall have by the records, or what the one had whose place it takes.
    fn stored_target(&self, id: &Arc<str>) -> Option<&Partitions> {
        match &self.inherited {
            Some((from, heir)) if heir == id => self.group.targets.get(from),
            _ => self.group.targets.get(id),
        }
    }
}

/// The assignor that most of these members prefer.
pub(super) fn preferred<'a>(
    members: impl Iterator<Item = &'a ConsumerMemberValue>,
    configured: &[ServerAssignor],
) -> ServerAssignor {
    let mut votes = vec![0_usize; configured.len()];
    for name in members.filter_map(|value| value.server_assignor.as_deref()) {
        if let Some(at) = configured.iter().position(|assignor| assignor.name() == name) {
            votes[at] += 1;
        }
    }
    let most = votes.iter().copied().max().unwrap_or(0);
    let first = votes.iter().position(|count| *count == most);
    first.map_or(ServerAssignor::Uniform, |at| configured[at])
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
