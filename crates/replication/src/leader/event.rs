//! What a leader is told, and what it asks for.

use super::{FollowerFetch, IsrAnswer, IsrProposal, ProposalId};
use highwater_types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// What a leader is told when it becomes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSetup {
    /// The node it runs on.
    pub node: NodeId,
    /// Epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// Number of the partition's state that made it leader.
    pub partition_epoch: PartitionEpoch,
    /// Brokers that have a replica, itself among them.
    pub replicas: Vec<NodeId>,
    /// Replicas in sync, itself among them.
    pub isr: Vec<NodeId>,
    /// Whether it was elected uncleanly.
    pub recovery: RecoveryState,
    /// End of its log. Its leader epoch starts here: the log notes that before anything is appended
    /// (KAFKA-7415).
    pub log_end: Offset,
    /// Its high watermark so far, from its time as leader or follower or from the checkpoint.
    pub high_watermark: Offset,
    /// How it decides.
    pub config: LeaderConfig,
}

/// Whether a leader was elected from outside the in-sync replicas and has not said yet that it has come to
/// terms with that (KIP-704).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryState {
    /// It was not, or has said so.
    #[default]
    Recovered,
    /// It was. Until the controller knows it as recovered, it is the only replica in sync.
    Recovering,
}

/// What a leader's decisions depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderConfig {
    /// `replica.lag.time.max.ms`: how long a follower may lag and count as in sync. Default 30 s.
    pub lag_ms_max: u64,
    /// `min.insync.replicas` of the topic. Default 1.
    pub min_insync_replicas: u32,
}

impl Default for LeaderConfig {
    fn default() -> Self {
        Self { lag_ms_max: 30_000, min_insync_replicas: 1 }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A follower's fetch was served. Not for one that [`Leader::check_follower`](super::Leader::check_follower)
    /// refuses, that was answered with a [diverging epoch](crate::divergence), or that was read for a second
    /// time after waiting: none of these says where the follower is now.
    FollowerFetch(FollowerFetch),
    /// The metadata log has another state of this partition in the same leader epoch. New replicas are not
    /// eligible before an [`Input::BrokerChanged`] has told of them.
    PartitionChanged {
        /// Number of that state.
        partition_epoch: PartitionEpoch,
        /// Brokers that have a replica.
        replicas: Vec<NodeId>,
        /// Replicas in sync.
        isr: Vec<NodeId>,
        /// Whether this leader still has to recover.
        recovery: RecoveryState,
    },
    /// The metadata log has another registration of a broker, or the first that this leader hears of. Due for
    /// every replica after [`Leader::new`](super::Leader::new) and for those that are new after
    /// [`Input::PartitionChanged`].
    BrokerChanged {
        /// The broker.
        node: NodeId,
        /// Its registration; `None` if it has none.
        epoch: Option<BrokerEpoch>,
        /// Whether it is neither fenced nor shutting down.
        active: bool,
    },
    /// What became of a proposal.
    IsrAnswered {
        /// Which one.
        id: ProposalId,
        /// What became of it.
        answer: IsrAnswer,
    },
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The high watermark has moved here: tell the log, wake what waits for it.
    HighWatermark(Offset),
    /// The in-sync replicas should change: ask the controller, and give its answer back as
    /// [`Input::IsrAnswered`], or [`IsrAnswer::Unknown`] when none comes: one of them for each such output. A
    /// proposal with the same id as an earlier one repeats it; close the connection on which the earlier one
    /// was left without an answer, so that it cannot overtake this one.
    ProposeIsr(IsrProposal),
    /// Followers begin elsewhere than before, so that [`Leader::low_watermark`](super::Leader::low_watermark) may have
    /// risen: wake what waits for records to be deleted.
    LowWatermark,
    /// The in-sync replicas have changed: wake what waits, since `acks=all` may now be refused.
    IsrChanged,
}
