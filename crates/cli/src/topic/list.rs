//! `highwater topic ls`.

use clap::Args;

use crate::error::CliError;
use crate::output::{Cell, Column, Output, Table};
use crate::selection::whole;
use crate::session::{Session, told};

/// Arguments of `highwater topic ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only topics whose whole name matches this regular expression.
    pattern: Option<String>,
    /// Also topics that belong to the brokers.
    #[arg(short = 'a', long)]
    all: bool,
    #[command(flatten)]
    output: Output,
}

impl List {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let pattern = self.pattern.as_deref().map(whole).transpose()?;
        let topics = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
        let mut table = Table::new(vec![
            Column::new("name"),
            Column::new("partitions"),
            Column::new("internal").wide(),
            Column::new("id").wide(),
        ]);
        for topic in topics {
            let is_wanted = pattern.as_ref().is_none_or(|pattern| pattern.is_match(&topic.name));
            if is_wanted && (self.all || !topic.is_internal) {
                table.row(vec![
                    topic.name.into(),
                    topic.partitions.into(),
                    topic.is_internal.into(),
                    Cell::maybe(topic.id.map(|id| id.0.to_string())),
                ]);
            }
        }
        self.output.print(&table)
    }
}
