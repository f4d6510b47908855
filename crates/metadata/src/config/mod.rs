//! Every config of topics, brokers and groups: definitions, effective values and where they come from.

mod broker_table;
mod definition;
mod resolve;
mod synonyms;
mod throttled;
mod topic_config;
mod topic_table;

pub(crate) use definition::items;
pub use definition::{Definition, Importance, InvalidValue, Scope, Validator, ValueType};
pub use resolve::{ConfigResolver, ConfigSource, ConfigSynonym, ResolvedConfig};
pub use synonyms::broker_synonyms;
pub use throttled::ThrottledReplicas;
pub use topic_config::{CleanupPolicy, CompressionType, RecordValidation, TimestampType, TopicConfig};

use std::{collections::BTreeMap, sync::Arc};

/// What a config belongs to. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic = 2,
    /// A broker, by id; the empty name stands for the default of all brokers.
    Broker = 4,
    /// The log levels of a broker, which are not in the metadata log.
    BrokerLogger = 8,
    /// A client metrics subscription (KIP-714).
    ClientMetrics = 16,
    /// A consumer, share or streams group.
    Group = 32,
}

impl ResourceKind {
    /// The kind with Kafka's number `code`.
    #[must_use]
    pub const fn from_code(code: i8) -> Option<Self> {
        match code {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            8 => Some(Self::BrokerLogger),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }

    /// Kafka's number.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// Every config that resources of a kind have, by name; none for log levels.
#[must_use]
pub const fn definitions(kind: ResourceKind) -> &'static [Definition] {
    match kind {
        ResourceKind::Topic => topic_table::TOPIC,
        ResourceKind::Broker => broker_table::BROKER,
        ResourceKind::BrokerLogger => &[],
        ResourceKind::ClientMetrics => topic_table::CLIENT_METRICS,
        ResourceKind::Group => topic_table::GROUP,
    }
}

/// The config `name` of resources of a kind.
///
/// For brokers, `listener.name.<listener>.` in front of a security config stands for that config on one
/// listener, and its definition is returned.
#[must_use]
pub fn definition(kind: ResourceKind, name: &str) -> Option<&'static Definition> {
    let table = definitions(kind);
    let find = |name: &str| table.binary_search_by(|other| other.name.cmp(name)).ok().map(|at| &table[at]);
    find(name).or_else(|| {
        let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
        let security = base.find("ssl.").into_iter().chain(base.find("sasl.")).min()?;
        find(&base[security..]).filter(|found| found.scope == Scope::PerBroker)
    })
}

/// The configs a broker was started with: `server.properties` and the environment, as written.
///
/// Cheap to clone. Only what was set is in it, no defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaticConfig(Arc<BTreeMap<String, String>>);

impl StaticConfig {
    /// Takes the configs that were set.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self(Arc::new(values))
    }

    /// The value of `name`, if it was set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every config that was set, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The number that holds for a broker config which cannot change at run time: the value that was set,
    /// or its default.
    ///
    /// `None` if there is neither, or if what was set is not a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        match self.parsed(name)? {
            definition::Value::Integer(n) => Some(n),
            _ => None,
        }
    }

    /// The same for a boolean config.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.parsed(name)? {
            definition::Value::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    fn parsed(&self, name: &str) -> Option<definition::Value<'_>> {
        let definition = definition(ResourceKind::Broker, name)?;
        definition.parse(self.get(name).or(definition.default)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ResourceKind; 4] =
        [ResourceKind::Topic, ResourceKind::Broker, ResourceKind::ClientMetrics, ResourceKind::Group];

    #[test]
    fn tables_are_sorted_and_their_defaults_hold() {
        for kind in KINDS {
            let table = definitions(kind);
            assert!(table.is_sorted_by(|a, b| a.name < b.name), "{kind:?}");
            for definition in table {
                let default = definition.default.unwrap_or_default();
                let holds = definition.default.is_none() || definition.check(default).is_ok();
                // Kafka requires items here but starts without any.
                let required = definition.validator == Validator::NonEmptyList;
                assert!(holds || required, "{} = {default}", definition.name);
            }
        }
        let counts = KINDS.map(|kind| definitions(kind).len());
        assert_eq!(counts, [36 + 1, 357 + 5, 3, 27], "Kafka's and our own");
    }

    /// Defaults that operators know by heart, as the table of the configuration reference has them.
    #[test]
    fn broker_defaults_are_kafkas() {
        for (name, default) in [
            ("num.partitions", Some("1")),
            ("default.replication.factor", Some("1")),
            ("auto.create.topics.enable", Some("true")),
            ("delete.topic.enable", Some("true")),
            ("leader.imbalance.per.broker.percentage", Some("0")),
            ("log.retention.hours", Some("168")),
            ("log.retention.ms", None),
            ("log.segment.bytes", Some("1073741824")),
            ("log.message.timestamp.after.max.ms", Some("3600000")),
            ("message.max.bytes", Some("1048588")),
            ("replica.lag.time.max.ms", Some("30000")),
            ("offsets.topic.num.partitions", Some("50")),
            ("offsets.topic.replication.factor", Some("3")),
            ("listeners", Some("PLAINTEXT://:9092")),
            ("group.coordinator.rebalance.protocols", Some("classic,consumer,streams")),
        ] {
            let found = definition(ResourceKind::Broker, name).expect("a config of the broker");
            assert_eq!(found.default, default, "{name}");
        }
    }

    #[test]
    fn security_configs_can_be_set_for_one_listener() {
        let found = |name| definition(ResourceKind::Broker, name).map(|found| found.name);
        assert_eq!(found("listener.name.internal.ssl.key.password"), Some("ssl.key.password"));
        assert_eq!(found("listener.name.x.scram-sha-256.sasl.jaas.config"), Some("sasl.jaas.config"));
        assert_eq!(found("listener.name.internal.num.io.threads"), None);
        assert_eq!(found("listener.name."), None);
    }

    #[test]
    fn values_are_held_to_type_and_bounds() {
        let check = |kind, name, value: &str| definition(kind, name).expect("a config").check(value).is_ok();
        let topic = |name, value| check(ResourceKind::Topic, name, value);
        assert!(topic("preallocate", " TRUE ") && !topic("preallocate", "yes"));
        assert!(topic("retention.ms", "-1") && !topic("retention.ms", "-2") && !topic("retention.ms", "1.5"));
        assert!(topic("segment.bytes", "2147483647") && !topic("segment.bytes", "2147483648"));
        assert!(topic("compression.gzip.level", "-1") && !topic("compression.gzip.level", "0"));
        assert!(topic("min.cleanable.dirty.ratio", "1") && !topic("min.cleanable.dirty.ratio", "NaN"));
        assert!(topic("cleanup.policy", "compact, delete") && !topic("cleanup.policy", "compact,remove"));
        assert!(topic("leader.replication.throttled.replicas", "*"));
        assert!(check(ResourceKind::Broker, "offsets.topic.replication.factor", "32767"));
        assert!(!check(ResourceKind::Broker, "offsets.topic.replication.factor", "32768"));
    }

    #[test]
    fn codes_of_kinds_round_trip() {
        for code in i8::MIN..=i8::MAX {
            assert!(ResourceKind::from_code(code).is_none_or(|kind| kind.code() == code));
        }
        assert_eq!(ResourceKind::from_code(32), Some(ResourceKind::Group));
    }
}
