//! Effective values: what holds, where it comes from, and what it would be otherwise.

use super::{
    Definition, ResourceKind, Scope, StaticConfig, TopicConfig, ValueType, broker_synonyms, definition,
    definition::Value,
    definitions,
    synonyms::{Unit, topic_synonyms},
};
use crate::image::{ConfigMap, MetadataImage};
use highwater_types::NodeId;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic,
    /// Set on the broker while it ran.
    DynamicBroker,
    /// Set for all brokers while they ran.
    DynamicDefaultBroker,
    /// Set in the broker's file or environment.
    StaticBroker,
    /// Not set: the built-in default.
    Default,
    /// Set on the client metrics subscription.
    ClientMetrics,
    /// Set on the group.
    Group,
}

impl ConfigSource {
    /// Number in CreateTopics and DescribeConfigs responses.
    #[must_use]
    pub const fn code(self) -> i8 {
        match self {
            Self::DynamicTopic => 1,
            Self::DynamicBroker => 2,
            Self::DynamicDefaultBroker => 3,
            Self::StaticBroker => 4,
            Self::Default => 5,
            Self::ClientMetrics => 7,
            Self::Group => 8,
        }
    }
}

/// One of the places a value could come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Name of the config there.
    pub name: String,
    /// Its value there; `None` if secret.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// One config of a resource with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedConfig {
    /// Its name.
    pub name: String,
    /// The value that holds; `None` if there is none, or if it is secret.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Every place it could come from, the one that holds first.
    pub synonyms: Vec<ConfigSynonym>,
    /// Whether it cannot be altered while the broker runs.
    pub read_only: bool,
    /// Whether its value is secret.
    pub sensitive: bool,
    /// How its text is read.
    pub value_type: ValueType,
}

/// Finds the values that hold on one broker.
///
/// A value that its config does not take, in the broker's file or in a log written by another version, is
/// passed over as if it were not set; the broker refuses such a file when it starts.
#[derive(Clone, Copy, Debug)]
pub struct ConfigResolver<'a> {
    /// Overrides of topics, brokers and groups.
    pub image: &'a MetadataImage,
    /// What the broker was started with.
    pub static_config: &'a StaticConfig,
    /// The broker.
    pub node: NodeId,
}

