//! What must be true, judged from outside the coordinator.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_group::{GroupRecord, Response};
use highwater_types::ErrorCode;

use super::ask::Ask;
use super::server::Entry;

/// A partition of a group.
type Key = (Arc<str>, Arc<str>, u32);

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The latest holding of which a commit was accepted. Holdings are numbered in the order in which members learnt of
    /// them: once a later holder has committed, an earlier one must not.
    leases: BTreeMap<Key, (u64, String)>,
    /// Where the record of the last acknowledged commit lies.
    acknowledged: BTreeMap<Key, u64>,
    /// By group: the highest generation that is stored, and the highest epoch.
    generations: BTreeMap<Arc<str>, i32>,
    /// Appends have failed: that a group is empty may be known to the coordinator and not to the log.
    pub(super) has_failures: bool,
    /// By group: the members that the log has.
    members: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// By group and member: the epoch that it was told last.
    epochs: BTreeMap<(Arc<str>, String), i32>,
}

impl Book {
    /// Records were appended for `ask`.
    pub(super) fn appended(&mut self, ask: Option<&Ask>, entries: &[Entry]) {
        // A group that is empty may be replaced by one of the other kind, which counts from the start.
        for (_, record) in entries {
            if let Some((group, None)) = generation_of(record)
                && (self.has_failures || self.members.get(group).is_none_or(BTreeSet::is_empty))
            {
                self.forget_group(group);
            }
        }
        for (_, record) in entries {
            self.count(record);
            if let Some((group, Some(generation))) = generation_of(record) {
                let known = self.generations.entry(Arc::clone(group)).or_insert(i32::MIN);
                assert!(*known <= generation, "{group} went from {known} to {generation}");
                *known = generation;
            }
        }
        let Some(Ask::Commit { group, member, commits, epoch, .. }) = ask else { return };
        let written: Vec<u64> = entries
            .iter()
            .filter_map(|(_, record)| match record {
                GroupRecord::Offset { value: Some(value), .. } => Some(value.offset.value()),
                _ => None,
            })
            .collect();
        for commit in commits.iter().filter(|commit| written.contains(&commit.offset)) {
            let key = (Arc::clone(group), Arc::clone(&commit.topic), commit.partition);
            let (last, holder) = self.leases.entry(key.clone()).or_default();
            assert!(
                *last <= commit.lease,
                "{member} in epoch {epoch} committed {key:?} by holding {}, after {holder} had by holding {last}",
                commit.lease
            );
            (*last, *holder) = (commit.lease, member.clone());
        }
    }

    /// What was not committed may be lost: what nobody was told of counts no more.
    pub(super) fn crashed(&mut self, log: &[Entry]) {
        self.generations.clear();
        self.members.clear();
        for (_, record) in log {
            self.count(record);
            match generation_of(record) {
                Some((group, Some(generation))) => self.generations.insert(Arc::clone(group), generation),
                Some((group, None)) => self.generations.remove(group),
                None => None,
            };
        }
    }

    fn forget_group(&mut self, group: &Arc<str>) {
        self.generations.remove(group);
        self.epochs.retain(|(of, _), _| of != group);
    }

