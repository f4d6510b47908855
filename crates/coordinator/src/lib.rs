#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod entry;
mod machine;
mod parked;
mod shard;
mod step;
mod time;
mod timers;

pub use entry::{Entry, TransactionOutcome};
pub use highwater_types::Ticks;
pub use machine::{Append, Coordinator, CoordinatorConfig, CoordinatorStats, Output, ReplayError};
pub use shard::Shard;
pub use step::{Reply, Step, Token};
pub use time::Now;
pub use timers::Timers;
