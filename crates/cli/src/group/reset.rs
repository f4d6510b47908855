//! `highwater group reset`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use highwater_client::admin::{ListedOffset, OffsetSpec};
use highwater_client::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicPartition};

use super::list::refuse_live;
use crate::completions;
use crate::error::{CliError, Kind};
use crate::outcome::Outcomes;
use crate::output::{Cell, Column, Output, Table};
use crate::plan::{Decision, Question, Safety};
use crate::session::{Session, partition, told, topic_name};
use crate::timestamp::{now_ms, parse_duration};
use crate::topic::offsets::{instant, offsets, partitions};

/// Arguments of `highwater group reset`.
#[derive(Args, Debug)]
pub(crate) struct Reset {
    /// The group.
    #[arg(add = ArgValueCompleter::new(completions::groups))]
    group: String,
    /// A topic, or with TOPIC:0,1 some partitions of it; may be given several times. Without any: whatever the group has
    /// committed for.
    #[arg(long = "topic", value_name = "TOPIC[:PARTITION,...]")]
    topics: Vec<String>,
    #[command(flatten)]
    to: Target,
    /// Write the plan to a file of topic, partition and offset, as --from-file reads it.
    #[arg(long, value_name = "CSV")]
    export: Option<PathBuf>,
    #[command(flatten)]
    safety: Safety,
    #[command(flatten)]
    output: Output,
}

/// Where to go on.
#[derive(Args, Clone, Debug, Default)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// At the first record that is there.
    #[arg(long)]
    pub(crate) to_earliest: bool,
    /// Behind the last record.
    #[arg(long)]
    pub(crate) to_latest: bool,
    /// Where the group is: commits that again.
    #[arg(long)]
    pub(crate) to_current: bool,
    /// At an offset.
    #[arg(long, value_name = "OFFSET")]
    pub(crate) to_offset: Option<i64>,
    /// So many records further on, or back.
    #[arg(long, value_name = "RECORDS", allow_negative_numbers = true)]
    pub(crate) shift_by: Option<i64>,
    /// At the first record of an instant or later.
    #[arg(long, value_name = "TIME", value_parser = instant, allow_hyphen_values = true)]
    pub(crate) to_datetime: Option<i64>,
    /// At the first record of so long ago or later: PT1H, or 1h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) by_duration: Option<i64>,
    /// Where another group is.
    #[arg(long, value_name = "GROUP")]
    pub(crate) to_group: Option<String>,
    /// As a file says: topic, partition and offset a line.
    #[arg(long, value_name = "CSV")]
    pub(crate) from_file: Option<PathBuf>,
}

/// What a reset changes in a partition.
#[derive(Debug)]
pub(crate) struct Step {
    /// The partition.
    pub(crate) at: TopicPartition,
    /// Where the group is now.
    pub(crate) current: Option<i64>,
    /// Where it will be.
    pub(crate) new: i64,
    /// Where the partition ends.
    pub(crate) end: i64,
}

impl Reset {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        ensure_idle(session, &self.group)?;
        let topics = if self.topics.is_empty() { None } else { Some(&self.topics[..]) };
        let steps = plan(session, &self.group, topics, &self.to)?;
        if let Some(file) = &self.export {
            let lines: String = steps.iter().map(csv_line).collect();
            std::fs::write(file, lines)
                .map_err(|error| CliError::caused(format!("cannot write {}", file.display()), &error))?;
        }
        let mut table = Table::new(vec![
            Column::new("topic"),
            Column::new("partition"),
            Column::new("current"),
            Column::new("new"),
            Column::new("delta"),
            Column::new("lag_after"),
        ]);
        for step in &steps {
            table.row(vec![
                step.at.topic.as_str().into(),
                step.at.partition.to_wire().into(),
                Cell::maybe(step.current),
                step.new.into(),
                Cell::maybe(step.current.map(|current| step.new.saturating_sub(current))),
                step.end.saturating_sub(step.new).into(),
            ]);
        }
        let ask = format!("Reset {} in {} partitions?", self.group, steps.len());
        if self.safety.decide(&table, &self.output, Question::YesNo(&ask))? == Decision::Stop {
            return Ok(());
        }
        let what = format!("cannot reset group {}", self.group);
        let results = commit(session, &self.group, &steps).map_err(|error| match error.code() {
            Some(ErrorCode::UnknownMemberId | ErrorCode::NonEmptyGroup) => refuse_live(session, &self.group, what),
            _ => told(what, &error),
        })?;
        let mut outcomes = Outcomes::new("partition", "reset", "reset");
        for (at, result) in results {
            let name = format!("{}-{}", at.topic.as_str(), at.partition);
            outcomes.add(&name, result, |what, error| match error.code() {
                Some(ErrorCode::UnknownMemberId | ErrorCode::NonEmptyGroup) => refuse_live(session, &self.group, what),
                _ => told(what, &error),
            });
        }
        outcomes.finish(&self.output)
    }
}

/// Refuses to touch a group whose members would not know of it. One that does not exist has none.
pub(crate) fn ensure_idle(session: &Session, group: &str) -> Result<(), CliError> {
    let described = session.admin.describe_groups([group]).wait().and_then(highwater_client::admin::Each::only);
    match described {
        Ok(described) if !described.members.is_empty() => {
            Err(refuse_live(session, group, format!("cannot reset group {group}")))
        }
        Err(error) if error.code() != Some(ErrorCode::GroupIdNotFound) => {
            Err(told(format!("cannot describe group {group}"), &error))
        }
        _ => Ok(()),
    }
}

