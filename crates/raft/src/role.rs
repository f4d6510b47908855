//! What a node is at the moment.

use std::collections::BTreeSet;

use highwater_types::{NodeId, Ticks};

use crate::leader::LeaderState;
use crate::{CorrelationId, ReplicaKey, SnapshotId};

/// The role of a node in its epoch.
///
/// | from | to | when |
/// | --- | --- | --- |
/// | any | `Unattached` | a higher epoch is heard of without its leader |
/// | any but a leader of the same epoch | `Follower` | the leader of this or a higher epoch is heard of |
/// | `Unattached`, `Follower` | `Prospective` | a voter hears of no leader for too long |
/// | `Prospective` | `Candidate` | a majority would vote for it, so it votes for itself in the next epoch |
/// | `Prospective` | `Unattached`, `Follower` | the election takes too long; back to the leader it had, if it had one |
/// | `Candidate` | `Leader` | a majority has voted for it |
/// | `Candidate` | `Prospective` | the election takes too long |
/// | `Leader` | `Resigned` | it is told to, a majority does not fetch, or it is no voter any more |
/// | `Resigned` | `Unattached` in the next epoch | nobody else was elected in time |
///
/// Nodes that are not voters are only ever `Unattached` or `Follower`; but a voter that is removed can be elected and
/// lead until that is committed, without a vote of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleName {
    /// Knows of no leader in its epoch.
    Unattached,
    /// Asks whether it would be elected.
    Prospective,
    /// Stands for election.
    Candidate,
    /// Was elected.
    Leader,
    /// Follows the leader.
    Follower,
    /// Led the epoch and has given up.
    Resigned,
}

#[derive(Clone, Debug)]
pub(crate) enum Role<T> {
    Unattached(Unattached),
    Prospective(Election),
    Candidate(Election),
    Leader(LeaderState<T>),
    Follower(Follower),
    Resigned(Resigned),
}

#[derive(Clone, Debug)]
pub(crate) struct Unattached {
    /// When a voter stands for election.
    pub(crate) election_at: Ticks,
    pub(crate) search: Fetching,
}

#[derive(Clone, Debug)]
pub(crate) struct Election {
    pub(crate) granted: BTreeSet<ReplicaKey>,
    pub(crate) rejected: BTreeSet<ReplicaKey>,
    /// When it is over without a result.
    pub(crate) ends_at: Ticks,
    /// Whom to ask again, as the first request failed, and when.
    pub(crate) retries: Vec<(Ticks, ReplicaKey)>,
    /// Votes asked for, by request.
    pub(crate) asked: Vec<(CorrelationId, ReplicaKey)>,
    /// Of a prospective candidate: the leader of its epoch, to which it returns.
    pub(crate) leader: Option<NodeId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: NodeId,
    /// Whether the leader has answered a fetch in this epoch: it lives, so nobody else should be elected.
    pub(crate) has_fetched: bool,
    /// When a voter gives the leader up.
    pub(crate) timeout_at: Ticks,
    pub(crate) fetching: Fetching,
    /// When it asks, again, for a change of what the log says of it.
    pub(crate) propose_at: Ticks,
    /// What it has asked for last.
    pub(crate) proposed: Option<CorrelationId>,
    /// The leader knows how this voter is described, which is in no log while voters are configured.
    pub(crate) is_described: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Resigned {
    pub(crate) ends_at: Ticks,
}

/// Where a replica is between two fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetching {
    /// To be sent.
    Due(Ticks),
    /// Sent, and not answered yet.
    Asked(CorrelationId),
    /// Answered with records, which the next fetch says are synced.
    Syncing,
    /// The leader has only a snapshot to give; the part from `position` on is to be asked for.
    SnapshotDue { at: Ticks, id: SnapshotId, position: u64 },
    /// A part of it was asked for.
    SnapshotAsked { correlation: CorrelationId, id: SnapshotId, position: u64 },
    /// It is complete and being loaded.
    Loading(SnapshotId),
}

impl<T> Role<T> {
    pub(crate) fn name(&self) -> RoleName {
        match self {
            Self::Unattached(_) => RoleName::Unattached,
            Self::Prospective(_) => RoleName::Prospective,
            Self::Candidate(_) => RoleName::Candidate,
            Self::Leader(_) => RoleName::Leader,
            Self::Follower(_) => RoleName::Follower,
            Self::Resigned(_) => RoleName::Resigned,
        }
    }
}
