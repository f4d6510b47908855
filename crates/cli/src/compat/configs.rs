//! `kafka-configs`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser, ValueEnum};
use highwater_client::admin::{ConfigEntry, ConfigResource, ConfigSource, ResourceKind};

use super::{Failure, java_name, parse};
use crate::config::{alter, entries};
use crate::connection::{Connection, read_settings};
use crate::output::{note, print};
use crate::session::{Session, told};

/// Describe and alter the configs of topics, brokers, groups and client metrics.
#[derive(Debug, Parser)]
#[command(name = "kafka-configs")]
#[command(group = ArgGroup::new("action").args(["describe", "alter"]).required(true))]
struct Configs {
    /// The Kafka servers to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// List configs for the given entity.
    #[arg(long)]
    describe: bool,
    /// Alter the configuration for the entity.
    #[arg(long)]
    alter: bool,
    /// Type of entity.
    #[arg(long)]
    entity_type: Option<EntityType>,
    /// Name of entity.
    #[arg(long, conflicts_with = "entity_default")]
    entity_name: Option<String>,
    /// Default entity name for brokers.
    #[arg(long)]
    entity_default: bool,
    /// The topic's name.
    #[arg(long)]
    topic: Option<String>,
    /// The broker's ID.
    #[arg(long)]
    broker: Option<String>,
    /// The config defaults for all brokers.
    #[arg(long)]
    broker_defaults: bool,
    /// The group's ID.
    #[arg(long)]
    group: Option<String>,
    /// The client metrics config resource name.
    #[arg(long)]
    client_metrics: Option<String>,
    /// The broker's ID for its logger config.
    #[arg(long)]
    broker_logger: Option<String>,
    /// Key Value pairs of configs to add: `k1=v1,k2=[v1,v2,v2],k3=v3`.
    #[arg(long)]
    add_config: Option<String>,
    /// Path to a properties file with configs to add.
    #[arg(long, conflicts_with = "add_config")]
    add_config_file: Option<PathBuf>,
    /// Config keys to remove 'k1,k2'.
    #[arg(long, value_delimiter = ',')]
    delete_config: Vec<String>,
    /// List all configs for the given entity, including static configs.
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EntityType {
    Topics,
    Brokers,
    BrokerLoggers,
    ClientMetrics,
    Groups,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let given: Vec<String> = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let tool: Configs = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    tool.run().map_or_else(
        |failure| {
            note(&format!("Error while executing config command with args '{}'\n{failure}", given.join(" ")));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

impl Configs {
    fn run(&self) -> Result<(), Failure> {
        let (kind, name) = self.entity()?;
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        if self.alter {
            let name = name.ok_or_else(|| Failure::new("an entity name must be specified with --alter"))?;
            return self.change(&session, kind, name);
        }
        let names = match name {
            Some(name) => vec![name],
            None => all_names(&session, kind)?,
        };
        for name in names {
            self.show(&session, kind, &name)?;
        }
        Ok(())
    }

    /// The kind, and the name, which is empty for the defaults of brokers.
    fn entity(&self) -> Result<(ResourceKind, Option<String>), Failure> {
        let named = [
            (ResourceKind::Topic, &self.topic),
            (ResourceKind::Broker, &self.broker),
            (ResourceKind::Group, &self.group),
            (ResourceKind::ClientMetrics, &self.client_metrics),
            (ResourceKind::BrokerLogger, &self.broker_logger),
        ];
        if let Some((kind, name)) = named.into_iter().find(|(_, name)| name.is_some()) {
            return Ok((kind, name.clone()));
        }
        if self.broker_defaults {
            return Ok((ResourceKind::Broker, Some(String::new())));
        }
        let kind = match self.entity_type {
            Some(EntityType::Topics) => ResourceKind::Topic,
            Some(EntityType::Brokers) => ResourceKind::Broker,
            Some(EntityType::BrokerLoggers) => ResourceKind::BrokerLogger,
            Some(EntityType::ClientMetrics) => ResourceKind::ClientMetrics,
            Some(EntityType::Groups) => ResourceKind::Group,
            None => return Err(Failure::new("At least one entity type must be specified")),
        };
        Ok((kind, if self.entity_default { Some(String::new()) } else { self.entity_name.clone() }))
    }

    fn change(&self, session: &Session, kind: ResourceKind, name: String) -> Result<(), Failure> {
        let set: Vec<(String, String)> = match (&self.add_config, &self.add_config_file) {
            (Some(text), _) => pairs(text)?,
            (None, Some(file)) => read_settings(file)?.into_iter().collect(),
            (None, None) => Vec::new(),
        };
        if set.is_empty() && self.delete_config.is_empty() {
            return Err(Failure::new(
                "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter",
            ));
        }
        let (singular, _) = words(kind);
        let done = if name.is_empty() {
            "Completed updating default config for brokers in the cluster.\n".to_owned()
        } else {
            format!("Completed updating config for {singular} {name}.\n")
        };
        let resource = ConfigResource { kind, name };
        alter(session, resource, &set, &self.delete_config, false)?
            .map_err(|error| Failure::new(format!("java.util.concurrent.ExecutionException: {}", java_name(&error))))?;
        Ok(print(&done)?)
    }

    fn show(&self, session: &Session, kind: ResourceKind, name: &str) -> Result<(), Failure> {
        let (singular, plural) = words(kind);
        let found = match entries(session, ConfigResource { kind, name: name.to_owned() }, true) {
            Ok(found) => found,
            Err(error) if error.kind() == crate::error::Kind::NotFound && kind == ResourceKind::Topic => {
                return Ok(print(&format!("The topic '{name}' doesn't exist and doesn't have dynamic config.\n"))?);
            }
            Err(error) => return Err(error.into()),
        };
        let mut text = match (name.is_empty(), self.all) {
            (true, _) => format!("Default configs for {plural} in the cluster are:\n"),
            (false, true) => format!("All configs for {singular} {name} are:\n"),
            (false, false) => format!("Dynamic configs for {singular} {name} are:\n"),
        };
        let own = match (kind, name.is_empty()) {
            (ResourceKind::Topic, _) => ConfigSource::DynamicTopic,
            (ResourceKind::Broker, true) => ConfigSource::DynamicDefaultBroker,
            (ResourceKind::Broker, false) => ConfigSource::DynamicBroker,
            (ResourceKind::BrokerLogger, _) => ConfigSource::DynamicBrokerLogger,
            (ResourceKind::ClientMetrics, _) => ConfigSource::ClientMetrics,
            (ResourceKind::Group, _) => ConfigSource::Group,
        };
        let mut shown: Vec<ConfigEntry> = found.into_iter().filter(|entry| self.all || entry.source == own).collect();
        shown.sort_by(|one, other| one.name.cmp(&other.name));
        for entry in shown {
            let synonyms: Vec<String> = entry
                .synonyms
                .iter()
                .map(|synonym| {
                    let value = synonym.value.as_deref().unwrap_or("null");
                    format!("{}:{}={value}", synonym.source.name(), synonym.name)
                })
                .collect();
            let _ = writeln!(
                text,
                "  {}={} sensitive={} synonyms={{{}}}",
                entry.name,
                entry.value.as_deref().unwrap_or("null"),
                entry.is_sensitive,
                synonyms.join(", ")
            );
        }
        Ok(print(&text)?)
    }
}

fn all_names(session: &Session, kind: ResourceKind) -> Result<Vec<String>, Failure> {
    match kind {
        ResourceKind::Topic => {
            let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
            Ok(listed.into_iter().map(|topic| topic.name).collect())
        }
        ResourceKind::Broker | ResourceKind::BrokerLogger => {
            let cluster = crate::cluster::describe(session)?;
            let ids = cluster.brokers.iter().map(|broker| broker.node.id.to_string());
            // The defaults of all brokers come last.
            let defaults = (kind == ResourceKind::Broker).then(String::new);
            Ok(ids.chain(defaults).collect())
        }
        ResourceKind::ClientMetrics | ResourceKind::Group => {
            let found = session.admin.list_config_resources([kind]).wait();
            let found = found.map_err(|error| told("cannot list configs", &error))?;
            Ok(found.into_iter().map(|resource| resource.name).collect())
        }
    }
}

const fn words(kind: ResourceKind) -> (&'static str, &'static str) {
    match kind {
        ResourceKind::Topic => ("topic", "topics"),
        ResourceKind::Broker => ("broker", "brokers"),
        ResourceKind::BrokerLogger => ("broker-logger", "broker-loggers"),
        ResourceKind::ClientMetrics => ("client-metric", "client-metrics"),
        ResourceKind::Group => ("group", "groups"),
    }
}

/// `k1=v1,k2=[v1,v2]`: commas inside brackets belong to the value.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
        .iter()
        .map(|part| {
            let wrong = || {
                Failure::new(format!(
                    "Invalid entity config: all configs to be added must be in the format \"key=val\": {part}"
                ))
            };
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            let bare = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(value);
            Ok((key.trim().to_owned(), bare.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_hold_lists_together() {
        let read = pairs("a=1,b=[x,y],c=").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(read, [pair("a", "1"), pair("b", "x,y"), pair("c", "")]);
        assert!(pairs("a").is_err());
    }
}
