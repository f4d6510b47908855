//! What can be seen without a client.

use std::time::Duration;

use highwater_records::{BatchBuilder, BatchOptions, Codec, Compression, HeaderView};
use highwater_testkit::{CommittedOffset, EmbeddedBroker, ErrorCode, KitError, NewTopic, StoredRecord, TimestampMs};
use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::{OffsetCommitRequest, OffsetCommitResponse, ProduceResponse};

use crate::common::{WAIT, batch_with, client, produce, produce_request, values};

#[test]
fn records_are_seen_whole() {
    let broker = EmbeddedBroker::builder().topic("orders", 2).start().unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let headers = [HeaderView { key: b"source", value: Some(b"web") }, HeaderView { key: b"empty", value: None }];
    builder.append(77, None, Some(b"first"), &headers).unwrap();
    builder.append(78, Some(b"gone"), None, &[]).unwrap();
    let batch = builder.finish().unwrap();
    let mut client = client(&broker, 1);
    let response: ProduceResponse<'_> = client.call(9, &produce_request("orders", 1, -1, &batch), WAIT).unwrap();
    let answered = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
    assert_eq!(answered.error_code, 0);
    let record = |offset, timestamp, key: Option<&str>, value: Option<&str>, headers| StoredRecord {
        partition: 1,
        offset,
        timestamp: TimestampMs(timestamp),
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers,
    };
    let headers = vec![("source".to_owned(), Some(b"web".to_vec())), ("empty".to_owned(), None)];
    assert_eq!(
        broker.records("orders").unwrap(),
        [record(0, 77, None, Some("first"), headers), record(1, 78, Some("gone"), None, Vec::new())]
    );
    assert_eq!(broker.end_offset("orders", 0).unwrap(), 0);
    assert_eq!(broker.end_offset("orders", 1).unwrap(), 2);
}

#[test]
fn many_batches_of_any_codec_are_seen() {
    let broker = EmbeddedBroker::builder().topic("orders", 1).start().unwrap();
    let mut client = client(&broker, 1);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let batch =
            batch_with(BatchOptions { compression: Compression::new(codec), ..BatchOptions::default() }, &["a", "b"]);
        let _: ProduceResponse<'_> = client.call(9, &produce_request("orders", 0, -1, &batch), WAIT).unwrap();
    }
    let records = broker.records("orders").unwrap();
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, (0..10).collect::<Vec<u64>>());
    // More than is read at once.
    let large = "x".repeat(900_000);
    for _ in 0..8 {
        assert_eq!(produce(&mut client, "orders", &[&large]), ErrorCode::None);
    }
    assert_eq!(values(&broker, "orders").iter().filter(|value| **value == large).count(), 8);
}

#[test]
fn what_is_not_there_is_said() {
    let broker = EmbeddedBroker::builder().topic("orders", 1).start().unwrap();
    let none = broker.records("others");
    assert!(matches!(&none, Err(KitError::NoSuchPartition { topic, .. }) if topic == "others"), "{none:?}");
    let none = broker.end_offset("orders", 1);
    assert!(matches!(none, Err(KitError::NoSuchPartition { partition: 1, .. })), "{none:?}");
    assert_eq!(broker.leader("orders", 0), Some(1));
    assert_eq!(broker.leader("orders", 1), None);
}

#[test]
fn a_group_has_committed_and_lags() {
    let broker = EmbeddedBroker::builder().topic("orders", 1).start().unwrap();
    assert_eq!(broker.group("billing").committed().unwrap(), []);
    let mut client = client(&broker, 1);
    produce(&mut client, "orders", &["a", "b", "c"]);
    let partition = OffsetCommitRequestPartition { committed_offset: 1, ..OffsetCommitRequestPartition::default() };
    let topic = OffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![partition].into(),
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: "billing".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic].into(),
        ..OffsetCommitRequest::default()
    };
    let response: OffsetCommitResponse<'_> = client.call(8, &request, WAIT).unwrap();
    assert_eq!(response.topics.iter().next().unwrap().partitions.iter().next().unwrap().error_code, 0);
    let committed = CommittedOffset { topic: "orders".to_owned(), partition: 0, offset: 1 };
    assert_eq!(broker.group("billing").committed().unwrap(), [committed]);
    assert_eq!(broker.group("billing").lag().unwrap(), 2);
    assert_eq!(broker.group("others").lag().unwrap(), 0);
}

#[test]
fn retention_removes_what_is_old_when_it_is_run() {
    let topic = NewTopic::new("orders")
        .partitions(1)
        .config("retention.ms", "3600000")
        .config("message.timestamp.type", "LogAppendTime");
    let broker = EmbeddedBroker::builder().topic_with(topic).start().unwrap();
    produce(&mut client(&broker, 1), "orders", &["a", "b"]);
    broker.run_retention();
    broker.run_retention_after(Duration::from_secs(3000));
    assert_eq!(values(&broker, "orders"), ["a", "b"]);
    broker.run_retention_after(Duration::from_secs(4000));
    assert_eq!(broker.start_offset("orders", 0).unwrap(), 2);
    assert_eq!(broker.records("orders").unwrap(), []);
    assert_eq!(broker.end_offset("orders", 0).unwrap(), 2);
}
