//! How a consumer behaves.

mod duration;
mod error;
mod key;

pub use error::ConfigError;
pub use key::{CONSUMER_CONFIG_KEYS, ConfigKey};

/// Which records a consumer sees: Kafka's `isolation.level`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All that are below the high watermark, also those of transactions that were or will be aborted.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions, and those outside any; none from the first open transaction on.
    ReadCommitted,
}

/// Where to begin if nothing is committed, or if what is committed does not exist: Kafka's `auto.offset.reset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the end: only what comes from now on.
    #[default]
    Latest,
    /// At the start of the log.
    Earliest,
    /// Nowhere: the application is told, and has to seek.
    None,
    /// At the first record that is not older than this (KIP-1106).
    ByDuration {
        /// Milliseconds before now.
        ms: u64,
    },
}

/// How members of a group agree: Kafka's `group.protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// One of the members assigns, after all have joined.
    #[default]
    Classic,
    /// The coordinator assigns, each member reconciles (KIP-848).
    Consumer,
    /// [`Consumer`](Self::Consumer) if the coordinator has it, else [`Classic`](Self::Classic).
    Auto,
}

/// How the leader of a classic group assigns: Kafka's `partition.assignment.strategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AssignmentStrategy {
    /// Contiguous ranges of each topic. Eager: everything is given back before every rebalance.
    Range,
    /// All partitions in turn. Eager.
    RoundRobin,
    /// Even, with few moves. Eager.
    Sticky,
    /// Even, with few moves, and only what moves is given back (KIP-429).
    CooperativeSticky,
}

impl AssignmentStrategy {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The strategy of that name, or of that class of Kafka's, with or without its package.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("class ").unwrap_or(name);
        match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "range" | "RangeAssignor" => Some(Self::Range),
            "roundrobin" | "RoundRobinAssignor" => Some(Self::RoundRobin),
            "sticky" | "StickyAssignor" => Some(Self::Sticky),
            "cooperative-sticky" | "CooperativeStickyAssignor" => Some(Self::CooperativeSticky),
            _ => None,
        }
    }

    /// Whether members keep through a rebalance what does not move.
    #[must_use]
    pub const fn is_cooperative(self) -> bool {
        matches!(self, Self::CooperativeSticky)
    }
}

