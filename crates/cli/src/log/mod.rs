//! `highwater log`: tools for log files, which need no broker.

mod compact;
mod copy;
mod directory;
pub(crate) mod dump;
mod load;
mod output;
mod settings;
mod verify;

use clap::Subcommand;

use crate::error::CliError;

/// Look at log files; needs no broker.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Compact a copy of a partition: keep the last record of each key.
    Compact(compact::Compact),
    /// Print the batches of a segment file, a record set, or a whole partition directory.
    Dump(dump::Dump),
    /// Load a copy of a partition as a broker would at its start, and print its state.
    Load(load::Load),
    /// Check all files against their checksums and each other, changing nothing. Exits with 1 if something is damaged.
    Verify(verify::Verify),
}

impl Log {
    pub(crate) fn run(self) -> Result<(), CliError> {
        match self {
            Self::Compact(compact) => compact.run(),
            Self::Dump(dump) => dump.run(),
            Self::Load(load) => load.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}
