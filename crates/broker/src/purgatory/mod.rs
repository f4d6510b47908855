//! Where requests wait: for an event on a partition, for a time, for blocking work.
//!
//! A parked connection is named by a [`WakeToken`](crate::net::WakeToken). [`WaitList`] keeps the tokens that wait for
//! one thing and lives inside that thing; [`Purgatory`] keeps lists for things known by a key. Deadlines are kept by
//! the event loops, each in a timer wheel of its own. [`Workers`] runs what could block and wakes the connection after.

mod keyed;
mod wait_list;
mod wheel;
mod workers;

pub use keyed::Purgatory;
pub use wait_list::WaitList;
pub(crate) use wheel::{TimerKey, Wheel};
pub use workers::{Job, JobLost, Promise, Workers, WorkersBusy};
