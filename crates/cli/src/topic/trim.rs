//! `highwater topic trim`.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use highwater_client::admin::OffsetSpec;
use highwater_client::{Offset, TimestampMs, TopicPartition};

use super::offsets::{instant, offsets, partitions};
use crate::completions;
use crate::error::{CliError, Kind};
use crate::outcome::Outcomes;
use crate::output::{Column, Output, Table};
use crate::plan::{Decision, Question, Safety};
use crate::session::{Session, told};

/// Arguments of `highwater topic trim`.
#[derive(Args, Debug)]
pub(crate) struct Trim {
    /// The topic.
    #[arg(add = ArgValueCompleter::new(completions::topics))]
    topic: String,
    /// Only these partitions.
    #[arg(short, long, value_delimiter = ',')]
    partitions: Vec<u32>,
    /// Delete all records before: an offset, `end`, or @TIME such as @2026-01-31T12:00Z or @-7d.
    #[arg(long, value_name = "WHERE", value_parser = bound)]
    before: Bound,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

/// Where records are kept from.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Offset(u64),
    End,
    Time(i64),
}

impl Trim {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let mut all = partitions(session, vec![self.topic.clone()])?;
        if let Some(missing) =
            self.partitions.iter().find(|wanted| !all.iter().any(|at| at.partition.value() == **wanted))
        {
            let why = format!("it has {} partitions", all.len());
            return Err(CliError::new(Kind::NotFound, format!("{} has no partition {missing}", self.topic), why));
        }
        all.retain(|at| self.partitions.is_empty() || self.partitions.contains(&at.partition.value()));
        let begins = offsets(session, &all, OffsetSpec::Earliest)?;
        let ends = offsets(session, &all, OffsetSpec::Latest)?;
        let found = match self.before {
            Bound::Time(at) => Some(offsets(session, &all, OffsetSpec::Timestamp(TimestampMs(at)))?),
            Bound::Offset(_) | Bound::End => None,
        };
        let mut plan = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("begin"),
            Column::new("new_begin"),
            Column::new("records"),
        ]);
        let mut wanted: Vec<(TopicPartition, Option<Offset>)> = Vec::new();
        for at in &all {
            let of = |listed: &std::collections::BTreeMap<TopicPartition, _>| {
                listed.get(at).and_then(|found: &highwater_client::admin::ListedOffset| found.offset)
            };
            let (begin, end) = (of(&begins).unwrap_or(Offset::ZERO), of(&ends).unwrap_or(Offset::ZERO));
            let to = match self.before {
                Bound::Offset(offset) => offset,
                Bound::End => end.value(),
                // Without a record at that time or later, all are older.
                Bound::Time(_) => found.as_ref().and_then(of).unwrap_or(end).value(),
            };
            plan.row(vec![
                at.topic.as_str().into(),
                at.partition.to_wire().into(),
                begin.value().into(),
                to.max(begin.value()).into(),
                to.saturating_sub(begin.value()).into(),
            ]);
            if i64::try_from(to).is_err() {
                return Err(CliError::new(Kind::Usage, format!("no offset is {to}"), "offsets have 63 bits"));
            }
            wanted.push((at.clone(), Some(Offset::new(to))));
        }
        let question = Question::Typed { ask: "This deletes records for good.", name: &self.topic };
        if self.safety.decide(&plan, &self.output, question)? == Decision::Stop {
            return Ok(());
        }
        let results = session.admin.delete_records(wanted).wait();
        let mut outcomes = Outcomes::new("partition", "trim", "trimmed");
        for (at, result) in results.map_err(|error| told("cannot delete records", &error))? {
            let name = format!("{}-{}", at.topic.as_str(), at.partition);
            outcomes.add(&name, result.map(drop), |what, error| told(what, &error));
        }
        outcomes.finish(&self.output)
    }
}

fn bound(text: &str) -> Result<Bound, String> {
    match text.strip_prefix('@') {
        Some(time) => instant(time).map(Bound::Time),
        None if text == "end" => Ok(Bound::End),
        None => text.parse().map(Bound::Offset).map_err(|_| format!("{text:?} is no offset, nor `end`, nor @TIME")),
    }
}
