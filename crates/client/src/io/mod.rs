//! The client's own thread: its sockets, its tasks, its clock.

mod connection;
mod doorbell;
mod executor;
mod frames;
mod network;
mod outbox;
mod resolve;
mod thread;
mod versions;

pub(crate) use connection::{Answer, Link};
pub(crate) use executor::Notify;
pub(crate) use network::{Lane, Peer, Submitted};
pub(crate) use thread::{Deadline, Io, IoHandle};
