//! `kafka-log-dirs`, `kafka-leader-election` and `kafka-reassign-partitions`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Parser, ValueEnum};
use highwater_client::admin::{Election, ElectionKind};
use highwater_client::{ErrorCode, NodeId, PartitionIndex, TopicPartition};
use serde_json::{Value, json};

use super::{Failure, java_name, parse, said};
use crate::connection::Connection;
use crate::disk::directories;
use crate::output::{note, print};
use crate::session::{Session, node_id, partition, told, topic_name};
use crate::topic::describe::topics;

/// Query log directory usage on the specified brokers.
#[derive(Debug, Parser)]
#[command(name = "kafka-log-dirs")]
struct LogDirs {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Describe the specified log directories on the specified brokers.
    #[arg(long, required = true)]
    describe: bool,
    /// The list of topics to be queried.
    #[arg(long, value_delimiter = ',')]
    topic_list: Vec<String>,
    /// The list of brokers to be queried.
    #[arg(long, value_delimiter = ',', value_parser = node_id)]
    broker_list: Vec<NodeId>,
}

/// Attempt to elect a new leader for a set of topic partitions.
#[derive(Debug, Parser)]
#[command(name = "kafka-leader-election")]
#[command(group = ArgGroup::new("which").args(["all_topic_partitions", "path_to_json_file", "topic"]).required(true))]
struct LeaderElection {
    /// A hostname and port for the broker to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long, visible_alias = "admin.config")]
    command_config: Option<PathBuf>,
    /// Type of election to attempt.
    #[arg(long, ignore_case = true)]
    election_type: ElectionType,
    /// Perform election on all of the eligible topic partitions.
    #[arg(long)]
    all_topic_partitions: bool,
    /// The JSON file with the list of partition for which leader elections should be performed.
    #[arg(long)]
    path_to_json_file: Option<PathBuf>,
    /// Name of topic for which to perform an election.
    #[arg(long, requires = "partition")]
    topic: Option<String>,
    /// Partition id for which to perform an election.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ElectionType {
    Preferred,
    Unclean,
}

/// Move topic partitions between replicas.
#[derive(Debug, Parser)]
#[command(name = "kafka-reassign-partitions")]
#[command(group = ArgGroup::new("action").args(["generate", "execute", "verify", "cancel", "list"]).required(true))]
struct Reassign {
    /// The server(s) to use for bootstrapping.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// Generate a candidate partition reassignment configuration.
    #[arg(long, requires_all = ["topics_to_move_json_file", "broker_list"])]
    generate: bool,
    /// Kick off the reassignment as specified by the --reassignment-json-file option.
    #[arg(long, requires = "reassignment_json_file")]
    execute: bool,
    /// Verify if the reassignment completed as specified by the --reassignment-json-file option.
    #[arg(long, requires = "reassignment_json_file")]
    verify: bool,
    /// Cancel an active reassignment.
    #[arg(long, requires = "reassignment_json_file")]
    cancel: bool,
    /// List all active partition reassignments.
    #[arg(long)]
    list: bool,
    /// The JSON file with the topics to be moved.
    #[arg(long)]
    topics_to_move_json_file: Option<PathBuf>,
    /// The list of brokers to which the partitions need to be reassigned.
    #[arg(long, value_delimiter = ',', value_parser = node_id)]
    broker_list: Vec<NodeId>,
    /// The JSON file with the partition reassignment configuration.
    #[arg(long)]
    reassignment_json_file: Option<PathBuf>,
    /// Allow an execution while another is under way.
    #[arg(long)]
    additional: bool,
}

fn open(servers: &[String], config: Option<&PathBuf>) -> Result<Session, Failure> {
    Ok(Session::open(&Connection::of_shim(servers.to_vec(), config.cloned()))?)
}

fn end(outcome: Result<(), Failure>, prefix: &str) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(&format!("{prefix}{failure}"));
            ExitCode::FAILURE
        }
    }
}

fn name(at: &TopicPartition) -> String {
    format!("{}-{}", at.topic.as_str(), at.partition)
}

pub(super) fn run_log_dirs(arguments: Vec<OsString>) -> ExitCode {
    match parse::<LogDirs>(arguments) {
        Ok(tool) => end(tool.run(), "Error: "),
        Err(code) => code,
    }
}

