//! `highwater broker`.

use clap::{Args, Subcommand};
use highwater_client::NodeId;
use highwater_client::admin::ConfigResource;

use crate::cluster::describe;
use crate::config::config_table;
use crate::connection::Connection;
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::session::{Session, node_id, told};
use crate::topic::describe::topics;

/// See brokers.
#[derive(Debug, Subcommand)]
pub(crate) enum Broker {
    /// List brokers.
    #[command(visible_alias = "list")]
    Ls(List),
    /// Show what brokers hold: leaders, replicas, bytes.
    Describe(Describe),
    /// Show the configs of a broker.
    Config(Config),
}

/// Arguments of `highwater broker ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater broker describe`.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    /// Ids; by default all.
    #[arg(value_name = "ID", value_parser = node_id)]
    ids: Vec<NodeId>,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater broker config`.
#[derive(Args, Debug)]
pub(crate) struct Config {
    /// The broker.
    #[arg(value_name = "ID", value_parser = node_id)]
    id: NodeId,
    /// Also configs that have their default.
    #[arg(short = 'a', long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl Broker {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Ls(list) => list.run(&session),
            Self::Describe(describe) => describe.run(&session),
            Self::Config(Config { id, all, output }) => {
                output.print(&config_table(&session, ConfigResource::broker(id), all)?)
            }
        }
    }
}

impl List {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let cluster = describe(session)?;
        let mut table = Table::new(vec![
            Column::new("id"),
            Column::new("host"),
            Column::new("port"),
            Column::new("rack"),
            Column::new("state"),
            Column::new("controller"),
        ]);
        for broker in cluster.brokers {
            let state = if broker.is_fenced { ("fenced", Mood::Bad) } else { ("up", Mood::Good) };
            table.row(vec![
                broker.node.id.to_wire().into(),
                broker.node.host.into(),
                i64::from(broker.node.port).into(),
                Cell::maybe(broker.node.rack),
                Cell::State(state.0.into(), state.1),
                (cluster.controller == Some(broker.node.id)).into(),
            ]);
        }
        self.output.print(&table)
    }
}

impl Describe {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let cluster = describe(session)?;
        let known = |id: &NodeId| cluster.brokers.iter().any(|broker| broker.node.id == *id);
        if let Some(missing) = self.ids.iter().find(|id| !known(id)) {
            let ids: Vec<String> = cluster.brokers.iter().map(|broker| broker.node.id.to_string()).collect();
            let why = format!("there are {}", ids.join(", "));
            return Err(CliError::new(Kind::NotFound, format!("no broker {missing}"), why));
        }
        let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
        let topics = topics(session, listed.into_iter().map(|topic| topic.name).collect())?;
        let partitions = || topics.iter().flat_map(|topic| &topic.partitions);
        let mut table = Table::new(vec![
            Column::new("id"),
            Column::new("address"),
            Column::new("state"),
            Column::new("leaders"),
            Column::new("replicas"),
            Column::new("bytes"),
            Column::new("directories"),
            Column::new("rack").wide(),
        ]);
        for broker in cluster.brokers {
            let id = broker.node.id;
            if !self.ids.is_empty() && !self.ids.contains(&id) {
                continue;
            }
            let directories =
                session.admin.describe_log_dirs([id]).wait().and_then(highwater_client::admin::Each::only);
            let (bytes, paths) = match directories {
                Ok(directories) => {
                    let bytes = directories.iter().flat_map(|dir| dir.replicas.values()).map(|log| log.size_bytes);
                    (Some(bytes.sum::<u64>()), directories.iter().map(|dir| dir.path.clone()).collect())
                }
                // One that is not there cannot tell.
                Err(_) => (None, Vec::new()),
            };
            let state = if broker.is_fenced { ("fenced", Mood::Bad) } else { ("up", Mood::Good) };
            table.row(vec![
                id.to_wire().into(),
                format!("{}:{}", broker.node.host, broker.node.port).into(),
                Cell::State(state.0.into(), state.1),
                partitions().filter(|partition| partition.leader == Some(id)).count().into(),
                partitions().filter(|partition| partition.replicas.contains(&id)).count().into(),
                Cell::maybe(bytes),
                Cell::List(paths),
                Cell::maybe(broker.node.rack),
            ]);
        }
        self.output.print(&table)
    }
}
