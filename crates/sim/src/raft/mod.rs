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
//! In the end the world heals: a leader must be elected, and what it appends must reach every node.

mod disk;
mod judge;
mod node;
mod plan;
mod world;

pub(crate) use disk::{Batch, Disk};
pub(crate) use world::run;
