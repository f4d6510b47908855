//! `highwater topic`.

mod alter;
mod create;
mod delete;
pub(crate) mod describe;
mod list;
pub(crate) mod offsets;
mod partitions;
mod trim;

use clap::Subcommand;

use crate::connection::Connection;
use crate::error::CliError;
use crate::session::Session;

/// Make, see, change and delete topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Create topics.
    Create(create::Create),
    /// List topics.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show the partitions of topics: leaders, replicas, who is in sync.
    Describe(describe::Describe),
    /// Change configs of topics.
    Alter(alter::Alter),
    /// Show the configs of a topic.
    Config(alter::Config),
    /// Delete topics with all their records.
    #[command(visible_alias = "rm")]
    Delete(delete::Delete),
    /// Give topics more partitions.
    AddPartitions(partitions::AddPartitions),
    /// Show where the partitions of topics begin and end.
    Offsets(offsets::Offsets),
    /// Delete the oldest records of a topic.
    Trim(trim::Trim),
}

impl Topic {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Create(create) => create.run(&session),
            Self::Ls(list) => list.run(&session),
            Self::Describe(describe) => describe.run(&session),
            Self::Alter(alter) => alter.run(&session),
            Self::Config(config) => config.run(&session),
            Self::Delete(delete) => delete.run(&session),
            Self::AddPartitions(add) => add.run(&session),
            Self::Offsets(offsets) => offsets.run(&session),
            Self::Trim(trim) => trim.run(&session),
        }
    }
}
