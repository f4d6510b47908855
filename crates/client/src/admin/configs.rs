//! Configs of topics, brokers, groups.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use highwater_types::NodeId;
use highwater_wire::messages::describe_configs_request::DescribeConfigsResource;
use highwater_wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use highwater_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use highwater_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::{Admin, Each};
use crate::ClientError;
use crate::error::check;
use crate::io::{Answer, Deadline, Io};
use crate::pending::Pending;

/// What kind of thing has configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceKind {
    /// A topic, by name.
    Topic,
    /// A broker, by id; all of them by an empty name.
    Broker,
    /// The loggers of a broker.
    BrokerLogger,
    /// What clients report of themselves.
    ClientMetrics,
    /// A group.
    Group,
}

impl ResourceKind {
    const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    const fn to_wire(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::BrokerLogger => 8,
            Self::ClientMetrics => 16,
            Self::Group => 32,
        }
    }

    fn from_wire(wire: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_wire() == wire)
    }
}

/// Something that has configs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    /// What kind of thing.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    #[must_use]
    pub fn topic(name: impl Into<String>) -> Self {
        Self { kind: ResourceKind::Topic, name: name.into() }
    }

    /// A broker.
    #[must_use]
    pub fn broker(id: NodeId) -> Self {
        Self { kind: ResourceKind::Broker, name: id.to_string() }
    }

    /// All brokers, where they have no config of their own.
    #[must_use]
    pub const fn all_brokers() -> Self {
        Self { kind: ResourceKind::Broker, name: String::new() }
    }

    /// A group.
    #[must_use]
    pub fn group(name: impl Into<String>) -> Self {
        Self { kind: ResourceKind::Group, name: name.into() }
    }

    /// The broker that alone knows its configs.
    fn node(&self) -> Option<NodeId> {
        match self.kind {
            ResourceKind::Broker | ResourceKind::BrokerLogger => self.name.parse().ok().and_then(NodeId::from_wire),
            _ => None,
        }
    }
}

/// Where the value of a config comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Of something newer than this client.
    Unknown,
    /// The topic's own.
    DynamicTopic,
    /// The broker's own, set while it ran.
    DynamicBroker,
    /// For all brokers, set while they ran.
    DynamicDefaultBroker,
    /// The broker's configuration file.
    StaticBroker,
    /// The default.
    Default,
    /// The logger's own.
    DynamicBrokerLogger,
    /// The client's own.
    ClientMetrics,
    /// The group's own.
    Group,
}

impl ConfigSource {
    const fn from_wire(wire: i8) -> Self {
        match wire {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            _ => Self::Unknown,
        }
    }

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBroker => "STATIC_BROKER_CONFIG",
            Self::Default => "DEFAULT_CONFIG",
            Self::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::Group => "DYNAMIC_GROUP_CONFIG",
        }
    }
}

/// A config with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` if there is none, or it is a secret.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// Whether it cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// Everything that has a say, the strongest first. Only if asked for.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it is for, if asked for and the broker says.
    pub documentation: Option<String>,
}

/// A config that another one takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
}

/// What to do with a config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Give it this value.
    Set(String),
    /// Take its value away, so that what is below shows.
    Delete,
    /// Add these elements to a list.
    Append(String),
    /// Take these elements from a list.
    Subtract(String),
}

impl Admin {
    /// The configs of some things, by name. With `synonyms`, also what they take their values from.
    pub fn describe_configs(
        &self,
        resources: impl IntoIterator<Item = ConfigResource>,
        synonyms: bool,
    ) -> Pending<Each<ConfigResource, Vec<ConfigEntry>>> {
        let resources: Vec<ConfigResource> = resources.into_iter().collect();
        self.call("describing configs", move |io, deadline| async move {
            let mut found = BTreeMap::new();
            for (node, some) in by_node(&resources) {
                let wanted = some.iter().map(|resource| DescribeConfigsResource {
                    resource_type: resource.kind.to_wire(),
                    resource_name: resource.name.as_str().into(),
                    ..Default::default()
                });
                let request = DescribeConfigsRequest {
                    resources: wanted.collect(),
                    include_synonyms: synonyms,
                    ..DescribeConfigsRequest::default()
                };
                let answer = ask(&io, node, deadline, &request).await?;
                let response: DescribeConfigsResponse<'_> = answer.decode()?;
                for result in &response.results {
                    let Some(kind) = ResourceKind::from_wire(result.resource_type) else { continue };
                    let checked = check(result.error_code, result.error_message.as_deref());
                    let entries = checked.map(|()| {
                        let mut entries: Vec<ConfigEntry> = result.configs.iter().map(entry).collect();
                        entries.sort_by(|one, other| one.name.cmp(&other.name));
                        entries
                    });
                    found.insert(ConfigResource { kind, name: result.resource_name.into_owned() }, entries);
                }
            }
            Ok(in_order(resources, found))
        })
    }

