//! `highwater context`: clusters by name.

mod import;
mod store;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use crate::completions;
use crate::connection::{Connection, Origin, pair, read_settings, split};
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Output, Table, note};

pub(crate) use store::Store;

/// Name clusters, and choose the one that commands talk to.
#[derive(Debug, Subcommand)]
pub(crate) enum Context {
    /// Add a cluster, or change one; the first becomes the one in use.
    Add(Add),
    /// Choose the cluster that commands talk to unless they are told another.
    Use(Name),
    /// List the clusters.
    #[command(visible_alias = "list")]
    Ls(List),
    /// Forget a cluster.
    Rm(Name),
    /// Take clusters from a client.properties, a kcat.conf or a profile of rpk.
    Import(Import),
}

/// Arguments of `highwater context add`; the brokers are given with `-b`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// The name.
    name: String,
    /// A setting of the client with Kafka's name; may be given several times. `--command-config` adds a whole file.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// A name.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// The name.
    #[arg(add = ArgValueCompleter::new(completions::contexts))]
    name: String,
}

/// Arguments of `highwater context ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater context import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file: what it is is told from its content.
    file: PathBuf,
    /// The name to give; by default the file's, or the profile's.
    #[arg(long)]
    name: Option<String>,
}

impl Context {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        match self {
            Self::Add(add) => add.run(connection),
            Self::Use(Name { name }) => {
                let mut store = Store::load()?;
                store.select(&name)?;
                store.save()
            }
            Self::Ls(list) => list.run(),
            Self::Rm(Name { name }) => {
                let mut store = Store::load()?;
                store.remove(&name)?;
                store.save()
            }
            Self::Import(import) => import.run(),
        }
    }
}

impl Add {
    fn run(self, connection: &Connection) -> Result<(), CliError> {
        let target = connection.resolve()?;
        if !matches!(target.origin, Origin::Flag | Origin::File(_)) {
            return Err(CliError::new(Kind::Usage, format!("{} has no brokers", self.name), "none were given")
                .hint(format!("highwater -b HOST:PORT context add {}", self.name)));
        }
        let mut settings = target.settings;
        settings.extend(self.set);
        let mut store = Store::load()?;
        store.add(&self.name, target.brokers, settings);
        store.save()
    }
}

impl List {
    fn run(&self) -> Result<(), CliError> {
        let store = Store::load()?;
        let current = store.current().map(|(name, _)| name.to_owned());
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("in_use"),
            Column::new("brokers"),
            Column::new("security_protocol"),
        ]);
        for (name, context) in store.all() {
            table.row(vec![
                name.into(),
                (current.as_deref() == Some(name)).into(),
                Cell::List(context.brokers.clone()),
                context.settings.get("security.protocol").map_or("PLAINTEXT", String::as_str).into(),
            ]);
        }
        // Settings are not listed: there are passwords among them.
        self.output.print(&table)
    }
}

impl Import {
    fn run(self) -> Result<(), CliError> {
        let shown = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| CliError::caused(format!("cannot read {shown}"), &error))?;
        let stem = self.file.file_stem().map_or_else(|| "imported".into(), |stem| stem.to_string_lossy().into_owned());
        let found = if import::is_rpk(&text) {
            import::rpk(&text)
        } else {
            vec![(stem, import::librdkafka_names(read_settings(&self.file)?))]
        };
        let mut store = Store::load()?;
        let mut names = Vec::new();
        for (name, mut settings) in found {
            let name = self.name.clone().unwrap_or(name);
            let servers = settings.remove("bootstrap.servers").unwrap_or_default();
            if servers.is_empty() {
                return Err(CliError::new(
                    Kind::Failed,
                    format!("{shown} has no brokers"),
                    "it sets no bootstrap.servers",
                )
                .hint("add bootstrap.servers to it, or use `highwater context add`"));
            }
            store.add(&name, split(&servers)?, settings);
            names.push(name);
        }
        if names.is_empty() {
            return Err(CliError::new(Kind::Failed, format!("{shown} has no clusters"), "it has no profile in it"));
        }
        store.save()?;
        note(&format!("imported {}", names.join(", ")));
        Ok(())
    }
}
