//! Batches that are compressed: how much they hold, what they are charged for, and what becomes of one that is too large.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use highwater_producer::{
    Input, Output, PartitionAnswer, PartitionUpdate, ProduceBatch, Producer, ProducerConfig, SerializedRecord,
    TopicUpdate,
};
use highwater_records::{BatchView, DecompressLimit};
use highwater_types::{ErrorCode, NodeId, PartitionIndex, Ticks, TimestampMs, TopicName};

struct Bench {
    producer: Producer<u32>,
    topic: TopicName,
    tokens: u32,
    /// Tokens that were told, in order.
    told: Vec<u32>,
}

impl Bench {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let mut config = ProducerConfig::default();
        pairs.iter().for_each(|(key, value)| config.set(key, value).unwrap());
        let mut producer = Producer::new(config.check().unwrap(), 1, Ticks(0));
        let topic = TopicName::new("t").unwrap();
        let leader = PartitionUpdate { leader: Some(NodeId::new(1)), ..PartitionUpdate::default() };
        let update = TopicUpdate { name: topic.clone(), id: None, partitions: Ok(vec![leader]) };
        producer.handle(Ticks(0), Input::Metadata(vec![update]));
        producer.handle(Ticks(0), Input::Connected(NodeId::new(1)));
        Self { producer, topic, tokens: 0, told: Vec::new() }
    }

    fn send(&mut self, value: &[u8]) -> bool {
        let record = SerializedRecord {
            topic: &self.topic,
            partition: Some(PartitionIndex::ZERO),
            timestamp: TimestampMs(5),
            key: None,
            value: Some(value),
            headers: &[],
        };
        self.tokens += 1;
        self.producer.send(Ticks(0), &record, self.tokens).is_ok()
    }

    /// Has everything sent and answered, batch by batch. Returns the batches that were stored.
    fn run(&mut self, answer: impl Fn(&ProduceBatch) -> ErrorCode) -> Vec<Arc<Vec<u8>>> {
        let mut stored = Vec::new();
        self.producer.handle_timeout(Ticks(10));
        while let Some(output) = self.producer.poll_output() {
            match output {
                Output::Send(request) => {
                    let batch = &request.batches[0];
                    let error = answer(batch);
                    if error.is_none() {
                        stored.push(Arc::clone(&batch.bytes));
                    }
                    let answer = PartitionAnswer::new(batch.topic.clone(), batch.partition, error);
                    self.producer.handle(Ticks(10), Input::Answered(request.id, vec![answer]));
                }
                Output::Completed(completed) => self.told.extend(completed.map(|(token, result)| {
                    result.unwrap();
                    token
                })),
                _ => {}
            }
        }
        stored
    }
}

fn values(batch: &[u8]) -> Vec<Vec<u8>> {
    let mut records = BatchView::parse(batch).unwrap().records(DecompressLimit::default()).unwrap();
    let mut values = Vec::new();
    while let Some(record) = records.next_record().unwrap() {
        values.push(record.value.unwrap().to_vec());
    }
    values
}

/// Bytes that do not compress, another value for every number.
fn noise(number: u32, bytes: u32) -> Vec<u8> {
    let mixed = |i: u32| {
        let z = u64::from(number * bytes + i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z >> 40) as u8
    };
    (0..bytes).map(mixed).collect()
}

#[test]
fn batches_hold_more_once_it_is_known_how_well_their_records_compress() {
    let mut bench = Bench::new(&[("acks", "1"), ("compression.type", "lz4"), ("batch.size", "2000")]);
    for _ in 0..20_000 {
        if !bench.send(&[b'x'; 100]) {
            bench.run(|_| ErrorCode::None);
            assert!(bench.send(&[b'x'; 100]), "there is memory again");
        }
    }
    let stored = bench.run(|_| ErrorCode::None);
    let counts: Vec<usize> = stored.iter().map(|batch| values(batch).len()).collect();
    assert!(counts[0] < 20, "at first as if they did not compress: {}", counts[0]);
    assert!(100 < counts[counts.len() - 2], "later many more: {}", counts[counts.len() - 2]);
    assert!(stored.iter().all(|batch| batch.len() <= 2_000));
    assert_eq!(bench.producer.memory_used_bytes(), 0);
}

#[test]
fn a_batch_that_grows_is_charged_for_what_it_holds() {
    let pairs = [("acks", "1"), ("compression.type", "lz4"), ("batch.size", "2000"), ("buffer.memory", "10000")];
    let mut bench = Bench::new(&pairs);
    let mut most = 0;
    for _ in 0..20_000 {
        if !bench.send(&[b'x'; 100]) {
            bench.run(|_| ErrorCode::None);
        }
        most = most.max(bench.producer.memory_used_bytes());
        assert!(bench.producer.memory_used_bytes() <= 10_000);
    }
    assert!(6_000 < most, "it was used: {most}");
    bench.run(|_| ErrorCode::None);
    assert_eq!(bench.producer.memory_used_bytes(), 0);
}

#[test]
fn a_batch_that_turns_out_too_large_becomes_pieces_of_batch_size() {
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut bench = Bench::new(&[("acks", "1"), ("compression.type", codec), ("batch.size", "2000")]);
        for _ in 0..200 {
            for _ in 0..50 {
                assert!(bench.send(&[b'x'; 100]));
            }
            bench.run(|_| ErrorCode::None);
        }
        // Not what could be expected.
        let sent: Vec<Vec<u8>> = (0..40).map(|number| noise(number, 100)).collect();
        bench.told.clear();
        let first = bench.tokens + 1;
        assert!(sent.iter().all(|value| bench.send(value)));
        let stored =
            bench.run(|batch| if batch.bytes.len() <= 1_500 { ErrorCode::None } else { ErrorCode::MessageTooLarge });
        let arrived: Vec<Vec<u8>> = stored.iter().flat_map(|batch| values(batch)).collect();
        assert_eq!(arrived, sent, "{codec}: every record once, in order");
        assert_eq!(bench.told, (first..first + 40).collect::<Vec<u32>>(), "{codec}");
        assert!(0 < bench.producer.stats().splits, "{codec}");
        assert_eq!(bench.producer.memory_used_bytes(), 0, "{codec}");
    }
}
