//! The walk over all groups that deletes what has expired, and what belongs to topics that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use highwater_types::{Offset, PartitionIndex, TimestampMs};

use super::small_map::SmallMap;
use super::stored::StoredOffset;
use super::{Offsets, tombstone};
use crate::record::GroupRecord;
use crate::shard::{Expiration, Group};

/// How far a walk has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It goes on from where it stopped.
    Stopped,
    /// It is through, and there may be more of deleted topics: what it asked for may not come to pass.
    Again,
    /// It is through.
    Done,
}

/// Where a walk goes on.
#[derive(Clone, Debug)]
pub(super) struct Position {
    group: Arc<str>,
    /// The partition of that group behind which it goes on; without one it goes on behind the group.
    within: Option<(Arc<str>, PartitionIndex)>,
}

/// Topics that have been deleted, and may still have offsets.
#[derive(Debug, Default)]
pub(super) struct DeletedTopics {
    /// With the last record of an offset at that time: what comes later was committed for a topic that was made anew
    /// under the same name.
    topics: BTreeMap<Arc<str>, Offset>,
    /// The walk has found nothing of them so far.
    is_clean: bool,
}

/// By what a walk decides.
struct Rule {
    now: TimestampMs,
    retention_ms: i64,
}

/// A part of a walk: ends when it has looked at enough, or asked for enough.
struct Part<'a> {
    records: &'a mut Vec<GroupRecord>,
    looked_at: usize,
    bytes: usize,
    found_deleted_topics: bool,
}

impl Part<'_> {
    fn delete(&mut self, group: &Arc<str>, topic: &Arc<str>, partition: PartitionIndex) {
        self.bytes += group.len() + topic.len() + RECORD_OVERHEAD_BYTES;
        self.records.push(tombstone(group, topic, partition));
    }

    fn is_full(&self) -> bool {
        LOOKED_AT_MAX <= self.looked_at || RECORDS_MAX <= self.records.len() || BYTES_MAX <= self.bytes
    }
}

impl Offsets {
    /// Topics are gone: whether there is anything to [`clean`](Self::clean).
    pub(crate) fn topics_deleted(&mut self, topics: &[Arc<str>]) -> bool {
        let Some(last) = self.last else { return false };
        let is_known = |topic: &&Arc<str>| self.names.contains(topic) || self.pending.has_topic(topic);
        let known: Vec<_> = topics.iter().filter(is_known).map(|topic| (Arc::clone(topic), last)).collect();
        if known.is_empty() {
            return false;
        }
        self.deleted_topics.topics.extend(known);
        self.deleted_topics.is_clean = false;
        true
    }

    /// Goes on with a walk over all groups, or begins one, and asks for the deletion of what has expired, of what
    /// belongs to deleted topics, and of groups that have no members and no offsets left. `groups` are those that
    /// have, or had, members.
    pub(crate) fn clean(
        &mut self,
        groups: &BTreeMap<Arc<str>, Group>,
        now: TimestampMs,
        retention_ms: i64,
        records: &mut Vec<GroupRecord>,
    ) -> Progress {
        let rule = Rule { now, retention_ms };
        let mut part = Part { records, looked_at: 0, bytes: 0, found_deleted_topics: false };
        let mut position = self.walk.take();
        if position.is_none() {
            self.deleted_topics.is_clean = true;
            self.clean_pending(&mut part);
        }
        while !part.is_full()
            && let Some(group) = self.next_group(groups, position.as_ref())
        {
            let after = position.and_then(|Position { within, .. }| within);
            let within = self.clean_group(&group, groups.get(&group), after.as_ref(), &rule, &mut part);
            position = Some(Position { group, within });
        }
        self.deleted_topics.is_clean &= !part.found_deleted_topics;
        let was_stopped = part.is_full();
        if was_stopped && position.is_some() {
            self.walk = position;
            return Progress::Stopped;
        }
        if self.deleted_topics.is_clean {
            self.deleted_topics.topics.clear();
        }
        if self.deleted_topics.topics.is_empty() { Progress::Done } else { Progress::Again }
    }

