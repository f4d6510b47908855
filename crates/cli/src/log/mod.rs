//! `highwater log`: tools for log files, which need no broker.

mod dump;

use clap::Subcommand;

use crate::error::CliError;

/// Look at log files; needs no broker.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Print the batches of a segment file, a record set, or a whole partition directory.
    Dump(dump::Dump),
}

impl Log {
    pub(crate) fn run(self) -> Result<(), CliError> {
        match self {
            Self::Dump(dump) => dump.run(),
        }
    }
}
