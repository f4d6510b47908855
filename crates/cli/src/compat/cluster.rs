//! `kafka-cluster`, `kafka-broker-api-versions`, `kafka-features` and `kafka-metadata-quorum`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use highwater_client::NodeId;
use highwater_client::admin::{ApiRange, FeatureUpdate, QuorumDescription, QuorumReplica};
use highwater_wire::ApiKey;

use super::{Failure, java_name, parse, said};
use crate::connection::Connection;
use crate::output::{note, print};
use crate::session::Session;
use crate::timestamp::now_ms;

/// Where to connect.
#[derive(Args, Clone, Debug)]
struct Where {
    /// A list of host/port pairs to use for establishing the connection to the Kafka cluster.
    #[arg(short = 'b', long, value_delimiter = ',', global = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(short = 'c', long, visible_alias = "config", global = true)]
    command_config: Option<PathBuf>,
}

/// The Kafka cluster tool.
#[derive(Debug, Parser)]
#[command(name = "kafka-cluster")]
struct Cluster {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Get information about the ID of a cluster.
    ClusterId(Reach),
    /// Unregister a broker.
    Unregister {
        #[command(flatten)]
        reach: Reach,
        /// The ID of the broker to unregister.
        #[arg(short, long)]
        id: i32,
    },
    /// List endpoints.
    ListEndpoints(Reach),
}

/// Where to connect, of a command of a tool.
#[derive(Args, Clone, Debug)]
struct Reach {
    /// A list of host/port pairs to use for establishing the connection to the Kafka cluster.
    #[arg(short = 'b', long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(short = 'c', long, visible_alias = "config")]
    command_config: Option<PathBuf>,
}

/// Retrieve broker version information.
#[derive(Debug, Parser)]
#[command(name = "kafka-broker-api-versions")]
struct BrokerApiVersions {
    #[command(flatten)]
    reach: Reach,
}

/// Manage feature flags.
#[derive(Debug, Parser)]
#[command(name = "kafka-features")]
struct Features {
    /// A comma-separated list of host:port pairs.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    command: FeaturesCommand,
}

