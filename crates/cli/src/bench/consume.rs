//! `highwater bench consume`, and what `kafka-consumer-perf-test` measures.

use std::time::{Duration, Instant};

use clap::Args;

use super::produce::MEBIBYTE;
use crate::consume::range::Place;
use crate::consume::reader::{Flow, Reader};
use crate::error::CliError;
use crate::output::print;
use crate::session::Session;
use crate::timestamp::{now_ms, rfc3339};
use crate::topic::offsets::partitions;

/// Arguments of `highwater bench consume`.
#[derive(Args, Debug)]
pub(crate) struct Consume {
    /// The topic.
    topic: String,
    /// How many records; by default all that there are.
    #[arg(short = 'n', long)]
    records: Option<u64>,
    /// Where to begin.
    #[arg(long, default_value = "start", value_parser = Place::parse, allow_hyphen_values = true)]
    from: Place,
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    begin_ms: i64,
    end_ms: i64,
    /// Keys and values.
    bytes: u64,
    /// How many records.
    pub(crate) records: u64,
    /// Until the first fetch could go out.
    prepare: Duration,
    fetch: Duration,
}

impl Consume {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let measured = read(session, &self.topic, self.from, self.records, IDLE)?;
        print(&format!("{HEADER}\n{}\n", line(&measured)))
    }
}

/// Reads up to `records`, or until nothing has come for `idle`; without a number, until where the partitions end at first.
pub(crate) fn read(
    session: &Session,
    topic: &str,
    from: Place,
    records: Option<u64>,
    idle: Duration,
) -> Result<Measured, CliError> {
    let (begin, begin_ms) = (Instant::now(), now_ms());
    let all = partitions(session, vec![topic.to_owned()])?;
    let positions = from.offsets(session, &all)?;
    let ends = if records.is_none() { Some(Place::End.offsets(session, &all)?) } else { None };
    let mut reader = Reader::new(session, positions, false)?;
    let prepare = begin.elapsed();
    let (mut bytes, mut count, mut last) = (0_u64, 0_u64, Instant::now());
    loop {
        let reached = |at: &highwater_client::TopicPartition, position: i64| {
            ends.as_ref().and_then(|ends| ends.get(at)).is_some_and(|end| *end <= position)
        };
        let is_done = ends.is_some() && reader.positions().iter().all(|(at, position)| reached(at, *position));
        if is_done || Some(count) == records || idle < last.elapsed() {
            break;
        }
        let before = count;
        reader.poll(WAIT, &mut |found| {
            let size = |bytes: Option<&[u8]>| bytes.map_or(0, |bytes| bytes.len() as u64);
            bytes += size(found.key) + size(found.value);
            count += 1;
            Ok(if Some(count) == records { Flow::Stop } else { Flow::On })
        })?;
        if before < count {
            last = Instant::now();
        }
    }
    drop(reader);
    let fetch = begin.elapsed().saturating_sub(prepare);
    Ok(Measured { begin_ms, end_ms: now_ms(), bytes, records: count, prepare, fetch })
}

/// The line that Kafka's tool ends with.
pub(crate) fn line(measured: &Measured) -> String {
    let Measured { begin_ms, end_ms, bytes, records, prepare, fetch } = *measured;
    let megabytes = bytes as f64 / MEBIBYTE;
    // A moment that is too short to be measured counts as the shortest that is not.
    let seconds = (prepare + fetch).as_secs_f64().max(0.001);
    let fetching = fetch.as_secs_f64().max(0.001);
    format!(
        "{}, {}, {megabytes:.4}, {:.4}, {records}, {:.4}, {}, {}, {:.4}, {:.4}",
        time(begin_ms),
        time(end_ms),
        megabytes / seconds,
        records as f64 / seconds,
        prepare.as_millis(),
        fetch.as_millis(),
        megabytes / fetching,
        records as f64 / fetching,
    )
}

/// `2026-01-31 12:00:00:250`, as Kafka's tool writes it by default.
fn time(millis: i64) -> String {
    rfc3339(millis).replace('T', " ").replace('.', ":").trim_end_matches('Z').to_owned()
}

pub(crate) const HEADER: &str = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
                                 rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec";
const IDLE: Duration = Duration::from_secs(10);
const WAIT: Duration = Duration::from_millis(100);
