//! How patient a node is.

/// Timeouts of a node of the quorum, in milliseconds. The defaults are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftConfig {
    /// `controller.quorum.election.timeout.ms`: how long a candidate waits for votes, at least; each time a random
    /// part of the same length is added. Default 1000.
    pub election_timeout_ms: u64,
    /// `controller.quorum.fetch.timeout.ms`: how long a follower goes on without an answer of its leader, and two
    /// thirds of how long a leader goes on without a majority that fetches. Default 2000.
    pub fetch_timeout_ms: u64,
    /// `controller.quorum.election.backoff.max.ms`: longest wait of a node that a resigning leader has not put first.
    /// Default 1000.
    pub election_backoff_ms_max: u64,
    /// How long a leader holds a fetch that has nothing to get. Default 500.
    pub fetch_wait_ms: u64,
    /// `controller.quorum.retry.backoff.ms`: pause before something that failed is tried again. Default 20.
    pub retry_backoff_ms: u64,
    /// How long an observer that does not fetch any more is remembered. Default 300,000.
    pub observer_session_ms: u64,
    /// `controller.quorum.request.timeout.ms`: how long a leader works on a change of the voters. Default 2000.
    pub request_timeout_ms: u64,
    /// Number of `controller.quorum.bootstrap.servers`, which are asked for the leader too. Default 0.
    pub bootstrap_servers: u32,
    /// `controller.quorum.auto.join.enable`: whether a node that is no voter asks to become one, and that a voter with
    /// its id and another directory is removed first. Default false.
    pub auto_join: bool,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            election_timeout_ms: 1000,
            fetch_timeout_ms: 2000,
            election_backoff_ms_max: 1000,
            fetch_wait_ms: 500,
            retry_backoff_ms: 20,
            observer_session_ms: 300_000,
            request_timeout_ms: 2000,
            bootstrap_servers: 0,
            auto_join: false,
        }
    }
}

impl RaftConfig {
    /// How long a leader goes on without a majority that fetches.
    pub(crate) fn check_quorum_ms(self) -> u64 {
        self.fetch_timeout_ms.saturating_mul(3) / 2
    }

    /// How often a follower asks the leader to change what the log says of it.
    pub(crate) fn propose_ms(self) -> u64 {
        self.fetch_timeout_ms.max(1)
    }

    /// How often a leader tells a voter of its term that does not fetch.
    pub(crate) fn begin_quorum_ms(self) -> u64 {
        (self.fetch_timeout_ms / 2).max(1)
    }
}
