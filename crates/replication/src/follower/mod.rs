//! The follower of one partition: where it fetches next, where it truncates, what it takes over.

mod answer;
mod machine;
mod plan;
mod position;

pub use answer::{BatchSpan, FetchedPartition, LeaderOffsets};
pub use machine::{Follower, FollowerConfig, FollowerSetup};
pub use plan::{AppendOutcome, Marks, Plan};
pub use position::{FetchDue, FetchPosition, LogState};
