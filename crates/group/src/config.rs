//! What groups are allowed, by Kafka's names.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings of the group coordinator. Defaults are Kafka's; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`, default 6000.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`, default 1,800,000.
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`, default 3000.
    pub initial_rebalance_delay_ms: u32,
    /// `group.max.size`: most members of a classic group, default 2^31-1.
    pub classic_size_max: u32,
    /// `group.consumer.max.size`: most members of a consumer group, default 2^31-1.
    pub consumer_size_max: u32,
    /// `group.consumer.session.timeout.ms`, default 45,000.
    pub consumer_session_timeout_ms: u32,
    /// `group.consumer.heartbeat.interval.ms`, default 5000.
    pub consumer_heartbeat_interval_ms: u32,
    /// `group.consumer.assignment.interval.ms`: least time between two target assignments of a group, default 1000.
    pub consumer_assignment_interval_ms: u32,
    /// `group.consumer.assignors`: the first is the default, default `uniform,range`.
    pub consumer_assignors: Vec<ServerAssignor>,
    /// `group.consumer.migration.policy`, default bidirectional.
    pub migration_policy: MigrationPolicy,
    /// `offset.metadata.max.bytes`, default 4096.
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes` in milliseconds, default 7 days.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`, default 600,000.
    pub offsets_retention_check_interval_ms: u64,
    /// Dynamic settings of single groups (resource type GROUP).
    pub overrides: BTreeMap<Arc<str>, GroupOverrides>,
}

/// What is set for one group; `None` leaves it to [`GroupConfig`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupOverrides {
    /// `consumer.session.timeout.ms`.
    pub consumer_session_timeout_ms: Option<u32>,
    /// `consumer.heartbeat.interval.ms`.
    pub consumer_heartbeat_interval_ms: Option<u32>,
    /// `consumer.assignment.interval.ms`.
    pub consumer_assignment_interval_ms: Option<u32>,
}

/// An assignor of KIP-848 that runs in the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAssignor {
    /// `uniform`.
    Uniform,
    /// `range`.
    Range,
}

impl ServerAssignor {
    /// The assignor of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }
}

/// Which way a group may be converted while it has members (KIP-848).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Neither way.
    Disabled,
    /// From consumer to classic, when the last consumer member leaves.
    Downgrade,
    /// From classic to consumer, when the first consumer member joins.
    Upgrade,
    /// Both ways.
    Bidirectional,
}

impl MigrationPolicy {
    /// Whether a classic group may become a consumer group.
    #[must_use]
    pub const fn allows_upgrade(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    /// Whether a consumer group may become a classic group.
    #[must_use]
    pub const fn allows_downgrade(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

impl GroupConfig {
    /// How long a member of consumer group `group` may be silent.
    #[must_use]
    pub fn consumer_session_timeout_ms(&self, group: &str) -> u32 {
        let set = self.overrides.get(group).and_then(|set| set.consumer_session_timeout_ms);
        set.unwrap_or(self.consumer_session_timeout_ms)
    }

    /// How often a member of consumer group `group` shall heartbeat.
    #[must_use]
    pub fn consumer_heartbeat_interval_ms(&self, group: &str) -> u32 {
        let set = self.overrides.get(group).and_then(|set| set.consumer_heartbeat_interval_ms);
        set.unwrap_or(self.consumer_heartbeat_interval_ms)
    }

    /// Least time between two target assignments of consumer group `group`.
    #[must_use]
    pub fn consumer_assignment_interval_ms(&self, group: &str) -> u32 {
        let set = self.overrides.get(group).and_then(|set| set.consumer_assignment_interval_ms);
        set.unwrap_or(self.consumer_assignment_interval_ms)
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3000,
            classic_size_max: i32::MAX as u32,
            consumer_size_max: i32::MAX as u32,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5000,
            consumer_assignment_interval_ms: 1000,
            consumer_assignors: vec![ServerAssignor::Uniform, ServerAssignor::Range],
            migration_policy: MigrationPolicy::Bidirectional,
            offset_metadata_bytes_max: 4096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_retention_check_interval_ms: 600_000,
            overrides: BTreeMap::new(),
        }
    }
}
