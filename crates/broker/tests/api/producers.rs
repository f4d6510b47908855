//! Ids for idempotent producers, and what is remembered of them.

use highwater_types::ErrorCode;
use highwater_wire::messages::*;

use highwater_records::{BatchBuilder, BatchOptions, ProducerStamp};

use crate::common::{Client, TestBroker, code};

/// A batch of producer 44 in epoch 2. Its time is that of the test, as old producers are forgotten at a start.
fn recent_batch(now: i64, base_sequence: i32, values: &[&str]) -> Vec<u8> {
    let producer = ProducerStamp { producer_id: 44, producer_epoch: 2, base_sequence };
    let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
    for value in values {
        builder.append(now, Some(b"key"), Some(value.as_bytes()), &[]).unwrap();
    }
    builder.finish().unwrap()
}

fn init(client: &mut Client, version: i16, request: &InitProducerIdRequest<'_>) -> (ErrorCode, i64, i16) {
    let answer = client.call(version, request);
    let response: InitProducerIdResponse<'_> = answer.body();
    (code(response.error_code), response.producer_id, response.producer_epoch)
}

fn without_id<'a>() -> InitProducerIdRequest<'a> {
    InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000, ..Default::default() }
}

#[test]
fn ids_are_never_given_twice() {
    let mut broker = TestBroker::start();
    let mut given = Vec::new();
    for _ in 0..3 {
        let mut client = broker.client();
        for version in [0, 2, 4, 5] {
            let (error, id, epoch) = init(&mut client, version, &without_id());
            assert_eq!((error, epoch), (ErrorCode::None, 0));
            given.push(id);
        }
        broker.restart();
    }
    let count = given.len();
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), count);
}

#[test]
fn requests_that_are_refused() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let transactional = |id: &'static str| InitProducerIdRequest { transactional_id: Some(id.into()), ..without_id() };
    assert_eq!(init(&mut client, 4, &transactional("t")), (ErrorCode::CoordinatorNotAvailable, -1, -1));
    assert_eq!(init(&mut client, 4, &transactional("")), (ErrorCode::InvalidRequest, -1, -1));
    let half = InitProducerIdRequest { producer_id: 4, producer_epoch: -1, ..without_id() };
    assert_eq!(init(&mut client, 4, &half), (ErrorCode::InvalidRequest, -1, -1));
}

#[test]
fn producers_are_described_and_survive_a_restart() {
    let mut broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    let now = highwater_broker::net::Now::read().wall.value();
    let first = recent_batch(now, 0, &["a", "b", "c"]);
    assert_eq!(client.produce("t", &first), (ErrorCode::None, 0));
    let describe = |client: &mut Client, topic: &'static str| {
        let topic = describe_producers_request::TopicRequest {
            name: topic.into(),
            partition_indexes: vec![0, 0].into(),
            ..Default::default()
        };
        let answer = client.call(0, &DescribeProducersRequest { topics: vec![topic].into(), ..Default::default() });
        let response: DescribeProducersResponse<'_> = answer.body();
        let partitions: Vec<_> = response.topics.iter().next().unwrap().partitions.iter().collect();
        assert_eq!(partitions.len(), 1, "a partition is described once");
        let producers: Vec<_> = partitions[0]
            .active_producers
            .iter()
            .map(|p| (p.producer_id, p.producer_epoch, p.last_sequence, p.last_timestamp, p.current_txn_start_offset))
            .collect();
        (code(partitions[0].error_code), producers)
    };
    let expected = (ErrorCode::None, vec![(44, 2, 2, now, -1)]);
    assert_eq!(describe(&mut client, "t"), expected);
    assert_eq!(describe(&mut client, "nope"), (ErrorCode::UnknownTopicOrPartition, vec![]));
    broker.restart();
    let mut client = broker.client();
    assert_eq!(client.produce("t", &first), (ErrorCode::None, 0), "a duplicate");
    assert_eq!(client.produce("t", &recent_batch(now, 3, &["d"])), (ErrorCode::None, 3));
}
