//! Requests about committed offsets, and their expiration.

use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::{ErrorCode, PartitionIndex, TimestampMs};

use super::{Group, GroupShard, GroupStep, Timer, answer};
use crate::offsets::{Progress, tombstone};
use crate::record::{CommittedOffset, GroupRecord};
use crate::request::{OffsetCommit, OffsetDelete, OffsetFetch, OffsetToCommit, Request};
use crate::response::{DeletedOffset, OffsetDeleteResponse, OffsetFetchResponse, Response};

impl GroupShard {
    pub(super) fn offset_commit(&mut self, now: Now, token: Token, commit: &OffsetCommit<'_>, step: &mut GroupStep) {
        if let Err(error) = self.validate_commit(now, commit, step) {
            step.reply(token, answer::refuse(&Request::OffsetCommit(commit.clone()), error));
            return;
        }
        let group: Arc<str> = Arc::from(commit.group);
        let mut codes = Vec::with_capacity(commit.offsets.len());
        for offset in &commit.offsets {
            if is_longer(&offset.metadata, self.config.offset_metadata_bytes_max) {
                codes.push(ErrorCode::OffsetMetadataTooLarge);
                continue;
            }
            codes.push(ErrorCode::None);
            let value = committed(offset, now.wall, commit.retention_ms);
            let topic = Arc::clone(&offset.topic);
            let (group, partition) = (Arc::clone(&group), offset.partition);
            step.record(GroupRecord::Offset { group, topic, partition, value: Some(value) });
        }
        step.reply(token, Response::OffsetCommit(codes));
    }

    pub(super) fn offset_fetch(&self, token: Token, fetch: &OffsetFetch<'_>, step: &mut GroupStep) {
        let allowed = self.groups.get(fetch.group).map_or(Ok(()), |group| group.validate_fetch(fetch));
        let response = match allowed {
            Ok(()) => {
                let topics = self.offsets.fetch(fetch.group, fetch.topics.as_deref(), fetch.require_stable);
                OffsetFetchResponse { error: ErrorCode::None, topics }
            }
            Err(error) => OffsetFetchResponse { error, topics: Vec::new() },
        };
        step.reply(token, Response::OffsetFetch(response));
    }

    pub(super) fn offset_delete(&mut self, token: Token, delete: &OffsetDelete<'_>, step: &mut GroupStep) {
        let group = self.groups.get(delete.group);
        let allowed = match group {
            // Unlike commits and fetches, which the oldest consumers made without naming a group.
            _ if delete.group.is_empty() => Err(ErrorCode::InvalidGroupId),
            Some(group) => group.validate_offset_delete(),
            None if self.offsets.has_offsets(delete.group) => Ok(()),
            None => Err(ErrorCode::GroupIdNotFound),
        };
        if let Err(error) = allowed {
            step.reply(token, answer::refuse(&Request::OffsetDelete(delete.clone()), error));
            return;
        }
        let id: Arc<str> = Arc::from(delete.group);
        let mut topics = Vec::with_capacity(delete.topics.len());
        for (name, partitions) in &delete.topics {
            let topic: Arc<str> = Arc::from(*name);
            let error = match group {
                Some(group) if group.is_subscribed(name) => ErrorCode::GroupSubscribedToTopic,
                _ => ErrorCode::None,
            };
            let known = |partition: &&PartitionIndex| self.offsets.knows(&id, name, **partition);
            if error == ErrorCode::None {
                let deleted = partitions.iter().filter(known);
                step.records.extend(deleted.map(|partition| tombstone(&id, &topic, *partition)));
            }
            let answered: Vec<DeletedOffset> = partitions.iter().map(|partition| (*partition, error)).collect();
            topics.push((topic, answered));
        }
        step.reply(token, Response::OffsetDelete(OffsetDeleteResponse { error: ErrorCode::None, topics }));
    }

    /// Topics are gone: their offsets are deleted, a bounded part at a time.
    pub(super) fn topics_deleted(&mut self, now: Now, topics: &[Arc<str>]) {
        if self.offsets.topics_deleted(topics) {
            self.timers.set(Timer::ExpireOffsets, now.ticks);
        }
    }

    /// Deletes what has expired, a bounded part at a time, and sets the timer for what is left or for the next check.
    pub(super) fn expire_offsets(&mut self, now: Now, step: &mut GroupStep) {
        let retention_ms = self.config.offsets_retention_ms;
        let after_ms = match self.offsets.clean(&self.groups, now.wall, retention_ms, &mut step.records) {
            Progress::Stopped => PART_INTERVAL_MS,
            Progress::Again => AGAIN_INTERVAL_MS,
            Progress::Done => self.config.offsets_retention_check_interval_ms,
        };
        self.timers.set(Timer::ExpireOffsets, now.ticks.plus_ms(after_ms));
    }

    /// Replay is over: arms the timer of expiration.
    pub(super) fn start_offsets(&mut self, now: Now) {
        let due = now.ticks.plus_ms(self.config.offsets_retention_check_interval_ms);
        self.timers.set(Timer::ExpireOffsets, due);
    }

    fn validate_commit(&mut self, now: Now, commit: &OffsetCommit<'_>, step: &mut GroupStep) -> Result<(), ErrorCode> {
        let (groups, mut turn) = self.turn(now, step);
        if let Some(group) = groups.get_mut(commit.group) {
            return Group::validate_commit(group, &mut turn, commit);
        }
        let is_member = 0 <= commit.generation_or_epoch;
        match (is_member, self.offsets.has_offsets(commit.group)) {
            (false, _) => Ok(()),
            (true, true) => Err(ErrorCode::UnknownMemberId),
            (true, false) if commit.knows_member_epochs => Err(ErrorCode::GroupIdNotFound),
            (true, false) => Err(ErrorCode::IllegalGeneration),
        }
    }
}

fn committed(commit: &OffsetToCommit<'_>, now: TimestampMs, retention_ms: Option<i64>) -> CommittedOffset {
    let metadata = if commit.metadata.is_empty() { Arc::default() } else { Arc::from(&*commit.metadata) };
    // Not before 1970: the log has -1 for none.
    let expires = |retention_ms: i64| TimestampMs(now.value().saturating_add(retention_ms).max(0));
    CommittedOffset {
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata,
        commit_timestamp: now,
        expire_timestamp: retention_ms.map(expires),
        topic_id: commit.topic_id,
    }
}

/// Whether `text` is longer than `max` as Kafka counts: in units of UTF-16, of which there are never more than bytes.
fn is_longer(text: &str, max: usize) -> bool {
    max < text.len() && max < text.encode_utf16().count()
}

/// Between two parts of a walk over all offsets: requests come in between.
const PART_INTERVAL_MS: u64 = 1;
/// Until offsets of deleted topics are looked for once more.
const AGAIN_INTERVAL_MS: u64 = 1000;