/// How a consumer behaves. Field for field the configs of Kafka's consumer, with its defaults.
///
/// Build with `..ConsumerConfig::default()`, or from texts with [`set`](Self::set).
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerConfig {
    /// `auto.commit.interval.ms`: how often what was consumed is committed by itself. Default 5000.
    pub auto_commit_interval_ms: u32,
    /// `auto.offset.reset`. Default latest.
    pub auto_offset_reset: OffsetReset,
    /// `check.crcs`: whether batches are checked against their checksums. Default yes.
    pub check_crcs: bool,
    /// `client.rack`: where this client is, so that it may fetch from a replica nearby (KIP-392). Default nowhere.
    pub client_rack: Option<String>,
    /// `default.api.timeout.ms`: how long a commit or a question may take, with all retries. Default 60 seconds.
    pub default_api_timeout_ms: u32,
    /// `enable.auto.commit`: whether what was consumed is committed by itself. Needs `group.id`. Default yes if there is
    /// one.
    pub enable_auto_commit: Option<bool>,
    /// `enable.partition.eof`: whether the end of a partition is an event. librdkafka's. Default no.
    pub enable_partition_eof: bool,
    /// `exclude.internal.topics`: whether patterns pass over internal topics. Default yes.
    pub exclude_internal_topics: bool,
    /// `fetch.max.bytes`: most bytes that one answer should have. Default 50 MiB.
    pub fetch_bytes_max: u32,
    /// `fetch.max.wait.ms`: how long a broker may wait for [`fetch_bytes_min`](Self::fetch_bytes_min). Default 500.
    pub fetch_wait_ms_max: u32,
    /// `fetch.min.bytes`: bytes for which a broker waits. Default 1.
    pub fetch_bytes_min: u32,
    /// `group.id`. Default none: no subscriptions and no commits.
    pub group_id: Option<String>,
    /// `group.instance.id`: makes the consumer a static member. Default none.
    pub group_instance_id: Option<String>,
    /// `group.protocol`. Default classic.
    pub group_protocol: GroupProtocol,
    /// `group.remote.assignor`: which assignor the coordinator should use (KIP-848). Default its own choice.
    pub group_remote_assignor: Option<String>,
    /// `heartbeat.interval.ms`, in the classic protocol; less than the session timeout. Default 3000.
    pub heartbeat_interval_ms: u32,
    /// `isolation.level`. Default read uncommitted.
    pub isolation_level: IsolationLevel,
    /// `max.partition.fetch.bytes`: most bytes of one partition in an answer, unless its first batch is larger. Default
    /// 1 MiB.
    pub partition_fetch_bytes_max: u32,
    /// `max.poll.interval.ms`: how long the application may work on an event before the consumer leaves the group; also
    /// how long it may take to give partitions back. Default 5 minutes.
    pub poll_interval_ms_max: u32,
    /// `max.poll.records`: most records of one event. Default 500.
    pub poll_records_max: u32,
    /// `metadata.max.age.ms`: here, how long a replica nearby is used before the leader is asked again. Default 5 minutes.
    pub metadata_age_ms_max: u64,
    /// `partition.assignment.strategy`, in the order of preference; not empty. Default range and cooperative-sticky, which
    /// is eager: a group may drop range in a second rolling restart.
    pub assignment_strategies: Vec<AssignmentStrategy>,
    /// `queued.max.messages.kbytes`: fetches are sent while fewer kilobytes than this wait for the application. What is
    /// under way then may add [`fetch_bytes_max`](Self::fetch_bytes_max) for each broker. librdkafka's. Default 64 MiB.
    pub queued_kbytes_max: u32,
    /// `retry.backoff.max.ms`: the longest wait before a retry. Default 1000.
    pub retry_backoff_ms_max: u64,
    /// `retry.backoff.ms`: how long the first retry waits; every further one twice as long. Default 100.
    pub retry_backoff_ms: u64,
    /// `session.timeout.ms`: how long the coordinator waits for a heartbeat, in the classic protocol. Default 45 seconds.
    pub session_timeout_ms: u32,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            auto_commit_interval_ms: 5_000,
            auto_offset_reset: OffsetReset::Latest,
            check_crcs: true,
            client_rack: None,
            default_api_timeout_ms: 60_000,
            enable_auto_commit: None,
            enable_partition_eof: false,
            exclude_internal_topics: true,
            fetch_bytes_max: 50 << 20,
            fetch_wait_ms_max: 500,
            fetch_bytes_min: 1,
            group_id: None,
            group_instance_id: None,
            group_protocol: GroupProtocol::Classic,
            group_remote_assignor: None,
            heartbeat_interval_ms: 3_000,
            isolation_level: IsolationLevel::ReadUncommitted,
            partition_fetch_bytes_max: 1 << 20,
            poll_interval_ms_max: 300_000,
            poll_records_max: 500,
            metadata_age_ms_max: 300_000,
            assignment_strategies: vec![AssignmentStrategy::Range, AssignmentStrategy::CooperativeSticky],
            queued_kbytes_max: 65_536,
            retry_backoff_ms: 100,
            retry_backoff_ms_max: 1_000,
            session_timeout_ms: 45_000,
        }
    }
}

impl ConsumerConfig {
    /// The config, once its values are within their ranges and agree.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the first key that is not.
    pub fn check(self) -> Result<CheckedConsumerConfig, ConfigError> {
        for definition in CONSUMER_CONFIG_KEYS {
            definition.check(&self)?;
        }
        if self.session_timeout_ms <= self.heartbeat_interval_ms {
            let allowed = format!("less than session.timeout.ms, which is {}", self.session_timeout_ms);
            return Err(ConfigError::invalid("heartbeat.interval.ms", &self.heartbeat_interval_ms, allowed));
        }
        if self.assignment_strategies.is_empty() {
            return Err(ConfigError::invalid("partition.assignment.strategy", &"", "a list that is not empty"));
        }
        let names = [("group.id", &self.group_id), ("group.instance.id", &self.group_instance_id)];
        for (key, name) in names {
            if name.as_ref().is_some_and(String::is_empty) {
                return Err(ConfigError::invalid(key, &"", "a text that is not empty"));
            }
        }
        if self.enable_auto_commit == Some(true) && self.group_id.is_none() {
            return Err(ConfigError::invalid("enable.auto.commit", &true, "false without a group.id"));
        }
        Ok(CheckedConsumerConfig(self))
    }
}

/// [`ConsumerConfig`] that is in order: the only form that a consumer takes.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedConsumerConfig(ConsumerConfig);

impl CheckedConsumerConfig {
    /// Whether what was consumed is committed by itself.
    #[must_use]
    pub fn is_auto_committing(&self) -> bool {
        self.0.enable_auto_commit.unwrap_or(self.0.group_id.is_some())
    }
}

impl core::ops::Deref for CheckedConsumerConfig {
    type Target = ConsumerConfig;

    fn deref(&self) -> &ConsumerConfig {
        &self.0
    }
}