/// Commits what was planned.
pub(crate) fn commit(
    session: &Session,
    group: &str,
    steps: &[Step],
) -> Result<highwater_client::admin::Each<TopicPartition, ()>, highwater_client::ClientError> {
    let offsets = steps.iter().filter_map(|step| Some((step.at.clone(), Offset::from_wire(step.new)?)));
    session.admin.alter_group_offsets(group, offsets.collect::<Vec<_>>()).wait()
}

/// A line of a file of offsets, as Kafka's tool exports it for one group.
pub(crate) fn csv_line(step: &Step) -> String {
    format!("{},{},{}\n", step.at.topic.as_str(), step.at.partition, step.new)
}

/// What a reset would change.
pub(crate) fn plan(
    session: &Session,
    group: &str,
    topics: Option<&[String]>,
    to: &Target,
) -> Result<Vec<Step>, CliError> {
    let what = || format!("cannot see offsets of {group}");
    let committed = session.admin.group_offsets(group).wait().map_err(|error| told(what(), &error))?;
    let from_file = to.from_file.as_deref().map(read_file).transpose()?;
    let chosen: Vec<TopicPartition> = match (topics, &from_file) {
        (Some(topics), _) => chosen(session, topics)?,
        (None, Some(file)) => file.keys().cloned().collect(),
        (None, None) => committed.keys().cloned().collect(),
    };
    if chosen.is_empty() {
        let why = "it has not committed anything, and no topic is named";
        return Err(CliError::new(Kind::NotFound, format!("nothing to reset for group {group}"), why)
            .hint("name a topic with --topic"));
    }
    let begins = offsets(session, &chosen, OffsetSpec::Earliest)?;
    let ends = offsets(session, &chosen, OffsetSpec::Latest)?;
    let time = to.to_datetime.or(to.by_duration.map(|ago| now_ms().saturating_sub(ago)));
    let times = match time {
        Some(at) => offsets(session, &chosen, OffsetSpec::Timestamp(TimestampMs(at)))?,
        None => BTreeMap::new(),
    };
    let other = match &to.to_group {
        Some(other) => {
            let found = session.admin.group_offsets(other.as_str()).wait();
            found.map_err(|error| told(format!("cannot see offsets of {other}"), &error))?
        }
        None => BTreeMap::new(),
    };
    let mut steps = Vec::new();
    for at in chosen {
        let of = |listed: &BTreeMap<TopicPartition, ListedOffset>| {
            listed.get(&at).and_then(|found| found.offset).map(Offset::to_wire)
        };
        let (begin, end) = (of(&begins).unwrap_or(0), of(&ends).unwrap_or(0));
        let current = committed.get(&at).map(|found| found.offset.to_wire());
        let wanted = if to.to_earliest {
            Some(begin)
        } else if to.to_latest {
            Some(end)
        } else if to.to_current {
            Some(current.unwrap_or(end))
        } else if let Some(offset) = to.to_offset {
            Some(offset)
        } else if let Some(shift) = to.shift_by {
            current.map(|current| current.saturating_add(shift))
        } else if time.is_some() {
            Some(of(&times).unwrap_or(end))
        } else if to.to_group.is_some() {
            other.get(&at).map(|found| found.offset.to_wire())
        } else {
            from_file.as_ref().and_then(|file| file.get(&at)).copied()
        };
        // A partition about which nothing is said stays as it is.
        if let Some(wanted) = wanted {
            steps.push(Step { current, new: wanted.clamp(begin, end.max(begin)), end, at });
        }
    }
    if steps.is_empty() {
        let why = "none of its partitions has an offset to start from";
        return Err(CliError::new(Kind::NotFound, format!("nothing to reset for group {group}"), why));
    }
    Ok(steps)
}

/// Partitions of `TOPIC` and `TOPIC:0,1`.
pub(crate) fn chosen(session: &Session, topics: &[String]) -> Result<Vec<TopicPartition>, CliError> {
    let mut found = Vec::new();
    for given in topics {
        let (name, numbers) = given.split_once(':').map_or((given.as_str(), None), |(name, some)| (name, Some(some)));
        let all = partitions(session, vec![name.to_owned()])?;
        let Some(numbers) = numbers else {
            found.extend(all);
            continue;
        };
        for number in numbers.split(',') {
            let at = all.iter().find(|at| number.trim().parse() == Ok(at.partition.value())).ok_or_else(|| {
                let why = format!("it has {} partitions", all.len());
                CliError::new(Kind::NotFound, format!("{name} has no partition {number}"), why)
            })?;
            found.push(at.clone());
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn read_file(path: &Path) -> Result<BTreeMap<TopicPartition, i64>, CliError> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| CliError::caused(format!("cannot read {shown}"), &error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let wrong = || {
                let what = format!("line {} of {shown} is no offset", at + 1);
                CliError::new(Kind::Usage, what, "it is not of the form TOPIC,PARTITION,OFFSET")
            };
            let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
            let [topic, number, offset] = fields[..] else { return Err(wrong()) };
            let number = number.parse().ok().and_then(PartitionIndex::from_wire).ok_or_else(wrong)?;
            Ok((partition(&topic_name(topic)?, number), offset.parse().map_err(|_| wrong())?))
        })
        .collect()
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is no length of time, such as PT1H or 90s"))
}
