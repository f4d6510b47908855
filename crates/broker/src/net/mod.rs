//! Event loops, connections and the seam to what serves their requests.

mod accept;
mod conn;
mod drive;
mod event_loop;
mod frames;
mod input;
mod out;
mod send;
mod service;
mod stats;
mod waker;

pub use accept::ConnectionLimits;
pub(crate) use accept::{Acceptor, Admission};
pub(crate) use event_loop::{EventLoop, Shared};
pub use frames::Frames;
pub(crate) use input::ReceiveBudget;
pub use out::{Out, SendFile};
pub use service::{Context, Now, Peer, Served, Service, Wake};
pub use stats::NetStats;
pub(crate) use stats::Stats;
pub use waker::{LOOPS_MAX, WakeToken, Wakers};
