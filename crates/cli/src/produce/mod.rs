//! `highwater produce`.

mod input;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use highwater_client::{Client, Delivery, Header, PartitionIndex, Producer, ProducerRecord, RecordMetadata, TopicName};

use crate::completions;
use crate::connection::{Connection, pair};
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Output, Table};
use crate::progress::{Progress, Style};
use crate::session::{Session, not_sent, told, topic_name};
use input::{Given, Lines, Shape};

/// Arguments of `highwater produce`.
#[derive(Args, Debug)]
pub(crate) struct Produce {
    /// The topic.
    #[arg(add = ArgValueCompleter::new(completions::topics))]
    topic: String,
    /// The value of one record, instead of records that are read.
    #[arg(short, long, conflicts_with_all = ["from", "jsonl", "delim"])]
    value: Option<String>,
    /// The key of every record that brings none.
    #[arg(short, long)]
    key: Option<String>,
    /// A header for every record; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    headers: Vec<(String, String)>,
    /// The partition; by default the key decides.
    #[arg(short, long)]
    partition: Option<u32>,
    /// How to show how much of a file has been read.
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
    /// What to read records from; `-` is standard input.
    #[arg(long, value_name = "FILE", default_value = "-")]
    from: PathBuf,
    /// Each line is a JSON object with `key`, `value` (or kcat's `payload`), `headers`, `partition` and `ts`.
    #[arg(long, conflicts_with = "delim")]
    jsonl: bool,
    /// Each line is a key and a value with this between them.
    #[arg(long, value_name = "TEXT")]
    delim: Option<String>,
    /// An empty value is null, which deletes the key from a compacted topic.
    #[arg(short = 'Z', long)]
    null: bool,
    /// At most so many records a second.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How batches are compressed.
    #[arg(short = 'z', long, value_parser = ["none", "gzip", "snappy", "lz4", "zstd"])]
    compression: Option<String>,
    /// Whom to wait for.
    #[arg(long, value_parser = ["0", "1", "all"])]
    acks: Option<String>,
    /// A config of the producer with Kafka's name; may be given several times.
    #[arg(short = 'X', long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// Print where each record was stored.
    #[arg(long)]
    report: bool,
    #[command(flatten)]
    output: Output,
}