impl LogDirs {
    fn run(&self) -> Result<(), Failure> {
        let session = open(&self.bootstrap_server, self.command_config.as_ref())?;
        let cluster = crate::cluster::describe(&session)?;
        let known: Vec<NodeId> = cluster.brokers.iter().map(|broker| broker.node.id).collect();
        let missing: Vec<String> =
            self.broker_list.iter().filter(|id| !known.contains(id)).map(NodeId::to_string).collect();
        if !missing.is_empty() {
            let known: Vec<String> = known.iter().map(NodeId::to_string).collect();
            return Err(Failure::new(format!(
                "The given brokers do not exist from --broker-list: {}. Current existent brokers: {}",
                missing.join(","),
                known.join(",")
            )));
        }
        print("Querying brokers for log directories information\n")?;
        let asked = if self.broker_list.is_empty() { known } else { self.broker_list.clone() };
        let ids: Vec<String> = asked.iter().map(NodeId::to_string).collect();
        let mut brokers = Vec::new();
        for (broker, found) in directories(&session, &asked)? {
            let mut dirs = Vec::new();
            for directory in found {
                let wanted = directory.replicas.iter().filter(|(at, _)| {
                    self.topic_list.is_empty() || self.topic_list.iter().any(|topic| topic == at.topic.as_str())
                });
                let partitions: Vec<Value> = wanted
                    .map(|(at, log)| {
                        json!({
                            "partition": name(at),
                            "size": log.size_bytes,
                            "offsetLag": log.offset_lag,
                            "isFuture": log.is_future,
                        })
                    })
                    .collect();
                let error = directory.error.as_ref().map(java_name);
                dirs.push(json!({ "partitions": partitions, "error": error, "logDir": directory.path }));
            }
            brokers.push(json!({ "broker": broker.to_wire(), "logDirs": dirs }));
        }
        print(&format!("Received log directory information from brokers {}\n", ids.join(",")))?;
        Ok(print(&format!("{}\n", json!({ "brokers": brokers, "version": 1 })))?)
    }
}

pub(super) fn run_election(arguments: Vec<OsString>) -> ExitCode {
    match parse::<LeaderElection>(arguments) {
        Ok(tool) => end(tool.run(), ""),
        Err(code) => code,
    }
}

impl LeaderElection {
    fn run(&self) -> Result<(), Failure> {
        let wanted = match (&self.topic, self.partition, &self.path_to_json_file) {
            (Some(topic), Some(number), _) => {
                let index = PartitionIndex::from_wire(number).ok_or_else(|| Failure::new("no such partition"))?;
                Some(vec![partition(&topic_name(topic)?, index)])
            }
            (_, _, Some(file)) => Some(listed(file)?.into_iter().map(|(at, _)| at).collect()),
            _ => None,
        };
        let (kind, word) = match self.election_type {
            ElectionType::Preferred => (ElectionKind::Preferred, "PREFERRED"),
            ElectionType::Unclean => (ElectionKind::Unclean, "UNCLEAN"),
        };
        let session = open(&self.bootstrap_server, self.command_config.as_ref())?;
        let asked_for_all = wanted.is_none();
        let results = session.admin.elect_leaders(kind, wanted).wait().map_err(|error| said(&error))?;
        let (mut elected, mut needless, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (at, result) in results {
            match result {
                Ok(Election::Elected) => elected.push(name(&at)),
                Ok(Election::NotNeeded) => needless.push(name(&at)),
                Err(error) if error.code() == Some(ErrorCode::ElectionNotNeeded) => needless.push(name(&at)),
                Err(error) => failed.push((name(&at), java_name(&error))),
            }
        }
        if !elected.is_empty() {
            let partitions = elected.join(", ");
            print(&format!("Successfully completed leader election ({word}) for partitions {partitions}\n"))?;
        }
        // Kafka's broker leaves those out where all were asked for.
        if !needless.is_empty() && !asked_for_all {
            print(&format!("Valid replica already elected for partitions {}\n", needless.join(", ")))?;
        }
        for (at, error) in &failed {
            print(&format!("Error completing leader election ({word}) for partition: {at}: {error}\n"))?;
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("{} replica(s) could not be elected", failed.len())))
    }
}

pub(super) fn run_reassign(arguments: Vec<OsString>) -> ExitCode {
    match parse::<Reassign>(arguments) {
        Ok(tool) => end(tool.run(), "Error: "),
        Err(code) => code,
    }
}

/// Partitions with the replicas they are to have.
type Wanted = Vec<(TopicPartition, Vec<NodeId>)>;

impl Reassign {
    fn run(&self) -> Result<(), Failure> {
        let session = open(&self.bootstrap_server, self.command_config.as_ref())?;
        if self.list {
            return list(&session);
        }
        if self.generate {
            return self.propose(&session);
        }
        let file = self.reassignment_json_file.as_deref().ok_or_else(|| Failure::new("no file is named"))?;
        let wanted = listed(file)?;
        if self.execute {
            self.start(&session, &wanted)
        } else if self.verify {
            verify(&session, &wanted)
        } else {
            cancel(&session, &wanted)
        }
    }

