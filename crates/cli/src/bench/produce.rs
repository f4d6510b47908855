//! `highwater bench produce`, and what `kafka-producer-perf-test` measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use highwater_client::{ProducerRecord, SendError, TopicName};
use parking_lot::Mutex;

use crate::connection::pair;
use crate::error::{CliError, Kind};
use crate::output::print;
use crate::progress::{Progress, Style};
use crate::session::{Session, not_sent, told, topic_name};

/// Arguments of `highwater bench produce`.
#[derive(Args, Debug)]
pub(crate) struct Produce {
    /// The topic, which has to exist.
    topic: String,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    records: u64,
    /// Bytes of a record's value.
    #[arg(short, long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=(64 << 20)))]
    size: u32,
    /// At most so many records a second.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// A config of the producer with Kafka's name; may be given several times.
    #[arg(short = 'X', long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    configs: Vec<(String, String)>,
    /// How to show progress.
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
}

/// What to send.
#[derive(Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) topic: TopicName,
    /// How many records.
    pub(crate) records: u64,
    /// The values, of which they take turns; at least one.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// At most so many records a second.
    pub(crate) rate: Option<f64>,
    /// Configs of the producer.
    pub(crate) configs: Vec<(String, String)>,
    /// How often to tell how far it is.
    pub(crate) report_every: Duration,
    /// How to show progress meanwhile.
    pub(crate) progress: Style,
}

impl Produce {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let load = Load {
            topic: topic_name(&self.topic)?,
            records: self.records,
            payloads: vec![random_payload(self.size as usize)],
            rate: self.rate.map(|rate| rate as f64),
            configs: self.configs,
            report_every: REPORT_EVERY,
            progress: self.progress,
        };
        session
            .admin
            .describe_topics([self.topic.as_str()])
            .wait()
            .and_then(highwater_client::admin::Each::only)
            .map_err(|error| told(format!("cannot produce to {}", self.topic), &error))?;
        print(&format!("{}\n", send(session, &load)?))
    }
}

/// Letters in a random order that is the same every time.
pub(crate) fn random_payload(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        // xorshift64: cheap, and random enough that codecs find little.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'A' + u8::try_from(state % 26).unwrap_or(0)
    };
    (0..size).map(|_| letter()).collect()
}

/// Latencies of what has been acknowledged.
struct Seen {
    latency_us: Histogram<u64>,
    window_us: Histogram<u64>,
    bytes: u64,
    window_bytes: u64,
    failure: Option<SendError>,
}

/// Sends the load and gives the line that Kafka's tool ends with. Prints how far it is in between.
pub(crate) fn send(session: &Session, load: &Load) -> Result<String, CliError> {
    let what = || format!("cannot produce to {}", load.topic.as_str());
    let mut builder = session.client.producer::<Vec<u8>, Vec<u8>>();
    for (key, value) in &load.configs {
        builder = builder.config(key, value);
    }
    let producer = builder.build().map_err(|error| told("cannot make a producer", &error))?;
    let seen = Arc::new(Mutex::new(Seen {
        latency_us: histogram()?,
        window_us: histogram()?,
        bytes: 0,
        window_bytes: 0,
        failure: None,
    }));
    let failed = Arc::new(AtomicU64::new(0));
    let payload_bytes: u64 = load.payloads.iter().map(|payload| payload.len() as u64).sum();
    let total_bytes = payload_bytes.saturating_mul(load.records) / load.payloads.len().max(1) as u64;
    let mut progress = Progress::bytes(load.progress, "producing", total_bytes);
    let begin = Instant::now();
    let mut window_begin = begin;
    for number in 0..load.records {
        if let Some(rate) = load.rate {
            let due = Duration::from_secs_f64(number as f64 / rate);
            let wait = due.saturating_sub(begin.elapsed());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
        let turn = usize::try_from(number % load.payloads.len() as u64).unwrap_or(0);
        let payload = load.payloads[turn].clone();
        let bytes = payload.len() as u64;
        let (seen_there, failed_there) = (Arc::clone(&seen), Arc::clone(&failed));
        let sent = Instant::now();
        producer.send_with(ProducerRecord::new(load.topic.clone(), payload), move |result| {
            let latency_us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            let mut seen = seen_there.lock();
            match result {
                Ok(_) => {
                    seen.latency_us.saturating_record(latency_us);
                    seen.window_us.saturating_record(latency_us);
                    seen.bytes += bytes;
                    seen.window_bytes += bytes;
                }
                Err(error) => {
                    failed_there.fetch_add(1, Ordering::Relaxed);
                    seen.failure.get_or_insert(error);
                }
            }
        });
        progress.add(bytes);
        if load.report_every <= window_begin.elapsed() {
            print(&window_line(&mut seen.lock(), window_begin.elapsed()))?;
            window_begin = Instant::now();
        }
        // One that is refused for good is followed by others like it.
        if FAILURES_MAX < failed.load(Ordering::Relaxed) {
            break;
        }
    }
    producer.flush().wait().map_err(|error| told(what(), &error))?;
    progress.finish();
    let elapsed = begin.elapsed();
    producer.close(CLOSE).wait().map_err(|error| told(what(), &error))?;
    let mut seen = seen.lock();
    if let Some(error) = seen.failure.take() {
        let count = failed.load(Ordering::Relaxed);
        return Err(not_sent(format!("{} ({count} records were not stored)", what()), &error));
    }
    Ok(total_line(&seen, elapsed))
}

fn histogram() -> Result<Histogram<u64>, CliError> {
    Histogram::new_with_bounds(1, HOUR_US, 3)
        .map_err(|error| CliError::new(Kind::Failed, "cannot measure", error.to_string()))
}

fn window_line(seen: &mut Seen, elapsed: Duration) -> String {
    let (count, seconds) = (seen.window_us.len(), elapsed.as_secs_f64());
    let line = format!(
        "{count} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.\n",
        count as f64 / seconds,
        seen.window_bytes as f64 / seconds / MEBIBYTE,
        seen.window_us.mean() / 1000.0,
        max_ms(&seen.window_us),
    );
    seen.window_us.reset();
    seen.window_bytes = 0;
    line
}

fn total_line(seen: &Seen, elapsed: Duration) -> String {
    let (count, seconds) = (seen.latency_us.len(), elapsed.as_secs_f64());
    let at = |quantile: f64| seen.latency_us.value_at_quantile(quantile) / 1000;
    format!(
        "{count} records sent, {:.6} records/sec ({:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max latency, {} ms 50th, \
         {} ms 95th, {} ms 99th, {} ms 99.9th.",
        count as f64 / seconds,
        seen.bytes as f64 / seconds / MEBIBYTE,
        seen.latency_us.mean() / 1000.0,
        max_ms(&seen.latency_us),
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
    )
}

fn max_ms(latency_us: &Histogram<u64>) -> f64 {
    if latency_us.is_empty() { 0.0 } else { latency_us.max() as f64 / 1000.0 }
}

/// As often as Kafka's tool does.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(5);
const CLOSE: Duration = Duration::from_secs(60);
const FAILURES_MAX: u64 = 1000;
const HOUR_US: u64 = 3_600_000_000;
pub(crate) const MEBIBYTE: f64 = 1_048_576.0;
