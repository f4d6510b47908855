//! `highwater bench e2e`.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use highwater_client::ProducerRecord;

use super::produce::random_payload;
use crate::consume::range::Place;
use crate::consume::reader::{Flow, Reader};
use crate::error::{CliError, Kind};
use crate::output::print;
use crate::session::{Session, not_sent, told, topic_name};
use crate::topic::offsets::partitions;

/// Arguments of `highwater bench e2e`.
#[derive(Args, Debug)]
pub(crate) struct EndToEnd {
    /// The topic, which nobody else may write to meanwhile.
    topic: String,
    /// How many records, one after the other.
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// Bytes of a record's value.
    #[arg(short, long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=(64 << 20)))]
    size: u32,
    /// Whom the producer waits for.
    #[arg(long, default_value = "all", value_parser = ["1", "all"])]
    acks: String,
}

impl EndToEnd {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let topic = topic_name(&self.topic)?;
        let all = partitions(session, vec![self.topic.clone()])?;
        let mut reader = Reader::new(session, Place::End.offsets(session, &all)?, false)?;
        let producer =
            session.client.producer::<Vec<u8>, Vec<u8>>().config("linger.ms", "0").config("acks", &self.acks);
        let producer = producer.build().map_err(|error| told("cannot make a producer", &error))?;
        let mut latency_us = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3)
            .map_err(|error| CliError::new(Kind::Failed, "cannot measure", error.to_string()))?;
        let payload = random_payload(self.size as usize);
        for number in 0..self.records {
            let sent = Instant::now();
            let what = || format!("cannot produce to {}", self.topic);
            let record = ProducerRecord::new(topic.clone(), payload.clone());
            producer.send(record).wait().map_err(|error| not_sent(what(), &error))?;
            let mut is_there = false;
            while !is_there {
                if PATIENCE < sent.elapsed() {
                    let what = format!("record {number} did not come back");
                    return Err(CliError::new(
                        Kind::Unreachable,
                        what,
                        format!("nothing for {} s", PATIENCE.as_secs()),
                    ));
                }
                reader.poll(WAIT, &mut |found| {
                    if found.value != Some(&payload) {
                        let why = "somebody else writes to the topic";
                        return Err(CliError::new(Kind::Conflict, "another record came back", why));
                    }
                    is_there = true;
                    Ok(Flow::On)
                })?;
            }
            latency_us.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        producer.close(PATIENCE).wait().map_err(|error| told("cannot end the producer", &error))?;
        let at = |quantile: f64| latency_us.value_at_quantile(quantile) as f64 / 1000.0;
        print(&format!(
            "Avg latency: {:.4} ms\nPercentiles: 50th = {:.3} ms, 95th = {:.3} ms, 99th = {:.3} ms, 99.9th = {:.3} ms, \
             max = {:.3} ms\n",
            latency_us.mean() / 1000.0,
            at(0.5),
            at(0.95),
            at(0.99),
            at(0.999),
            latency_us.max() as f64 / 1000.0
        ))
    }
}

const WAIT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(30);