impl ConfigResolver<'_> {
    /// Every config of a topic, by name. A topic that does not exist has the defaults.
    #[must_use]
    pub fn topic(&self, name: &str) -> Vec<ResolvedConfig> {
        self.topic_with(self.image.config(ResourceKind::Topic, name))
    }

    /// Every config of a topic that has, or would have, these overrides.
    #[must_use]
    pub fn topic_with(&self, overrides: Option<&ConfigMap>) -> Vec<ResolvedConfig> {
        let layers = self.layers();
        let resolve = |definition| {
            let own = Own { overrides, source: ConfigSource::DynamicTopic };
            layers.resolve(definition, Some(own), topic_synonyms(definition.name))
        };
        definitions(ResourceKind::Topic).iter().map(resolve).collect()
    }

    /// What the configs of a topic amount to, read and checked.
    #[must_use]
    pub fn topic_config(&self, name: &str) -> TopicConfig {
        self.topic_config_with(self.image.config(ResourceKind::Topic, name))
    }

    /// What the configs of a topic with these overrides amount to.
    #[must_use]
    pub fn topic_config_with(&self, overrides: Option<&ConfigMap>) -> TopicConfig {
        let layers = self.layers();
        TopicConfig::read(|name| {
            let definition =
                definition(ResourceKind::Topic, name).expect("TopicConfig reads only configs in the table");
            let own = Own { overrides, source: ConfigSource::DynamicTopic };
            let candidates = layers.candidates(definition, Some(own), topic_synonyms(name));
            let value = candidates.into_iter().find(|found| definition.check(&found.value).is_ok());
            value.map(|found| found.value).or(definition.default.map(str::to_owned))
        })
    }

    /// Every config of this broker, by name, then overrides that this version does not know.
    #[must_use]
    pub fn broker(&self) -> Vec<ResolvedConfig> {
        let layers = self.layers();
        let table = definitions(ResourceKind::Broker);
        let mut all: Vec<ResolvedConfig> = table.iter().map(|definition| layers.resolve_broker(definition)).collect();
        let overrides = [layers.broker, layers.default_broker].into_iter().flatten().flatten();
        let mut others: Vec<&String> =
            overrides.map(|(name, _)| name).filter(|name| table.iter().all(|known| known.name != **name)).collect();
        others.sort();
        others.dedup();
        all.extend(others.into_iter().map(|name| layers.resolve_unknown(name)));
        all
    }

    /// The overrides that hold for all brokers, by name. Nothing else: each broker has its own file.
    #[must_use]
    pub fn default_broker(&self) -> Vec<ResolvedConfig> {
        let overrides = self.image.config(ResourceKind::Broker, "");
        let source = ConfigSource::DynamicDefaultBroker;
        overrides.into_iter().flatten().map(|(name, value)| set(ResourceKind::Broker, name, value, source)).collect()
    }

    /// Every config of a group, by name. A group that does not exist has the defaults.
    #[must_use]
    pub fn group(&self, name: &str) -> Vec<ResolvedConfig> {
        let layers = self.layers();
        let overrides = self.image.config(ResourceKind::Group, name);
        let resolve = |definition: &'static Definition| {
            let broker_name = format!("group.{}", definition.name);
            let own = Own { overrides, source: ConfigSource::Group };
            let synonym = super::definition(ResourceKind::Broker, &broker_name).map(|found| (found.name, Unit::Same));
            layers.resolve(definition, Some(own), synonym.as_slice())
        };
        definitions(ResourceKind::Group).iter().map(resolve).collect()
    }

    /// The configs set on a client metrics subscription, by name.
    #[must_use]
    pub fn client_metrics(&self, name: &str) -> Vec<ResolvedConfig> {
        let overrides = self.image.config(ResourceKind::ClientMetrics, name);
        let source = ConfigSource::ClientMetrics;
        let kind = ResourceKind::ClientMetrics;
        overrides.into_iter().flatten().map(|(name, value)| set(kind, name, value, source)).collect()
    }

    /// The value of a broker config that holds on this broker, dynamic ones first; `None` if it has none.
    ///
    /// Looks at this name only, not at its synonyms. Secrets are returned: this is for the broker itself.
    #[must_use]
    pub fn broker_value(&self, name: &str) -> Option<String> {
        let definition = definition(ResourceKind::Broker, name)?;
        let candidates = self.layers().candidates(definition, None, &[(definition.name, Unit::Same)]);
        candidates.into_iter().map(|found| found.value).find(|value| definition.check(value).is_ok())
    }

    fn layers(&self) -> Layers<'_> {
        Layers {
            broker: self.image.config(ResourceKind::Broker, &self.node.to_string()),
            default_broker: self.image.config(ResourceKind::Broker, ""),
            static_config: self.static_config,
        }
    }
}

/// The places a broker config can be set, the strongest first.
struct Layers<'a> {
    broker: Option<&'a ConfigMap>,
    default_broker: Option<&'a ConfigMap>,
    static_config: &'a StaticConfig,
}

/// The overrides of the resource itself, stronger than any of a broker.
#[derive(Clone, Copy)]
struct Own<'a> {
    overrides: Option<&'a ConfigMap>,
    source: ConfigSource,
}

/// A value found in one place, in the unit of the config it stands in for.
struct Candidate {
    name: String,
    /// As it was set, in its own unit.
    text: String,
    value: String,
    source: ConfigSource,
}

impl Layers<'_> {
    /// Every value of the config, the strongest first: places go before names, as in Kafka.
    fn candidates(&self, wanted: &Definition, own: Option<Own<'_>>, synonyms: &[(&str, Unit)]) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut push = |name: &str, text: Option<&str>, unit: Unit, source| {
            if let Some(text) = text {
                let (name, value) = (name.to_owned(), unit.translate(text));
                found.push(Candidate { name, text: text.to_owned(), value, source });
            }
        };
        let get = |map: Option<&ConfigMap>, name: &str| map.and_then(|map| map.get(name)).cloned();
        if let Some(own) = own {
            push(wanted.name, get(own.overrides, wanted.name).as_deref(), Unit::Same, own.source);
        }
        for (name, unit) in synonyms {
            push(name, get(self.broker, name).as_deref(), *unit, ConfigSource::DynamicBroker);
        }
        for (name, unit) in synonyms {
            push(name, get(self.default_broker, name).as_deref(), *unit, ConfigSource::DynamicDefaultBroker);
        }
        for (name, unit) in synonyms {
            push(name, self.static_config.get(name), *unit, ConfigSource::StaticBroker);
        }
        // Only the first: Kafka does not show the default of `log.retention.hours` for `retention.ms`.
        if let Some((name, unit)) = synonyms.first() {
            let default = definition(ResourceKind::Broker, name).and_then(|found| found.default);
            push(name, default, *unit, ConfigSource::Default);
        }
        found
    }

    fn resolve(&self, wanted: &Definition, own: Option<Own<'_>>, synonyms: &[(&str, Unit)]) -> ResolvedConfig {
        let candidates = self.candidates(wanted, own, synonyms);
        let holds = candidates.iter().position(|found| wanted.check(&found.value).is_ok());
        let (value, source) = match holds {
            Some(at) => (Some(canonical(wanted, &candidates[at].value)), candidates[at].source),
            None => (wanted.default.map(str::to_owned), ConfigSource::Default),
        };
        let from = holds.unwrap_or(candidates.len());
        resolved(wanted, value, source, candidates.into_iter().skip(from))
    }

    fn resolve_broker(&self, wanted: &Definition) -> ResolvedConfig {
        let mut resolved = self.resolve(wanted, None, &[(wanted.name, Unit::Same)]);
        let family: Vec<(&str, Unit)> =
            broker_synonyms(wanted.name).into_iter().skip(1).map(|name| (name, Unit::Same)).collect();
        let weaker = self.candidates(wanted, None, &family).into_iter();
        resolved.synonyms.extend(weaker.map(|found| synonym(found, resolved.sensitive)));
        resolved
    }

    /// An override whose name this version does not know. It may be secret, so its value is not shown.
    fn resolve_unknown(&self, name: &str) -> ResolvedConfig {
        let on_broker = self.broker.is_some_and(|map| map.contains_key(name));
        let source = if on_broker { ConfigSource::DynamicBroker } else { ConfigSource::DynamicDefaultBroker };
        unknown(name, source)
    }
}

