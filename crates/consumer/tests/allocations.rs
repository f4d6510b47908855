//! What is allocated while records come through: nothing per record, and little per batch.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use highwater_consumer::{
    Answer, Consumer, ConsumerConfig, Event, FetchAnswer, FetchedPartition, Input, MetadataUpdate, Output,
    PartitionUpdate, Records, Request, RequestId, SeekTo, TopicUpdate,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec, Compression, HeaderView};
use highwater_types::{ErrorCode, NodeId, Offset, PartitionIndex, Ticks, TopicName, TopicPartition};

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

const RECORDS: u64 = 10_000;

/// Some batches of a thousand records.
fn records(compression: Compression) -> Bytes {
    let batches = (0..RECORDS / 1_000).map(|batch| {
        let options = BatchOptions { base_offset: batch as i64 * 1_000, compression, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        let trace = HeaderView { key: b"trace", value: Some(&[1, 2, 3]) };
        (0..1_000).for_each(|_| builder.append(1, Some(b"key"), Some(b"value"), &[trace]).unwrap());
        builder.finish().unwrap()
    });
    batches.flatten().collect::<Vec<u8>>().into()
}

/// A consumer that has fetched them.
fn consumer(compression: Compression) -> Consumer<()> {
    let topic = TopicName::new("orders").unwrap();
    let name = TopicPartition::new(topic.clone(), PartitionIndex::ZERO);
    let mut consumer = Consumer::new(ConsumerConfig::default().check().unwrap(), 1, Ticks(0));
    consumer.assign(Ticks(0), [name.clone()].into()).unwrap();
    consumer.seek(Ticks(0), &name, SeekTo::Offset(Offset::ZERO)).unwrap();
    let leader = PartitionUpdate { leader: Some(NodeId::new(1)), leader_epoch: None };
    let update = TopicUpdate { name: topic.clone(), id: None, is_internal: false, partitions: Ok(vec![leader]) };
    consumer.handle(Ticks(0), Input::Metadata(MetadataUpdate { topics: vec![update], is_complete: false }));
    let fetched = FetchedPartition::new(topic, PartitionIndex::ZERO, ErrorCode::None, records(compression));
    let answer = FetchAnswer { error: ErrorCode::None, session: 7, partitions: vec![fetched] };
    let id = fetch(&mut consumer).unwrap();
    consumer.handle(Ticks(1), Input::Answered(id, Answer::Fetch(answer)));
    consumer
}

fn fetch(consumer: &mut Consumer<()>) -> Option<RequestId> {
    core::iter::from_fn(|| consumer.poll_output()).find_map(|output| match output {
        Output::Request { id, request: Request::Fetch(_), .. } => Some(id),
        _ => None,
    })
}

fn next(consumer: &mut Consumer<()>) -> Option<Records> {
    match consumer.poll_event(Ticks(2)) {
        Some(Event::Records(records)) => Some(records),
        _ => None,
    }
}

/// Work that another thread could do, after everything else is gone.
fn elsewhere<R>(work: impl FnOnce() -> R + Send + 'static) -> R {
    work()
}

#[test]
fn to_look_at_records_allocates_nothing() {
    let mut consumer = consumer(Compression::NONE);
    let records = next(&mut consumer).unwrap();
    let mut bytes = 0;
    let mut last = None;
    let allocated = allocations(|| {
        for record in &records {
            bytes += record.key().unwrap().len() + record.value().unwrap().len();
            bytes += record.headers().iter().map(|header| header.key.len()).sum::<usize>();
            // A copy of a record is another counter of its batch.
            last = Some(record.clone());
        }
    });
    assert_eq!((allocated, bytes), (0, records.len() * (3 + 5 + 5)));
    let kept = last.unwrap();
    drop((records, consumer));
    assert_eq!(elsewhere(move || kept.decode::<String>().unwrap()).as_deref(), Some("value"));
}

#[test]
fn to_give_records_allocates_for_batches_and_events_only() {
    for (codec, per_batch) in [(Codec::None, 2), (Codec::Lz4, 40)] {
        let mut consumer = consumer(Compression::new(codec));
        let (mut count, mut events) = (0, 0);
        let allocated = allocations(|| {
            while let Some(records) = next(&mut consumer) {
                count += records.len() as u64;
                events += 1;
            }
        });
        assert_eq!(count, RECORDS);
        // Two lists of an event, and a fetch at the end.
        let most = events * 4 + RECORDS / 1_000 * per_batch + 50;
        assert!(allocated <= most, "{codec}: {allocated} allocations for {events} events");
    }
}
