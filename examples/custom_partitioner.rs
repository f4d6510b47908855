//! A partitioner and an interceptor of one's own: `cargo run -p highwater-examples --example custom_partitioner`, beside
//! `highwater dev`. Another address than `localhost:9092` is the first argument.

#![expect(clippy::print_stdout, reason = "this is what the program is for")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_client::admin::NewTopic;
use highwater_client::{
    Client, ErrorCode, Interceptor, PartitionChoice, PartitionIndex, PartitionQuery, Partitioner, ProduceError,
    ProducerRecord, RecordMetadata, TopicName, TopicPartition,
};

/// Alarms have the first partition for themselves.
#[derive(Debug)]
struct AlarmsFirst;

impl Partitioner for AlarmsFirst {
    fn partition(&mut self, query: &PartitionQuery<'_>) -> PartitionChoice {
        let others = query.partition_count.saturating_sub(1).max(1);
        match query.key {
            Some(b"alarm") => PartitionChoice::Partition(PartitionIndex::ZERO),
            key => {
                let hash = key.map_or(query.random, |key| key.iter().map(|byte| u64::from(*byte)).sum());
                let chosen = 1 + u32::try_from(hash % u64::from(others)).unwrap_or_default();
                PartitionChoice::Partition(PartitionIndex::new(chosen.min(query.partition_count - 1)))
            }
        }
    }
}

/// Marks records, and counts those that were stored.
struct Stamp(Arc<AtomicU64>);

impl Interceptor<String, String> for Stamp {
    fn on_send(&self, record: &mut ProducerRecord<String, String>) {
        record.headers.push(highwater_client::Header::new("sender", "example"));
    }

    fn on_acknowledgement(&self, _: &TopicPartition, result: &Result<RecordMetadata, ProduceError>) {
        self.0.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let bootstrap = std::env::args().nth(1).unwrap_or_else(|| "localhost:9092".to_owned());
    let client = Client::new(&bootstrap)?;
    let topic = TopicName::new("signals")?;
    match client.admin().create_topics([NewTopic::new("signals").partitions(3)], false).wait()?.only() {
        Err(error) if error.code() != Some(ErrorCode::TopicAlreadyExists) => return Err(error.into()),
        _ => {}
    }
    let stored = Arc::new(AtomicU64::new(0));
    let producer = client.producer().partitioner(AlarmsFirst).interceptor(Stamp(Arc::clone(&stored))).build()?;
    for key in ["alarm", "door", "alarm", "window"] {
        let record = ProducerRecord::new(topic.clone(), "something moved".to_owned()).key(key.to_owned());
        let metadata = producer.send(record).wait()?;
        println!("{key} is in partition {}", metadata.partition);
    }
    println!("the interceptor has seen {} acknowledgements", stored.load(Ordering::Relaxed));
    Ok(())
}
