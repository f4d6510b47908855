//! The settings of groups, from the broker's configuration and the metadata.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{GroupConfig, GroupOverrides, MigrationPolicy, ServerAssignor};
use highwater_metadata::config::{ConfigResolver, ResourceKind};

/// What holds now, dynamic settings first.
pub(super) fn group_config(resolver: &ConfigResolver<'_>) -> GroupConfig {
    let defaults = GroupConfig::default();
    let text = |name| resolver.broker_value(name).or_else(|| default_of(name));
    let number = |name| text(name).and_then(|value| value.parse::<i64>().ok());
    let int = |name, default: u32| number(name).and_then(|value| u32::try_from(value).ok()).unwrap_or(default);
    let timeout = |name, default: i32| number(name).and_then(|value| i32::try_from(value).ok()).unwrap_or(default);
    let assignors: Option<Vec<ServerAssignor>> = text("group.consumer.assignors")
        .map(|names| names.split(',').filter_map(|name| ServerAssignor::from_name(name.trim())).collect());
    let retention_minutes = number("offsets.retention.minutes").unwrap_or(RETENTION_MINUTES);
    GroupConfig {
        session_timeout_ms_min: timeout("group.min.session.timeout.ms", defaults.session_timeout_ms_min),
        session_timeout_ms_max: timeout("group.max.session.timeout.ms", defaults.session_timeout_ms_max),
        initial_rebalance_delay_ms: int("group.initial.rebalance.delay.ms", defaults.initial_rebalance_delay_ms),
        classic_size_max: int("group.max.size", defaults.classic_size_max),
        consumer_size_max: int("group.consumer.max.size", defaults.consumer_size_max),
        consumer_session_timeout_ms: int("group.consumer.session.timeout.ms", defaults.consumer_session_timeout_ms),
        consumer_heartbeat_interval_ms: int(
            "group.consumer.heartbeat.interval.ms",
            defaults.consumer_heartbeat_interval_ms,
        ),
        consumer_assignment_interval_ms: int(
            "group.consumer.assignment.interval.ms",
            defaults.consumer_assignment_interval_ms,
        ),
        consumer_assignors: assignors.filter(|names| !names.is_empty()).unwrap_or(defaults.consumer_assignors),
        migration_policy: text("group.consumer.migration.policy")
            .map_or(defaults.migration_policy, |name| policy(&name)),
        offset_metadata_bytes_max: int("offset.metadata.max.bytes", 4096) as usize,
        offsets_retention_ms: retention_minutes.saturating_mul(60_000),
        offsets_retention_check_interval_ms: number("offsets.retention.check.interval.ms")
            .and_then(|value| u64::try_from(value).ok())
            .unwrap_or(defaults.offsets_retention_check_interval_ms),
        overrides: overrides(resolver),
    }
}

/// What is set for single groups.
fn overrides(resolver: &ConfigResolver<'_>) -> BTreeMap<Arc<str>, GroupOverrides> {
    let groups = resolver.image.config_resources(ResourceKind::Group);
    groups
        .map(|group| {
            let set = resolver.image.config(ResourceKind::Group, group);
            let number = |name| set.and_then(|set| set.get(name)).and_then(|value| value.parse().ok());
            let overrides = GroupOverrides {
                consumer_session_timeout_ms: number("consumer.session.timeout.ms"),
                consumer_heartbeat_interval_ms: number("consumer.heartbeat.interval.ms"),
                consumer_assignment_interval_ms: number("consumer.assignment.interval.ms"),
            };
            (Arc::from(group), overrides)
        })
        .collect()
}

fn default_of(name: &str) -> Option<String> {
    let definition = highwater_metadata::config::definition(ResourceKind::Broker, name)?;
    definition.default.map(str::to_owned)
}

fn policy(name: &str) -> MigrationPolicy {
    match name.to_ascii_lowercase().as_str() {
        "disabled" => MigrationPolicy::Disabled,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        _ => MigrationPolicy::Bidirectional,
    }
}

/// Kafka's default of `offsets.retention.minutes`: seven days.
const RETENTION_MINUTES: i64 = 7 * 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_metadata::{MetadataImage, StaticConfig};
    use highwater_types::NodeId;

    fn config_of(set: &[(&str, &str)]) -> GroupConfig {
        let static_config =
            StaticConfig::new(set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        let image = MetadataImage::empty("cluster", NodeId::new(1));
        group_config(&ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) })
    }

    /// The table of configs and the crate of groups must not drift apart.
    #[test]
    fn what_is_not_set_has_the_defaults_of_the_group_crate() {
        assert_eq!(config_of(&[]), GroupConfig::default());
    }

    #[test]
    fn each_setting_reaches_its_place() {
        let config = config_of(&[
            ("group.min.session.timeout.ms", "1"),
            ("group.max.session.timeout.ms", "2"),
            ("group.initial.rebalance.delay.ms", "3"),
            ("group.max.size", "4"),
            ("group.consumer.max.size", "5"),
            ("group.consumer.session.timeout.ms", "6"),
            ("group.consumer.heartbeat.interval.ms", "7"),
            ("group.consumer.assignment.interval.ms", "8"),
            ("group.consumer.assignors", "range"),
            ("group.consumer.migration.policy", "upgrade"),
            ("offset.metadata.max.bytes", "9"),
            ("offsets.retention.minutes", "10"),
            ("offsets.retention.check.interval.ms", "11"),
        ]);
        let expected = GroupConfig {
            session_timeout_ms_min: 1,
            session_timeout_ms_max: 2,
            initial_rebalance_delay_ms: 3,
            classic_size_max: 4,
            consumer_size_max: 5,
            consumer_session_timeout_ms: 6,
            consumer_heartbeat_interval_ms: 7,
            consumer_assignment_interval_ms: 8,
            consumer_assignors: vec![ServerAssignor::Range],
            migration_policy: MigrationPolicy::Upgrade,
            offset_metadata_bytes_max: 9,
            offsets_retention_ms: 600_000,
            offsets_retention_check_interval_ms: 11,
            overrides: BTreeMap::new(),
        };
        assert_eq!(config, expected);
    }
}
