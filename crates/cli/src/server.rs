//! `highwater server` and `highwater format`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use highwater_broker::config::{kafka_environment, parse_properties};
use highwater_broker::{BrokerConfig, FormatError, InitialController, InitialControllers};

use crate::error::CliError;
use crate::{logging, serving};

/// Arguments of `highwater server`.
#[derive(Args, Debug)]
pub(crate) struct Server {
    #[command(flatten)]
    settings: Settings,
}

/// Arguments of `highwater format`.
#[derive(Args, Debug)]
pub(crate) struct Format {
    /// Id of the cluster, the same for every node: 1 to 64 letters, digits, `-`, `_` and `.`
    #[arg(long, value_name = "ID")]
    cluster_id: String,
    /// This controller decides alone at first; others may be added later.
    #[arg(long, short, group = "first")]
    standalone: bool,
    /// The controllers that decide at first, the same for each of them, with the ids that their metadata directories get.
    #[arg(
        long,
        short = 'I',
        group = "first",
        value_name = "ID@HOST:PORT:DIRECTORY_ID,...",
        value_delimiter = ',',
        num_args = 1
    )]
    initial_controllers: Vec<InitialController>,
    /// Others decide: this node finds them by controller.quorum.bootstrap.servers, and may be added to them later.
    #[arg(long, short = 'N', group = "first")]
    no_initial_controllers: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Where the settings of a node come from.
#[derive(Args, Debug)]
struct Settings {
    /// Kafka's server.properties; `KAFKA_*` environment variables and --set win over it.
    ///
    /// The environment variable `CLUSTER_ID` names the cluster that new log directories are formatted for.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, as in the file; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

impl Server {
    /// Runs the node until a signal comes.
    pub(crate) fn run(self) -> Result<(), CliError> {
        logging::start();
        serving::run(&self.settings.read()?, "cannot start the node")
    }
}

impl Format {
    /// Formats the log directories.
    pub(crate) fn run(self) -> Result<(), CliError> {
        let controllers = if self.standalone {
            InitialControllers::Standalone
        } else if self.no_initial_controllers {
            InitialControllers::Others
        } else if self.initial_controllers.is_empty() {
            InitialControllers::Configured
        } else {
            InitialControllers::These(self.initial_controllers)
        };
        let config = self.settings.read()?;
        let formatted = highwater_broker::format(&config, &self.cluster_id, &controllers).map_err(|error| {
            let is_unsaid = matches!(error, FormatError::NoVoters);
            let failure = CliError::caused("cannot format", &error);
            if is_unsaid {
                failure.hint("give --standalone, --initial-controllers or --no-initial-controllers")
            } else {
                failure
            }
        })?;
        let mut out = io::stdout().lock();
        for directory in &formatted {
            // Nobody reads it if standard output is closed.
            let _ = writeln!(out, "{}", directory.display());
        }
        if formatted.is_empty() {
            let _ = writeln!(io::stderr(), "everything was formatted already");
        }
        Ok(())
    }
}

impl Settings {
    fn read(self) -> Result<BrokerConfig, CliError> {
        let mut settings = match &self.config {
            Some(file) => read(file)?,
            None => BTreeMap::new(),
        };
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment = kafka_environment(variables);
        settings.extend(environment.properties);
        settings.extend(self.set);
        let mut config = BrokerConfig::new(settings).map_err(|error| {
            CliError::caused("the configuration cannot be used", &error)
                .hint("correct the setting where it stands, or override it with --set KEY=VALUE")
        })?;
        config.cluster_id = environment.cluster_id;
        Ok(config)
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, String>, CliError> {
    let path = file.display();
    let text = fs::read_to_string(file).map_err(|error| CliError::caused(format!("cannot read {path}"), &error))?;
    parse_properties(&text).map_err(|error| CliError::caused(format!("{path} is no properties file"), &error))
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("not of the form KEY=VALUE".into()),
    }
}