    fn propose(&self, session: &Session) -> Result<(), Failure> {
        let file = self.topics_to_move_json_file.as_deref().ok_or_else(|| Failure::new("no file is named"))?;
        let value = read(file)?;
        let names = value.get("topics").and_then(Value::as_array).into_iter().flatten();
        let names: Vec<String> = names.filter_map(|topic| Some(topic.get("topic")?.as_str()?.to_owned())).collect();
        let mut current = Vec::new();
        let mut proposed = Vec::new();
        for topic in topics(session, names)? {
            let name = topic_name(&topic.name)?;
            for described in &topic.partitions {
                let at = partition(&name, described.index);
                let factor = described.replicas.len();
                if self.broker_list.len() < factor {
                    return Err(Failure::new(format!(
                        "The target replication factor of {factor} cannot be reached because only {} broker(s) are \
                         registered.",
                        self.broker_list.len()
                    )));
                }
                // Partitions take turns in who is first.
                let begin = usize::try_from(described.index.value()).unwrap_or(0) % self.broker_list.len();
                let turn = self.broker_list.iter().cycle().skip(begin).take(factor).copied().collect();
                current.push((at.clone(), described.replicas.clone()));
                proposed.push((at, turn));
            }
        }
        let now = document(&current, &log_dirs(session, &current)?);
        let then = document(&proposed, &BTreeMap::new());
        Ok(print(&format!(
            "Current partition replica assignment\n{now}\n\nProposed partition reassignment configuration\n{then}\n"
        ))?)
    }

