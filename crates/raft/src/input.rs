//! What the driver reports.

use highwater_types::{LeaderEpoch, Offset};

/// One batch in an answer to a fetch, in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedBatch {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset behind its last record.
    pub end: Offset,
    /// The leader epoch in its header.
    pub epoch: LeaderEpoch,
}

/// Where a batch went that a leader has appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base: Offset,
    /// Offset behind its last record; committed once the high watermark is there in the same epoch.
    pub end: Offset,
    /// The epoch in which it was appended.
    pub epoch: LeaderEpoch,
}
