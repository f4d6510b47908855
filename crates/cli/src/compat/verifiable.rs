//! `kafka-verifiable-producer`.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use highwater_client::{ProducerRecord, RecordMetadata, SendError, TimestampMs};
use serde_json::{Value, json};

use super::{end, parse};
use crate::connection::{Connection, read_settings};
use crate::error::CliError;
use crate::output::print;
use crate::session::{Session, told, topic_name};
use crate::timestamp::now_ms;

/// Produce increasing integers to the specified topic and print JSON metadata for each send.
#[derive(Debug, Parser)]
#[command(name = "kafka-verifiable-producer")]
struct VerifiableProducer {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// Produce messages to this topic.
    #[arg(long)]
    topic: String,
    /// Produce this many messages. If -1, produce messages until the process is killed externally.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    max_messages: i64,
    /// Throttle maximum message throughput to this number; -1 to disable.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    throughput: i64,
    /// Acks required on each produced message: 0, 1 or -1.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    acks: i32,
    /// Producer config properties file.
    #[arg(long, visible_alias = "producer.config")]
    command_config: Option<PathBuf>,
    /// The timestamp of the first message, in milliseconds; each one after it is a millisecond later.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    message_create_time: i64,
    /// Produced values have this prefix and a dot.
    #[arg(long)]
    value_prefix: Option<i32>,
    /// Keys count from 0 up to this, and begin again.
    #[arg(long)]
    repeating_keys: Option<u64>,
}

pub(super) fn run(arguments: Vec<OsString>) -> ExitCode {
    match parse::<VerifiableProducer>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

/// Prints an event: a JSON object with the time, its name, and what belongs to it.
pub(super) fn event(name: &str, fields: Value) -> Result<(), CliError> {
    let mut line = json!({ "timestamp": now_ms(), "name": name });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    print(&format!("{line}\n"))
}

/// A record on its way, with its key and value.
type Sent = (Option<String>, String, highwater_client::Send);

impl VerifiableProducer {
    fn run(&self) -> Result<(), CliError> {
        let topic = topic_name(&self.topic)?;
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        let mut configs = match &self.command_config {
            Some(file) => read_settings(file)?,
            None => BTreeMap::new(),
        };
        configs.retain(|key, _| !highwater_client::CLIENT_CONFIG_KEYS.contains(&key.as_str()));
        let acks = if self.acks == -1 { "all".to_owned() } else { self.acks.to_string() };
        // As Kafka's tool has it: whoever verifies wants to see each failure.
        let mut builder = session.client.producer::<Vec<u8>, Vec<u8>>().config("acks", &acks).config("retries", "0");
        for (key, value) in &configs {
            builder = builder.config(key, value);
        }
        let producer = builder.build().map_err(|error| told("cannot make a producer", &error))?;
        event("startup_complete", json!({}))?;
        let begin = Instant::now();
        let (mut sent, mut acked) = (0_u64, 0_u64);
        let mut under_way: VecDeque<Sent> = VecDeque::new();
        while u64::try_from(self.max_messages).is_ok_and(|max| sent < max) || self.max_messages < 0 {
            if let Some(rate) = u32::try_from(self.throughput).ok().filter(|rate| 0 < *rate) {
                let due = Duration::from_secs_f64(sent as f64 / f64::from(rate));
                std::thread::sleep(due.saturating_sub(begin.elapsed()));
            }
            let value = match self.value_prefix {
                Some(prefix) => format!("{prefix}.{sent}"),
                None => sent.to_string(),
            };
            let key = self.repeating_keys.filter(|keys| 0 < *keys).map(|keys| (sent % keys).to_string());
            let mut record = ProducerRecord::new(topic.clone(), value.clone().into_bytes());
            record.key = key.clone().map(String::into_bytes);
            record.timestamp = i64::try_from(sent)
                .ok()
                .and_then(|sent| self.message_create_time.checked_add(sent))
                .filter(|_| 0 <= self.message_create_time)
                .map(TimestampMs);
            under_way.push_back((key, value, producer.send(record)));
            sent += 1;
            // At a given rate each is told of at once; else so many may be under way.
            if UNDER_WAY_MAX <= under_way.len() || 0 < self.throughput {
                acked += self.finish(&mut under_way)?;
            }
        }
        while !under_way.is_empty() {
            acked += self.finish(&mut under_way)?;
        }
        producer.close(CLOSE).wait().map_err(|error| told("cannot end the producer", &error))?;
        event("shutdown_complete", json!({}))?;
        let average = 1000.0 * acked as f64 / (begin.elapsed().as_millis().max(1) as f64);
        let totals = json!({
            "sent": sent, "acked": acked, "target_throughput": self.throughput, "avg_throughput": average
        });
        event("tool_data", totals)
    }

    /// Waits for the oldest, tells how it ended, and gives how many were acknowledged: one or none.
    fn finish(&self, under_way: &mut VecDeque<Sent>) -> Result<u64, CliError> {
        let Some((key, value, send)) = under_way.pop_front() else { return Ok(0) };
        let result: Result<RecordMetadata, SendError> = send.wait();
        match result {
            Ok(stored) => {
                let offset = stored.offset.map_or(-1, highwater_client::Offset::to_wire);
                let fields = json!({
                    "key": key, "value": value, "offset": offset, "topic": self.topic,
                    "partition": stored.partition.to_wire()
                });
                event("producer_send_success", fields)?;
                Ok(1)
            }
            Err(error) => {
                let class =
                    error.code().map_or_else(|| "class java.lang.Exception".to_owned(), |code| code.name().to_owned());
                let fields = json!({
                    "exception": class, "key": key, "message": error.to_string(), "topic": self.topic, "value": value
                });
                event("producer_send_error", fields)?;
                Ok(0)
            }
        }
    }
}

const UNDER_WAY_MAX: usize = 1000;
const CLOSE: Duration = Duration::from_secs(30);
