//! `kafka-console-producer` and `kafka-console-consumer`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use highwater_client::{Header, OffsetReset, Producer, ProducerRecord, TopicName};
use highwater_records::TimestampType;

use super::{end, parse};
use crate::connection::{Connection, pair, read_settings};
use crate::consume::range::Place;
use crate::consume::reader::{Flow, Membership, Reader};
use crate::consume::with_shown;
use crate::error::{CliError, Kind};
use crate::output::{note, print};
use crate::selection::whole;
use crate::session::{Session, not_sent, told, topic_name};
use crate::template::Shown;
use crate::topic::offsets::partitions;

/// Read data from standard input and publish it to Kafka.
#[derive(Debug, Parser)]
#[command(name = "kafka-console-producer")]
struct ConsoleProducer {
    /// The server(s) to connect to.
    #[arg(long, visible_alias = "broker-list", value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// The topic name to produce messages to.
    #[arg(long)]
    topic: String,
    /// Producer config properties file.
    #[arg(long, visible_alias = "producer.config")]
    command_config: Option<PathBuf>,
    /// Producer config property in the form key=value.
    #[arg(long, visible_alias = "producer-property", value_parser = pair)]
    command_property: Vec<(String, String)>,
    /// Property of the reader: parse.key, key.separator, parse.headers, headers.delimiter, headers.separator,
    /// headers.key.separator, ignore.error, null.marker.
    #[arg(long, visible_alias = "property", value_parser = pair)]
    reader_property: Vec<(String, String)>,
    /// The compression codec: none, gzip, snappy, lz4 or zstd; gzip if no value is given.
    #[arg(long, num_args = 0..=1, default_missing_value = "gzip")]
    compression_codec: Option<String>,
    /// The required acks of the producer requests.
    #[arg(long)]
    request_required_acks: Option<String>,
    /// The amount of time the producer awaits a response, in milliseconds.
    #[arg(long)]
    request_timeout_ms: Option<String>,
    /// The number of milliseconds that messages wait for a full batch.
    #[arg(long)]
    timeout: Option<String>,
    /// Number of bytes in a batch.
    #[arg(long, visible_alias = "max-partition-memory-bytes")]
    batch_size: Option<String>,
    /// How long sending may block, in milliseconds.
    #[arg(long)]
    max_block_ms: Option<String>,
    /// The total memory used by the producer to buffer records, in bytes.
    #[arg(long)]
    max_memory_bytes: Option<String>,
    /// If set message send requests to the brokers are synchronous, one at a time as they arrive.
    #[arg(long)]
    sync: bool,
}

/// Read data from Kafka and write it to standard output.
#[derive(Debug, Parser)]
#[command(name = "kafka-console-consumer")]
struct ConsoleConsumer {
    /// The server(s) to connect to.
    #[arg(long, value_delimiter = ',', required = true)]
    bootstrap_server: Vec<String>,
    /// The topic to consume on.
    #[arg(long, required_unless_present = "include")]
    topic: Option<String>,
    /// Regular expression specifying list of topics to include for consumption.
    #[arg(long, conflicts_with = "topic")]
    include: Option<String>,
    /// The partition to consume from.
    #[arg(long, requires = "topic")]
    partition: Option<u32>,
    /// The offset to consume from: a number, earliest or latest.
    #[arg(long, requires = "partition", default_value = "latest")]
    offset: String,
    /// Start with the earliest message present in the log rather than the latest message.
    #[arg(long)]
    from_beginning: bool,
    /// The maximum number of messages to consume before exiting.
    #[arg(long)]
    max_messages: Option<u64>,
    /// Exit if no message is available for consumption for the specified interval, in milliseconds.
    #[arg(long)]
    timeout_ms: Option<u64>,
    /// The consumer group id of the consumer; without one no group is joined.
    #[arg(long, conflicts_with = "partition")]
    group: Option<String>,
    /// Set to read_committed in order to filter out transactional messages which are not committed.
    #[arg(long, default_value = "read_uncommitted", value_parser = ["read_committed", "read_uncommitted"])]
    isolation_level: String,
    /// Property of the formatter: print.timestamp, print.key, print.offset, print.partition, print.headers, print.value,
    /// key.separator, line.separator, headers.separator, null.literal.
    #[arg(long, visible_alias = "property", value_parser = pair)]
    formatter_property: Vec<(String, String)>,
    /// Consumer config properties file.
    #[arg(long, visible_alias = "consumer.config")]
    command_config: Option<PathBuf>,
    /// Consumer config property in the form key=value.
    #[arg(long, visible_alias = "consumer-property", value_parser = pair)]
    command_property: Vec<(String, String)>,
}

