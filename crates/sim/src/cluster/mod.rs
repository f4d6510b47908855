//! Random histories of a whole cluster.
//!
//! Every node runs the real machines: the quorum's, the controller's, the leaders', followers' and fetchers' of its
//! replicas. The driver here keeps their contracts, and no more; the metadata log and the replicas' logs are in memory,
//! and lose what was not synced when the power goes. In one history of ten the replicas have real logs too, with files on
//! faulty disks, which must be what those in memory are, and say after a power loss what is left of them. One clock, one network that loses, delays, repeats, reorders and is
//! cut one way, both ways or in part, one source of chance. A judge looks on from outside, after every event. It knows the
//! invariants by their names in the correctness map:
//!
//! - R1: a leader epoch of a partition has one leader; epochs never go back, and a partition's epoch rises with each change.
//! - R2: a leader reckons with every replica that the controller could elect.
//! - R3: every such replica has all that was ever committed, and so (R4) all that was acknowledged with `acks=all`.
//! - R5, R8: what two replicas show is the same, and never changes or vanishes.
//! - R6: high watermarks stay within their logs, and rise with a leader.
//! - R7: nothing committed is cut off.
//! - R10: in-sync and eligible replicas are replicas; who is fenced or leaving is not in sync; the leader is.
//! - R12: the metadata log is one, and every node has the same state at the same offset.
//!
//! Records may be lost by an unclean election that the topic allows, and by a power loss of every replica that has them: the
//! world sees to it that one is left that has all, as replication promises no more without syncing. In the end the world
//! heals: every broker must be let in, every partition led, every replica in sync, and another write acknowledged.

mod active;
mod administrator;
mod broker;
mod check;
mod context;
mod faults;
mod heal;
mod judge;
mod log;
mod message;
mod node;
mod plan;
mod quorum;
mod real_log;
mod script;
mod world;

pub use script::{Cluster, ClusterSetup};
pub(crate) use world::run;
