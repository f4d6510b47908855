//! `highwater config`, and what other commands tell about configs.

use clap::{Args, Subcommand, ValueEnum};
use highwater_client::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, ResourceKind};

use crate::connection::{Connection, pair};
use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::{Cell, Column, Output, Table};
use crate::plan::Rehearsal;
use crate::session::{Session, told};

/// See and change the configs of whatever has some.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// List what has configs of its own.
    #[command(visible_alias = "list")]
    Ls(List),
    /// Show configs.
    Describe(Describe),
    /// Change configs.
    Alter(Alter),
}

/// Arguments of `highwater config ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only of this kind.
    kind: Option<EntityKind>,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater config describe`.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(flatten)]
    entity: Entity,
    /// Also configs that have their default.
    #[arg(short = 'a', long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater config alter`.
#[derive(Args, Debug)]
pub(crate) struct Alter {
    #[command(flatten)]
    entity: Entity,
    /// Set a config; may be given several times.
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair, required_unless_present = "unset")]
    configs: Vec<(String, String)>,
    /// Take a config away, so that what is below shows; may be given several times.
    #[arg(short, long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(flatten)]
    output: Output,
}

/// Something that has configs.
#[derive(Args, Debug)]
struct Entity {
    /// Its kind.
    kind: EntityKind,
    /// Its name: of brokers the id, or `default` for all of them.
    name: String,
}

/// What has configs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EntityKind {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
    Group,
}

impl Config {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Ls(list) => list.run(&session),
            Self::Describe(Describe { entity, all, output }) => {
                output.print(&config_table(&session, entity.resource(), all)?)
            }
            Self::Alter(alter) => alter.run(&session),
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let kinds = self.kind.map(EntityKind::resource_kind);
        let mut found = session
            .admin
            .list_config_resources(kinds)
            .wait()
            .map_err(|error| told("cannot list what has configs", &error))?;
        found.sort();
        let mut table = Table::new(vec![Column::new("kind"), Column::new("name")]);
        for resource in found {
            let name = if resource.name.is_empty() { "default" } else { &resource.name };
            table.row(vec![kind_name(resource.kind).into(), name.into()]);
        }
        self.output.print(&table)
    }
}

impl Alter {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let done = if self.rehearsal.dry_run { "valid" } else { "altered" };
        alter(session, self.entity.resource(), &self.configs, &self.unset, self.rehearsal.dry_run)
            .map(|outcome| Outcomes::one(kind_noun(self.entity.kind), "alter", done, &self.entity.name, outcome))?
            .finish(&self.output)
    }
}

/// Changes configs of one thing. The inner result is the cluster's answer.
pub(crate) fn alter(
    session: &Session,
    resource: ConfigResource,
    set: &[(String, String)],
    unset: &[String],
    dry_run: bool,
) -> Result<Result<(), highwater_client::ClientError>, CliError> {
    let wanted = [(resource, changes(set, unset))];
    let results = session.admin.alter_configs(wanted, dry_run).wait();
    Ok(results.map_err(|error| told("cannot change configs", &error))?.only())
}

impl Entity {
    fn resource(&self) -> ConfigResource {
        let name = if self.kind == EntityKind::Broker && self.name == "default" { "" } else { &self.name };
        ConfigResource { kind: self.kind.resource_kind(), name: name.to_owned() }
    }
}

impl EntityKind {
    const fn resource_kind(self) -> ResourceKind {
        match self {
            Self::Topic => ResourceKind::Topic,
            Self::Broker => ResourceKind::Broker,
            Self::BrokerLogger => ResourceKind::BrokerLogger,
            Self::ClientMetrics => ResourceKind::ClientMetrics,
            Self::Group => ResourceKind::Group,
        }
    }
}

const fn kind_noun(kind: EntityKind) -> &'static str {
    kind_name(kind.resource_kind())
}

const fn kind_name(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Topic => "topic",
        ResourceKind::Broker => "broker",
        ResourceKind::BrokerLogger => "broker-logger",
        ResourceKind::ClientMetrics => "client-metrics",
        ResourceKind::Group => "group",
    }
}

/// Changes that set and take away.
pub(crate) fn changes(set: &[(String, String)], unset: &[String]) -> Vec<(String, ConfigChange)> {
    let set = set.iter().map(|(key, value)| (key.clone(), ConfigChange::Set(value.clone())));
    set.chain(unset.iter().map(|key| (key.clone(), ConfigChange::Delete))).collect()
}

/// The configs of one thing.
pub(crate) fn entries(
    session: &Session,
    resource: ConfigResource,
    synonyms: bool,
) -> Result<Vec<ConfigEntry>, CliError> {
    let what = format!("cannot describe {} {}", kind_name(resource.kind), resource.name);
    let described = session.admin.describe_configs([resource], synonyms).wait();
    described.and_then(highwater_client::admin::Each::only).map_err(|error| told(what, &error))
}

/// The configs of one thing as a table: those that were set, or all.
pub(crate) fn config_table(session: &Session, resource: ConfigResource, all: bool) -> Result<Table, CliError> {
    let mut table = Table::new(vec![
        Column::new("name"),
        Column::new("value"),
        Column::new("source"),
        Column::new("read_only").wide(),
        Column::new("sensitive").wide(),
    ]);
    let mut entries = entries(session, resource, false)?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    for entry in entries {
        if all || is_set(&entry) {
            table.row(vec![
                entry.name.into(),
                Cell::maybe(entry.value),
                entry.source.name().into(),
                entry.is_read_only.into(),
                entry.is_sensitive.into(),
            ]);
        }
    }
    Ok(table)
}

/// Whether somebody has set it, rather than it having its default.
pub(crate) fn is_set(entry: &ConfigEntry) -> bool {
    !matches!(entry.source, ConfigSource::Default | ConfigSource::Unknown)
}