    fn start(&self, session: &Session, wanted: &Wanted) -> Result<(), Failure> {
        let under_way = session.admin.list_reassignments().wait().map_err(|error| said(&error))?;
        if !under_way.is_empty() && !self.additional {
            return Err(Failure::new(
                "Cannot execute because there is an existing partition assignment.  Use --additional to override this and \
                 create a new partition assignment in addition to the existing one.",
            ));
        }
        let current = current(session, wanted)?;
        print(&format!(
            "Current partition replica assignment\n\n{}\n\nSave this to use as the --reassignment-json-file option during \
             rollback\n",
            document(&current, &log_dirs(session, &current)?)
        ))?;
        let moves = wanted.iter().map(|(at, replicas)| (at.clone(), Some(replicas.clone())));
        let results = session.admin.alter_reassignments(moves).wait().map_err(|error| said(&error))?;
        let mut failed = Vec::new();
        let mut started = Vec::new();
        for (at, result) in results {
            match result {
                Ok(()) => started.push(name(&at)),
                Err(error) => failed.push(format!("{}: {}", name(&at), said(&error))),
            }
        }
        if !failed.is_empty() {
            return Err(Failure::new(format!("reassigning partition(s):\n{}", failed.join("\n"))));
        }
        let plural = if started.len() == 1 { "" } else { "s" };
        Ok(print(&format!("Successfully started partition reassignment{plural} for {}\n", started.join(",")))?)
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let moves = session.admin.list_reassignments().wait().map_err(|error| said(&error))?;
    if moves.is_empty() {
        return Ok(print("No partition reassignments found.\n")?);
    }
    let ids = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
    let mut text = "Current partition reassignments:\n".to_owned();
    for moving in &moves {
        text.push_str(&format!("{}: replicas: {}.", name(&moving.at), ids(&moving.replicas)));
        if !moving.adding.is_empty() {
            text.push_str(&format!(" adding: {}.", ids(&moving.adding)));
        }
        if !moving.removing.is_empty() {
            text.push_str(&format!(" removing: {}.", ids(&moving.removing)));
        }
        text.push('\n');
    }
    Ok(print(&text)?)
}

fn verify(session: &Session, wanted: &Wanted) -> Result<(), Failure> {
    let moves = session.admin.list_reassignments().wait().map_err(|error| said(&error))?;
    let now: BTreeMap<TopicPartition, Vec<NodeId>> = current(session, wanted)?.into_iter().collect();
    let mut text = "Status of partition reassignment:\n".to_owned();
    let mut is_done = true;
    for (at, replicas) in wanted {
        let status = if moves.iter().any(|moving| moving.at == *at) {
            is_done = false;
            "is still in progress.".to_owned()
        } else if now.get(at) == Some(replicas) {
            "is completed.".to_owned()
        } else {
            let ids = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
            let has = now.get(at).map(|nodes| ids(nodes)).unwrap_or_default();
            text.push_str(&format!(
                "There is no active reassignment of partition {}, but replica set is {has} rather than {}.\n",
                name(at),
                ids(replicas)
            ));
            continue;
        };
        text.push_str(&format!("Reassignment of partition {} {status}\n", name(at)));
    }
    if is_done {
        let cluster = crate::cluster::describe(session)?;
        let brokers: Vec<String> = cluster.brokers.iter().map(|broker| broker.node.id.to_string()).collect();
        let mut topics: Vec<&str> = wanted.iter().map(|(at, _)| at.topic.as_str()).collect();
        topics.dedup();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        text.push_str(&format!(
            "\nClearing broker-level throttles on broker{} {}\nClearing topic-level throttles on topic{} {}\n",
            plural(brokers.len()),
            brokers.join(","),
            plural(topics.len()),
            topics.join(",")
        ));
    }
    Ok(print(&text)?)
}

fn cancel(session: &Session, wanted: &Wanted) -> Result<(), Failure> {
    let mut moves = session.admin.list_reassignments().wait().map_err(|error| said(&error))?;
    moves.retain(|moving| wanted.iter().any(|(at, _)| *at == moving.at));
    if moves.is_empty() {
        return Ok(print("None of the specified partition reassignments are active.\n")?);
    }
    let names: Vec<String> = moves.iter().map(|moving| name(&moving.at)).collect();
    let results = session.admin.alter_reassignments(moves.into_iter().map(|moving| (moving.at, None))).wait();
    for (_, result) in results.map_err(|error| said(&error))? {
        result.map_err(|error| said(&error))?;
    }
    let plural = if names.len() == 1 { "" } else { "s" };
    Ok(print(&format!("Successfully cancelled partition reassignment{plural} for: {}\n", names.join(",")))?)
}

/// The replicas that partitions have now.
fn current(session: &Session, wanted: &Wanted) -> Result<Wanted, Failure> {
    let mut names: Vec<String> = wanted.iter().map(|(at, _)| at.topic.as_str().to_owned()).collect();
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for topic in topics(session, names)? {
        let topic_name = topic_name(&topic.name)?;
        for described in topic.partitions {
            let at = partition(&topic_name, described.index);
            if wanted.iter().any(|(wanted, _)| *wanted == at) {
                found.push((at, described.replicas));
            }
        }
    }
    Ok(found)
}

fn log_dirs(session: &Session, of: &Wanted) -> Result<BTreeMap<(TopicPartition, NodeId), String>, Failure> {
    let mut brokers: Vec<NodeId> = of.iter().flat_map(|(_, replicas)| replicas.iter().copied()).collect();
    brokers.sort();
    brokers.dedup();
    let found = session.admin.describe_log_dirs(brokers).wait();
    let mut dirs = BTreeMap::new();
    for (broker, result) in found.map_err(|error| told("cannot see log directories", &error))? {
        // One that is not there cannot tell; its directories are left open.
        for directory in result.unwrap_or_default() {
            for (at, log) in &directory.replicas {
                if !log.is_future {
                    dirs.insert((at.clone(), broker), directory.path.clone());
                }
            }
        }
    }
    Ok(dirs)
}

fn document(of: &Wanted, dirs: &BTreeMap<(TopicPartition, NodeId), String>) -> Value {
    let partitions: Vec<Value> = of
        .iter()
        .map(|(at, replicas)| {
            let ids: Vec<i32> = replicas.iter().map(|id| id.to_wire()).collect();
            let dirs: Vec<&str> =
                replicas.iter().map(|id| dirs.get(&(at.clone(), *id)).map_or("any", String::as_str)).collect();
            json!({
                "topic": at.topic.as_str(), "partition": at.partition.to_wire(), "replicas": ids, "log_dirs": dirs
            })
        })
        .collect();
    json!({ "version": 1, "partitions": partitions })
}

fn read(file: &Path) -> Result<Value, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(format!("{} is no JSON: {error}", file.display())))
}

/// Partitions in a file, with their replicas if it has them.
fn listed(file: &Path) -> Result<Wanted, Failure> {
    let value = read(file)?;
    let wrong = |what: &str| Failure::new(format!("{} has an entry without {what}", file.display()));
    let entries = value.get("partitions").and_then(Value::as_array).ok_or_else(|| wrong("partitions"))?;
    entries
        .iter()
        .map(|entry| {
            let topic = entry.get("topic").and_then(Value::as_str).ok_or_else(|| wrong("topic"))?;
            let number = entry.get("partition").and_then(Value::as_i64).ok_or_else(|| wrong("partition"))?;
            let index = i32::try_from(number).ok().and_then(PartitionIndex::from_wire);
            let index = index.ok_or_else(|| wrong("partition"))?;
            let replicas = entry.get("replicas").and_then(Value::as_array).into_iter().flatten();
            let replicas = replicas
                .map(|id| id.as_i64().and_then(|id| i32::try_from(id).ok()).and_then(NodeId::from_wire))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong("replicas"))?;
            Ok((partition(&topic_name(topic)?, index), replicas))
        })
        .collect()
}
