//! Which configs may be set on which resource, to which values.

use super::Controller;
use crate::{
    ApiError,
    config::{ConfigSource, Definition, ResourceKind, Scope, definition},
    features,
    image::ConfigMap,
};
use highwater_types::{ErrorCode, NodeId};

impl Controller {
    /// Checks that a resource can have configs, before anything is said about them.
    pub(super) fn check_resource(&self, kind: ResourceKind, name: &str) -> Result<(), ApiError> {
        let refused = |code, why: String| Err(ApiError::new(code, why));
        match kind {
            ResourceKind::Topic if self.image.topic(name).is_none() => {
                refused(ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
            }
            ResourceKind::Broker if !name.is_empty() => {
                let id = name.parse::<i32>().ok().and_then(NodeId::from_wire).filter(|id| id.to_string() == name);
                match id {
                    None => {
                        refused(ErrorCode::InvalidRequest, format!("Node id must be an integer, but it is: {name}"))
                    }
                    Some(id) if self.image.broker(id).is_none() => {
                        refused(ErrorCode::BrokerIdNotRegistered, format!("No broker with id {id} found."))
                    }
                    Some(_) => Ok(()),
                }
            }
            ResourceKind::BrokerLogger => {
                let why = "Log levels belong to the broker itself and are not kept in the metadata log.";
                refused(ErrorCode::InvalidRequest, why.to_owned())
            }
            ResourceKind::Group if name.is_empty() => {
                refused(ErrorCode::InvalidRequest, "Default group resources are not allowed.".to_owned())
            }
            ResourceKind::ClientMetrics if name.is_empty() => {
                refused(ErrorCode::InvalidRequest, "Default client metrics resources are not allowed.".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Checks that a config may be set, or removed: with eligible leader replicas, all brokers have one
    /// `min.insync.replicas` (KIP-966).
    pub(super) fn check_may_change(
        &self,
        kind: ResourceKind,
        resource: &str,
        name: &str,
        is_removed: bool,
    ) -> Result<(), ApiError> {
        if kind != ResourceKind::Broker || name != MIN_ISR || !features::has_eligible_leader_replicas(&self.image) {
            return Ok(());
        }
        let refused = |why: &str| Err(ApiError::new(ErrorCode::InvalidConfig, why));
        match (resource, is_removed) {
            ("", false) => Ok(()),
            ("", true) => refused("Cluster-level min.insync.replicas cannot be removed while ELR is enabled."),
            _ => refused("Broker-level min.insync.replicas cannot be altered while ELR is enabled."),
        }
    }

    /// Checks the overrides that a resource will have. `set` are those among them that the request sets:
    /// older ones were checked when they were set, perhaps by another version, and are not held against it.
    pub(super) fn check_overrides(
        &self,
        kind: ResourceKind,
        resource: &str,
        overrides: &ConfigMap,
        set: &ConfigMap,
    ) -> Result<(), ApiError> {
        match kind {
            ResourceKind::Topic => self.check_topic_configs(overrides, set),
            ResourceKind::Broker => check_broker_configs(resource, set),
            ResourceKind::Group => self.check_group_configs(overrides, set),
            ResourceKind::ClientMetrics => {
                let known = |name: &str| format!("Unknown client metrics configuration: {name}");
                check_each(ResourceKind::ClientMetrics, set, ErrorCode::InvalidRequest, known)
            }
            ResourceKind::BrokerLogger => self.check_resource(kind, resource),
        }
    }

    pub(super) fn check_topic_configs(&self, overrides: &ConfigMap, set: &ConfigMap) -> Result<(), ApiError> {
        let unknown = |name: &str| format!("Unknown topic config name: {name}");
        check_each(ResourceKind::Topic, set, ErrorCode::InvalidConfig, unknown)?;
        let refused = |why: &str| Err(ApiError::new(ErrorCode::InvalidConfig, why));
        let effective = self.resolver().topic_config_with(Some(overrides));
        if effective.max_compaction_lag_ms < effective.min_compaction_lag_ms {
            return refused(&format!(
                "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
                effective.min_compaction_lag_ms, effective.max_compaction_lag_ms
            ));
        }
        let tiered = set.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        if tiered && self.static_config.flag("remote.log.storage.system.enable") != Some(true) {
            return refused(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                 storage.",
            );
        }
        Ok(())
    }

    fn check_group_configs(&self, overrides: &ConfigMap, set: &ConfigMap) -> Result<(), ApiError> {
        let unknown = |name: &str| format!("Unknown group config name: {name}");
        check_each(ResourceKind::Group, set, ErrorCode::InvalidConfig, unknown)?;
        for (name, value) in set {
            self.check_group_bounds(name, value)?;
        }
        let effective = |name: String| self.effective_group_number(overrides, &name);
        for protocol in ["consumer", "share", "streams"] {
            let session = effective(format!("{protocol}.session.timeout.ms"));
            let heartbeat = effective(format!("{protocol}.heartbeat.interval.ms"));
            if session <= heartbeat {
                let why =
                    format!("{protocol}.session.timeout.ms must be greater than {protocol}.heartbeat.interval.ms");
                return Err(ApiError::new(ErrorCode::InvalidConfig, why));
            }
        }
        Ok(())
    }

    /// Holds a group config to the least and greatest value that the broker allows for it, if any.
    ///
    /// Kafka's names follow a rule: `group.share.max.session.timeout.ms` bounds the group config
    /// `share.session.timeout.ms`, and a `num.` in front of what is counted is left out.
    fn check_group_bounds(&self, name: &str, value: &str) -> Result<(), ApiError> {
        let (Some((protocol, rest)), Ok(n)) = (name.split_once('.'), value.trim().parse::<i64>()) else {
            return Ok(());
        };
        let rest = rest.strip_prefix("num.").unwrap_or(rest);
        let bound = |side: &str| self.broker_number(&format!("group.{protocol}.{side}.{rest}"));
        let refused = |relation: &str, bound: &str| {
            let why = format!("{name} must be {relation} group.{protocol}.{bound}.{rest}");
            Err(ApiError::new(ErrorCode::InvalidConfig, why))
        };
        if bound("min").is_some_and(|min| n < min) {
            return refused("greater than or equal to", "min");
        }
        if bound("max").is_some_and(|max| max < n) {
            return refused("less than or equal to", "max");
        }
        Ok(())
    }

    fn broker_number(&self, name: &str) -> Option<i64> {
        self.resolver().broker_value(name)?.trim().parse().ok()
    }

    fn effective_group_number(&self, overrides: &ConfigMap, name: &str) -> Option<i64> {
        let own = overrides.get(name).and_then(|value| value.trim().parse().ok());
        own.or_else(|| self.broker_number(&format!("group.{name}")))
    }

    /// The list that a topic, broker or group would have without an override of its own.
    pub(super) fn inherited_list(&self, kind: ResourceKind, resource: &str, name: &str) -> String {
        let resolver = self.resolver();
        let all = match kind {
            ResourceKind::Topic => resolver.topic_with(None),
            ResourceKind::Group => resolver.group(""),
            _ => {
                let on_this_broker = resource == self.node.to_string();
                let value = on_this_broker.then(|| resolver.broker_value(name)).flatten();
                return value.or_else(|| default_of(kind, name)).unwrap_or_default();
            }
        };
        let found = all.into_iter().find(|config| config.name == name && config.source != ConfigSource::DynamicTopic);
        found.and_then(|config| config.value).unwrap_or_default()
    }
}

fn default_of(kind: ResourceKind, name: &str) -> Option<String> {
    definition(kind, name)?.default.map(str::to_owned)
}

/// Kafka answers wrong broker configs with `INVALID_REQUEST` (KAFKA-13609), wrong topic configs with
/// `INVALID_CONFIG`.
fn check_broker_configs(resource: &str, set: &ConfigMap) -> Result<(), ApiError> {
    let unknown = |name: &str| format!("Unknown broker config name: {name}");
    check_each(ResourceKind::Broker, set, ErrorCode::InvalidRequest, unknown)?;
    let with_scope = |scope: Scope| {
        let names = set.keys().filter(|name| definition(ResourceKind::Broker, name).is_some_and(|d| d.scope == scope));
        names.cloned().collect::<Vec<_>>().join(", ")
    };
    let refused = |why: String| Err(ApiError::new(ErrorCode::InvalidRequest, why));
    let read_only = with_scope(Scope::ReadOnly);
    if !read_only.is_empty() {
        return refused(format!("Cannot update these configs dynamically: {read_only}"));
    }
    let per_broker = with_scope(Scope::PerBroker);
    if resource.is_empty() && !per_broker.is_empty() {
        return refused(format!("Cannot update these per-broker configs at the cluster level: {per_broker}"));
    }
    Ok(())
}

fn check_each(
    kind: ResourceKind,
    set: &ConfigMap,
    code: ErrorCode,
    unknown: impl Fn(&str) -> String,
) -> Result<(), ApiError> {
    for (name, value) in set {
        let definition: &Definition = definition(kind, name).ok_or_else(|| ApiError::new(code, unknown(name)))?;
        if VALUE_BYTES_MAX < value.len() {
            let why = format!("The configuration value of {name} exceeds the maximum size of {VALUE_BYTES_MAX} bytes.");
            return Err(ApiError::new(ErrorCode::InvalidConfig, why));
        }
        definition.check(value).map_err(|invalid| ApiError::new(code, invalid.to_string()))?;
    }
    Ok(())
}

/// What eligible leader replicas follow from.
pub(super) const MIN_ISR: &str = "min.insync.replicas";
/// Longest value: older response versions have a 16-bit length.
const VALUE_BYTES_MAX: usize = i16::MAX as usize;
