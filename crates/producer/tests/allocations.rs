//! What is allocated while records go through: nothing per record, and little per request.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use highwater_producer::{
    Input, Output, PartitionAnswer, PartitionUpdate, Producer, ProducerConfig, ProducerRecord, RecordEncoder,
    TopicUpdate,
};
use highwater_types::{ErrorCode, NodeId, ProducerEpoch, ProducerId, Ticks, TimestampMs, TopicName};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the calls of each thread.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's obligations are the same.
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's obligations are the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

struct Bench {
    producer: Producer<u64>,
    topic: TopicName,
    encoder: RecordEncoder,
    now: Ticks,
    /// What answers and drops cost is the driver's.
    driver_allocations: u64,
    requests: u64,
}

impl Bench {
    fn new(codec: &str) -> Self {
        let mut config = ProducerConfig::default();
        config.set("compression.type", codec).unwrap();
        let mut producer = Producer::new(config.check().unwrap(), 1, Ticks(0));
        let topic = TopicName::new("orders").unwrap();
        let leader = PartitionUpdate { leader: Some(NodeId::new(1)), ..PartitionUpdate::default() };
        let update = TopicUpdate { name: topic.clone(), id: None, partitions: Ok(vec![leader; 4]) };
        producer.handle(Ticks(0), Input::ProducerId(Ok((ProducerId::new(1), ProducerEpoch::ZERO))));
        producer.handle(Ticks(0), Input::Metadata(vec![update]));
        producer.handle(Ticks(0), Input::Connected(NodeId::new(1)));
        Self { producer, topic, encoder: RecordEncoder::new(), now: Ticks(0), driver_allocations: 0, requests: 0 }
    }

    fn send(&mut self, count: u64) {
        let mut record = ProducerRecord::new(self.topic.clone(), 7i64).header("trace", [1, 2, 3]);
        for number in 0..count {
            record.key = (number % 2 == 0).then_some(number as i32);
            let encoded = self.encoder.encode(&mut record, TimestampMs(1_000)).unwrap();
            self.producer.send(self.now, &encoded, number).unwrap();
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
                    self.requests += 1;
                    let id = request.id;
                    let mut answers = Vec::new();
                    self.driver_allocations += allocations(|| {
                        let answer = |batch: &highwater_producer::ProduceBatch| {
                            PartitionAnswer::new(batch.topic.clone(), batch.partition, ErrorCode::None)
                        };
                        answers.extend(request.batches.iter().map(answer));
                        drop(request);
                    });
                    self.producer.handle(self.now, Input::Answered(id, answers));
                }
                Output::Completed(mut completed) => {
                    completed.by_ref().for_each(|(_, result)| assert!(result.is_ok()));
                    self.producer.recycle(completed);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn records_that_fit_a_batch_allocate_nothing() {
    let mut bench = Bench::new("none");
    bench.send(100_000);
    let topic = bench.topic.clone();
    let mut record = ProducerRecord::new(topic, 7i64).header("trace", [1, 2, 3]).key(1i32);
    let allocated = allocations(|| {
        // Less than a batch.
        for number in 0..300 {
            let encoded = bench.encoder.encode(&mut record, TimestampMs(1_000)).unwrap();
            bench.producer.send(bench.now, &encoded, number).unwrap();
        }
    });
    assert_eq!(allocated, 0);
}

#[test]
fn a_request_allocates_little_and_a_batch_nothing() {
    let mut bench = Bench::new("none");
    bench.send(100_000);
    (bench.driver_allocations, bench.requests) = (0, 0);
    let before = bench.producer.stats();
    let allocated = allocations(|| bench.send(100_000)) - bench.driver_allocations;
    let batches = bench.producer.stats().batches - before.batches;
    assert!(100 < bench.requests, "it was not all one request: {}", bench.requests);
    // The lists of a request, and now and then a node of a map.
    let per_request = allocated as f64 / bench.requests as f64;
    assert!(per_request <= 6.0, "{allocated} allocations for {} requests of {batches} batches", bench.requests);
    assert!((allocated as f64) < 0.05 * 100_000.0, "{allocated} allocations for 100000 records");
}
