//! `highwater topic delete`.

use clap::Args;
use highwater_client::ErrorCode;

use super::describe::topics;
use crate::error::CliError;
use crate::outcome::Outcomes;
use crate::output::{Column, Output, Table};
use crate::plan::{Decision, Question, Safety};
use crate::selection::TopicNames;
use crate::session::{Session, told};

/// Arguments of `highwater topic delete`.
#[derive(Args, Debug)]
pub(crate) struct Delete {
    #[command(flatten)]
    names: TopicNames,
    /// A topic that does not exist is as good as a deleted one.
    #[arg(long)]
    if_exists: bool,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

impl Delete {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let names = self.names.choose(session)?;
        let known = if self.if_exists { self.existing(session, &names)? } else { names };
        let mut plan = Table::new(vec![Column::new("topic"), Column::new("partitions"), Column::new("action")]);
        for topic in topics(session, known.clone())? {
            plan.row(vec![topic.name.into(), topic.partitions.len().into(), "delete".into()]);
        }
        let question = match &known[..] {
            [name] => Question::Typed { ask: "This deletes the topic with all its records.", name },
            _ => Question::Typed { ask: "This deletes these topics with all their records.", name: "delete" },
        };
        if !known.is_empty() && self.safety.decide(&plan, &self.output, question)? == Decision::Stop {
            return Ok(());
        }
        let results = session.admin.delete_topics(known).wait();
        let mut outcomes = Outcomes::new("topic", "delete", "deleted");
        for (name, result) in results.map_err(|error| told("cannot delete topics", &error))? {
            outcomes.add(&name, result, |what, error| told(what, &error));
        }
        outcomes.finish(&self.output)
    }

    fn existing(&self, session: &Session, names: &[String]) -> Result<Vec<String>, CliError> {
        let described = session.admin.describe_topics(names.iter().map(String::as_str)).wait();
        let described = described.map_err(|error| told("cannot describe topics", &error))?;
        let exists = |(name, result): (String, Result<_, highwater_client::ClientError>)| match result {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => None,
            _ => Some(name),
        };
        Ok(described.into_iter().filter_map(exists).collect())
    }
}
