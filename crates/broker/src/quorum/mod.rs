//! The metadata quorum on this node, and the controller while it leads: one thread owns both.
//!
//! A request that changes metadata runs on that thread: decide, append the records, sync them, wait until a majority has
//! them. A second thread makes the broker follow what is committed: it creates or deletes local logs and publishes the
//! new view. Only then is the request of a client answered.

mod active;
mod addresses;
mod control;
mod handle;
mod lanes;
mod log;
pub(crate) mod messages;
mod quorum_state;
mod snapshot;
mod snapshots;
mod start;
mod state;
mod thread;
mod translate;
pub(crate) mod voter_messages;

pub(crate) use active::{ControllerError, Deciding};
pub(crate) use handle::{Asked, QuorumHandle};
pub(crate) use log::{MetadataLog, MetadataLogError, write_first_voters};
pub(crate) use start::{QuorumSetup, QuorumStartError};
pub(crate) use thread::{Change, RaftReply};
