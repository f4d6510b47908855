//! What a consumer group allows to be done with its offsets.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_types::ErrorCode;

use super::ConsumerGroup;
use super::member::Member;
use crate::record::{AssignedPartitions, ConsumerMemberValue};
use crate::request::{OffsetCommit, OffsetFetch, OffsetToCommit};
use crate::shard::{Expiration, Turn};

impl ConsumerGroup {
    /// Whether a commit may be made.
    ///
    /// A member that has not heard of its newest epoch may still commit for a partition that it has had since before
    /// that: the partition cannot have been anybody else's in between.
    pub(crate) fn validate_commit(&self, _turn: &mut Turn<'_>, commit: &OffsetCommit<'_>) -> Result<(), ErrorCode> {
        let epoch = commit.generation_or_epoch;
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(commit.member).ok_or(ErrorCode::UnknownMemberId)?;
        if !member.is_classic() && !commit.knows_member_epochs {
            return Err(ErrorCode::UnsupportedVersion);
        }
        if epoch == member.current.epoch {
            return Ok(());
        }
        let current = &member.current;
        let was_assigned_by = |offset: &OffsetToCommit<'_>| {
            let since = |partitions: &AssignedPartitions| {
                offset.topic_id.and_then(|topic| partitions.get(&topic)?.get(&offset.partition).copied())
            };
            since(&current.assigned).or_else(|| since(&current.pending_revocation)).is_some_and(|since| since <= epoch)
        };
        let is_behind = 0 <= epoch && epoch < current.epoch;
        match (is_behind && commit.offsets.iter().all(was_assigned_by), member.is_classic()) {
            (true, _) => Ok(()),
            (false, true) => Err(ErrorCode::IllegalGeneration),
            (false, false) => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Whether offsets may be read.
    pub(crate) fn validate_fetch(&self, fetch: &OffsetFetch<'_>) -> Result<(), ErrorCode> {
        let Some(id) = fetch.member else {
            return if fetch.member_epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        let member = self.members.get(id).ok_or(ErrorCode::UnknownMemberId)?;
        match (member.current.epoch == fetch.member_epoch, member.is_classic()) {
            (true, _) => Ok(()),
            (false, true) => Err(ErrorCode::IllegalGeneration),
            (false, false) => Err(ErrorCode::StaleMemberEpoch),
        }
    }

    /// Whether members subscribe to a topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.members.values().any(|Member { value, .. }| {
            value.topic_names.binary_search_by(|name| (**name).cmp(topic)).is_ok()
                || self.matched(value).iter().any(|name| **name == *topic)
        })
    }

    /// When its offsets expire: topics that members subscribe to keep theirs.
    pub(crate) fn expiration(&self) -> Expiration {
        let names =
            self.members.values().flat_map(|Member { value, .. }| value.topic_names.iter().chain(self.matched(value)));
        let subscribed: BTreeSet<Arc<str>> = names.cloned().collect();
        Expiration::SinceCommit { subscribed }
    }

    /// What a member's regular expression matches.
    fn matched(&self, value: &ConsumerMemberValue) -> &[Arc<str>] {
        let resolved = value.topic_regex.as_ref().and_then(|regex| self.regexes.get(regex));
        resolved.map_or(&[], |resolved| &resolved.topics)
    }
}
