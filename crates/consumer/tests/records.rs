//! What an application can do with records, without any consumer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_consumer::{
    Answer, Consumer, ConsumerConfig, Event, FetchAnswer, FetchedPartition, Input, Interceptor, Interceptors,
    MetadataUpdate, Output, PartitionUpdate, Progress, Records, Request, SeekTo, TopicUpdate,
};
use highwater_records::{BatchBuilder, BatchOptions, HeaderView, TimestampType};
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, Ticks, TimestampMs, TopicName, TopicPartition,
};

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("orders").unwrap(), PartitionIndex::new(0))
}

/// Three records from offset 10 on, the second without a key and value.
fn records() -> Records {
    let options = BatchOptions { base_offset: 10, leader_epoch: 4, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let headers = [HeaderView { key: b"trace", value: Some(&[7]) }, HeaderView { key: b"trace", value: None }];
    builder.append(1_000, Some(&258i32.to_be_bytes()), Some("zürich".as_bytes()), &headers).unwrap();
    builder.append(1_001, None, None, &[]).unwrap();
    builder.append(1_002, Some(&[]), Some(&[0xff]), &[]).unwrap();
    let bytes = builder.finish().unwrap().into();

    let mut consumer: Consumer<()> = Consumer::new(ConsumerConfig::default().check().unwrap(), 1, Ticks(0));
    let name = partition();
    consumer.assign(Ticks(0), [name.clone()].into()).unwrap();
    consumer.seek(Ticks(0), &name, SeekTo::Offset(Offset::new(10))).unwrap();
    let leader = PartitionUpdate { leader: Some(NodeId::new(1)), leader_epoch: None };
    let update = TopicUpdate { name: name.topic.clone(), id: None, is_internal: false, partitions: Ok(vec![leader]) };
    consumer.handle(Ticks(0), Input::Metadata(MetadataUpdate { topics: vec![update], is_complete: false }));
    let fetch = core::iter::from_fn(|| consumer.poll_output()).find_map(|output| match output {
        Output::Request { id, request: Request::Fetch(_), .. } => Some(id),
        _ => None,
    });
    let fetched = FetchedPartition::new(name.topic, name.partition, ErrorCode::None, bytes);
    let answer = FetchAnswer { error: ErrorCode::None, session: 0, partitions: vec![fetched] };
    consumer.handle(Ticks(1), Input::Answered(fetch.unwrap(), Answer::Fetch(answer)));
    match consumer.poll_event(Ticks(2)) {
        Some(Event::Records(records)) => records,
        other => panic!("there are records, not {other:?}"),
    }
}

#[test]
fn a_record_has_everything_that_was_stored() {
    let records = records();
    assert_eq!((records.len(), records.is_empty(), records.iter().len()), (3, false, 3));
    let all: Vec<_> = records.iter().collect();
    let first = &all[0];
    assert_eq!(
        (first.topic().as_str(), first.partition_index(), first.offset()),
        ("orders", PartitionIndex::ZERO, Offset::new(10))
    );
    assert_eq!((first.timestamp(), first.timestamp_type()), (TimestampMs(1_000), Some(TimestampType::CreateTime)));
    assert_eq!(first.leader_epoch(), Some(LeaderEpoch::new(4)));
    let headers: Vec<_> = first.headers().iter().map(|header| (header.key, header.value)).collect();
    assert_eq!(headers, [(&b"trace"[..], Some(&[7][..])), (&b"trace"[..], None)]);
    assert_eq!(first.decode_key::<i32>().unwrap(), Some(258));
    assert_eq!(first.decode::<String>().unwrap().as_deref(), Some("zürich"));
    assert_eq!(first.decode::<i64>().unwrap_err().to_string(), "the value has 7 bytes and not 8");
    // Null is not empty.
    assert_eq!((all[1].key(), all[1].value(), all[1].decode::<String>().unwrap()), (None, None, None));
    assert_eq!((all[2].key(), all[2].decode::<String>().is_err()), (Some(&[][..]), true));
    assert_eq!(format!("{first:?}"), "orders-0@10");
}

fn next(progress: &Progress) -> (Offset, Option<LeaderEpoch>) {
    let at = progress.of(&partition()).unwrap();
    (at.offset, at.leader_epoch)
}

#[test]
fn progress_is_where_to_go_on() {
    let records = records();
    let epoch = Some(LeaderEpoch::new(4));
    assert_eq!(next(&records.progress()), (Offset::new(13), epoch));
    let second = records.iter().nth(1).unwrap();
    assert_eq!(next(&second.progress()), (Offset::new(12), epoch));
    let mut merged = records.progress();
    merged.merge(&second.progress());
    assert_eq!(next(&merged), (Offset::new(12), epoch), "the later one counts, whatever it says");
}

struct Counts(Arc<AtomicUsize>);

impl Interceptor for Counts {
    fn on_consume(&self, records: Records) -> Records {
        self.0.fetch_add(records.len(), Ordering::Relaxed);
        records.filter(|record| record.value().is_some())
    }

    fn on_commit(&self, progress: &Progress) {
        self.0.fetch_add(100 * progress.iter().count(), Ordering::Relaxed);
    }
}

#[test]
fn interceptors_see_what_those_before_have_left() {
    let counts = Arc::new(AtomicUsize::new(0));
    let chain = Interceptors::new(vec![Box::new(Counts(counts.clone())), Box::new(Counts(counts.clone()))]);
    let left = chain.on_consume(records());
    let offsets: Vec<u64> = left.iter().map(|record| record.offset().value()).collect();
    assert_eq!((left.len(), offsets), (2, vec![10, 12]));
    assert_eq!(next(&left.progress()).0, Offset::new(13), "what was left out counts as consumed");
    chain.on_commit(&left.progress());
    assert_eq!(counts.load(Ordering::Relaxed), 3 + 2 + 200);
}
