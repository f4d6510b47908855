//! `highwater cluster`.

mod health;
mod versions;

use clap::{Args, Subcommand};
use highwater_client::NodeId;
use highwater_client::admin::{ClusterDescription, QuorumReplica};

use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{Cell, Column, Mood, Output, Table, print};
use crate::session::{Session, told};

pub(crate) use health::Verdict;

/// See the cluster as a whole.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Show the cluster in one line: id, controller, brokers, topics, what is not well.
    Status(Status),
    /// Say whether the cluster is well, and what is not.
    Health(health::Health),
    /// Show who votes and follows in the quorum of controllers.
    Quorum(Quorum),
    /// Show the features of the cluster and their levels.
    Features(versions::Features),
    /// Show which versions of which requests a broker speaks.
    ApiVersions(versions::ApiVersions),
    /// Print the id of the cluster.
    Id,
}

/// Arguments of `highwater cluster status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater cluster quorum`.
#[derive(Args, Debug)]
pub(crate) struct Quorum {
    #[command(flatten)]
    output: Output,
}

impl Cluster {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Status(status) => status.run(&session),
            Self::Health(health) => health.run(&session),
            Self::Quorum(quorum) => quorum.run(&session),
            Self::Features(features) => features.run(&session),
            Self::ApiVersions(versions) => versions.run(&session),
            Self::Id => print(&format!("{}\n", describe(&session)?.id)),
        }
    }
}

/// The cluster and its brokers.
pub(crate) fn describe(session: &Session) -> Result<ClusterDescription, CliError> {
    session.admin.describe_cluster().wait().map_err(|error| told("cannot describe the cluster", &error))
}

impl Status {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let cluster = describe(session)?;
        let verdict = Verdict::of(session, &cluster)?;
        let mut table = Table::new(vec![
            Column::new("cluster"),
            Column::new("state"),
            Column::new("controller"),
            Column::new("brokers"),
            Column::new("topics"),
            Column::new("partitions"),
            Column::new("offline"),
            Column::new("under_replicated"),
        ]);
        table.row(vec![
            cluster.id.into(),
            verdict.state(),
            Cell::maybe(cluster.controller.map(NodeId::to_wire)),
            cluster.brokers.iter().filter(|broker| !broker.is_fenced).count().into(),
            verdict.topics.into(),
            verdict.partitions.into(),
            verdict.offline.len().into(),
            verdict.under_replicated.len().into(),
        ]);
        self.output.print(&table)
    }
}

impl Quorum {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let quorum =
            session.admin.describe_quorum().wait().map_err(|error| told("cannot describe the quorum", &error))?;
        let mut table = Table::new(vec![
            Column::new("node"),
            Column::new("role"),
            Column::new("log_end"),
            Column::new("lag"),
            Column::new("last_caught_up"),
            Column::new("last_fetch").wide(),
            Column::new("directory").wide(),
            Column::new("leader_epoch").wide(),
        ]);
        let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
        let end = leader.and_then(|leader| leader.log_end);
        let voters = quorum.voters.iter().map(|voter| (voter, "voter"));
        for (replica, role) in voters.chain(quorum.observers.iter().map(|observer| (observer, "observer"))) {
            let role = if Some(replica.id) == quorum.leader { "leader" } else { role };
            let lag = end.zip(replica.log_end).map(|(end, own)| own.records_until(end).unwrap_or(0));
            let mut row = vec![
                replica.id.to_wire().into(),
                Cell::State(role.into(), Mood::Good),
                Cell::maybe(replica.log_end.map(highwater_client::Offset::to_wire)),
                Cell::maybe(lag),
            ];
            row.extend(times(replica));
            row.push(Cell::maybe(replica.directory.map(|directory| directory.0.to_string())));
            row.push(Cell::maybe(quorum.leader_epoch.map(highwater_client::LeaderEpoch::to_wire)));
            table.row(row);
        }
        self.output.print(&table)
    }
}

fn times(replica: &QuorumReplica) -> [Cell; 2] {
    [replica.last_caught_up, replica.last_fetch].map(|at| at.map_or(Cell::Absent, |at| Cell::Instant(at.value())))
}
