//! What nodes say to one another beside the quorum's own messages, and everything that can happen.

use highwater_metadata::{AlterIsrResult, AlterPartition, BrokerHeartbeat, BrokerRegistration, HeartbeatAnswer};
use highwater_raft::{CorrelationId, Request, Response, SnapshotId};
use highwater_replication::fetcher::{FetchRequest, PartitionKey, SessionId};
use highwater_replication::follower::{FetchPosition, FetchedPartition, LeaderOffsets};
use highwater_replication::leader::Acks;
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, Offset};

use super::log::Record;
use crate::raft::Batch;

/// Who asked, by which of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) node: usize,
    pub(super) incarnation: u64,
    pub(super) correlation: CorrelationId,
}

/// Who called, by which of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    pub(super) node: usize,
    pub(super) incarnation: u64,
    pub(super) call: u64,
}

/// A broker's request to a broker or to the controller.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Register(BrokerRegistration),
    Heartbeat(BrokerHeartbeat),
    AlterPartition(AlterPartition),
    /// A fetch of a follower that is registered as this.
    Fetch(BrokerEpoch, FetchRequest),
    /// Where the log of a leader in this epoch begins and ends.
    Offsets(PartitionKey, LeaderEpoch),
}

/// The answer to a [`Call`] of the same kind.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Registered(Result<BrokerEpoch, ErrorCode>),
    Heartbeat(Result<HeartbeatAnswer, ErrorCode>),
    Altered(Result<Vec<AlterIsrResult>, ErrorCode>),
    Fetched(Fetched),
    Offsets(Result<LeaderOffsets, ErrorCode>),
}

/// The answer to a fetch.
#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) error: ErrorCode,
    pub(super) session: Option<SessionId>,
    pub(super) partitions: Vec<FetchedRecords>,
}

/// What it says of one partition.
#[derive(Clone, Debug)]
pub(super) struct FetchedRecords {
    pub(super) key: PartitionKey,
    pub(super) position: FetchPosition,
    pub(super) answer: FetchedPartition,
    pub(super) records: Vec<Record>,
}

/// Something that happens. What is about a process says which incarnation of the node it was.
#[derive(Debug)]
pub(super) enum Event {
    /// A message of the quorum reaches a node.
    Asked { node: usize, token: Token, request: Box<Request> },
    /// An answer reaches the node that asked.
    Answered { from: usize, token: Token, answer: Box<QuorumAnswer> },
    /// Nobody has answered in time.
    Unanswered { token: Token },
    /// The state of the quorum is on the disk.
    Stored { node: usize, incarnation: u64 },
    /// The metadata log is on the disk.
    Synced { node: usize, incarnation: u64, generation: u64, end: Offset },
    /// A snapshot that was fetched is loaded.
    Loaded { node: usize, incarnation: u64, id: SnapshotId },
    /// A call reaches a node.
    Called { node: usize, caller: Caller, call: Box<Call> },
    /// Its answer reaches the caller.
    Replied { from: usize, caller: Caller, reply: Box<Reply> },
    /// Nobody has answered a call in time.
    CallFailed { caller: Caller },
    /// A producer's batch reaches a node.
    Produced { node: usize, key: PartitionKey, acks: Acks, value: u64 },
    /// The logs of a node's replicas are on the disk, as far as they went at the time.
    Flushes { node: usize },
    /// A node does what it has to do by time.
    Wakes { node: usize },
    /// A node starts again.
    Restarts { node: usize },
    /// Somebody produces.
    Produces,
    /// An administrator wants something.
    Administers,
    /// Somebody takes a snapshot of the metadata.
    Snapshots,
    /// Something breaks.
    Breaks,
}

/// An answer of the quorum with what came with it.
#[derive(Clone, Debug)]
pub(super) struct QuorumAnswer {
    pub(super) response: Response,
    pub(super) batches: Vec<Batch>,
    pub(super) bytes: u64,
}
