//! `highwater topic create`.

use clap::Args;
use highwater_client::admin::NewTopic;
use highwater_client::{ErrorCode, NodeId};

use crate::connection::pair;
use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::Output;
use crate::plan::Rehearsal;
use crate::session::{Session, node_id, told};

/// Arguments of `highwater topic create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Names.
    #[arg(required = true)]
    names: Vec<String>,
    /// How many partitions; by default as many as the cluster's num.partitions.
    #[arg(short, long, value_parser = clap::value_parser!(u32).range(1..))]
    partitions: Option<u32>,
    /// How many replicas of each partition; by default the cluster's default.replication.factor.
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    replication_factor: Option<u16>,
    /// Brokers of each partition, the preferred leader first: 1:2,2:3 is two partitions of two replicas.
    #[arg(long, value_name = "ID:ID,...", value_delimiter = ',', value_parser = replicas, num_args = 1,
          conflicts_with_all = ["partitions", "replication_factor"])]
    assignment: Vec<Replicas>,
    /// A config of the topic; may be given several times.
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// A topic that exists is as good as a new one.
    #[arg(long)]
    if_not_exists: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(flatten)]
    output: Output,
}

/// Brokers of a partition.
#[derive(Clone, Debug)]
struct Replicas(Vec<NodeId>);

impl Create {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let assignment: Vec<Vec<NodeId>> = self.assignment.into_iter().map(|replicas| replicas.0).collect();
        let topics = self.names.iter().map(|name| NewTopic {
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignment: assignment.clone(),
            configs: self.configs.clone(),
            ..NewTopic::new(name)
        });
        let results = session.admin.create_topics(topics, self.rehearsal.dry_run).wait();
        let results = results.map_err(|error| told("cannot create topics", &error))?;
        let done = if self.rehearsal.dry_run { "valid" } else { "created" };
        let mut outcomes = Outcomes::new("topic", "create", done);
        for (name, result) in results {
            let result = match result {
                Err(error) if self.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
                result => result.map(drop),
            };
            outcomes.add(&name, result, |what, error| told(what, &error));
        }
        outcomes.finish(&self.output)
    }
}

fn replicas(text: &str) -> Result<Replicas, String> {
    text.split(':').map(node_id).collect::<Result<_, _>>().map(Replicas)
}
