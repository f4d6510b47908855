//! What a node must not forget.

use highwater_types::{LeaderEpoch, NodeId};

use crate::ReplicaKey;

/// What is in the file `quorum-state`: lost, a node could vote twice in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuorumState {
    /// The highest epoch that the node knows.
    pub epoch: LeaderEpoch,
    /// Its leader, if that is known.
    pub leader: Option<NodeId>,
    /// Whom the node has voted for in it.
    pub voted: Option<ReplicaKey>,
}
