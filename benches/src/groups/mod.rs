//! Loads the group coordinator: members that heartbeat and commit, groups that rebalance, offsets that are loaded.

pub mod classic;
pub mod consumer;
pub mod load;
pub mod peer;
pub mod rebalance;
pub mod steady;
