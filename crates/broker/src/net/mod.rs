//! Event loops, connections and the seam to what serves their requests.

mod accept;
mod frames;
mod out;
mod service;
mod stats;
mod waker;

pub use accept::ConnectionLimits;
pub use frames::Frames;
pub use out::{Out, SendFile};
pub use service::{Context, Now, Peer, Served, Service, Wake};
pub use stats::NetStats;
pub(crate) use stats::Stats;
pub use waker::{LOOPS_MAX, WakeToken, Wakers};
