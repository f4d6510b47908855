//! `highwater group`.

pub(crate) mod lag;
mod list;
pub(crate) mod reset;

use clap::{Args, Subcommand};
use highwater_client::ErrorCode;

use crate::connection::Connection;
use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::{Column, Output, Table};
use crate::plan::{Decision, Question, Safety};
use crate::selection::GroupNames;
use crate::session::{Session, told};

/// See groups of consumers, how far they are, and change that.
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// List groups.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show groups: their state, coordinator and how far they are behind.
    Describe(list::Describe),
    /// Show how far groups are behind, partition by partition.
    Lag(lag::Lag),
    /// Show the members of groups and what they read.
    Members(list::Members),
    /// Set where a group goes on.
    Reset(reset::Reset),
    /// Delete groups without members, with their offsets.
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

/// Arguments of `highwater group delete`.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(flatten)]
    names: GroupNames,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

impl Group {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let session = Session::open(connection)?;
        match self {
            Self::Ls(list) => list.run(&session),
            Self::Describe(describe) => describe.run(&session),
            Self::Lag(lag) => lag.run(&session),
            Self::Members(members) => members.run(&session),
            Self::Reset(reset) => reset.run(&session),
            Self::Delete(delete) => delete.run(&session),
        }
    }
}

impl Delete {
    fn run(self, session: &Session) -> Result<(), CliError> {
        let groups = self.names.choose(session)?;
        let mut plan =
            Table::new(vec![Column::new("group"), Column::new("state"), Column::new("offsets"), Column::new("action")]);
        for group in list::described(session, groups.clone())? {
            let offsets = session.admin.group_offsets(group.name.as_str()).wait();
            let offsets = offsets.map_err(|error| told(format!("cannot see offsets of {}", group.name), &error))?;
            plan.row(vec![group.name.into(), group.state.into(), offsets.len().into(), "delete".into()]);
        }
        let question = match &groups[..] {
            [name] => Question::Typed { ask: "This deletes the group with its offsets.", name },
            _ => Question::Typed { ask: "This deletes these groups with their offsets.", name: "delete" },
        };
        if self.safety.decide(&plan, &self.output, question)? == Decision::Stop {
            return Ok(());
        }
        let results = session.admin.delete_groups(groups).wait();
        let mut outcomes = Outcomes::new("group", "delete", "deleted");
        for (name, result) in results.map_err(|error| told("cannot delete groups", &error))? {
            outcomes.add(&name, result, |what, error| match error.code() {
                Some(ErrorCode::NonEmptyGroup) => list::refuse_live(session, &name, what),
                _ => told(what, &error),
            });
        }
        outcomes.finish(&self.output)
    }
}