/// A config known only from its override.
fn set(kind: ResourceKind, name: &str, value: &str, source: ConfigSource) -> ResolvedConfig {
    let Some(wanted) = definition(kind, name) else { return unknown(name, source) };
    let own = Candidate { name: name.to_owned(), text: value.to_owned(), value: value.to_owned(), source };
    let mut resolved = resolved(wanted, Some(canonical(wanted, value)), source, [own].into_iter());
    resolved.name = name.to_owned();
    resolved
}

fn unknown(name: &str, source: ConfigSource) -> ResolvedConfig {
    let synonyms = vec![ConfigSynonym { name: name.to_owned(), value: None, source }];
    let name = name.to_owned();
    ResolvedConfig {
        name,
        value: None,
        source,
        synonyms,
        read_only: false,
        sensitive: true,
        value_type: ValueType::String,
    }
}

fn resolved(
    wanted: &Definition,
    value: Option<String>,
    source: ConfigSource,
    candidates: impl Iterator<Item = Candidate>,
) -> ResolvedConfig {
    let sensitive = wanted.is_sensitive();
    ResolvedConfig {
        name: wanted.name.to_owned(),
        value: value.filter(|_| !sensitive),
        source,
        synonyms: candidates.map(|found| synonym(found, sensitive)).collect(),
        read_only: wanted.scope == Scope::ReadOnly,
        sensitive,
        value_type: wanted.value_type,
    }
}

fn synonym(found: Candidate, sensitive: bool) -> ConfigSynonym {
    ConfigSynonym { name: found.name, value: (!sensitive).then_some(found.text), source: found.source }
}

