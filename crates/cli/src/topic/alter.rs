//! `highwater topic alter` and `highwater topic config`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use highwater_client::admin::{ConfigChange, ConfigResource};

use crate::completions;
use crate::config::{changes, config_table};
use crate::connection::pair;
use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::Output;
use crate::plan::Rehearsal;
use crate::selection::TopicNames;
use crate::session::{Session, told};

/// Arguments of `highwater topic alter`.
#[derive(Args, Debug)]
pub(crate) struct Alter {
    #[command(flatten)]
    names: TopicNames,
    /// Set a config; may be given several times.
    #[arg(short, long = "config", value_name = "KEY=VALUE", value_parser = pair, required_unless_present = "unset")]
    configs: Vec<(String, String)>,
    /// Take a config of the topic away, so that the cluster's shows; may be given several times.
    #[arg(short, long, value_name = "KEY")]
    unset: Vec<String>,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(flatten)]
    output: Output,
}

/// Arguments of `highwater topic config`.
#[derive(Args, Debug)]
pub(crate) struct Config {
    /// The topic.
    #[arg(add = ArgValueCompleter::new(completions::topics))]
    name: String,
    /// Also configs that have their default.
    #[arg(short = 'a', long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl Alter {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let changes: Vec<(String, ConfigChange)> = changes(&self.configs, &self.unset);
        let wanted = self.names.choose(session)?.into_iter().map(|name| (ConfigResource::topic(name), changes.clone()));
        let results = session.admin.alter_configs(wanted, self.rehearsal.dry_run).wait();
        let results = results.map_err(|error| told("cannot alter topics", &error))?;
        let done = if self.rehearsal.dry_run { "valid" } else { "altered" };
        let mut outcomes = Outcomes::new("topic", "alter", done);
        for (resource, result) in results {
            outcomes.add(&resource.name, result, |what, error| told(what, &error));
        }
        outcomes.finish(&self.output)
    }
}

impl Config {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        self.output.print(&config_table(session, ConfigResource::topic(self.name), self.all)?)
    }
}
