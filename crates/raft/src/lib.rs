#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod election;
mod epoch_starts;
mod fetching;
mod input;
mod leader;
mod log;
mod machine;
mod message;
mod output;
mod random;
mod role;
mod snapshot;
mod state;
mod transition;
mod view;
mod voters;

pub use config::RaftConfig;
pub use input::{Appended, FetchedBatch, Payload};
pub use log::LogShape;
pub use machine::{NotLeader, Raft, Setup};
pub use message::{
    BeginQuorumEpoch, Diverging, EndQuorumEpoch, Fetch, FetchAnswer, FetchSnapshot, Leadership, Request, Response,
    SnapshotAnswer, Vote, VoteAnswer,
};
pub use output::{Content, CorrelationId, Output, Violation, Write};
pub use role::RoleName;
pub use snapshot::SnapshotId;
pub use state::QuorumState;
pub use view::{QuorumView, ReplicaView};
pub use voters::{ReplicaKey, VoterSet};
