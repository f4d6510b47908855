//! What the leader knows of one follower.

use super::{EpochError, Ticks};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

/// A follower's fetch, which says that it has everything before `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerFetch {
    /// The follower.
    pub node: NodeId,
    /// The registration it fetches with; `None` if it does not say.
    pub broker_epoch: Option<BrokerEpoch>,
    /// The leader epoch it knows; `None` if it does not say.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Where it fetches from: the end of its log.
    pub offset: Offset,
    /// Where its log begins; `None` if it does not say.
    pub log_start: Option<Offset>,
}

/// Why a follower's fetch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowerRefusal {
    /// It was made in another leader epoch.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The node has no replica of this partition, as far as this leader knows.
    #[error("node {node} is not a replica")]
    NotReplica {
        /// The node.
        node: NodeId,
    },
    /// It comes from a process of the broker that has since been replaced.
    #[error("broker epoch {} of node {node} is behind {}", given.0, current.0)]
    StaleBroker {
        /// The node.
        node: NodeId,
        /// Epoch in the fetch.
        given: BrokerEpoch,
        /// Epoch of its current registration.
        current: BrokerEpoch,
    },
}

impl FollowerRefusal {
    /// The code that goes to the follower.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Epoch(error) => error.code(),
            // The follower may know an assignment that this leader has not heard of yet.
            Self::NotReplica { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::StaleBroker { .. } => ErrorCode::NotLeaderOrFollower,
        }
    }
}

/// One follower.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) node: NodeId,
    /// Its registration, from the metadata log; `None` while it is fenced, shutting down or unknown.
    pub(super) eligible_as: Option<BrokerEpoch>,
    /// Its registration whether eligible or not.
    pub(super) registered_as: Option<BrokerEpoch>,
    /// The registration it last fetched with.
    pub(super) fetched_as: Option<BrokerEpoch>,
    /// End of its log as of its last fetch; `None` before the first in this leader epoch.
    pub(super) log_end: Option<Offset>,
    /// Where its log begins, likewise.
    pub(super) log_start: Option<Offset>,
    /// When it last had everything; `None` if never in this leader epoch.
    last_caught_up: Option<Ticks>,
    last_fetch: Ticks,
    /// End of the leader's log at its last fetch.
    leader_end_at_last_fetch: Offset,
}

impl Remote {
    /// A follower at the beginning of a leader epoch. One that is in sync has the lag time to prove it.
    pub(super) fn new(node: NodeId, in_sync: bool, now: Ticks) -> Self {
        Self {
            node,
            eligible_as: None,
            registered_as: None,
            fetched_as: None,
            log_end: None,
            log_start: None,
            last_caught_up: in_sync.then_some(now),
            last_fetch: now,
            leader_end_at_last_fetch: Offset::ZERO,
        }
    }

    /// Whether it has everything, or had at some time within the last `lag_ms_max`.
    pub(super) fn is_caught_up(&self, leader_end: Offset, lag_ms_max: u64, now: Ticks) -> bool {
        let recently = self.last_caught_up.is_some_and(|at| now.ms_since(at) <= lag_ms_max);
        self.log_end == Some(leader_end) || recently
    }

    /// When it last had everything.
    pub(super) fn caught_up(&self) -> Option<Ticks> {
        self.last_caught_up
    }

    /// Whether it may join the in-sync replicas: it is registered, active, and fetched as the process that
    /// is registered. One that does not say which process it is gets the benefit of the doubt.
    pub(super) fn is_eligible(&self) -> bool {
        self.eligible_as.is_some() && (self.fetched_as.is_none() || self.fetched_as == self.eligible_as)
    }

    /// Takes note of a fetch. A follower that reads steadily but is always a little behind counts as caught
    /// up: by fetching where the leader's log ended at its previous fetch, it shows that it had everything
    /// then.
    pub(super) fn fetched(&mut self, fetch: &FollowerFetch, leader_end: Offset, now: Ticks) {
        if leader_end <= fetch.offset {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if self.log_end.is_some() && self.leader_end_at_last_fetch <= fetch.offset {
            self.last_caught_up = self.last_caught_up.max(Some(self.last_fetch));
        }
        self.log_end = Some(fetch.offset);
        self.log_start = fetch.log_start;
        self.fetched_as = fetch.broker_epoch;
        self.last_fetch = now;
        self.leader_end_at_last_fetch = self.leader_end_at_last_fetch.max(leader_end);
    }
}