    /// Changes configs of some things, or only checks whether they could be changed.
    pub fn alter_configs(
        &self,
        changes: impl IntoIterator<Item = (ConfigResource, Vec<(String, ConfigChange)>)>,
        validate_only: bool,
    ) -> Pending<Each<ConfigResource, ()>> {
        let changes: BTreeMap<ConfigResource, Vec<(String, ConfigChange)>> = changes.into_iter().collect();
        self.call("changing configs", move |io, deadline| async move {
            let resources: Vec<ConfigResource> = changes.keys().cloned().collect();
            let mut found = BTreeMap::new();
            for (node, some) in by_node(&resources) {
                let wanted = some.iter().map(|resource| AlterConfigsResource {
                    resource_type: resource.kind.to_wire(),
                    resource_name: resource.name.as_str().into(),
                    configs: changes.get(*resource).into_iter().flatten().map(alterable).collect(),
                    ..Default::default()
                });
                let request = IncrementalAlterConfigsRequest {
                    resources: wanted.collect(),
                    validate_only,
                    ..IncrementalAlterConfigsRequest::default()
                };
                let answer = ask(&io, node, deadline, &request).await?;
                let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
                for result in &response.responses {
                    let Some(kind) = ResourceKind::from_wire(result.resource_type) else { continue };
                    let altered = check(result.error_code, result.error_message.as_deref());
                    found.insert(ConfigResource { kind, name: result.resource_name.into_owned() }, altered);
                }
            }
            Ok(in_order(resources, found))
        })
    }

    /// Everything of some kinds that has configs of its own; of no kinds for all of them.
    pub fn list_config_resources(&self, kinds: impl IntoIterator<Item = ResourceKind>) -> Pending<Vec<ConfigResource>> {
        let kinds: Vec<i8> = kinds.into_iter().map(ResourceKind::to_wire).collect();
        self.call("listing what has configs", move |io, deadline| async move {
            let request = ListConfigResourcesRequest { resource_types: kinds.into(), ..Default::default() };
            let answer = io.ask_any(i16::MAX, deadline, &request).await?;
            let response: ListConfigResourcesResponse<'_> = answer.decode()?;
            check(response.error_code, None)?;
            let listed = response.config_resources.iter().filter_map(|resource| {
                let kind = ResourceKind::from_wire(resource.resource_type)?;
                Some(ConfigResource { kind, name: resource.resource_name.into_owned() })
            });
            Ok(listed.collect())
        })
    }
}

fn by_node(resources: &[ConfigResource]) -> BTreeMap<Option<NodeId>, Vec<&ConfigResource>> {
    let mut nodes: BTreeMap<Option<NodeId>, Vec<&ConfigResource>> = BTreeMap::new();
    resources.iter().for_each(|resource| nodes.entry(resource.node()).or_default().push(resource));
    nodes
}

async fn ask<'q, Q: highwater_wire::Message<'q>>(
    io: &Rc<Io>,
    node: Option<NodeId>,
    deadline: Deadline,
    request: &Q,
) -> Result<Answer, ClientError> {
    match node {
        Some(node) => io.ask_node(node, i16::MAX, deadline, request).await,
        None => io.ask_any(i16::MAX, deadline, request).await,
    }
}

fn in_order<T>(
    resources: Vec<ConfigResource>,
    mut found: BTreeMap<ConfigResource, Result<T, ClientError>>,
) -> Each<ConfigResource, T> {
    let missing = |resource: &ConfigResource| {
        Err(ClientError::Invalid(format!("the broker does not answer for {:?} {}", resource.kind, resource.name)))
    };
    let results = resources.into_iter().map(|resource| {
        let result = found.remove(&resource).unwrap_or_else(|| missing(&resource));
        (resource, result)
    });
    Each::new(results.collect())
}

fn entry(config: DescribeConfigsResourceResult<'_>) -> ConfigEntry {
    let synonyms = config.synonyms.iter().map(|synonym| ConfigSynonym {
        name: synonym.name.into_owned(),
        value: synonym.value.map(Cow::into_owned),
        source: ConfigSource::from_wire(synonym.source),
    });
    ConfigEntry {
        synonyms: synonyms.collect(),
        name: config.name.into_owned(),
        value: config.value.map(Cow::into_owned),
        source: ConfigSource::from_wire(config.config_source),
        is_sensitive: config.is_sensitive,
        is_read_only: config.read_only,
        documentation: config.documentation.map(Cow::into_owned),
    }
}

fn alterable((name, change): &(String, ConfigChange)) -> AlterableConfig<'_> {
    let (config_operation, value) = match change {
        ConfigChange::Set(value) => (0, Some(value)),
        ConfigChange::Delete => (1, None),
        ConfigChange::Append(value) => (2, Some(value)),
        ConfigChange::Subtract(value) => (3, Some(value)),
    };
    AlterableConfig {
        name: name.as_str().into(),
        config_operation,
        value: value.map(|value| value.as_str().into()),
        ..Default::default()
    }
}
