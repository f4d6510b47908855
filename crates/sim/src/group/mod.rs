//! Random histories of one group coordinator with many members.
//!
//! The real coordinator and the real group shard, over a log in memory whose high watermark lags behind; members of both
//! protocols, written here from the protocols' rules, behind a network that loses, delays and repeats; crashes that keep
//! any prefix of what was not committed. A book judges from outside:
//!
//! - an answer goes out only when what it rests on is committed, and each request has one answer at most;
//! - once a later holder of a partition has committed, no earlier one can ([`book`]);
//! - generations and epochs only rise;
//! - a commit that was acknowledged stays in the log, and is what later reads find, until a later one replaces it.
//!
//! In the end the world heals: every group must become stable, with each partition held by one member.

mod ask;
mod book;
mod classic_member;
mod consumer_member;
mod member;
mod network;
mod plan;
mod server;
mod topics;
mod world;

pub(crate) use world::run;

/// Partitions by topic name.
type Held = std::collections::BTreeSet<(std::sync::Arc<str>, u32)>;
