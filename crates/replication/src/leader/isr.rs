//! Proposals to change the in-sync replicas, and what the controller says to them.

use super::{RecoveryState, Ticks};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};

/// Number of a proposal, to tell its answer from those to earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProposalId(pub u64);

/// A change of the in-sync replicas to be sent to the controller as AlterPartition (KIP-497).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrProposal {
    /// To be given back with the answer.
    pub id: ProposalId,
    /// Epoch of this leader.
    pub leader_epoch: LeaderEpoch,
    /// State of the partition that the proposal starts from.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync replicas as they should be.
    pub isr: Vec<IsrMember>,
    /// Whether this leader has recovered from an unclean election. It always has by the time it proposes
    /// anything, but only a proposal that leaves it alone in sync may say so first.
    pub recovery: RecoveryState,
}

/// One of the replicas that should be in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsrMember {
    /// The broker.
    pub node: NodeId,
    /// The registration it last fetched with, so that the controller can refuse one that has since
    /// restarted and may have lost records (KIP-903). `None` for the leader itself and for brokers that do
    /// not say.
    pub epoch: Option<BrokerEpoch>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsrAnswer {
    /// The controller has committed this state.
    Committed {
        /// Epoch of the leader.
        leader_epoch: LeaderEpoch,
        /// The new number of the state.
        partition_epoch: PartitionEpoch,
        /// The in-sync replicas.
        isr: Vec<NodeId>,
    },
    /// The controller says that it has changed nothing, so the proposal can be taken back.
    NotApplied,
    /// The controller has moved on. Whether the proposal took effect will be seen in the metadata log, and
    /// until then both outcomes must be reckoned with.
    Superseded,
    /// Whether the proposal took effect is not known and it should be sent again: a timeout, a lost
    /// connection, a controller that has just changed.
    Unknown,
}

impl IsrAnswer {
    /// The meaning of an error code in the controller's answer.
    ///
    /// Only the codes with which the controller states that it did not apply the proposal take it back.
    /// Taking it back on any other would let the high watermark pass a replica that is in sync.
    #[must_use]
    pub fn from_error(code: ErrorCode) -> Self {
        match code {
            ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => Self::NotApplied,
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::InvalidUpdateVersion
            | ErrorCode::InvalidRequest
            | ErrorCode::NewLeaderElected => Self::Superseded,
            _ => Self::Unknown,
        }
    }
}

/// A proposal without a known outcome.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) proposal: IsrProposal,
    /// The replica that joins; `None` when some leave. One that joins counts at once, those that leave
    /// count until the controller has confirmed (the maximal ISR of KIP-497).
    pub(super) joining: Option<NodeId>,
    /// When to send it again; `None` while an answer is awaited, or metadata after
    /// [`IsrAnswer::Superseded`].
    pub(super) retry_at: Option<Ticks>,
    /// How long to wait before the next repetition.
    backoff_ms: u64,
}

impl Pending {
    pub(super) fn new(proposal: IsrProposal, joining: Option<NodeId>) -> Self {
        Self { proposal, joining, retry_at: None, backoff_ms: RETRY_MS_MIN }
    }

    /// Plans to send it again, later each time.
    pub(super) fn retry(&mut self, now: Ticks) {
        self.retry_at = Some(now.plus_ms(self.backoff_ms));
        self.backoff_ms = (self.backoff_ms * 2).min(RETRY_MS_MAX);
    }
}

/// How long to wait before a proposal without an answer is repeated for the first time.
const RETRY_MS_MIN: u64 = 100;

/// How long to wait before the later ones at most.
const RETRY_MS_MAX: u64 = 1_000;
