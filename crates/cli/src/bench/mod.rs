//! `highwater bench`.

pub(crate) mod consume;
mod e2e;
pub(crate) mod produce;

use clap::Subcommand;

use crate::connection::Connection;
use crate::error::CliError;
use crate::session::Session;

/// Measure a cluster. The last line is that of Kafka's own tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Measure how fast records are stored, and how long that takes.
    Produce(produce::Produce),
    /// Measure how fast records are read.
    Consume(consume::Consume),
    /// Measure how long a record takes from a producer to a consumer.
    E2e(e2e::EndToEnd),
}

impl Bench {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Produce(produce) => produce.run(&session),
            Self::Consume(consume) => consume.run(&session),
            Self::E2e(e2e) => e2e.run(&session),
        }
    }
}