pub(super) fn run_producer(arguments: Vec<OsString>) -> ExitCode {
    match parse::<ConsoleProducer>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

pub(super) fn run_consumer(arguments: Vec<OsString>) -> ExitCode {
    match parse::<ConsoleConsumer>(arguments) {
        Ok(tool) => end(tool.run()),
        Err(code) => code,
    }
}

/// How lines become records.
struct LineReader {
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: String,
    headers_key_separator: String,
    ignore_error: bool,
    null_marker: Option<String>,
}

impl LineReader {
    fn new(properties: &BTreeMap<String, String>) -> Self {
        let text = |key: &str, default: &str| properties.get(key).map_or(default, String::as_str).to_owned();
        let flag = |key: &str| properties.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        Self {
            parse_key: flag("parse.key"),
            key_separator: text("key.separator", "\t"),
            parse_headers: flag("parse.headers"),
            headers_delimiter: text("headers.delimiter", "\t"),
            headers_separator: text("headers.separator", ","),
            headers_key_separator: text("headers.key.separator", ":"),
            ignore_error: flag("ignore.error"),
            null_marker: properties.get("null.marker").cloned(),
        }
    }

    fn record(&self, topic: &TopicName, line: &str, number: u64) -> Result<ProducerRecord<Vec<u8>, Vec<u8>>, CliError> {
        let (headers, rest) = self.split(line, &self.headers_delimiter, self.parse_headers, "headers", number)?;
        let (key, value) = self.split(rest, &self.key_separator, self.parse_key, "key", number)?;
        let bytes = |text: &str| (self.null_marker.as_deref() != Some(text)).then(|| text.as_bytes().to_vec());
        let mut record = ProducerRecord::new(topic.clone(), Vec::new());
        record.value = bytes(value);
        record.key = key.and_then(bytes);
        for header in
            headers.and_then(bytes).iter().flat_map(|_| headers.unwrap_or_default().split(&self.headers_separator))
        {
            let (name, value) = match header.split_once(&self.headers_key_separator) {
                Some((name, value)) => (name, value),
                None if self.ignore_error => (header, ""),
                None => {
                    let separator = &self.headers_key_separator;
                    return Err(wrong(
                        &format!("No header key separator found in pair '{header}' on line number {number}"),
                        separator,
                    ));
                }
            };
            record.headers.push(Header { key: name.to_owned(), value: bytes(value) });
        }
        Ok(record)
    }

    fn split<'a>(
        &self,
        line: &'a str,
        delimiter: &str,
        wanted: bool,
        what: &str,
        number: u64,
    ) -> Result<(Option<&'a str>, &'a str), CliError> {
        if !wanted {
            return Ok((None, line));
        }
        match line.split_once(delimiter) {
            Some((first, rest)) => Ok((Some(first), rest)),
            None if self.ignore_error => Ok((None, line)),
            None => Err(wrong(&format!("No {what} separator found on line number {number}: '{line}'"), delimiter)),
        }
    }
}

fn wrong(what: &str, separator: &str) -> CliError {
    CliError::new(Kind::Failed, what, format!("there is no {separator:?} in it"))
        .hint("--reader-property ignore.error=true takes such lines as values")
}

impl ConsoleProducer {
    fn run(&self) -> Result<(), CliError> {
        let topic = topic_name(&self.topic)?;
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        let producer = self.producer(&session)?;
        let reader = LineReader::new(&self.reader_property.iter().cloned().collect());
        let outcome = self.send_lines(&producer, &topic, &reader);
        let closed = producer.close(CLOSE).wait().map_err(|error| told("cannot end the producer", &error));
        outcome.and(closed)
    }

