//! `kafka-storage`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use highwater_broker::config::parse_properties;
use highwater_broker::{BrokerConfig, InitialController, InitialControllers};

use super::parse;
use crate::error::CliError;
use crate::output::{note, print};

/// The Kafka storage tool.
#[derive(Debug, Parser)]
#[command(name = "kafka-storage")]
struct Storage {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get information about the Kafka log directories on this node.
    Info(Config),
    /// Format the Kafka log directories on this node.
    Format(Format),
    /// Print a random UUID.
    RandomUuid,
}

#[derive(Args, Debug)]
struct Config {
    /// The Kafka configuration file to use.
    #[arg(short, long)]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct Format {
    #[command(flatten)]
    config: Config,
    /// The cluster ID to use.
    #[arg(short = 't', long)]
    cluster_id: String,
    /// Skip over already formatted directories rather than failing.
    #[arg(short = 'g', long)]
    ignore_formatted: bool,
    /// Initialize a controller as a single-node dynamic quorum.
    #[arg(short, long, group = "first")]
    standalone: bool,
    /// Initialize a server without specifying a dynamic quorum.
    #[arg(short = 'N', long, group = "first")]
    no_initial_controllers: bool,
    /// Initialize a server with the specified dynamic quorum: id@hostname:port:directory, with commas between them.
    #[arg(short = 'I', long, group = "first", value_delimiter = ',')]
    initial_controllers: Vec<InitialController>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    let tool: Storage = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    let outcome = match tool.command {
        Command::Info(config) => info(&config),
        Command::Format(format) => format.run(),
        Command::RandomUuid => random_uuid(),
    };
    outcome.unwrap_or_else(|error| {
        let _ = error.report();
        ExitCode::FAILURE
    })
}

impl Config {
    fn read(&self) -> Result<BrokerConfig, CliError> {
        let path = self.config.display();
        let text = fs::read_to_string(&self.config)
            .map_err(|error| CliError::caused(format!("cannot read {path}"), &error))?;
        let settings = parse_properties(&text)
            .map_err(|error| CliError::caused(format!("{path} is no properties file"), &error))?;
        BrokerConfig::new(settings).map_err(|error| CliError::caused(format!("cannot use {path}"), &error))
    }
}

impl Format {
    fn run(self) -> Result<ExitCode, CliError> {
        let config = self.config.read()?;
        let directories = directories(&config);
        let formatted: Vec<_> = directories.iter().filter(|directory| meta(directory).is_file()).collect();
        if let Some(directory) = formatted.first().filter(|_| !self.ignore_formatted) {
            note(&format!(
                "Log directory {} is already formatted. Use --ignore-formatted to ignore this directory and format the \
                 others.",
                directory.display()
            ));
            return Ok(ExitCode::FAILURE);
        }
        if formatted.len() == directories.len() {
            print("All of the log directories are already formatted.\n")?;
            return Ok(ExitCode::SUCCESS);
        }
        let controllers = if self.standalone {
            InitialControllers::Standalone
        } else if self.no_initial_controllers {
            InitialControllers::Others
        } else if self.initial_controllers.is_empty() {
            InitialControllers::Configured
        } else {
            InitialControllers::These(self.initial_controllers)
        };
        let new = highwater_broker::format(&config, &self.cluster_id, &controllers)
            .map_err(|error| CliError::caused("cannot format", &error))?;
        for directory in &new {
            let kind = match (*directory == config.metadata_log_dir, self.standalone) {
                (true, true) => "dynamic metadata voter",
                (true, false) => "metadata",
                (false, _) => "data",
            };
            print(&format!("Formatting {kind} directory {} with metadata.version {RELEASE}.\n", directory.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What Kafka prints: the directories found, what they say, and what is wrong with them.
fn info(config: &Config) -> Result<ExitCode, CliError> {
    let config = config.read()?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    let mut first: Option<BTreeMap<String, String>> = None;
    for directory in directories(&config) {
        let shown = directory.display().to_string();
        if !directory.is_dir() {
            let why = if directory.exists() { "is not a directory" } else { "does not exist" };
            problems.push(format!("{shown} {why}"));
            continue;
        }
        found.push(shown.clone());
        let text = match fs::read_to_string(meta(&directory)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                problems.push(format!("{shown} is not formatted."));
                continue;
            }
            Err(error) => {
                problems.push(format!("Error opening {}: {error}", meta(&directory).display()));
                continue;
            }
        };
        match parse_properties(&text) {
            Err(error) => problems.push(format!("Error opening {}: {error}", meta(&directory).display())),
            Ok(properties) => {
                let cluster = first.as_ref().and_then(|first| first.get("cluster.id"));
                if cluster.is_some_and(|cluster| Some(cluster) != properties.get("cluster.id")) {
                    problems.push(format!("Metadata for {shown} was for another cluster than that of the others."));
                }
                first.get_or_insert(properties);
            }
        }
    }
    let mut text = String::new();
    let mut list = |one: &str, many: &str, lines: &[String]| {
        if !lines.is_empty() {
            text.push_str(if lines.len() == 1 { one } else { many });
            text.push('\n');
            lines.iter().for_each(|line| text.extend(["  ", line, "\n"]));
            text.push('\n');
        }
    };
    list("Found log directory:", "Found log directories:", &found);
    let metadata = first.map(|properties| {
        let pairs: Vec<_> = properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("Found metadata: {{{}}}\n\n", pairs.join(", "))
    });
    text.push_str(&metadata.unwrap_or_default());
    let mut rest = String::new();
    if !problems.is_empty() {
        rest.push_str(if problems.len() == 1 { "Found problem:\n" } else { "Found problems:\n" });
        problems.iter().for_each(|line| rest.extend(["  ", line, "\n"]));
        rest.push('\n');
    }
    print(&(text + &rest))?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn random_uuid() -> Result<ExitCode, CliError> {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| CliError::caused("cannot get random bytes", &io::Error::other(error.to_string())))?;
        if let Some(id) = highwater_types::Uuid::from_random(bytes) {
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "{id}");
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn directories(config: &BrokerConfig) -> Vec<PathBuf> {
    let mut directories: Vec<_> = config.log_dirs.iter().chain([&config.metadata_log_dir]).cloned().collect();
    directories.sort();
    directories.dedup();
    directories
}

fn meta(directory: &Path) -> PathBuf {
    directory.join("meta.properties")
}

/// The release whose metadata new directories begin with.
const RELEASE: &str = "4.3-IV0";
