//! What nodes say to one another. Kafka's messages, without what only the wire needs.

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset};

use crate::{ChangeRefusal, Endpoint, KRaftVersions, ReplicaKey, SnapshotId};

/// A question to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Vote for me.
    Vote(Vote),
    /// I lead this epoch.
    BeginQuorumEpoch(BeginQuorumEpoch),
    /// I do not lead this epoch any more.
    EndQuorumEpoch(EndQuorumEpoch),
    /// Give me what follows; I have everything before.
    Fetch(Fetch),
    /// Give me a part of a snapshot.
    FetchSnapshot(FetchSnapshot),
    /// Let somebody decide.
    AddVoter(AddVoter),
    /// Let somebody decide no more.
    RemoveVoter(RemoveVoter),
    /// I am a voter, reached elsewhere or with other code than the log says.
    UpdateVoter(UpdateVoter),
}

/// A candidate's request for a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The epoch that it wants to lead; of a pre-vote, the one that it is in.
    pub epoch: LeaderEpoch,
    /// Who asks.
    pub candidate: ReplicaKey,
    /// Who is asked.
    pub voter: ReplicaKey,
    /// Epoch of the candidate's last record.
    pub last_epoch: LeaderEpoch,
    /// End of the candidate's log.
    pub end: Offset,
    /// Whether it only asks if it would get the vote (KIP-996).
    pub is_pre_vote: bool,
}

/// A leader's announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeginQuorumEpoch {
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Who leads.
    pub leader: NodeId,
    /// Who is told.
    pub voter: ReplicaKey,
}

/// A leader's farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndQuorumEpoch {
    /// The epoch that it led.
    pub epoch: LeaderEpoch,
    /// Who led.
    pub leader: NodeId,
    /// Who should stand for election, the one with the longest log first.
    pub successors: Vec<ReplicaKey>,
}

/// A request for records, which tells the leader that those before are stored and synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The epoch that the follower is in.
    pub epoch: LeaderEpoch,
    /// Who asks.
    pub replica: ReplicaKey,
    /// From where.
    pub offset: Offset,
    /// Epoch of the record before.
    pub last_epoch: LeaderEpoch,
    /// What the follower knows to be committed; the leader answers at once when it knows of more (KIP-1166).
    pub high_watermark: Option<Offset>,
    /// How long the leader may wait for something to give.
    pub wait_ms: u64,
}

/// A request for a part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSnapshot {
    /// The epoch that the follower is in.
    pub epoch: LeaderEpoch,
    /// Who asks.
    pub replica: ReplicaKey,
    /// Which one.
    pub id: SnapshotId,
    /// From which byte on.
    pub position: u64,
}

/// A request for one voter more (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddVoter {
    /// Who; the directory must be known.
    pub key: ReplicaKey,
    /// Where it is reached. The driver has checked that the default listener of controllers is among them.
    pub endpoints: Vec<Endpoint>,
    /// Whether to answer when the change is committed, rather than when it is in the leader's log (KIP-1186).
    pub ack_when_committed: bool,
}

/// A request for one voter less (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoveVoter {
    /// Who; the directory must be known.
    pub key: ReplicaKey,
}

/// A voter's request to describe it anew (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateVoter {
    /// The epoch that it is in.
    pub epoch: LeaderEpoch,
    /// Who asks.
    pub key: ReplicaKey,
    /// Where it is reached. The driver has checked that the default listener of controllers is among them.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub kraft_versions: KRaftVersions,
}

/// An answer to a follower that loads a snapshot. The driver of the leader sets the size and adds bytes, at least one if
/// there is one, or says that the position is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotAnswer {
    /// Where the leader is.
    pub leadership: Leadership,
    /// Which snapshot.
    pub id: SnapshotId,
    /// Bytes that it has in all.
    pub size: u64,
    /// Where the bytes of this answer begin.
    pub position: u64,
}

/// An answer to the [`Request`] of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// To a vote.
    Vote(VoteAnswer),
    /// To an announcement.
    BeginQuorumEpoch(Leadership),
    /// To a farewell.
    EndQuorumEpoch(Leadership),
    /// To a fetch.
    Fetch(FetchAnswer),
    /// To a fetch of a part of a snapshot.
    FetchSnapshot(SnapshotAnswer),
    /// To a request for one voter more.
    AddVoter(ChangeAnswer),
    /// To a request for one voter less.
    RemoveVoter(ChangeAnswer),
    /// To a request to describe a voter anew.
    UpdateVoter(ChangeAnswer),
}

/// An answer to who wants the voters changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeAnswer {
    /// Where the node is. Where the wire does not say this, a driver reports epoch 0 and no leader.
    pub leadership: Leadership,
    /// Why the voters were not changed, or not yet. A driver that reports an answer need not know.
    pub refusal: Option<ChangeRefusal>,
}

/// Which epoch a node is in, and who leads it as far as it knows. Every answer says this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// `None`, or why the request was refused.
    pub error: ErrorCode,
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its leader.
    pub leader: Option<NodeId>,
}

/// An answer to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoteAnswer {
    /// Where the voter is.
    pub leadership: Leadership,
    /// Whether it voted, or would vote, for the candidate.
    pub granted: bool,
}

/// An answer to a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchAnswer {
    /// Where the leader is.
    pub leadership: Leadership,
    /// Everything before it is committed.
    pub high_watermark: Option<Offset>,
    /// The follower's log is another one; there are no records then.
    pub diverging: Option<Diverging>,
    /// The leader does not have the records any more that the follower needs: it has to load this first.
    pub snapshot: Option<SnapshotId>,
    /// Records begin here; the driver sends as many whole batches as it likes, at least one if there is one.
    pub records_from: Option<Offset>,
}

/// Where the leader's log has the epoch that the follower has last, or the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Diverging {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Where it ends.
    pub end: Offset,
}

impl Response {
    /// What every answer says.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        match self {
            Self::Vote(answer) => answer.leadership,
            Self::BeginQuorumEpoch(leadership) | Self::EndQuorumEpoch(leadership) => *leadership,
            Self::Fetch(answer) => answer.leadership,
            Self::FetchSnapshot(answer) => answer.leadership,
            Self::AddVoter(answer) | Self::RemoveVoter(answer) | Self::UpdateVoter(answer) => answer.leadership,
        }
    }
}
