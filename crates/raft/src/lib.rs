#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod config;
mod control;
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
mod refusal;
mod role;
mod snapshot;
mod state;
mod transition;
mod view;
mod voter;
mod voter_change;
mod voter_history;
mod voter_raise;
mod voters;

pub use config::RaftConfig;
pub use control::{Control, ControlRecord, Membership};
pub use input::{Appended, FetchedBatch, Payload};
pub use log::LogShape;
pub use machine::{NotLeader, Raft, Setup, VoterSetup};
pub use message::{
    AddVoter, BeginQuorumEpoch, ChangeAnswer, Diverging, EndQuorumEpoch, Fetch, FetchAnswer, FetchSnapshot, Leadership,
    RemoveVoter, Request, Response, SnapshotAnswer, UpdateVoter, Vote, VoteAnswer,
};
pub use output::{Content, CorrelationId, Output, Violation, Write};
pub use refusal::ChangeRefusal;
pub use role::RoleName;
pub use snapshot::SnapshotId;
pub use state::QuorumState;
pub use view::{QuorumView, ReplicaView};
pub use voter::{Endpoint, KRaftVersion, KRaftVersions, ReplicaKey, Voter};
pub use voter_raise::RaiseRefusal;
pub use voters::VoterSet;
