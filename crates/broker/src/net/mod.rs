//! Event loops, connections and the seam to what serves their requests.
//!
//! A server runs one event loop per core. A loop is a thread with an epoll of its own, its own connections and its own
//! buffers, and runs every request to completion: waking another thread costs more than a whole small request. The
//! [`Service`] trait is the seam; its documentation is the contract for whoever implements it.
//!
//! # A turn of a loop
//!
//! 1. Wait for events, unless there is work left; take the mailbox; fire timers.
//! 2. Drive each connection that something happened to: send what is left of old answers, resume what was woken, serve
//!    what is complete, receive more, in that order, until nothing more can be done or it is the others' turn.
//! 3. Drive connections of this loop that were woken in step 2, once more.
//! 4. Call [`Service::turn_end`], deliver wake-ups for other loops, one delivery per loop.
//!
//! # What a request costs
//!
//! Sockets are edge-triggered and registered once, for both directions. A receive that returns less than it could is
//! known to have emptied the socket, so there is no second one that returns nothing.
//!
//! | case | system calls of the loop |
//! | --- | --- |
//! | one small request at a time | 1 wait, 1 receive, 1 send |
//! | n requests that arrived together, small answers | 1 wait, 1 receive, 1 send for all n |
//! | request of 1 MiB | 1 wait, 4 or more receives of at most 256 KiB, 1 send |
//! | answer with a file slice under 64 KiB | 1 `pread` for each slice, 1 send for all |
//! | answer with a larger slice | 1 send for the bytes before it, at least 1 `sendfile` |
//! | parked, then woken by the same loop | as without parking, no call for the wake-up |
//! | parked, then woken by another thread | 1 write to an eventfd if the loop sleeps, else none |
//!
//! Bytes are copied once on the way in, from the socket to the buffer in which they are served. There is no allocation
//! per request in this layer once its buffers are warm; a partial request of up to 16 KiB between turns costs one.
//!
//! # Bounds
//!
//! | what | bound | at the bound |
//! | --- | --- | --- |
//! | one request | `ServerConfig::request_bytes_max` | the connection is closed, without an answer |
//! | memory for a request | 8 times what has arrived of it | grows as more arrives |
//! | receive memory of all connections | `ServerConfig::receive_bytes_max` | no more than 4 KiB is read, but for one per loop; who holds memory for 5 s is closed |
//! | answers of one turn | [`Out::is_full`], and the one answer that crosses it | no more requests are taken |
//! | unsent answers of a connection | those of one turn | no more requests are served until all are sent |
//! | waits of a connection | one | later requests wait behind it |
//! | silence | `ServerConfig::idle_max`; a parked request counts as activity | the connection is closed |
//! | connections | [`ConnectionLimits`], descriptors | new ones wait in the listen queue, or are closed |
//!
//! An idle connection holds no buffer: it costs under 1 KiB here, besides what the kernel holds.

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