/// The text Kafka would print for a value: numbers and booleans in their plain form, lists without spaces.
fn canonical(wanted: &Definition, text: &str) -> String {
    match wanted.parse(text) {
        Ok(Value::Boolean(flag)) => flag.to_string(),
        Ok(Value::Integer(n)) => n.to_string(),
        Ok(Value::List(list)) => super::items(list).collect::<Vec<_>>().join(","),
        Ok(Value::Double(_)) => text.trim().to_owned(),
        Ok(Value::Text(text)) => text.to_owned(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetadataRecord, record::ConfigChange};
    use std::collections::BTreeMap;

    fn image(configs: &[(ResourceKind, &str, &str, &str)]) -> MetadataImage {
        let mut image = MetadataImage::empty("c", NodeId::new(1));
        for (kind, resource, name, value) in configs {
            let change = ConfigChange {
                kind: *kind,
                resource: (*resource).to_owned(),
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
            };
            image.apply(&MetadataRecord::Config(change)).unwrap();
        }
        image
    }

    fn file(values: &[(&str, &str)]) -> StaticConfig {
        StaticConfig::new(values.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>())
    }

    fn find(all: &[ResolvedConfig], name: &str) -> ResolvedConfig {
        all.iter().find(|config| config.name == name).unwrap().clone()
    }

    fn sources(config: &ResolvedConfig) -> Vec<(&str, Option<&str>, i8)> {
        config.synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref(), s.source.code())).collect()
    }

    #[test]
    fn every_place_is_looked_at_in_kafkas_order() {
        let image = image(&[
            (ResourceKind::Topic, "t", "max.message.bytes", "1"),
            (ResourceKind::Broker, "1", "message.max.bytes", "2"),
            (ResourceKind::Broker, "2", "message.max.bytes", "99"),
            (ResourceKind::Broker, "", "message.max.bytes", "3"),
        ]);
        let static_config = file(&[("message.max.bytes", "4")]);
        let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
        let on_topic = find(&resolver.topic("t"), "max.message.bytes");
        assert_eq!((on_topic.value.as_deref(), on_topic.source.code()), (Some("1"), 1));
        assert_eq!(
            sources(&on_topic),
            [
                ("max.message.bytes", Some("1"), 1),
                ("message.max.bytes", Some("2"), 2),
                ("message.max.bytes", Some("3"), 3),
                ("message.max.bytes", Some("4"), 4),
                ("message.max.bytes", Some("1048588"), 5),
            ]
        );
        let elsewhere = find(&resolver.topic("u"), "max.message.bytes");
        assert_eq!((elsewhere.value.as_deref(), elsewhere.source.code()), (Some("2"), 2));
        assert_eq!(resolver.topic_config("t").max_message_bytes, 1);
        assert_eq!(resolver.broker_value("message.max.bytes").as_deref(), Some("2"));
    }

    #[test]
    fn hours_stand_in_for_milliseconds_unless_a_finer_unit_is_set() {
        let image = image(&[]);
        let retention = |values: &[(&str, &str)]| {
            let static_config = file(values);
            let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
            let config = find(&resolver.topic("t"), "retention.ms");
            (config.value.unwrap(), config.source.code(), resolver.topic_config("t").retention_ms)
        };
        assert_eq!(retention(&[]), ("604800000".into(), 5, Some(604_800_000)));
        assert_eq!(retention(&[("log.retention.hours", "1")]), ("3600000".into(), 4, Some(3_600_000)));
        assert_eq!(
            retention(&[("log.retention.hours", "1"), ("log.retention.minutes", "2")]),
            ("120000".into(), 4, Some(120_000))
        );
        assert_eq!(retention(&[("log.retention.hours", "-1")]), ("-1".into(), 4, None));
    }

    #[test]
    fn a_value_that_is_not_taken_is_passed_over() {
        let image = image(&[(ResourceKind::Topic, "t", "segment.bytes", "small")]);
        let static_config = file(&[("log.segment.bytes", "2097152")]);
        let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
        assert_eq!(resolver.topic_config("t").segment_bytes, 2_097_152);
        assert_eq!(find(&resolver.topic("t"), "segment.bytes").source, ConfigSource::StaticBroker);
    }

    #[test]
    fn secrets_are_not_shown() {
        let image = image(&[
            (ResourceKind::Broker, "1", "ssl.key.password", "hunter2"),
            (ResourceKind::Broker, "", "vendor.token", "hunter2"),
        ]);
        let static_config = file(&[("ssl.keystore.password", "hunter2")]);
        let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
        let all = [resolver.broker(), resolver.default_broker()].concat();
        assert!(!format!("{all:?}").contains("hunter2"));
        assert!(find(&all, "ssl.key.password").sensitive);
        assert!(find(&all, "vendor.token").sensitive);
        assert_eq!(resolver.broker_value("ssl.key.password").as_deref(), Some("hunter2"));
    }

    #[test]
    fn defaults_of_topics_follow_from_those_of_the_broker() {
        let (image, static_config) = (image(&[]), StaticConfig::default());
        let resolver = ConfigResolver { image: &image, static_config: &static_config, node: NodeId::new(1) };
        for config in resolver.topic("t") {
            let wanted = definition(ResourceKind::Topic, &config.name).unwrap();
            assert_eq!(config.value.as_deref(), wanted.default, "{}", config.name);
            assert_eq!(config.source, ConfigSource::Default);
            let names: Vec<&str> = config.synonyms.iter().map(|synonym| synonym.name.as_str()).collect();
            match config.name.as_str() {
                // As Apache Kafka 4.3.0 answers.
                "retention.ms" | "flush.ms" | "segment.ms" => assert!(names.is_empty(), "{names:?}"),
                "segment.bytes" => assert_eq!(names, ["log.segment.bytes"]),
                _ => {}
            }
        }
        for config in resolver.group("g") {
            let wanted = definition(ResourceKind::Group, &config.name).unwrap();
            assert_eq!(config.value.as_deref(), wanted.default, "{}", config.name);
        }
    }
}