impl Produce {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let topic = topic_name(&self.topic)?;
        let session = Session::open(connection)?;
        // Said before anything is read.
        let described =
            session.admin.describe_topics([self.topic.as_str()]).wait().and_then(highwater_client::admin::Each::only);
        if let Err(error) = described
            && error.code() != Some(highwater_client::ErrorCode::UnknownTopicOrPartition)
        {
            return Err(told(format!("cannot produce to {}", self.topic), &error));
        }
        let producer = self.producer(&session.client)?;
        let mut sent = Sent { report: self.report.then(report), ..Sent::default() };
        let outcome = match &self.value {
            Some(value) => {
                let value = Some(value.clone().into_bytes());
                self.send(&producer, &topic, Given { value, ..Given::default() }, &mut sent)
            }
            None => self.send_lines(&producer, &topic, &mut sent),
        };
        let ended = outcome.and_then(|()| sent.wait_for_all(&self.topic));
        let closed = producer.close(CLOSE).wait().map_err(|error| told("cannot end the producer", &error));
        if let Some(table) = &sent.report {
            self.output.print(table)?;
        }
        ended.and(closed)
    }

    fn producer(&self, client: &Client) -> Result<Producer<Vec<u8>, Vec<u8>>, CliError> {
        let mut builder = client.producer();
        let named = [("compression.type", &self.compression), ("acks", &self.acks)];
        for (key, value) in named {
            if let Some(value) = value {
                builder = builder.config(key, value);
            }
        }
        for (key, value) in &self.configs {
            builder = builder.config(key, value);
        }
        builder.build().map_err(|error| told("cannot make a producer", &error))
    }

    fn send_lines(
        &self,
        producer: &Producer<Vec<u8>, Vec<u8>>,
        topic: &TopicName,
        sent: &mut Sent,
    ) -> Result<(), CliError> {
        let shape = match (&self.delim, self.jsonl) {
            (Some(delim), _) => Shape::Delimited(delim.clone().into_bytes()),
            (None, true) => Shape::Json,
            (None, false) => Shape::Value,
        };
        let source: Box<dyn Read> = if self.from.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let shown = self.from.display();
            let cannot = |error| CliError::caused(format!("cannot read {shown}"), &error);
            let file = File::open(&self.from).map_err(cannot)?;
            let total = file.metadata().map_err(cannot)?.len();
            Box::new(Watched { inner: file, progress: Some(Progress::bytes(self.progress, "producing", total)) })
        };
        let begin = Instant::now();
        let mut lines = Lines::new(BufReader::with_capacity(IN_BYTES, source), shape);
        while let Some(given) = lines.next()? {
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(sent.count as f64 / f64::from(rate));
                std::thread::sleep(due.saturating_sub(begin.elapsed()));
            }
            self.send(producer, topic, given, sent)?;
        }
        Ok(())
    }

    fn send(
        &self,
        producer: &Producer<Vec<u8>, Vec<u8>>,
        topic: &TopicName,
        given: Given,
        sent: &mut Sent,
    ) -> Result<(), CliError> {
        let number = given.partition.or(self.partition.map(i64::from));
        let partition = match number {
            None => None,
            Some(number) => {
                let checked = i32::try_from(number).ok().and_then(PartitionIndex::from_wire);
                let why = || CliError::new(Kind::Usage, format!("no partition is {number}"), "it is not in 0..2^31");
                Some(checked.ok_or_else(why)?)
            }
        };
        let mut headers: Vec<Header> =
            self.headers.iter().map(|(name, value)| Header::new(name.as_str(), value.as_bytes())).collect();
        headers.extend(given.headers.into_iter().map(|(key, value)| Header { key, value }));
        let record = ProducerRecord {
            topic: topic.clone(),
            partition,
            timestamp: given.timestamp.map(highwater_client::TimestampMs),
            key: given.key.or_else(|| self.key.clone().map(String::into_bytes)),
            value: given.value.filter(|value| !(self.null && value.is_empty())),
            headers,
        };
        let what = || format!("cannot produce to {}", self.topic);
        let delivery = producer.enqueue(record).wait().map_err(|error| not_sent(what(), &error))?;
        sent.add(delivery, &self.topic)
    }
}

/// Records on their way.
#[derive(Default)]
struct Sent {
    count: u64,
    deliveries: VecDeque<Delivery>,
    report: Option<Table>,
}

impl Sent {
    fn add(&mut self, delivery: Delivery, topic: &str) -> Result<(), CliError> {
        self.count += 1;
        self.deliveries.push_back(delivery);
        while DELIVERIES_MAX < self.deliveries.len() || self.deliveries.front().is_some_and(Delivery::is_done) {
            self.wait_for_one(topic)?;
        }
        Ok(())
    }

    fn wait_for_all(&mut self, topic: &str) -> Result<(), CliError> {
        while !self.deliveries.is_empty() {
            self.wait_for_one(topic)?;
        }
        Ok(())
    }

    fn wait_for_one(&mut self, topic: &str) -> Result<(), CliError> {
        let Some(delivery) = self.deliveries.pop_front() else { return Ok(()) };
        let stored = delivery.wait().map_err(|error| not_sent(format!("cannot produce to {topic}"), &error))?;
        if let Some(table) = &mut self.report {
            table.row(row(topic, &stored));
        }
        Ok(())
    }
}

fn report() -> Table {
    Table::new(vec![
        Column::new("topic"),
        Column::new("partition"),
        Column::new("offset"),
        Column::new("timestamp").wide(),
    ])
}

fn row(topic: &str, stored: &RecordMetadata) -> Vec<Cell> {
    vec![
        topic.into(),
        stored.partition.to_wire().into(),
        Cell::maybe(stored.offset.map(highwater_client::Offset::to_wire)),
        Cell::Instant(stored.timestamp.value()),
    ]
}

const IN_BYTES: usize = 256 << 10;
/// Records whose end is awaited at most; then the oldest is waited for.
const DELIVERIES_MAX: usize = 10_000;
/// Shows how much of a file has been read.
struct Watched {
    inner: File,
    /// `None` behind the end.
    progress: Option<Progress>,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 {
            if let Some(progress) = self.progress.take() {
                progress.finish();
            }
        } else if let Some(progress) = &mut self.progress {
            progress.add(count as u64);
        }
        Ok(count)
    }
}

const CLOSE: Duration = Duration::from_secs(30);
