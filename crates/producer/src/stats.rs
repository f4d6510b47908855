//! What a producer has done.

/// Counts since the producer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that were taken.
    pub records: u64,
    /// Records that were acknowledged.
    pub records_acknowledged: u64,
    /// Records that failed.
    pub records_failed: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Batches in them, repeats included.
    pub batches: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Batches that had to be sent again.
    pub retries: u64,
    /// Batches that were too large and became several.
    pub splits: u64,
    /// Batches that took longer than `delivery.timeout.ms`.
    pub expiries: u64,
    /// New epochs after a gap in the sequence numbers.
    pub epoch_bumps: u64,
    /// Times that somebody had to wait for memory.
    pub memory_waits: u64,
}
