//! What the producer costs per record: encoder, partitioner, batch, request and answer.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use highwater_producer::{
    Input, Output, PartitionAnswer, PartitionUpdate, Producer, ProducerConfig, ProducerRecord, RecordEncoder,
    TopicUpdate,
};
use highwater_types::{ErrorCode, NodeId, Offset, ProducerEpoch, ProducerId, Ticks, TimestampMs, TopicName};

const RECORDS: u64 = 1_000;
const PARTITIONS: usize = 8;

/// A producer, and what answers everything it sends.
struct Bench {
    producer: Producer<u64>,
    topic: TopicName,
    encoder: RecordEncoder,
    now: Ticks,
    offset: u64,
}

impl Bench {
    fn new(codec: &str) -> Self {
        let mut config = ProducerConfig::default();
        config.set("compression.type", codec).expect("a valid config");
        let mut producer = Producer::new(config.check().expect("a valid config"), 1, Ticks(0));
        let topic = TopicName::new("orders").expect("a legal name");
        let leader = PartitionUpdate { leader: Some(NodeId::new(1)), ..PartitionUpdate::default() };
        let partitions = Ok(vec![leader; PARTITIONS]);
        let update = TopicUpdate { name: topic.clone(), id: None, partitions };
        producer.handle(Ticks(0), Input::ProducerId(Ok((ProducerId::new(1), ProducerEpoch::ZERO))));
        producer.handle(Ticks(0), Input::Metadata(vec![update]));
        producer.handle(Ticks(0), Input::Connected(NodeId::new(1)));
        Self { producer, topic, encoder: RecordEncoder::new(), now: Ticks(0), offset: 0 }
    }

    /// Sends so many records, each to be told.
    fn run(&mut self, value: &[u8], key: Option<&[u8]>) {
        let mut record: ProducerRecord<&[u8], &[u8]> = ProducerRecord::new(self.topic.clone(), value);
        record.key = key;
        for number in 0..RECORDS {
            let encoded = self.encoder.encode(&mut record, TimestampMs(1_000)).expect("it encodes");
            self.producer.send(self.now, &encoded, number).expect("there is room");
            if self.producer.poll_timeout().is_some_and(|due| due <= self.now) {
                self.work();
            }
        }
        self.now = self.now.plus_ms(10);
        self.work();
    }

    fn work(&mut self) {
        self.producer.handle_timeout(self.now);
        while let Some(output) = self.producer.poll_output() {
            match output {
                Output::Send(request) => {
                    let answers = request.batches.iter().map(|batch| {
                        self.offset += 1;
                        let mut answer = PartitionAnswer::new(batch.topic.clone(), batch.partition, ErrorCode::None);
                        answer.base_offset = Some(Offset::new(self.offset));
                        black_box(&batch.bytes);
                        answer
                    });
                    let answers = answers.collect();
                    let id = request.id;
                    drop(request);
                    self.producer.handle(self.now, Input::Answered(id, answers));
                }
                Output::Completed(mut completed) => {
                    completed.by_ref().for_each(|told| drop(black_box(told)));
                    self.producer.recycle(completed);
                }
                _ => {}
            }
        }
    }
}

fn per_record(c: &mut Criterion) {
    let mut group = c.benchmark_group("per record");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, bytes) in [("100 B", 100), ("1 KiB", 1_024)] {
        let value = vec![b'v'; bytes];
        let key = &b"customer 42"[..];
        for (case, key, codec) in [("no key", None, "none"), ("keyed", Some(key), "none"), ("no key, lz4", None, "lz4")]
        {
            let mut bench = Bench::new(codec);
            group.bench_function(format!("{name}, {case}"), |b| b.iter(|| bench.run(&value, key)));
        }
    }
    group.finish();
}

criterion_group!(benches, per_record);
criterion_main!(benches);
