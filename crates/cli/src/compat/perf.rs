//! `kafka-producer-perf-test` and `kafka-consumer-perf-test`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Parser};

use super::{end, parse};
use crate::bench::consume::{HEADER, line, read};
use crate::bench::produce::{Load, REPORT_EVERY, random_payload, send};
use crate::connection::{Connection, pair, read_settings};
use crate::consume::range::Place;
use crate::error::{CliError, Kind};
use crate::output::{note, print};
use crate::progress::Style;
use crate::session::{Session, topic_name};

/// Verify the producer performance.
#[derive(Debug, Parser)]
#[command(name = "kafka-producer-perf-test")]
#[command(group = ArgGroup::new("payload").args(["record_size", "payload_file", "payload_monotonic"]).required(true))]
struct ProducerPerf {
    /// The server(s) to connect to.
    #[arg(long)]
    bootstrap_server: Option<String>,
    /// Produce messages to this topic.
    #[arg(long)]
    topic: String,
    /// Number of messages to produce.
    #[arg(long)]
    num_records: u64,
    /// Message size in bytes.
    #[arg(long)]
    record_size: Option<usize>,
    /// File to read the message payloads from.
    #[arg(long)]
    payload_file: Option<PathBuf>,
    /// Delimiter to be used when --payload-file is provided.
    #[arg(long, default_value = r"\n")]
    payload_delimiter: String,
    /// Payload is a monotonically increasing integer.
    #[arg(long)]
    payload_monotonic: bool,
    /// Throttle maximum message throughput to this number; -1 to disable.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1.0)]
    throughput: f64,
    /// Kafka producer related configuration properties like bootstrap.servers, client.id etc.
    #[arg(long, visible_alias = "producer-props", num_args = 1.., value_parser = pair)]
    command_property: Vec<(String, String)>,
    /// Producer config properties file.
    #[arg(long, visible_alias = "producer.config")]
    command_config: Option<PathBuf>,
    /// Interval in milliseconds at which to print progress info.
    #[arg(long)]
    reporting_interval: Option<u64>,
}

/// Verify the consumer performance.
#[derive(Debug, Parser)]
#[command(name = "kafka-consumer-perf-test")]
struct ConsumerPerf {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// The topic to consume from.
    #[arg(long)]
    topic: String,
    /// The number of records to consume.
    #[arg(long, visible_alias = "messages")]
    num_records: u64,
    /// If there is nothing to read, start with the latest message rather than the earliest message.
    #[arg(long)]
    from_latest: bool,
    /// If set, skips printing the header for the stats.
    #[arg(long)]
    hide_header: bool,
    /// The maximum allowed time in milliseconds between returned records.
    #[arg(long, default_value_t = 10_000)]
    timeout: u64,
    /// Consumer config properties file.
    #[arg(long, visible_alias = "consumer.config")]
    command_config: Option<PathBuf>,
}

pub(super) fn run_producer(arguments: Vec<OsString>) -> ExitCode {
    match parse::<ProducerPerf>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

pub(super) fn run_consumer(arguments: Vec<OsString>) -> ExitCode {
    match parse::<ConsumerPerf>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

impl ProducerPerf {
    fn run(&self) -> Result<(), CliError> {
        let mut configs = match &self.command_config {
            Some(file) => read_settings(file)?,
            None => std::collections::BTreeMap::new(),
        };
        configs.extend(self.command_property.iter().cloned());
        let servers = configs.remove("bootstrap.servers");
        let servers = self.bootstrap_server.clone().or(servers).ok_or_else(|| {
            CliError::new(
                Kind::Usage,
                "no broker is named",
                "neither --bootstrap-server nor bootstrap.servers is given",
            )
        })?;
        // What belongs to the client is no config of the producer.
        configs.retain(|key, _| !highwater_client::CLIENT_CONFIG_KEYS.contains(&key.as_str()));
        configs.retain(|key, _| !["key.serializer", "value.serializer"].contains(&key.as_str()));
        let servers = servers.split(',').map(str::to_owned).collect();
        let session = Session::open(&Connection::of_shim(servers, self.command_config.clone()))?;
        let load = Load {
            topic: topic_name(&self.topic)?,
            records: self.num_records,
            payloads: self.payloads()?,
            rate: Some(self.throughput).filter(|rate| 0.0 < *rate),
            configs: configs.into_iter().collect(),
            progress: Style::None,
            report_every: self.reporting_interval.map_or(REPORT_EVERY, Duration::from_millis),
        };
        print(&format!("{}\n", send(&session, &load)?))
    }

    fn payloads(&self) -> Result<Vec<Vec<u8>>, CliError> {
        if let Some(file) = &self.payload_file {
            let shown = file.display();
            let text = std::fs::read_to_string(file)
                .map_err(|error| CliError::caused(format!("cannot read {shown}"), &error))?;
            let delimiter = self.payload_delimiter.replace(r"\n", "\n").replace(r"\t", "\t");
            let payloads: Vec<Vec<u8>> =
                text.trim_end_matches('\n').split(&delimiter).map(|line| line.as_bytes().to_vec()).collect();
            if payloads.iter().all(Vec::is_empty) {
                return Err(CliError::new(Kind::Usage, format!("{shown} has no payloads"), "it is empty"));
            }
            return Ok(payloads);
        }
        if self.payload_monotonic {
            return Ok((0..self.num_records.min(MONOTONIC_MAX)).map(|n| n.to_string().into_bytes()).collect());
        }
        Ok(vec![random_payload(self.record_size.unwrap_or(1).clamp(1, 64 << 20))])
    }
}

impl ConsumerPerf {
    fn run(&self) -> Result<(), CliError> {
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        if !self.hide_header {
            print(&format!("{HEADER}\n"))?;
        }
        let from = if self.from_latest { Place::End } else { Place::Start };
        let idle = Duration::from_millis(self.timeout);
        let measured = read(&session, &self.topic, from, Some(self.num_records), idle)?;
        if measured.records < self.num_records {
            note(&format!(
                "WARNING: Exiting before consuming the expected number of records: timeout ({} ms) exceeded. You can use \
                 the --timeout option to increase the timeout.",
                self.timeout
            ));
        }
        print(&format!("{}\n", line(&measured)))
    }
}

/// Numbers start again behind so many.
const MONOTONIC_MAX: u64 = 1_000_000;
