//! What a consumer has done.

/// Counts since the consumer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that were given to the application.
    pub records: u64,
    /// Bytes that were fetched.
    pub bytes_fetched: u64,
    /// Fetches that were sent.
    pub fetches: u64,
    /// Fetches that began a session.
    pub fetch_sessions: u64,
    /// Commits that were stored.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Times that partitions were assigned.
    pub rebalances: u64,
    /// Times that the application took too long and the consumer left its group.
    pub poll_timeouts: u64,
    /// Positions that were reset because there was none, or it was outside the log.
    pub resets: u64,
}