#[derive(Debug, Subcommand)]
enum FeaturesCommand {
    /// Describe one or more feature flags.
    Describe,
    /// Upgrade one or more feature flags.
    Upgrade(Levels),
    /// Downgrade one or more feature flags.
    Downgrade(Levels),
    /// Disable one or more feature flags.
    Disable {
        /// A feature flag to disable.
        #[arg(long, required = true)]
        feature: Vec<String>,
        /// Perform a dry-run of this disable operation.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args, Debug)]
struct Levels {
    /// A feature and its level, in the form feature=level.
    #[arg(long, required = true, value_parser = level)]
    feature: Vec<(String, i16)>,
    /// Perform a dry-run of this operation.
    #[arg(long)]
    dry_run: bool,
}

/// Describe the metadata quorum.
#[derive(Debug, Parser)]
#[command(name = "kafka-metadata-quorum")]
struct MetadataQuorum {
    #[command(flatten)]
    reach: Where,
    #[command(subcommand)]
    command: QuorumCommand,
}

#[derive(Debug, Subcommand)]
enum QuorumCommand {
    /// Describe the metadata quorum info.
    Describe {
        /// A short summary of the quorum status.
        #[arg(short, long, required_unless_present = "replication")]
        status: bool,
        /// Detailed information about the status of replication.
        #[arg(short, long, conflicts_with = "status")]
        replication: bool,
        /// Times as how long ago they were.
        #[arg(long)]
        human_readable: bool,
    },
}

fn open(servers: &[String], config: Option<&PathBuf>) -> Result<Session, Failure> {
    Ok(Session::open(&Connection::of_shim(servers.to_vec(), config.cloned()))?)
}

fn end(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

pub(super) fn run_cluster(arguments: Vec<OsString>) -> ExitCode {
    let tool: Cluster = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    end(match tool.command {
        ClusterCommand::ClusterId(reach) => cluster_id(&reach),
        ClusterCommand::Unregister { reach, id } => unregister(&reach, id),
        ClusterCommand::ListEndpoints(reach) => list_endpoints(&reach),
    })
}

fn cluster_id(reach: &Reach) -> Result<(), Failure> {
    let session = open(&reach.bootstrap_server, reach.command_config.as_ref())?;
    Ok(print(&format!("Cluster ID: {}\n", crate::cluster::describe(&session)?.id))?)
}

fn unregister(reach: &Reach, id: i32) -> Result<(), Failure> {
    let session = open(&reach.bootstrap_server, reach.command_config.as_ref())?;
    let node = NodeId::from_wire(id).ok_or_else(|| Failure::new(format!("{id} is no id of a broker")))?;
    session.admin.unregister_broker(node).wait().map_err(|error| said(&error))?;
    Ok(print(&format!("Broker {id} is no longer registered.\n"))?)
}

fn list_endpoints(reach: &Reach) -> Result<(), Failure> {
    let session = open(&reach.bootstrap_server, reach.command_config.as_ref())?;
    let cluster = crate::cluster::describe(&session)?;
    let host = cluster.brokers.iter().map(|broker| broker.node.host.len()).max().unwrap_or(0).max(9);
    let rack = |broker: &highwater_client::admin::DescribedBroker| broker.node.rack.clone().unwrap_or("null".into());
    let rack_width = cluster.brokers.iter().map(|broker| rack(broker).len()).max().unwrap_or(0).max(10);
    let mut text = String::new();
    let mut line = |id: &str, name: &str, port: &str, rack: &str, state: &str, kind: &str| {
        let _ = writeln!(text, "{id:<10} {name:<host$} {port:<10} {rack:<rack_width$} {state:<10} {kind:<15}");
    };
    line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE");
    for broker in &cluster.brokers {
        let node = &broker.node;
        let state = if broker.is_fenced { "fenced" } else { "unfenced" };
        line(&node.id.to_string(), &node.host, &node.port.to_string(), &rack(broker), state, "broker");
    }
    Ok(print(&text)?)
}

pub(super) fn run_api_versions(arguments: Vec<OsString>) -> ExitCode {
    match parse::<BrokerApiVersions>(arguments) {
        Ok(tool) => end(api_versions(&tool.reach)),
        Err(code) => code,
    }
}

fn api_versions(reach: &Reach) -> Result<(), Failure> {
    let session = open(&reach.bootstrap_server, reach.command_config.as_ref())?;
    let mut text = String::new();
    for broker in crate::cluster::describe(&session)?.brokers {
        let node = &broker.node;
        let rack = node.rack.as_deref().unwrap_or("null");
        let id = format!("{}:{} (id: {} rack: {rack} isFenced: {})", node.host, node.port, node.id, broker.is_fenced);
        match session.admin.api_versions(Some(node.id)).wait() {
            Ok(ranges) => {
                let unsupported = CLIENT_APIS.iter().filter(|code| !ranges.iter().any(|range| range.code == **code));
                let unsupported = unsupported
                    .filter_map(|code| Some((*code, format!("\t{}({code}): UNSUPPORTED", ApiKey::from_code(*code)?))));
                let mut lines: Vec<(i16, String)> =
                    ranges.iter().map(|range| (range.code, api_line(range))).chain(unsupported).collect();
                lines.sort();
                let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
                let _ = writeln!(text, "{id} -> (\n{}\n)", lines.join(",\n"));
            }
            Err(error) => {
                let _ = writeln!(text, "{id} -> ERROR: {}", java_name(&error));
            }
        }
    }
    Ok(print(&text)?)
}

fn api_line(range: &ApiRange) -> String {
    let name = range.api.map_or_else(|| "UNKNOWN".into(), |api: ApiKey| api.to_string());
    let (min, max) = (range.versions.min, range.versions.max);
    let versions = if min == max { min.to_string() } else { format!("{min} to {max}") };
    let usable = range.usable.map_or_else(|| "usable: none".into(), |version| format!("usable: {version}"));
    format!("\t{name}({}): {versions} [{usable}]", range.code)
}

pub(super) fn run_features(arguments: Vec<OsString>) -> ExitCode {
    match parse::<Features>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

impl Features {
    fn run(&self) -> Result<(), Failure> {
        let session = open(&self.bootstrap_server, self.command_config.as_ref())?;
        match &self.command {
            FeaturesCommand::Describe => describe_features(&session),
            FeaturesCommand::Upgrade(levels) => update(&session, &levels.feature, levels.dry_run, "upgraded"),
            FeaturesCommand::Downgrade(levels) => update(&session, &levels.feature, levels.dry_run, "downgraded"),
            FeaturesCommand::Disable { feature, dry_run } => {
                let off: Vec<_> = feature.iter().map(|name| (name.clone(), 0)).collect();
                update(&session, &off, *dry_run, "disabled")
            }
        }
    }
}

fn describe_features(session: &Session) -> Result<(), Failure> {
    let mut text = String::new();
    for feature in session.admin.describe_features().wait().map_err(|error| said(&error))? {
        let level = |level: i16| {
            let release = if feature.name == "metadata.version" { release(level) } else { None };
            release.map_or_else(|| level.to_string(), str::to_owned)
        };
        let (min, max) = feature.supported;
        let epoch = feature.epoch.map_or_else(|| "-".into(), |epoch| epoch.to_string());
        let _ = writeln!(
            text,
            "Feature: {:<42}SupportedMinVersion: {:<17}SupportedMaxVersion: {:<17}FinalizedVersionLevel: {:<17}Epoch: {epoch}",
            feature.name,
            level(min),
            level(max),
            level(feature.finalized),
        );
    }
    Ok(print(&text)?)
}

/// Kafka's names of the levels of metadata.version, from the first that brokers without ZooKeeper may be at.
fn release(level: i16) -> Option<&'static str> {
    let first = 7;
    RELEASES.get(usize::try_from(level.checked_sub(first)?).ok()?).copied()
}

fn update(session: &Session, levels: &[(String, i16)], dry_run: bool, done: &str) -> Result<(), Failure> {
    let updates = levels.iter().map(|(name, level)| FeatureUpdate {
        name: name.clone(),
        level: *level,
        may_downgrade: done != "upgraded",
    });
    let result = session.admin.update_features(updates, dry_run).wait();
    if let Err(error) = result {
        let verb = match done {
            "upgraded" => "upgrade",
            "downgraded" => "downgrade",
            _ => "disable",
        };
        for (name, level) in levels {
            print(&format!("Could not {verb} {name} to {level}. {}\n", said(&error)))?;
        }
        return Err(Failure::new(format!("{} out of {} operation(s) failed.", levels.len(), levels.len())));
    }
    for (name, level) in levels {
        let can = if dry_run { "can be" } else { "was" };
        let to = if done == "disabled" { String::new() } else { format!(" to {level}") };
        print(&format!("{name} {can} {done}{to}.\n"))?;
    }
    Ok(())
}

fn level(text: &str) -> Result<(String, i16), String> {
    let parsed =
        text.split_once('=').and_then(|(name, level)| Some((name.trim().to_owned(), level.trim().parse().ok()?)));
    parsed.ok_or_else(|| format!("Can't parse feature=level string {text}: equals sign not found."))
}

pub(super) fn run_quorum(arguments: Vec<OsString>) -> ExitCode {
    match parse::<MetadataQuorum>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

impl MetadataQuorum {
    fn run(&self) -> Result<(), Failure> {
        let QuorumCommand::Describe { replication, human_readable, .. } = self.command;
        if self.reach.bootstrap_server.is_empty() {
            return Err(Failure::new("one of the arguments --bootstrap-server is required"));
        }
        let session = open(&self.reach.bootstrap_server, self.reach.command_config.as_ref())?;
        let quorum = session.admin.describe_quorum().wait().map_err(|error| said(&error))?;
        if replication {
            return Ok(print(&replication_table(&quorum, human_readable))?);
        }
        let cluster = crate::cluster::describe(&session)?;
        Ok(print(&status(&quorum, &cluster.id))?)
    }
}

fn followers(quorum: &QuorumDescription) -> (i64, i64) {
    let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    let end = leader.and_then(|leader| leader.log_end).map_or(0, highwater_client::Offset::to_wire);
    let now = leader.and_then(|leader| leader.last_caught_up).map_or_else(now_ms, highwater_client::TimestampMs::value);
    let others = quorum.voters.iter().chain(&quorum.observers).filter(|replica| Some(replica.id) != quorum.leader);
    let mut worst = (0, 0);
    for replica in others {
        let lag = end.saturating_sub(replica.log_end.map_or(0, highwater_client::Offset::to_wire));
        let late = replica.last_caught_up.map_or(-1, |at| now.saturating_sub(at.value()).max(0));
        worst = (worst.0.max(lag), if late < 0 || worst.1 < 0 { -1 } else { worst.1.max(late) });
    }
    worst
}

fn status(quorum: &QuorumDescription, cluster: &str) -> String {
    let number = |value: Option<i64>| value.unwrap_or(-1);
    let (lag, late) = followers(quorum);
    let nodes = |replicas: &[QuorumReplica]| {
        let node = |replica: &QuorumReplica| match replica.directory {
            Some(directory) => format!("{{\"id\": {}, \"directoryId\": \"{}\"}}", replica.id, directory.0),
            None => format!("{{\"id\": {}, \"directoryId\": null}}", replica.id),
        };
        format!("[{}]", replicas.iter().map(node).collect::<Vec<_>>().join(", "))
    };
    format!(
        "ClusterId:              {cluster}\n\
         LeaderId:               {}\n\
         LeaderEpoch:            {}\n\
         HighWatermark:          {}\n\
         MaxFollowerLag:         {lag}\n\
         MaxFollowerLagTimeMs:   {late}\n\
         CurrentVoters:          {}\n\
         CurrentObservers:       {}\n",
        number(quorum.leader.map(|leader| leader.to_wire().into())),
        number(quorum.leader_epoch.map(|epoch| epoch.to_wire().into())),
        number(quorum.high_watermark.map(highwater_client::Offset::to_wire)),
        nodes(&quorum.voters),
        nodes(&quorum.observers),
    )
}

fn replication_table(quorum: &QuorumDescription, human_readable: bool) -> String {
    let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    let end = leader.and_then(|leader| leader.log_end).map_or(0, highwater_client::Offset::to_wire);
    let now = now_ms();
    let time = |at: Option<highwater_client::TimestampMs>| match at {
        None => "-1".into(),
        Some(at) if human_readable => format!("{} ms ago", now.saturating_sub(at.value()).max(0)),
        Some(at) => at.value().to_string(),
    };
    let mut rows = vec![
        ["NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"]
            .map(str::to_owned),
    ];
    let voters = quorum.voters.iter().map(|voter| (voter, "Follower"));
    let mut replicas: Vec<_> = voters.chain(quorum.observers.iter().map(|observer| (observer, "Observer"))).collect();
    // The leader first.
    replicas.sort_by_key(|(replica, role)| (Some(replica.id) != quorum.leader, *role == "Observer", replica.id));
    for (replica, role) in replicas {
        let own = replica.log_end.map_or(-1, highwater_client::Offset::to_wire);
        rows.push([
            replica.id.to_string(),
            replica.directory.map(|directory| directory.0).unwrap_or_default().to_string(),
            own.to_string(),
            end.saturating_sub(own).to_string(),
            time(replica.last_fetch),
            time(replica.last_caught_up),
            if Some(replica.id) == quorum.leader { "Leader".into() } else { role.to_owned() },
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}\t");
        }
        text.push('\n');
    }
    text
}

/// The APIs for clients that Kafka 4.3 knows, which its tool lists whether a broker has them or not.
const CLIENT_APIS: &[i16] = &[
    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
    34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 55, 57, 60, 61, 64, 65, 66, 68, 69, 71, 72,
    74, 75, 76, 77, 78, 79, 80, 81, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
];
/// By level, from 7 on.
const RELEASES: &[&str] = &[
    "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2", "3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1",
    "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0", "4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0",
    "4.1-IV1", "4.2-IV0", "4.2-IV1", "4.3-IV0",
];
