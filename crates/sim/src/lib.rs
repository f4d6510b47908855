#![doc = include_str!("../README.md")]

mod cluster;
mod disk;
mod fuzz;
mod group;
mod links;
mod producer;
mod queue;
mod raft;
mod random;

pub use cluster::{Cluster, ClusterSetup};
pub use disk::{Call, DataLoss, DiskStats, EIO, EMFILE, ENOSPC, Effect, Fault, NameLoss, SimDisk};
pub use fuzz::{Trace, World};
pub use random::Random;
