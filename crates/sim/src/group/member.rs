//! What all members have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_types::ErrorCode;

use super::Held;
use super::ask::{Ask, Commit};
use super::classic_member::ClassicMember;
use super::consumer_member::ConsumerMember;
use super::topics::SimTopics;

/// A consumer process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: Arc<str>,
    pub(super) protocol: Protocol,
    /// What it holds, as far as it knows, each with the number of that holding.
    pub(super) held: BTreeMap<(Arc<str>, u32), u64>,
    /// The call that it waits for, and since when.
    pub(super) waiting: Option<(u64, u64)>,
    /// Only its newest wake-up counts.
    pub(super) wake: u64,
    /// When it last said that it lives.
    pub(super) beat_at: u64,
    pub(super) is_alive: bool,
    /// It does nothing until then.
    pub(super) paused_until: u64,
}

#[derive(Debug)]
pub(super) enum Protocol {
    Classic(ClassicMember),
    Consumer(ConsumerMember),
}

/// Numbers that are given out once.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) leases: u64,
    pub(super) offsets: u64,
}

/// What a member wants to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Look again after so long.
    Wait(u64),
    /// End for good.
    Die,
}

impl Member {
    /// Takes an assignment: what is new is a new holding, and what is gone is given up at once.
    pub(super) fn hold(&mut self, assignment: &Held, counters: &mut Counters) {
        self.held.retain(|partition, _| assignment.contains(partition));
        for partition in assignment {
            self.held.entry(partition.clone()).or_insert_with(|| {
                counters.leases += 1;
                counters.leases
            });
        }
    }

    /// A commit of everything that it holds.
    pub(super) fn commit(&self, topics: &SimTopics, counters: &mut Counters) -> Option<Ask> {
        let (member, epoch, is_consumer) = match &self.protocol {
            Protocol::Classic(classic) => (classic.id.clone(), classic.generation, false),
            Protocol::Consumer(consumer) => (consumer.id.clone(), consumer.epoch, true),
        };
        if self.held.is_empty() || epoch < 0 {
            return None;
        }
        let commits = self.held.iter().map(|((topic, partition), lease)| {
            counters.offsets += 1;
            Commit {
                topic: Arc::clone(topic),
                topic_id: topics.id_of(topic),
                partition: *partition,
                offset: counters.offsets,
                lease: *lease,
            }
        });
        Some(Ask::Commit { group: Arc::clone(&self.group), member, epoch, is_consumer, commits: commits.collect() })
    }
}

/// Whether asking again may help, since the coordinator could not be asked at all.
pub(super) fn is_away(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::RequestTimedOut
            | ErrorCode::UnknownServerError
    )
}