    fn producer(&self, session: &Session) -> Result<Producer<Vec<u8>, Vec<u8>>, CliError> {
        let mut configs = match &self.command_config {
            Some(file) => read_settings(file)?,
            None => BTreeMap::new(),
        };
        for (key, value) in [
            ("compression.type", &self.compression_codec),
            ("acks", &self.request_required_acks),
            ("linger.ms", &self.timeout),
            ("batch.size", &self.batch_size),
            ("max.block.ms", &self.max_block_ms),
            ("buffer.memory", &self.max_memory_bytes),
            ("request.timeout.ms", &self.request_timeout_ms),
        ] {
            if let Some(value) = value {
                let all = key == "acks" && value == "-1";
                configs.insert(key.to_owned(), if all { "all".to_owned() } else { value.clone() });
            }
        }
        configs.extend(self.command_property.iter().cloned());
        configs.retain(|key, _| !highwater_client::CLIENT_CONFIG_KEYS.contains(&key.as_str()));
        configs.retain(|key, _| !["key.serializer", "value.serializer"].contains(&key.as_str()));
        let mut builder = session.client.producer();
        for (key, value) in &configs {
            builder = builder.config(key, value);
        }
        builder.build().map_err(|error| told("cannot make a producer", &error))
    }

    fn send_lines(
        &self,
        producer: &Producer<Vec<u8>, Vec<u8>>,
        topic: &TopicName,
        reader: &LineReader,
    ) -> Result<(), CliError> {
        let what = || format!("cannot produce to {}", self.topic);
        let is_watched = io::stdin().is_terminal();
        let mut input = io::stdin().lock();
        let mut deliveries = std::collections::VecDeque::new();
        let mut number = 0;
        loop {
            let mut line = String::new();
            if is_watched {
                print(">")?;
            }
            if input.read_line(&mut line).map_err(|error| CliError::caused("cannot read records", &error))? == 0 {
                break;
            }
            number += 1;
            let line = line.strip_suffix('\n').unwrap_or(&line);
            let record = reader.record(topic, line.strip_suffix('\r').unwrap_or(line), number)?;
            if self.sync {
                producer.send(record).wait().map_err(|error| not_sent(what(), &error))?;
                continue;
            }
            deliveries.push_back(producer.enqueue(record).wait().map_err(|error| not_sent(what(), &error))?);
            if DELIVERIES_MAX < deliveries.len()
                && let Some(oldest) = deliveries.pop_front()
            {
                oldest.wait().map_err(|error| not_sent(what(), &error))?;
            }
        }
        for delivery in deliveries {
            delivery.wait().map_err(|error| not_sent(what(), &error))?;
        }
        Ok(())
    }
}

/// What Kafka's default formatter prints of a record.
struct Formatter {
    timestamp: bool,
    key: bool,
    offset: bool,
    partition: bool,
    headers: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
}

impl Formatter {
    fn new(properties: &BTreeMap<String, String>) -> Self {
        let text = |key: &str, default: &str| properties.get(key).map_or(default, String::as_str).to_owned();
        let flag = |key: &str| properties.get(key).map(|value| value.trim().eq_ignore_ascii_case("true"));
        Self {
            timestamp: flag("print.timestamp").unwrap_or(false),
            key: flag("print.key").unwrap_or(false),
            offset: flag("print.offset").unwrap_or(false),
            partition: flag("print.partition").unwrap_or(false),
            headers: flag("print.headers").unwrap_or(false),
            value: flag("print.value").unwrap_or(true),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
        }
    }

    fn write(&self, record: &Shown<'_>, out: &mut Vec<u8>) {
        let mut fields: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let text = record.timestamp.map_or_else(
                || "NO_TIMESTAMP".to_owned(),
                |(kind, millis): (TimestampType, i64)| format!("{}:{millis}", kind.name()),
            );
            fields.push(text.into_bytes());
        }
        if self.partition {
            fields.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            fields.push(format!("Offset:{}", record.offset).into_bytes());
        }
        let literal = self.null_literal.as_bytes();
        if self.headers {
            let header =
                |(name, value): &(&str, Option<&[u8]>)| [name.as_bytes(), b":", value.unwrap_or(literal)].concat();
            let headers: Vec<Vec<u8>> = record.headers.iter().map(header).collect();
            let joined = headers.join(self.headers_separator.as_bytes());
            fields.push(if headers.is_empty() { b"NO_HEADERS".to_vec() } else { joined });
        }
        if self.key {
            fields.push(record.key.unwrap_or(literal).to_vec());
        }
        if self.value {
            fields.push(record.value.unwrap_or(literal).to_vec());
        }
        out.extend(fields.join(self.key_separator.as_bytes()));
        out.extend_from_slice(self.line_separator.as_bytes());
    }
}

