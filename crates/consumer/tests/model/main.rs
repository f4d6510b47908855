//! Random histories of a group of consumers.
//!
//! The real machine, driven by its contract and no more, in virtual time, before the real coordinator of this workspace
//! and brokers that are made here: leaders that move, fetch sessions that are forgotten, transactions that are aborted,
//! requests and answers that are lost or late, a coordinator that says it is none, applications that dawdle, do not give
//! back what they should, and die. A judge looks on from outside:
//!
//! - records come only of partitions that the application was told are its own, from that until it is told otherwise;
//! - no two members have a partition at once, unless one of them may have been given up without hearing of it;
//! - of each such time they come in order, without a gap and without a repeat, and begin where nothing is left out;
//! - nothing of an aborted transaction comes if only committed records are wanted;
//! - nothing is committed that was not given;
//! - no more than one fetch is under way for each broker.
//!
//! In the end the world heals: every record must come to somebody, whoever waits being told by the machine, and every
//! consumer must close.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod brokers;
mod groups;
mod judge;
mod random;
mod world;

use world::World;

/// `SEED=n` plays one history.
#[test]
fn groups_of_consumers_survive_faults() {
    let fixed = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let histories = std::env::var("HISTORIES").map_or(HISTORIES, |count| count.parse().unwrap());
    for seed in fixed.map_or(0..histories, |seed: u64| seed..seed + 1) {
        let played = std::panic::catch_unwind(|| World::new(seed).play());
        assert!(played.is_ok(), "failed; replay with SEED={seed} cargo test -p highwater-consumer --test model");
    }
}

/// At every run; `HISTORIES` in the environment asks for more.
const HISTORIES: u64 = 60;
