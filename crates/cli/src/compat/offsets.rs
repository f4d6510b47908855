//! `kafka-get-offsets` and `kafka-delete-records`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use highwater_client::admin::OffsetSpec;
use highwater_client::{Offset, PartitionIndex, TimestampMs, TopicPartition};
use serde_json::Value;

use super::{Failure, java_name, parse, said};
use crate::connection::Connection;
use crate::output::{note, print};
use crate::selection::whole;
use crate::session::{Session, partition, told, topic_name};
use crate::topic::offsets::partitions;

/// An interactive shell for getting topic-partition offsets.
#[derive(Debug, Parser)]
#[command(name = "kafka-get-offsets")]
struct GetOffsets {
    /// The server(s) to connect to in the form HOST1:PORT1,HOST2:PORT2.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// The topic to get the offsets for. It also accepts a regular expression.
    #[arg(long, conflicts_with = "topic_partitions")]
    topic: Option<String>,
    /// Comma separated list of partition ids to get the offsets for.
    #[arg(long, value_delimiter = ',', conflicts_with = "topic_partitions")]
    partitions: Vec<u32>,
    /// Comma separated list of topic-partition patterns: topic:partition, topic:lower-upper, topic:lower-.
    #[arg(long, value_delimiter = ',')]
    topic_partitions: Vec<String>,
    /// Timestamp of the offsets before that: a number, latest or -1, earliest or -2, max-timestamp or -3.
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// By default, internal topics are included. If specified, internal topics are excluded.
    #[arg(long)]
    exclude_internal_topics: bool,
}

/// Delete records of the given partitions down to the specified offset.
#[derive(Debug, Parser)]
#[command(name = "kafka-delete-records")]
struct DeleteRecords {
    /// The server to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// A property file containing configs to be passed to Admin Client.
    #[arg(long)]
    command_config: Option<PathBuf>,
    /// The JSON file with offset per partition: {"partitions": [{"topic": "foo", "partition": 1, "offset": 1}], "version": 1}.
    #[arg(long)]
    offset_json_file: PathBuf,
}

pub(super) fn run_get(arguments: Vec<OsString>) -> ExitCode {
    let tool: GetOffsets = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    tool.run().map_or_else(
        |failure| {
            note(&format!("Error occurred: {failure}"));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

pub(super) fn run_delete(arguments: Vec<OsString>) -> ExitCode {
    let tool: DeleteRecords = match parse(arguments) {
        Ok(tool) => tool,
        Err(code) => return code,
    };
    tool.run().map_or_else(
        |failure| {
            note(&format!("Error: {failure}"));
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Which partitions a pattern such as `t`, `t:3` or `t:1-5` means.
struct Pattern {
    topic: regex::Regex,
    from: u32,
    to: Option<u32>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure::new(format!("Invalid rule specification: {text}"));
        let (topic, range) = text.rsplit_once(':').unwrap_or((text, ""));
        let topic = whole(if topic.is_empty() { ".*" } else { topic })?;
        let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        let (from, to) = match range.split_once('-') {
            None if range.is_empty() => (0, None),
            None => (number(range)?, Some(number(range)?.saturating_add(1))),
            Some((from, to)) => {
                (if from.is_empty() { 0 } else { number(from)? }, if to.is_empty() { None } else { Some(number(to)?) })
            }
        };
        Ok(Self { topic, from, to })
    }

    fn is_match(&self, at: &TopicPartition) -> bool {
        let number = at.partition.value();
        self.topic.is_match(at.topic.as_str()) && self.from <= number && self.to.is_none_or(|to| number < to)
    }
}

impl GetOffsets {
    fn run(&self) -> Result<(), Failure> {
        let connection = Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone());
        let spec = match self.time.as_str() {
            "latest" | "-1" => OffsetSpec::Latest,
            "earliest" | "-2" => OffsetSpec::Earliest,
            "max-timestamp" | "-3" => OffsetSpec::MaxTimestamp,
            other => match other.parse() {
                Ok(at) if 0 <= at => OffsetSpec::Timestamp(TimestampMs(at)),
                _ => {
                    return Err(Failure::new(format!(
                        "Malformed time argument {other}. Please use -1 or latest / -2 or earliest / -3 or \
                         max-timestamp / -4 or earliest-local / -5 or latest-tiered, or a specified long format \
                         timestamp"
                    )));
                }
            },
        };
        let session = Session::open(&connection)?;
        let patterns: Vec<Pattern> = if self.topic_partitions.is_empty() {
            vec![Pattern::parse(self.topic.as_deref().unwrap_or(".*"))?]
        } else {
            self.topic_partitions.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?
        };
        let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
        let names = listed.into_iter().filter(|topic| !(self.exclude_internal_topics && topic.is_internal));
        let mut all = partitions(&session, names.map(|topic| topic.name).collect())?;
        all.retain(|at| {
            patterns.iter().any(|pattern| pattern.is_match(at))
                && (self.partitions.is_empty() || self.partitions.contains(&at.partition.value()))
        });
        if all.is_empty() {
            return Err(Failure::new("Could not match any topic-partitions with the specified filters"));
        }
        let wanted = all.iter().map(|at| (at.clone(), spec));
        let mut text = String::new();
        for (at, result) in session.admin.list_offsets(wanted, false).wait().map_err(|error| said(&error))? {
            let (topic, number) = (at.topic.as_str(), at.partition);
            match result {
                // Kafka leaves out a partition without a record of that time.
                Ok(found) => {
                    if let Some(offset) = found.offset {
                        text.push_str(&format!("{topic}:{number}:{}\n", offset.value()));
                    }
                }
                Err(error) => note(&format!(
                    "Skip getting offsets for topic-partition {topic}-{number} due to error: {}",
                    said(&error)
                )),
            }
        }
        Ok(print(&text)?)
    }
}

impl DeleteRecords {
    fn run(&self) -> Result<(), Failure> {
        let shown = self.offset_json_file.display();
        let text = std::fs::read_to_string(&self.offset_json_file)
            .map_err(|error| Failure::new(format!("cannot read {shown}: {error}")))?;
        let wrong = |why: &str| Failure::new(format!("{shown} is no list of offsets: {why}"));
        let value: Value = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
        let listed = value.get("partitions").and_then(Value::as_array).ok_or_else(|| wrong("it has no partitions"))?;
        let mut wanted = Vec::new();
        for entry in listed {
            let number = |name: &str| entry.get(name).and_then(Value::as_i64).ok_or_else(|| wrong(name));
            let topic = topic_name(entry.get("topic").and_then(Value::as_str).ok_or_else(|| wrong("topic"))?)?;
            let index = i32::try_from(number("partition")?).ok().and_then(PartitionIndex::from_wire);
            let at = partition(&topic, index.ok_or_else(|| wrong("partition"))?);
            // -1 stands for all that are committed.
            wanted.push((at, Offset::from_wire(number("offset")?)));
        }
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        print("Executing records delete operation\n")?;
        let results = session.admin.delete_records(wanted).wait().map_err(|error| said(&error))?;
        print("Records delete operation completed:\n")?;
        for (at, result) in results {
            let name = format!("{}-{}", at.topic.as_str(), at.partition);
            match result {
                Ok(low) => print(&format!("partition: {name}\tlow_watermark: {}\n", low.value()))?,
                Err(error) => print(&format!("partition: {name}\terror: {}\n", java_name(&error)))?,
            }
        }
        Ok(())
    }
}
