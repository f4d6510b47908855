//! Names of snapshots.

use std::fmt;

use highwater_types::{LeaderEpoch, Offset};

/// A snapshot: the state after every record before `end` (KIP-630). Kafka names its file `<end>-<epoch>.checkpoint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// Offset behind the last record in it; the end of a batch.
    pub end: Offset,
    /// Epoch of that record.
    pub epoch: LeaderEpoch,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}-{:010}", self.end.value(), self.epoch.value())
    }
}
