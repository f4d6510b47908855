//! Histories of what clients did and saw, and what must not be in them.
//!
//! The definitions are those of Jepsen's checker for Kafka: every value is written at most once, so that where it is
//! read tells what happened to it.

mod anomaly;
mod checker;
mod op;
mod versions;

pub use anomaly::Anomaly;
pub use checker::check;
pub use op::{Key, Op, Outcome, Process, Step};
