//! What the machine wants done.

use highwater_types::{LeaderEpoch, NodeId, Offset};

use crate::{Endpoint, KRaftVersion, QuorumState, ReplicaKey, Request, Response, RoleName, SnapshotId, VoterSet};

/// Which request an answer belongs to; unique for as long as a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CorrelationId(pub u64);

/// Something to be done, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<T> {
    /// Store this before anything that follows; nothing follows until [`Raft::persisted`](crate::Raft::persisted).
    Persist(QuorumState),
    /// Write to the log.
    Write(Write),
    /// Sync the log, which ends here; then call [`Raft::synced`](crate::Raft::synced). May run beside what follows.
    Sync {
        /// Everything before is to be on the disk.
        end: Offset,
    },
    /// Ask another node.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        request: Request,
        /// Under which number its answer is reported.
        correlation: CorrelationId,
    },
    /// Ask one of `controller.quorum.bootstrap.servers`, of which the node's id is not known.
    SendToBootstrap {
        /// Which one, from zero.
        server: u32,
        /// What.
        request: Request,
        /// Under which number its answer is reported.
        correlation: CorrelationId,
    },
    /// Ask a node that is to be a voter which levels of `kraft.version` it supports, by ApiVersions. The answer goes to
    /// [`Raft::handle_versions`](crate::Raft::handle_versions).
    AskVersions {
        /// Whom.
        replica: ReplicaKey,
        /// Where it is reached.
        endpoints: Vec<Endpoint>,
        /// Under which number its answer is reported.
        correlation: CorrelationId,
    },
    /// Answer another node.
    Reply {
        /// The request's.
        token: T,
        /// The answer.
        response: Response,
    },
    /// Everything before is committed.
    HighWatermark(Offset),
    /// The node has another role, or there is another leader or epoch.
    Role {
        /// The role.
        role: RoleName,
        /// The epoch.
        epoch: LeaderEpoch,
        /// Its leader, if that is known.
        leader: Option<NodeId>,
    },
    /// The node must stop at once: going on would lose what is committed. Nothing follows.
    Violation(Violation),
}

/// A change of the log. Visible to readers of the log at once; on the disk after the next sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Append one batch as the leader of `epoch`.
    Append {
        /// Its first offset, which is the end of the log.
        base: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// What is in it.
        content: Content,
    },
    /// Append the first batches of an answer to a fetch.
    Fetched {
        /// The fetch.
        correlation: CorrelationId,
        /// How many of them.
        batches: usize,
    },
    /// Remove everything from here on.
    Truncate {
        /// The new end.
        end: Offset,
    },
    /// Remove everything before here, and the snapshots that end before.
    DropPrefix {
        /// The new start, where a snapshot ends.
        start: Offset,
    },
    /// Store the bytes of an answer as a part of a snapshot that is not complete; the first part replaces what there is.
    SnapshotPart {
        /// The answer.
        correlation: CorrelationId,
        /// Which snapshot.
        id: SnapshotId,
        /// Where in it.
        position: u64,
    },
    /// The snapshot is complete. Before anything that follows is carried out: sync it, give it its name, and let the log
    /// begin anew at its end. Load it, and call [`Raft::snapshot_loaded`](crate::Raft::snapshot_loaded) or, if its header
    /// says who decides, [`Raft::snapshot_loaded_with`](crate::Raft::snapshot_loaded_with).
    LoadSnapshot {
        /// Which one.
        id: SnapshotId,
    },
}

/// What a leader appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A control batch with one record: a new leader.
    LeaderChange {
        /// The voters, by id.
        voters: Vec<ReplicaKey>,
        /// Those that voted for the leader.
        granting: Vec<ReplicaKey>,
    },
    /// A control batch with three records: the first leader, a KRaftVersionRecord and a VotersRecord, which say what the
    /// bootstrap checkpoint does, for those who have none.
    FirstLeaderChange {
        /// The voters, by id.
        voters: Vec<ReplicaKey>,
        /// Those that voted for the leader.
        granting: Vec<ReplicaKey>,
        /// The level of the KRaftVersionRecord.
        kraft_version: KRaftVersion,
        /// The voters of the VotersRecord.
        voter_set: VoterSet,
    },
    /// A control batch with one record, a VotersRecord: who decides from here on.
    Voters(VoterSet),
    /// A control batch with two records, a KRaftVersionRecord and a VotersRecord: the voters that the configuration had are
    /// in the log from here on.
    Raised {
        /// The level of the KRaftVersionRecord.
        kraft_version: KRaftVersion,
        /// The voters of the VotersRecord.
        voter_set: VoterSet,
    },
    /// The batch that was given to [`Raft::append`](crate::Raft::append) under this number.
    Batch {
        /// The number.
        tag: u64,
        /// Records in it.
        records: u32,
    },
}

/// Something that cannot happen unless a node has lost its log or runs other code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The leader's log lacks what is committed here.
    #[error("the leader of epoch {epoch} asks to truncate to {end}, below the high watermark {high_watermark}")]
    TruncationBelowHighWatermark {
        /// The leader's epoch.
        epoch: LeaderEpoch,
        /// To where.
        end: Offset,
        /// What is committed.
        high_watermark: Offset,
    },
    /// No epoch is left to be elected in: some node has claimed to be in one that billions of elections lead to.
    #[error("no epoch comes after {epoch}")]
    EpochsExhausted {
        /// The last one.
        epoch: LeaderEpoch,
    },
    /// The log is written by newer code.
    #[error("the log has kraft.version {version}, which this node does not know")]
    UnknownKRaftVersion {
        /// The level.
        version: KRaftVersion,
    },
    /// The leader's newest snapshot lacks what is committed here.
    #[error("the leader of epoch {epoch} offers snapshot {id}, below the high watermark {high_watermark}")]
    SnapshotBelowHighWatermark {
        /// The leader's epoch.
        epoch: LeaderEpoch,
        /// The snapshot.
        id: SnapshotId,
        /// What is committed.
        high_watermark: Offset,
    },
}
