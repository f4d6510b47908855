//! `highwater topic add-partitions`.

use clap::Args;

use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::Output;
use crate::plan::Rehearsal;
use crate::selection::TopicNames;
use crate::session::{Session, told};

/// Arguments of `highwater topic add-partitions`.
#[derive(Args, Debug)]
pub(crate) struct AddPartitions {
    #[command(flatten)]
    names: TopicNames,
    /// How many partitions the topics are to have. Keys move: the partition of a key depends on their number.
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    total: u32,
    #[command(flatten)]
    rehearsal: Rehearsal,
    #[command(flatten)]
    output: Output,
}

impl AddPartitions {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let wanted = self.names.choose(session)?.into_iter().map(|name| (name, self.total, None));
        let results = session.admin.create_partitions(wanted, self.rehearsal.dry_run).wait();
        let results = results.map_err(|error| told("cannot add partitions", &error))?;
        let done = if self.rehearsal.dry_run { "valid" } else { "grown" };
        let mut outcomes = Outcomes::new("topic", "grow", done);
        for (name, result) in results {
            outcomes.add(&name, result, |what, error| told(what, &error));
        }
        outcomes.finish(&self.output)
    }
}
