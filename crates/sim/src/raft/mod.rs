//! Random histories of a metadata quorum.
//!
//! The real machine of each node, over a log in memory that loses what was not synced when its node is killed; a network
//! that loses, delays, repeats and reorders, and is cut one way, both ways or in part; clocks that run at different
//! speeds; pauses; a disk that is replaced. The driver here keeps the machine's contract, and no more. A judge looks on
//! from outside, after every event:
//!
//! - there is one leader in an epoch, and it has everything that was ever committed;
//! - epochs only rise, in memory and on the disk; a replica votes once in an epoch, and only after it has stored that;
//! - what one node says is committed is on the disks of a majority, and is the same on every node for ever;
//! - the high watermark of a running node only rises;
//! - two logs with a batch of the same offset and epoch have the same batch there, after the same one.
//!
//! Who decides is configured, or, in histories of `voters`, in the log (KIP-853), at once or later: then administrators add and remove voters,
//! nodes join by themselves and are reached elsewhere after a start, and the judge holds to this too:
//!
//! - voters change by one, not before the change before and something of the leader's own epoch are committed;
//! - a majority is one of the voters that the leader's own log says;
//! - what the machine says of the voters for a snapshot is what the records before its end say.
//!
//! In the end the world heals: a leader must be elected, and what it appends must reach every node.

mod book;
mod disk;
mod judge;
mod node;
mod plan;
mod world;

pub(crate) use disk::{Batch, Disk};
pub(crate) use world::{run, run_voters};