impl ConsoleConsumer {
    fn run(&self) -> Result<(), CliError> {
        let session = Session::open(&Connection::of_shim(self.bootstrap_server.clone(), self.command_config.clone()))?;
        let all = self.partitions(&session)?;
        let place = match self.offset.as_str() {
            _ if self.from_beginning => Place::Start,
            "earliest" => Place::Start,
            "latest" => Place::End,
            number => Place::Offset(number.parse().map_err(|_| {
                let why = "it is no number, nor earliest, nor latest";
                CliError::new(Kind::Failed, format!("no offset is {number}"), why)
            })?),
        };
        let formatter = Formatter::new(&self.formatter_property.iter().cloned().collect());
        let mut reader = self.reader(&session, &all, place)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let (mut count, mut last, mut line) = (0_u64, Instant::now(), Vec::new());
        let wait = self.timeout_ms.map_or(WAIT, |timeout| WAIT.min(Duration::from_millis(timeout)));
        let mut is_heard = true;
        while is_heard && Some(count) != self.max_messages {
            if self.timeout_ms.is_some_and(|timeout| Duration::from_millis(timeout) <= last.elapsed()) {
                break;
            }
            let before = count;
            let flow = reader.poll(wait, &mut |found| {
                line.clear();
                with_shown(found, |shown| formatter.write(shown, &mut line));
                is_heard = out.write_all(&line).is_ok();
                count += 1;
                Ok(if !is_heard || Some(count) == self.max_messages { Flow::Stop } else { Flow::On })
            })?;
            is_heard &= out.flush().is_ok();
            if before < count {
                last = Instant::now();
            }
            if flow == Flow::Stop {
                break;
            }
        }
        reader.close()?;
        note(&format!("Processed a total of {count} messages"));
        Ok(())
    }

    fn reader(
        &self,
        session: &Session,
        all: &[highwater_client::TopicPartition],
        place: Place,
    ) -> Result<Reader, CliError> {
        let read_committed = self.isolation_level == "read_committed";
        let configured = match &self.command_config {
            Some(file) => read_settings(file)?.remove("group.id"),
            None => None,
        };
        let property = self.command_property.iter().find(|(key, _)| key == "group.id").map(|(_, value)| value.clone());
        let Some(group) = self.group.clone().or(property).or(configured) else {
            return Reader::new(session, place.offsets(session, all)?, read_committed);
        };
        let mut topics: Vec<TopicName> = all.iter().map(|at| at.topic.clone()).collect();
        topics.dedup();
        let start = if self.from_beginning { OffsetReset::Earliest } else { OffsetReset::Latest };
        let protocol = self.command_property.iter().filter(|(key, _)| key == "group.protocol").cloned();
        let membership = Membership { group: &group, topics, start };
        Reader::of_group(&session.client, membership, read_committed, &protocol.collect::<Vec<_>>())
    }

    fn partitions(&self, session: &Session) -> Result<Vec<highwater_client::TopicPartition>, CliError> {
        let names = match (&self.topic, &self.include) {
            (Some(topic), _) => vec![topic.clone()],
            (None, include) => {
                let pattern = whole(include.as_deref().unwrap_or(".*"))?;
                let listed = session.admin.list_topics().wait().map_err(|error| told("cannot list topics", &error))?;
                listed.into_iter().map(|topic| topic.name).filter(|name| pattern.is_match(name)).collect()
            }
        };
        let mut all = partitions(session, names)?;
        all.retain(|at| self.partition.is_none_or(|partition| at.partition.value() == partition));
        if all.is_empty() {
            return Err(CliError::new(Kind::NotFound, "nothing to read", "no topic and partition is as named"));
        }
        Ok(all)
    }
}

const WAIT: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_secs(30);
const DELIVERIES_MAX: usize = 10_000;
