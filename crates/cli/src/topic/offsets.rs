//! `highwater topic offsets`.

use std::collections::BTreeMap;

use clap::Args;
use highwater_client::admin::{ListedOffset, OffsetSpec};
use highwater_client::{TimestampMs, TopicPartition};

use super::describe::topics;
use crate::error::CliError;
use crate::output::{Cell, Column, Output, Table};
use crate::selection::TopicNames;
use crate::session::{Session, partition, told, topic_name};
use crate::timestamp;

/// Arguments of `highwater topic offsets`.
#[derive(Args, Debug)]
pub(crate) struct Offsets {
    #[command(flatten)]
    names: TopicNames,
    /// Instead of begin and end, the first record at or after this instant: 2026-01-31T12:00Z, or -1h for an hour ago.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    at: Option<i64>,
    #[command(flatten)]
    output: Output,
}

impl Offsets {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let partitions = partitions(session, self.names.choose(session)?)?;
        if let Some(at) = self.at {
            let mut table = Table::new(vec![
                Column::new("topic"),
                Column::new("partition"),
                Column::new("offset"),
                Column::new("timestamp"),
            ]);
            for (at, found) in offsets(session, &partitions, OffsetSpec::Timestamp(TimestampMs(at)))? {
                table.row(vec![
                    at.topic.as_str().into(),
                    at.partition.to_wire().into(),
                    Cell::maybe(found.offset.map(highwater_client::Offset::to_wire)),
                    found.timestamp.map_or(Cell::Absent, |at| Cell::Instant(at.value())),
                ]);
            }
            return self.output.print(&table);
        }
        let begins = offsets(session, &partitions, OffsetSpec::Earliest)?;
        let ends = offsets(session, &partitions, OffsetSpec::Latest)?;
        let mut table = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("begin"),
            Column::new("end"),
            Column::new("records"),
        ]);
        for at in &partitions {
            let offset = |found: &BTreeMap<TopicPartition, ListedOffset>| {
                found.get(at).and_then(|found| found.offset).map(highwater_client::Offset::to_wire)
            };
            let (begin, end) = (offset(&begins), offset(&ends));
            table.row(vec![
                at.topic.as_str().into(),
                at.partition.to_wire().into(),
                Cell::maybe(begin),
                Cell::maybe(end),
                // Compaction and transactions leave holes: at most that many.
                Cell::maybe(begin.zip(end).map(|(begin, end)| end.saturating_sub(begin))),
            ]);
        }
        self.output.print(&table)
    }
}

/// All partitions of topics.
pub(crate) fn partitions(session: &Session, names: Vec<String>) -> Result<Vec<TopicPartition>, CliError> {
    let mut all = Vec::new();
    for topic in topics(session, names)? {
        let name = topic_name(&topic.name)?;
        all.extend(topic.partitions.iter().map(|described| partition(&name, described.index)));
    }
    Ok(all)
}

/// The same offset of several partitions.
pub(crate) fn offsets(
    session: &Session,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
) -> Result<BTreeMap<TopicPartition, ListedOffset>, CliError> {
    let wanted = partitions.iter().map(|at| (at.clone(), spec));
    let listed = session.admin.list_offsets(wanted, false).wait();
    let listed = listed.map_err(|error| told("cannot list offsets", &error))?;
    listed
        .into_iter()
        .map(|(at, result)| {
            let what = || format!("cannot list offsets of {}-{}", at.topic.as_str(), at.partition);
            result.map(|found| (at.clone(), found)).map_err(|error| told(what(), &error))
        })
        .collect()
}

/// An instant in milliseconds since 1970, or so long ago.
pub(crate) fn instant(text: &str) -> Result<i64, String> {
    if let Some(ago) = text.strip_prefix('-') {
        let ago =
            timestamp::parse_duration(ago).ok_or_else(|| format!("{text:?} is no time ago, such as -90s or -2h"))?;
        return Ok(timestamp::now_ms().saturating_sub(ago));
    }
    let millis = text.parse().ok().filter(|_| 4 < text.len());
    millis
        .or_else(|| timestamp::parse(text))
        .ok_or_else(|| format!("{text:?} is no instant, such as 2026-01-31T12:00Z, -1h, or milliseconds since 1970"))
}