    /// Keeps count of members.
    fn count(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Classic { group, value } => {
                let members = value.iter().flat_map(|value| value.members.iter().map(|member| Arc::clone(&member.id)));
                // When a group is converted its members come again, behind the tombstone, as those of the other kind.
                self.members.insert(Arc::clone(group), members.collect());
            }
            GroupRecord::ConsumerMember { group, member, value } => {
                let members = self.members.entry(Arc::clone(group)).or_default();
                match value {
                    Some(_) => members.insert(Arc::clone(member)),
                    None => members.remove(member),
                };
            }
            _ => {}
        }
    }

    /// An answer goes out.
    pub(super) fn answered(&mut self, ask: &Ask, response: &Response, log: &[Entry], committed: u64) {
        match (ask, response) {
            (Ask::Commit { group, commits, .. }, Response::OffsetCommit(codes)) => {
                assert_eq!(codes.len(), commits.len(), "one code for each offset");
                for (commit, _) in commits.iter().zip(codes).filter(|(_, code)| **code == ErrorCode::None) {
                    let at = find_commit(log, commit.offset, committed);
                    let at = at.unwrap_or_else(|| panic!("{commit:?} was acknowledged and is not committed"));
                    let key = (Arc::clone(group), Arc::clone(&commit.topic), commit.partition);
                    // Its topic, or its group, may have been deleted since.
                    let deletes = |(later, record): &&Entry| {
                        at < *later && record.is_tombstone() && key_of(record).as_ref() == Some(&key)
                    };
                    if log.iter().rev().find(deletes).is_some() {
                        continue;
                    }
                    let known = self.acknowledged.entry(key).or_default();
                    *known = at.max(*known);
                }
            }
            (Ask::Fetch { group }, Response::OffsetFetch(fetched)) if fetched.error == ErrorCode::None => {
                for (topic, offsets) in &fetched.topics {
                    for offset in offsets {
                        let key = (Arc::clone(group), Arc::clone(topic), offset.partition.value());
                        let Some(value) = offset.offset else { continue };
                        let at = find_commit(log, value.value(), committed);
                        let at = at.unwrap_or_else(|| panic!("{key:?} is {value}, which is not committed"));
                        let known = self.acknowledged.get(&key).copied().unwrap_or(0);
                        assert!(known <= at, "{key:?} is {value} at {at}, after a commit at {known}");
                    }
                }
            }
            (Ask::Consumer(asked), Response::ConsumerHeartbeat(answer)) if answer.error == ErrorCode::None => {
                let key = (Arc::clone(&asked.group), asked.member.clone());
                if asked.epoch < 0 {
                    self.epochs.remove(&key);
                    return;
                }
                let known = self.epochs.entry(key).or_default();
                assert!(
                    asked.epoch == 0 || *known <= answer.member_epoch,
                    "{} went from epoch {known} to {}",
                    asked.member,
                    answer.member_epoch
                );
                *known = answer.member_epoch;
            }
            _ => {}
        }
    }

    /// After every event: what was acknowledged is there, or something later.
    pub(super) fn check(&self, latest: &BTreeMap<Key, u64>) {
        for (key, at) in &self.acknowledged {
            let found = latest.get(key).copied();
            assert!(found.is_some_and(|found| *at <= found), "the commit of {key:?} at {at} is lost: {found:?}");
        }
    }

    /// Offsets of a topic went with it, or a group was deleted.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&Key) -> bool) {
        self.acknowledged.retain(|key, _| !is_gone(key));
    }
}

/// The generation or epoch that a record gives to a group; `None` in it for a group that goes.
fn generation_of(record: &GroupRecord) -> Option<(&Arc<str>, Option<i32>)> {
    match record {
        GroupRecord::Classic { group, value } => Some((group, value.as_ref().map(|value| value.generation))),
        GroupRecord::Consumer { group, value } => Some((group, value.as_ref().map(|value| value.epoch))),
        _ => None,
    }
}

/// Where a commit lies that is below the high watermark. Its offset is unique, but it may have been sent twice.
fn find_commit(log: &[Entry], offset: u64, committed: u64) -> Option<u64> {
    let found = log.iter().rev().filter(|(at, _)| *at < committed).find(|(_, record)| {
        matches!(record, GroupRecord::Offset { value: Some(value), .. } if value.offset.value() == offset)
    });
    found.map(|(at, _)| *at)
}

/// The partition that a record is about, if it is a commit or its deletion.
pub(super) fn key_of(record: &GroupRecord) -> Option<Key> {
    match record {
        GroupRecord::Offset { group, topic, partition, .. } => {
            Some((Arc::clone(group), Arc::clone(topic), partition.value()))
        }
        _ => None,
    }
}