    /// The group in which a walk goes on.
    fn next_group(&self, groups: &BTreeMap<Arc<str>, Group>, position: Option<&Position>) -> Option<Arc<str>> {
        let from: Bound<&str> = match position {
            None => Bound::Unbounded,
            Some(Position { group, within: Some(_) }) => Bound::Included(group),
            Some(Position { group, within: None }) => Bound::Excluded(group),
        };
        let with_offsets = self.groups.range::<str, _>((from, Bound::Unbounded)).next().map(|(group, _)| group);
        let with_members = groups.range::<str, _>((from, Bound::Unbounded)).next().map(|(group, _)| group);
        with_offsets.into_iter().chain(with_members).min().map(Arc::clone)
    }

    /// Looks at the offsets of one group, from behind `after` on. Gives the last one that it looked at if the part is
    /// full then.
    fn clean_group(
        &self,
        id: &Arc<str>,
        group: Option<&Group>,
        after: Option<&(Arc<str>, PartitionIndex)>,
        rule: &Rule,
        part: &mut Part<'_>,
    ) -> Option<(Arc<str>, PartitionIndex)> {
        // Whoever only commits has no members, and nothing else to count from.
        let simple = || Expiration::SinceCommit { subscribed: BTreeSet::new() };
        let expiration = group.map_or_else(simple, Group::expiration);
        let (mut left, first) = (self.count(id), part.records.len());
        part.looked_at += 1;
        let from = after.map_or(Bound::Unbounded, |(topic, _)| Bound::Included(&**topic));
        for (topic, partitions) in self.groups.get(id).into_iter().flat_map(|topics| topics.iter_from(from)) {
            let from = match after {
                Some((last, partition)) if last == topic => Bound::Excluded(partition),
                _ => Bound::Unbounded,
            };
            for (partition, stored) in partitions.iter_from(from) {
                if self.goes(id, topic, *partition, stored, &expiration, rule, part) {
                    part.delete(id, topic, *partition);
                }
                part.looked_at += 1;
                if part.is_full() {
                    return Some((Arc::clone(topic), *partition));
                }
            }
        }
        left -= part.records.len() - first;
        if let Some(group) = group
            && left == 0
            && !self.pending.has_group(id)
            && group.validate_delete().is_ok()
        {
            group.delete(part.records);
        }
        None
    }

    /// Whether an offset is to be deleted.
    #[expect(clippy::too_many_arguments, reason = "an entry and all that speaks for and against it")]
    fn goes(
        &self,
        group: &Arc<str>,
        topic: &Arc<str>,
        partition: PartitionIndex,
        stored: &StoredOffset,
        expiration: &Expiration,
        rule: &Rule,
        part: &mut Part<'_>,
    ) -> bool {
        if let Some(last) = self.deleted_topics.topics.get(topic)
            && stored.at <= *last
        {
            part.found_deleted_topics = true;
            // A tombstone would take what is pending with it; what a new topic's transaction commits replaces this.
            return self.pending.last(group, topic, partition).is_none_or(|pending| pending <= *last);
        }
        stored.is_expired(topic, expiration, rule.now, rule.retention_ms)
            && !self.pending.contains(group, topic, partition)
    }

    /// Deletes what is pending for deleted topics where nothing is committed.
    fn clean_pending(&self, part: &mut Part<'_>) {
        if self.deleted_topics.topics.is_empty() {
            return;
        }
        for group in self.pending.groups() {
            for (topic, partition) in self.pending.partitions(group) {
                let Some(last) = self.deleted_topics.topics.get(topic) else { continue };
                let is_newer = self.pending.last(group, topic, partition).is_none_or(|pending| *last < pending);
                if is_newer || self.find(group, topic, partition).is_some() {
                    continue;
                }
                part.found_deleted_topics = true;
                if part.is_full() {
                    return;
                }
                part.delete(group, topic, partition);
            }
        }
    }

    /// How many offsets a group has.
    fn count(&self, group: &str) -> usize {
        let topics = self.groups.get(group).into_iter().flat_map(SmallMap::iter);
        topics.map(|(_, partitions)| partitions.len()).sum()
    }
}

/// Offsets and groups that one part of a walk looks at.
const LOOKED_AT_MAX: usize = 20_000;
/// Records that one part of a walk asks for, so that they fit one batch.
const RECORDS_MAX: usize = 1000;
/// Bytes of those records.
const BYTES_MAX: usize = 256 * 1024;
/// What a tombstone takes besides the two names: lengths, partition, the record's own fields.
const RECORD_OVERHEAD_BYTES: usize = 32;
