//! `kafka-topics`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser};
use highwater_client::admin::{ConfigResource, NewTopic, PartitionDescription, TopicDescription};
use highwater_client::{ErrorCode, NodeId};

use super::{Failure, parse, said};
use crate::config::{entries, is_set};
use crate::connection::{Connection, pair};
use crate::error::CliError;
use crate::output::print;
use crate::selection::whole;
use crate::session::{Session, node_id, told};
use crate::topic::describe::topics;

/// Create, delete, describe, or change a topic.
#[derive(Debug, Parser)]
#[command(name = "kafka-topics")]
#[command(group = ArgGroup::new("action").args(["list", "describe", "create", "alter", "delete"]).required(true))]
struct Topics {
    /// The Kafka server to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// List all available topics.
    #[arg(long)]
    list: bool,
    /// List details for the given topics.
    #[arg(long)]
    describe: bool,
    /// Create a new topic.
    #[arg(long)]
    create: bool,
    /// Alter the number of partitions and replica assignment.
    #[arg(long)]
    alter: bool,
    /// Delete a topic.
    #[arg(long)]
    delete: bool,
    /// The topic; a regular expression, but for --create.
    #[arg(long)]
    topic: Option<String>,
    /// The number of partitions for the topic being created or altered.
    #[arg(long)]
    partitions: Option<u32>,
    /// The replication factor for each partition in the topic being created.
    #[arg(long)]
    replication_factor: Option<u16>,
    /// A list of manual partition-to-broker assignments: broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , ...
    #[arg(long, value_delimiter = ',', value_parser = replicas, num_args = 1)]
    replica_assignment: Vec<Replicas>,
    /// A topic configuration override for the topic being created.
    #[arg(long, value_parser = pair)]
    config: Vec<(String, String)>,
    /// If set when creating topics, the action will only execute if the topic does not already exist.
    #[arg(long)]
    if_not_exists: bool,
    /// If set when altering or deleting or describing topics, the action will only execute if the topic exists.
    #[arg(long)]
    if_exists: bool,
    /// Exclude internal topics when running list or describe command.
    #[arg(long)]
    exclude_internal: bool,
    /// If set when describing topics, only show topics that have overridden configs.
    #[arg(long)]
    topics_with_overrides: bool,
    /// If set when describing topics, only show under-replicated partitions.
    #[arg(long)]
    under_replicated_partitions: bool,
    /// If set when describing topics, only show partitions whose leader is not available.
    #[arg(long)]
    unavailable_partitions: bool,
    /// If set when describing topics, only show partitions whose isr count is less than the configured minimum.
    #[arg(long)]
    under_min_isr_partitions: bool,
    /// If set when describing topics, only show partitions whose isr count is equal to the configured minimum.
    #[arg(long)]
    at_min_isr_partitions: bool,
}

#[derive(Clone, Debug)]
struct Replicas(Vec<NodeId>);

