//! A bounded number of histories, of which the first ones of each world are played at every test run.
//!
//! `cargo run --release -p highwater-sim -- log --seeds 0..10000` plays more of them, in half a minute.
//!
//! That they can fail is proven by `crates/sim/faults/run`, which plants thirty-one faults, each of which a history notices:
//!
//! | fault | first seed that notices |
//! | --- | --- |
//! | skip a sync | 1 of `log` |
//! | trust a preallocated index | 0 of `log` |
//! | advance the recovery point in recovery | 0 of `log` |
//! | rename `.swap` in the wrong order | 964 of `log` |
//! | drop the last batch of a live producer in cleaning | 382 of `log` |
//! | answer before the high watermark | 0 of `group` |
//! | give a partition that another still has | 13 of `group` |
//! | answer what was not appended | 0 of `group` |
//! | count what the leader has not synced | 2 of `raft` |
//! | keep what the leader has not | 21 of `raft` |
//! | fetch on before the sync | 0 of `raft` |
//! | give a vote that is not stored | 0 of `raft` |
//! | elect whoever asks | 6 of `raft` |
//! | forget a replica that is about to join | 16 of `cluster` |
//! | shrink the in-sync set before the answer | 0 of `cluster` |
//! | take an unknown outcome back | 71 of `cluster` |
//! | join before the start of the epoch | 43 of `cluster` |
//! | commit below `min.insync.replicas` | 3 of `cluster` |
//! | do not wait for the first fetch | 0 of `cluster` |
//! | acknowledge what is only appended | 0 of `cluster` |
//! | take the marks of a diverging answer | 173 of `cluster` |
//! | use an answer of an earlier epoch | 3 of `cluster` |
//! | truncate to the high watermark | 3 of `cluster` |
//! | forget an unclean end | 19 of `cluster` |
//! | elect whom the topic does not allow | 5 of `cluster` |
//! | change the voters before the last change is committed | 2 of `voters` |
//! | change the voters before the own epoch is committed | 18 of `voters` |
//! | keep voters whose record was cut off | 676 of `voters` |
//! | number what may be stored anew | 1 of `producer` |
//! | forget that a partition has one batch at a time | 6 of `producer` |
//! | put a repeat behind what came later | 4 of `producer` |

use std::ops::Range;
use std::panic::catch_unwind;

use highwater_sim::{Trace, World};

fn play(world: World, seeds: Range<u64>) {
    for seed in seeds {
        let played = catch_unwind(|| world.run(seed, &mut Trace::silent()));
        assert!(played.is_ok(), "replay it with\n  {}", world.replay_command(seed));
    }
}

#[test]
fn logs_do_as_their_models_do() {
    play(World::Log, 0..200);
}

#[test]
fn directories_do_as_their_models_do() {
    play(World::Dir, 0..200);
}

#[test]
fn groups_keep_their_promises() {
    play(World::Group, 0..200);
}

#[test]
fn quorums_keep_what_is_committed() {
    play(World::Raft, 0..100);
}

#[test]
fn quorums_keep_what_is_committed_while_voters_come_and_go() {
    play(World::Voters, 0..100);
}

#[test]
fn clusters_keep_what_is_acknowledged() {
    play(World::Cluster, 0..200);
}

#[test]
fn producers_tell_the_truth() {
    play(World::Producer, 0..60);
}

#[test]
fn a_seed_is_one_history() {
    let told = |world: World, seed| {
        let mut lines = Vec::new();
        world.run(seed, &mut Trace::to(&mut |line| lines.push(line)).with_calls(true));
        lines
    };
    for world in [World::Log, World::Dir, World::Group, World::Raft, World::Voters, World::Cluster, World::Producer] {
        assert_eq!(told(world, 3), told(world, 3));
        assert_ne!(told(world, 3), told(world, 4));
    }
}
