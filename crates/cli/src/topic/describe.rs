//! `highwater topic describe`.

use clap::Args;
use highwater_client::NodeId;
use highwater_client::admin::{PartitionDescription, TopicDescription};

use crate::error::CliError;
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::selection::TopicNames;
use crate::session::{Session, told};

/// Arguments of `highwater topic describe`.
#[derive(Args, Debug)]
pub(crate) struct Describe {
    #[command(flatten)]
    names: TopicNames,
    /// Only partitions that are not well.
    #[arg(long)]
    unwell: bool,
    #[command(flatten)]
    output: Output,
}

impl Describe {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let mut table = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("leader"),
            Column::new("replicas"),
            Column::new("isr"),
            Column::new("state"),
            Column::new("offline_replicas").wide(),
            Column::new("leader_epoch").wide(),
            Column::new("topic_id").wide(),
        ]);
        for topic in topics(session, self.names.choose(session)?)? {
            for partition in &topic.partitions {
                let (state, mood) = state(partition);
                if self.unwell && mood == Mood::Good {
                    continue;
                }
                table.row(vec![
                    topic.name.as_str().into(),
                    partition.index.to_wire().into(),
                    Cell::maybe(partition.leader.map(NodeId::to_wire)),
                    ids(&partition.replicas),
                    ids(&partition.isr),
                    Cell::State(state.into(), mood),
                    ids(&partition.offline),
                    Cell::maybe(partition.leader_epoch.map(highwater_client::LeaderEpoch::to_wire)),
                    Cell::maybe(topic.id.map(|id| id.0.to_string())),
                ]);
            }
        }
        self.output.print(&table)
    }
}

/// Topics with their partitions, all of which have to exist.
pub(crate) fn topics(session: &Session, names: Vec<String>) -> Result<Vec<TopicDescription>, CliError> {
    let described =
        session.admin.describe_topics(names).wait().map_err(|error| told("cannot describe topics", &error))?;
    described
        .into_iter()
        .map(|(name, result)| result.map_err(|error| told(format!("cannot describe topic {name}"), &error)))
        .collect()
}

/// How a partition is, in a word.
pub(crate) fn state(partition: &PartitionDescription) -> (&'static str, Mood) {
    if partition.leader.is_none() {
        ("offline", Mood::Bad)
    } else if partition.isr.len() < partition.replicas.len() {
        ("under-replicated", Mood::Fair)
    } else {
        ("ok", Mood::Good)
    }
}

/// Ids of nodes as a cell.
pub(crate) fn ids(nodes: &[NodeId]) -> Cell {
    Cell::Numbers(nodes.iter().map(|node| node.to_wire().into()).collect())
}
