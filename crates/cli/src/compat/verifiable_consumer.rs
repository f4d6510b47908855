//! `kafka-verifiable-consumer`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use highwater_client::{Consumer, Event, OffsetReset, Progress, Records, TopicPartition};
use serde_json::{Value, json};

use super::verifiable::event;
use super::{end, parse};
use crate::connection::Connection;
use crate::error::{CliError, Kind};
use crate::session::{Session, told, topic_name};
use crate::signals::EndSignals;

/// Consume messages from a specific topic and emit consumer events as JSON objects.
#[derive(Debug, Parser)]
#[command(name = "kafka-verifiable-consumer")]
struct VerifiableConsumer {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Consumes messages from this topic.
    #[arg(long)]
    topic: String,
    /// The group id of the consumer group.
    #[arg(long)]
    group_id: String,
    /// A unique identifier of the consumer instance.
    #[arg(long)]
    group_instance_id: Option<String>,
    /// Group protocol: classic or consumer.
    #[arg(long, default_value = "classic", value_parser = ["classic", "consumer"])]
    group_protocol: String,
    /// Consume this many messages. If -1, consume until the process is killed externally.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    max_messages: i64,
    /// Set the consumer's session timeout, in milliseconds.
    #[arg(long)]
    session_timeout: Option<u32>,
    /// Enable verbose output: an event for each record.
    #[arg(long)]
    verbose: bool,
    /// Enable offset auto-commit on consumer.
    #[arg(long)]
    enable_autocommit: bool,
    /// Set reset policy: earliest, latest or none.
    #[arg(long, default_value = "earliest", value_parser = ["earliest", "latest", "none"])]
    reset_policy: String,
    /// Consumer config properties file.
    #[arg(long, visible_alias = "consumer.config")]
    command_config: Option<PathBuf>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    match parse::<VerifiableConsumer>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

impl VerifiableConsumer {
    fn run(&self) -> Result<(), CliError> {
        let topic = topic_name(&self.topic)?;
        // Before the client starts its thread, which inherits what is blocked.
        let signals = EndSignals::block().map_err(|errno| CliError::caused("cannot prepare for signals", &errno))?;
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        let start = match self.reset_policy.as_str() {
            "earliest" => OffsetReset::Earliest,
            "latest" => OffsetReset::Latest,
            _ => OffsetReset::None,
        };
        let mut builder = session
            .client
            .consumer(&self.group_id)
            .topics([topic])
            .start_at(start)
            .auto_commit(self.enable_autocommit)
            .config("group.protocol", &self.group_protocol);
        if let Some(instance) = &self.group_instance_id {
            builder = builder.config("group.instance.id", instance);
        }
        if let Some(timeout) = self.session_timeout.filter(|_| self.group_protocol == "classic") {
            builder = builder.config("session.timeout.ms", &timeout.to_string());
        }
        let consumer = builder.build().map_err(|error| told("cannot make a consumer", &error))?;
        event("startup_complete", json!({}))?;
        let outcome = self.consume(&consumer, &signals);
        let closed = consumer.close(CLOSE).wait().map_err(|error| told("cannot leave the group", &error));
        event("shutdown_complete", json!({}))?;
        outcome.and(closed)
    }

    fn consume(&self, consumer: &Consumer, signals: &EndSignals) -> Result<(), CliError> {
        let mut left = u64::try_from(self.max_messages).ok();
        while left != Some(0) {
            let ended = signals
                .wait_at_most(Duration::ZERO)
                .map_err(|errno| CliError::caused("cannot wait for signals", &errno))?;
            if ended.is_some() {
                return Ok(());
            }
            match consumer.next().wait_for(WAIT).map_err(|error| told("cannot read", &error))? {
                Some(Event::Records(records)) => {
                    let progress = self.tell(&records, &mut left)?;
                    if !self.enable_autocommit {
                        self.commit(consumer, &progress)?;
                    }
                }
                Some(Event::Assigned { partitions }) => {
                    event("partitions_assigned", json!({ "partitions": places(&partitions) }))?;
                }
                Some(Event::Revoking(revocation)) => {
                    event("partitions_revoked", json!({ "partitions": places(&revocation.partitions) }))?;
                    revocation.done();
                }
                Some(Event::Lost { partitions }) => {
                    event("partitions_revoked", json!({ "partitions": places(&partitions) }))?;
                }
                Some(Event::Error(error)) => {
                    return Err(CliError::new(Kind::Failed, "cannot read", error.to_string()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Tells of records, as many as are still wanted, and gives the last of each partition.
    fn tell(
        &self,
        records: &Records,
        left: &mut Option<u64>,
    ) -> Result<Vec<(TopicPartition, i64, Progress)>, CliError> {
        let mut summaries: Vec<(TopicPartition, i64, i64, u64)> = Vec::new();
        let mut ends: Vec<(TopicPartition, i64, Progress)> = Vec::new();
        let mut lines = Vec::new();
        let mut count = 0_u64;
        for record in records {
            if *left == Some(0) {
                break;
            }
            if let Some(left) = left {
                *left -= 1;
            }
            count += 1;
            let (at, offset) = (record.partition(), record.offset().to_wire());
            match summaries.last_mut().filter(|(of, ..)| of == at) {
                Some((_, _, max, count)) => (*max, *count) = (offset, *count + 1),
                None => summaries.push((at.clone(), offset, offset, 1)),
            }
            ends.retain(|(of, ..)| of != at);
            ends.push((at.clone(), offset.saturating_add(1), record.progress()));
            if self.verbose {
                let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                lines.push(json!({
                    "key": text(record.key()), "value": text(record.value()), "topic": at.topic.as_str(),
                    "partition": at.partition.to_wire(), "offset": offset
                }));
            }
        }
        let partitions: Vec<Value> = summaries
            .iter()
            .map(|(at, min, max, count)| {
                json!({
                    "topic": at.topic.as_str(), "partition": at.partition.to_wire(), "count": count,
                    "minOffset": min, "maxOffset": max
                })
            })
            .collect();
        event("records_consumed", json!({ "count": count, "partitions": partitions }))?;
        lines.into_iter().try_for_each(|line| event("record_data", line))?;
        Ok(ends)
    }

    fn commit(&self, consumer: &Consumer, ends: &[(TopicPartition, i64, Progress)]) -> Result<(), CliError> {
        let offsets: Vec<Value> = ends
            .iter()
            .map(|(at, offset, _)| {
                json!({ "topic": at.topic.as_str(), "partition": at.partition.to_wire(), "offset": offset })
            })
            .collect();
        let committed = ends.iter().try_for_each(|(_, _, progress)| consumer.commit(progress.clone()).wait());
        match committed {
            Ok(()) => event("offsets_committed", json!({ "offsets": offsets, "success": true })),
            Err(error) => {
                event("offsets_committed", json!({ "offsets": offsets, "error": error.to_string(), "success": false }))
            }
        }
    }
}

fn places(partitions: &[TopicPartition]) -> Vec<Value> {
    let place = |at: &TopicPartition| json!({ "topic": at.topic.as_str(), "partition": at.partition.to_wire() });
    partitions.iter().map(place).collect()
}

const WAIT: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(10);