fn replicas(text: &str) -> Result<Replicas, String> {
    text.split(':').map(node_id).collect::<Result<_, _>>().map(Replicas)
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let tool: Topics = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    match tool.run() {
        Ok(()) => ExitCode::SUCCESS,
        // Kafka's tool tells its errors on standard output.
        Err(failure) => {
            let _ = print(&format!("Error while executing topic command : {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

impl Topics {
    fn run(&self) -> Result<(), Failure> {
        let connection = Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone());
        let session = Session::open(&connection)?;
        if self.create {
            self.create(&session)
        } else if self.list {
            let mut names = self.matching(&session)?;
            names.iter_mut().for_each(|name| name.push('\n'));
            Ok(print(&names.concat())?)
        } else if self.describe {
            self.describe(&session)
        } else if self.alter {
            self.alter(&session)
        } else {
            let names = self.existing(&session)?;
            for (_, result) in session.admin.delete_topics(names).wait().map_err(|error| told("", &error))? {
                result.map_err(|error| said(&error))?;
            }
            Ok(())
        }
    }

    /// Names that match the topic given, or all.
    fn matching(&self, session: &Session) -> Result<Vec<String>, CliError> {
        let pattern = self.topic.as_deref().map(whole).transpose()?;
        let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
        let is_wanted = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
        Ok(listed
            .into_iter()
            .filter(|topic| is_wanted(&topic.name) && !(self.exclude_internal && topic.is_internal))
            .map(|topic| topic.name)
            .collect())
    }

    /// The same, of which there has to be one.
    fn existing(&self, session: &Session) -> Result<Vec<String>, Failure> {
        let names = self.matching(session)?;
        match &self.topic {
            Some(topic) if names.is_empty() && !self.if_exists => {
                Err(Failure::new(format!("Topic '{topic}' does not exist as expected")))
            }
            _ => Ok(names),
        }
    }

    fn create(&self, session: &Session) -> Result<(), Failure> {
        let Some(name) = &self.topic else { return Err(Failure::new("Missing required argument \"[topic]\"")) };
        if name.contains(['.', '_']) {
            print(
                "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
                 collide. To avoid issues it is best to use either, but not both.\n",
            )?;
        }
        let topic = NewTopic {
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            assignment: self.replica_assignment.iter().map(|replicas| replicas.0.clone()).collect(),
            configs: self.config.clone(),
            ..NewTopic::new(name)
        };
        match session.admin.create_topics([topic], false).wait().and_then(highwater_client::admin::Each::only) {
            Ok(_) => Ok(print(&format!("Created topic {name}.\n"))?),
            Err(error) if self.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => Ok(()),
            Err(error) => Err(said(&error)),
        }
    }

    fn alter(&self, session: &Session) -> Result<(), Failure> {
        let names = self.existing(session)?;
        let Some(partitions) = self.partitions else {
            return Err(Failure::new("Missing required argument \"[partitions]\""));
        };
        let wanted = names.into_iter().map(|name| (name, partitions, None));
        let results = session.admin.create_partitions(wanted, false).wait().map_err(|error| said(&error))?;
        for (_, result) in results {
            result.map_err(|error| said(&error))?;
        }
        Ok(())
    }

    fn describe(&self, session: &Session) -> Result<(), Failure> {
        let mut text = String::new();
        for topic in topics(session, self.existing(session)?)? {
            let configs = entries(session, ConfigResource::topic(topic.name.as_str()), false)?;
            // Kafka shows what differs from the defaults, so also what the broker's file sets.
            let set = configs.iter().filter(|entry| is_set(entry)).filter(|entry| !entry.is_sensitive);
            let shown: Vec<String> =
                set.map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or_default())).collect();
            let minimum = configs.iter().find(|entry| entry.name == "min.insync.replicas");
            let minimum = minimum.and_then(|entry| entry.value.as_ref()?.parse().ok()).unwrap_or(1);
            let partitions: Vec<_> =
                topic.partitions.iter().filter(|partition| self.is_shown(partition, minimum)).collect();
            let only_some = self.under_replicated_partitions
                || self.unavailable_partitions
                || self.under_min_isr_partitions
                || self.at_min_isr_partitions;
            let is_hidden = only_some || (self.topics_with_overrides && shown.is_empty());
            if !is_hidden {
                write_topic(&mut text, &topic, &shown);
            }
            if !self.topics_with_overrides {
                partitions.iter().for_each(|partition| write_partition(&mut text, &topic.name, partition));
            }
        }
        Ok(print(&text)?)
    }

    fn is_shown(&self, partition: &PartitionDescription, minimum: usize) -> bool {
        let isr = partition.isr.len();
        (!self.under_replicated_partitions || isr < partition.replicas.len())
            && (!self.unavailable_partitions || partition.leader.is_none())
            && (!self.under_min_isr_partitions || isr < minimum)
            && (!self.at_min_isr_partitions || isr == minimum)
    }
}

fn write_topic(text: &mut String, topic: &TopicDescription, configs: &[String]) {
    let id = topic.id.map(|id| id.0).unwrap_or_default();
    let factor = topic.partitions.first().map_or(0, |partition| partition.replicas.len());
    let count = topic.partitions.len();
    let _ = writeln!(
        text,
        "Topic: {}\tTopicId: {id}\tPartitionCount: {count}\tReplicationFactor: {factor}\tConfigs: {}",
        topic.name,
        configs.join(",")
    );
}

fn write_partition(text: &mut String, topic: &str, partition: &PartitionDescription) {
    let list = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
    let leader = partition.leader.map_or_else(|| "none".into(), |leader| leader.to_string());
    let (replicas, isr) = (list(&partition.replicas), list(&partition.isr));
    let _ = writeln!(
        text,
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {replicas}\tIsr: {isr}\tElr: \tLastKnownElr: ",
        partition.index
    );
}
