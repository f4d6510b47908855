//! What the driver reports.

use highwater_types::{LeaderEpoch, Offset};

use crate::Control;

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

/// What came with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing.
    None,
    /// The batches of an answer to a fetch, as far as they are whole and undamaged.
    Batches(&'a [FetchedBatch]),
    /// The same, with the control records among them that are about voters, in the order of the log. Whoever follows a
    /// quorum whose voters are in the log must report them.
    Records {
        /// The batches.
        batches: &'a [FetchedBatch],
        /// The control records in these batches.
        controls: &'a [Control],
    },
    /// Bytes of a snapshot, as many as this.
    Bytes(u64),
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
