//! ListOffsets and OffsetForLeaderEpoch.

use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::ErrorCode;
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use highwater_wire::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};

use crate::common::{Client, TestBroker, code};

/// Error, offset, timestamp and leader epoch.
type Found = (ErrorCode, i64, i64, i32);

fn ask(client: &mut Client, version: i16, partitions: &[ListOffsetsPartition<'_>]) -> Vec<Found> {
    let topic = ListOffsetsTopic { name: "t".into(), partitions: partitions.to_vec().into(), ..Default::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic].into(), ..ListOffsetsRequest::default() };
    let answer = client.call(version, &request);
    let response: ListOffsetsResponse<'_> = answer.body();
    let found = response.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|p| (code(p.error_code), p.offset, p.timestamp, p.leader_epoch)).collect::<Vec<_>>()
    });
    found.collect()
}

fn at(timestamp: i64) -> ListOffsetsPartition<'static> {
    ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() }
}

fn find(client: &mut Client, version: i16, timestamp: i64) -> Found {
    ask(client, version, &[at(timestamp)])[0]
}

/// Records at these times, one batch each.
fn topic_with(client: &mut Client, timestamps: &[i64]) {
    client.create_topic("t", 1, &[]);
    for timestamp in timestamps {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(*timestamp, Some(b"k"), Some(b"v"), &[]).unwrap();
        assert_eq!(client.produce("t", &builder.finish().unwrap()).0, ErrorCode::None);
    }
}

#[test]
fn ends_times_and_the_largest_time() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    topic_with(&mut client, &[100, 300, 200]);
    assert_eq!(find(&mut client, 10, -1), (ErrorCode::None, 3, -1, 0), "latest");
    assert_eq!(find(&mut client, 10, -2).1, 0, "earliest");
    assert_eq!(find(&mut client, 10, -3), (ErrorCode::None, 1, 300, 0), "largest timestamp");
    assert_eq!(find(&mut client, 10, -4).1, 0, "earliest local");
    assert_eq!(find(&mut client, 10, -5), (ErrorCode::None, -1, -1, -1), "nothing is tiered");
    assert_eq!(find(&mut client, 11, -6), (ErrorCode::None, -1, -1, -1), "nothing is to be tiered");
    assert_eq!(find(&mut client, 10, 0), (ErrorCode::None, 0, 100, 0));
    assert_eq!(find(&mut client, 10, 150), (ErrorCode::None, 1, 300, 0));
    assert_eq!(find(&mut client, 10, 301), (ErrorCode::None, -1, -1, -1), "none that late: no error, no offset");
}

#[test]
fn an_empty_partition_has_ends_and_nothing_else() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    topic_with(&mut client, &[]);
    assert_eq!(find(&mut client, 7, -1), (ErrorCode::None, 0, -1, 0));
    assert_eq!(find(&mut client, 7, -2).1, 0);
    assert_eq!(find(&mut client, 7, -3), (ErrorCode::None, -1, -1, -1));
    assert_eq!(find(&mut client, 7, 5), (ErrorCode::None, -1, -1, -1));
}

#[test]
fn special_times_need_their_version() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    topic_with(&mut client, &[100]);
    for (timestamp, since) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
        assert_eq!(find(&mut client, since, timestamp).0, ErrorCode::None, "{timestamp} at {since}");
        assert_eq!(find(&mut client, since - 1, timestamp), (ErrorCode::UnsupportedVersion, -1, -1, -1), "{timestamp}");
    }
    assert_eq!(find(&mut client, 11, -7).0, ErrorCode::UnsupportedVersion);
}

#[test]
fn the_epoch_is_that_of_the_record() {
    let mut broker = TestBroker::start();
    topic_with(&mut broker.client(), &[100]);
    broker.restart();
    let mut client = broker.client();
    let (_, _, _, old) = find(&mut client, 10, 100);
    let (_, latest, _, current) = find(&mut client, 10, -1);
    assert_eq!((old, latest), (0, 1));
    assert!(current > 0, "the end belongs to the epoch of the leader: {current}");
    let fenced = ListOffsetsPartition { timestamp: -1, current_leader_epoch: 0, ..Default::default() };
    let ahead = ListOffsetsPartition { timestamp: -1, current_leader_epoch: current + 1, ..Default::default() };
    let same = ListOffsetsPartition { timestamp: -1, current_leader_epoch: current, ..Default::default() };
    assert_eq!(ask(&mut client, 10, &[fenced])[0].0, ErrorCode::FencedLeaderEpoch);
    assert_eq!(ask(&mut client, 10, &[ahead])[0].0, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(ask(&mut client, 10, &[same])[0].0, ErrorCode::None);
}

#[test]
fn unknown_and_repeated_partitions() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    topic_with(&mut client, &[100]);
    let other = ListOffsetsPartition { partition_index: 1, ..at(-1) };
    let found = ask(&mut client, 7, &[at(-1), other.clone(), at(-2)]);
    let errors: Vec<ErrorCode> = found.iter().map(|found| found.0).collect();
    assert_eq!(errors, [ErrorCode::InvalidRequest, ErrorCode::UnknownTopicOrPartition, ErrorCode::InvalidRequest]);
}

#[test]
fn where_an_epoch_ends() {
    let mut broker = TestBroker::start();
    topic_with(&mut broker.client(), &[100, 200]);
    broker.restart();
    let mut client = broker.client();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(300, Some(b"k"), Some(b"v"), &[]).unwrap();
    assert_eq!(client.produce("t", &builder.finish().unwrap()), (ErrorCode::None, 2));
    let current = find(&mut client, 10, 300).3;
    let mut end = |leader_epoch, current_leader_epoch| {
        let partition = OffsetForLeaderPartition { leader_epoch, current_leader_epoch, ..Default::default() };
        let topic =
            OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition].into(), ..Default::default() };
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic].into(), ..Default::default() };
        let answer = client.call(4, &request);
        let response: OffsetForLeaderEpochResponse<'_> = answer.body();
        let p = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
        (code(p.error_code), p.leader_epoch, p.end_offset)
    };
    assert_eq!(end(0, -1), (ErrorCode::None, 0, 2));
    assert_eq!(end(current, -1), (ErrorCode::None, current, 3));
    assert_eq!(end(current + 5, -1), (ErrorCode::None, -1, -1), "an epoch that has not been");
    assert_eq!(end(0, 0), (ErrorCode::FencedLeaderEpoch, -1, -1));
}
