//! `highwater disk`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use highwater_client::NodeId;
use highwater_client::admin::LogDir;

use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::session::{Session, node_id, told};

/// See the directories in which brokers keep logs.
#[derive(Debug, Subcommand)]
pub(crate) enum Disk {
    /// List the directories of brokers.
    #[command(visible_alias = "list")]
    Ls(List),
    /// Show what takes the space, the largest first.
    Usage(Usage),
}

/// Arguments of `highwater disk ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only of these brokers.
    #[arg(long = "broker", value_name = "ID", value_delimiter = ',', value_parser = node_id)]
    brokers: Vec<NodeId>,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater disk usage`.
#[derive(Args, Debug)]
pub(crate) struct Usage {
    /// Only of these brokers.
    #[arg(long = "broker", value_name = "ID", value_delimiter = ',', value_parser = node_id)]
    brokers: Vec<NodeId>,
    /// A row for each replica rather than for each topic.
    #[arg(long)]
    replicas: bool,
    #[command(flatten)]
    output: Output,
}

impl Disk {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Ls(list) => list.run(&session),
            Self::Usage(usage) => usage.run(&session),
        }
    }
}

/// The directories of brokers, or of all.
pub(crate) fn directories(session: &Session, brokers: &[NodeId]) -> Result<Vec<(NodeId, Vec<LogDir>)>, CliError> {
    let found = session.admin.describe_log_dirs(brokers.to_vec()).wait();
    let found = found.map_err(|error| told("cannot see log directories", &error))?;
    let of = |(broker, result): (NodeId, Result<_, _>)| match result {
        Ok(directories) => Ok((broker, directories)),
        Err(error) => Err(told(format!("cannot see the log directories of broker {broker}"), &error)),
    };
    found.into_iter().map(of).collect()
}

impl List {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let mut table = Table::new(vec![
            Column::new("broker"),
            Column::new("path"),
            Column::new("state"),
            Column::new("replicas"),
            Column::new("bytes"),
            Column::new("total_bytes"),
            Column::new("usable_bytes"),
            Column::new("error").wide(),
        ]);
        for (broker, directories) in directories(session, &self.brokers)? {
            for directory in directories {
                let state = if directory.error.is_none() { ("online", Mood::Good) } else { ("offline", Mood::Bad) };
                let bytes: u64 = directory.replicas.values().map(|log| log.size_bytes).sum();
                table.row(vec![
                    broker.to_wire().into(),
                    directory.path.into(),
                    Cell::State(state.0.into(), state.1),
                    directory.replicas.len().into(),
                    bytes.into(),
                    Cell::maybe(directory.total_bytes),
                    Cell::maybe(directory.usable_bytes),
                    Cell::maybe(directory.error.map(|error| error.to_string())),
                ]);
            }
        }
        self.output.print(&table)
    }
}

impl Usage {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let found = directories(session, &self.brokers)?;
        let logs = found.iter().flat_map(|(broker, directories)| {
            directories.iter().flat_map(move |directory| {
                directory.replicas.iter().map(move |(at, log)| (*broker, directory, at, log))
            })
        });
        if self.replicas {
            let mut table = Table::new(vec![
                Column::new("topic"),
                Column::new("partition"),
                Column::new("broker"),
                Column::new("bytes"),
                Column::new("offset_lag"),
                Column::new("path").wide(),
            ]);
            let mut logs: Vec<_> = logs.collect();
            logs.sort_by(|one, other| other.3.size_bytes.cmp(&one.3.size_bytes).then(one.2.cmp(other.2)));
            for (broker, directory, at, log) in logs {
                table.row(vec![
                    at.topic.as_str().into(),
                    at.partition.to_wire().into(),
                    broker.to_wire().into(),
                    log.size_bytes.into(),
                    log.offset_lag.into(),
                    directory.path.as_str().into(),
                ]);
            }
            return self.output.print(&table);
        }
        let mut topics: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
        for (_, _, at, log) in logs {
            let sum = topics.entry(at.topic.as_str()).or_default();
            *sum = (sum.0.saturating_add(log.size_bytes), sum.1 + 1);
        }
        let mut topics: Vec<_> = topics.into_iter().collect();
        topics.sort_by(|one, other| other.1.0.cmp(&one.1.0).then(one.0.cmp(other.0)));
        let mut table = Table::new(vec![Column::new("topic"), Column::new("bytes"), Column::new("replicas")]);
        for (topic, (bytes, replicas)) in topics {
            table.row(vec![topic.into(), bytes.into(), replicas.into()]);
        }
        self.output.print(&table)
    }
}
