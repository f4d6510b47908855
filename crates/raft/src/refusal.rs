//! Why the voters are not changed.

use highwater_types::{ErrorCode, NodeId};

use crate::{KRaftVersion, KRaftVersions, ReplicaKey};

/// Why a request to change the voters is refused. What it says is what Kafka's tools show to who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeRefusal {
    /// Another node leads, or none; of a change under way it is not known whether it will be committed.
    #[error("this node does not lead the quorum")]
    NotLeader,
    /// The request is from before this leader.
    #[error("the epoch of the request is over")]
    FencedEpoch,
    /// The request is from after this leader.
    #[error("the epoch of the request is not known here")]
    UnknownEpoch,
    /// It does not say which replica.
    #[error("the request does not say the directory id of voter {id}")]
    NoDirectory {
        /// The node.
        id: NodeId,
    },
    /// It does not say where the replica is reached, or too much of it.
    #[error("the request has {count} endpoints for voter {key}, and not 1 to {max}", max = ENDPOINTS_MAX)]
    Endpoints {
        /// The replica.
        key: ReplicaKey,
        /// How many there are.
        count: usize,
    },
    /// One change after the other.
    #[error("an earlier change of the voters is under way")]
    Pending,
    /// The same, by an earlier leader or after it took too long.
    #[error("an earlier change of the voters is not committed yet")]
    Uncommitted,
    /// Until its own epoch has something committed, a leader does not know what earlier ones have changed.
    #[error("the leader does not know yet what is committed")]
    HighWatermarkUnknown,
    /// The voters are fixed by configuration.
    #[error("kraft.version {version} does not support changes of the voters, which 1 does")]
    FixedVoters {
        /// The quorum's level.
        version: KRaftVersion,
    },
    /// The node is a voter already, with this directory or another.
    #[error("{known} is a voter already")]
    Duplicate {
        /// The voter.
        known: ReplicaKey,
    },
    /// No voter is this replica.
    #[error("{key} is no voter")]
    NotFound {
        /// The replica.
        key: ReplicaKey,
    },
    /// Without it nobody would decide.
    #[error("{key} is the only voter")]
    LastVoter {
        /// The voter.
        key: ReplicaKey,
    },
    /// The quorum's level is not one that the voter supports.
    #[error(
        "voter {key} supports kraft.version {} to {}, which the quorum's, {version}, is not in",
        .supported.min,
        .supported.max
    )]
    Unfit {
        /// The replica.
        key: ReplicaKey,
        /// What it supports.
        supported: KRaftVersions,
        /// The quorum's level.
        version: KRaftVersion,
    },
    /// The replica did not say what it supports.
    #[error("{key} does not answer at its endpoints")]
    Unreachable {
        /// The replica.
        key: ReplicaKey,
    },
    /// The replica has not fetched to the end of the log in time.
    #[error("{key} has not caught up with the leader in time")]
    LagsBehind {
        /// The replica.
        key: ReplicaKey,
    },
    /// The change may still be committed.
    #[error("the change is not committed in time")]
    NotCommitted,
}

impl ChangeRefusal {
    /// The code that Kafka gives for it.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::FencedEpoch => ErrorCode::FencedLeaderEpoch,
            Self::UnknownEpoch => ErrorCode::UnknownLeaderEpoch,
            Self::NoDirectory { .. } | Self::Endpoints { .. } | Self::Unfit { .. } => ErrorCode::InvalidRequest,
            Self::FixedVoters { .. } => ErrorCode::UnsupportedVersion,
            Self::Duplicate { .. } => ErrorCode::DuplicateVoter,
            // Kafka has no other word for the last one.
            Self::NotFound { .. } | Self::LastVoter { .. } => ErrorCode::VoterNotFound,
            Self::Pending
            | Self::Uncommitted
            | Self::HighWatermarkUnknown
            | Self::Unreachable { .. }
            | Self::LagsBehind { .. }
            | Self::NotCommitted => ErrorCode::RequestTimedOut,
        }
    }
}

/// Endpoints that a voter may have; there is one for each listener of controllers.
pub(crate) const ENDPOINTS_MAX: usize = 100;
