//! The leader of one partition: who is in sync, what is committed, what may be acknowledged.

mod acks;
mod answers;
mod event;
mod isr;
mod machine;
mod membership;
mod remote;

pub use acks::{AckError, Acknowledgement, Acks};
pub use event::{Input, LeaderConfig, LeaderSetup, Output, RecoveryState};
pub use isr::{IsrAnswer, IsrMember, IsrProposal, ProposalId};
pub use machine::Leader;
pub use remote::{FollowerFetch, FollowerRefusal};

pub use highwater_types::Ticks;
use highwater_types::{ErrorCode, LeaderEpoch};

/// A request was made in another leader epoch than the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The client has not yet heard of the current leader.
    #[error("leader epoch {requested} is behind the current epoch {current}")]
    Fenced {
        /// Epoch in the request.
        requested: LeaderEpoch,
        /// Epoch of this leader.
        current: LeaderEpoch,
    },
    /// This leader has not yet heard of the newer one.
    #[error("leader epoch {requested} is ahead of the current epoch {current}")]
    Unknown {
        /// Epoch in the request.
        requested: LeaderEpoch,
        /// Epoch of this leader.
        current: LeaderEpoch,
    },
}

impl EpochError {
    /// The code that goes to the client.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
            Self::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
        }
    }

    /// Compares the epoch that a request names, if it does, with the current one (KIP-320).
    ///
    /// # Errors
    ///
    /// If they differ.
    pub fn check(requested: Option<LeaderEpoch>, current: LeaderEpoch) -> Result<(), Self> {
        match requested {
            Some(requested) if requested < current => Err(Self::Fenced { requested, current }),
            Some(requested) if current < requested => Err(Self::Unknown { requested, current }),
            _ => Ok(()),
        }
    }
}
