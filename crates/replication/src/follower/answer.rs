//! What the leader says.

use crate::EpochEnd;
use highwater_types::{ErrorCode, Offset};

/// The leader's answer to a fetch, but for the records themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// `NONE` or why there is nothing else.
    pub error: ErrorCode,
    /// Where the leader's log parts from the follower's, instead of records.
    pub diverging: Option<EpochEnd>,
    /// The leader's high watermark.
    pub high_watermark: Option<Offset>,
    /// Where the leader's log begins.
    pub log_start: Option<Offset>,
    /// Offsets of the first batch; `None` if there are no records, or no whole batch of them.
    pub first_batch: Option<BatchSpan>,
}

/// The offsets of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpan {
    /// Its base offset.
    pub base: Offset,
    /// The offset of its last record.
    pub last: Offset,
}

/// The leader's answer to [`Plan::AskOffsets`](super::Plan::AskOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderOffsets {
    /// Where its log begins: timestamp -2 of ListOffsets.
    pub start: Offset,
    /// Where its log ends, which it tells to a replica: timestamp -1.
    pub end: Offset,
}
