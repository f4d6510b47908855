//! What readers see of transactions.
//!
//! No request writes to transactions yet, so they are appended to the log while the broker is stopped.

use highwater_log::{AppendOrigin, AppendSet, CheckedLogConfig, Log, OpenOptions, RealDisk};
use highwater_records::{BatchOptions, EndTxnMarker, ProducerStamp};
use highwater_types::{ErrorCode, LeaderEpoch, TimestampMs};
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::{
    DescribeProducersRequest, DescribeProducersResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, describe_producers_request,
};

use crate::common::{Client, Fetched, TestBroker, batch, batch_with, code, fetch_request};

fn in_transaction(producer_id: i64, base_sequence: i32, values: &[&str]) -> Vec<u8> {
    let producer = ProducerStamp { producer_id, producer_epoch: 0, base_sequence };
    batch_with(BatchOptions { producer, transactional: true, ..BatchOptions::default() }, values)
}

fn marker(producer_id: i64, committed: bool) -> Vec<u8> {
    EndTxnMarker { committed, coordinator_epoch: 0 }.to_batch(producer_id, 0, recent().value())
}

/// Appends to partition `t-0` as a coordinator does, with the broker stopped meanwhile.
fn append(broker: &mut TestBroker, batches: &[Vec<u8>]) {
    let dir = broker.directory().join("t-0");
    broker.restart_after(|| {
        let options = OpenOptions { clean: true, ..OpenOptions::unclean(recent()) };
        let mut log = Log::open(RealDisk::shared(), &dir, CheckedLogConfig::default(), options).unwrap();
        for batch in batches {
            let mut bytes = batch.clone();
            let mut sets = [AppendSet::new(&mut bytes, AppendOrigin::Coordinator)];
            log.append_as_leader(&mut sets, LeaderEpoch::new(0), recent()).unwrap();
            sets[0].take_result().unwrap();
        }
        log.close(recent()).unwrap();
    });
}

/// A time at which producers of the test's batches are not forgotten yet.
fn recent() -> TimestampMs {
    TimestampMs(1_000_000)
}

/// Records, last stable offset, and the list of aborted transactions as producer and first offset.
type Seen = (Vec<i64>, i64, Option<Vec<(i64, i64)>>);

fn fetch(client: &mut Client, offset: i64, isolation_level: i8) -> Seen {
    let answer = client.call(12, &FetchRequest { isolation_level, ..fetch_request("t", offset) });
    let response: FetchResponse<'_> = answer.body();
    let topic = response.responses.iter().next().unwrap();
    let partition = topic.partitions.iter().next().unwrap();
    assert_eq!(code(partition.error_code), ErrorCode::None);
    let aborted = partition.aborted_transactions.as_ref();
    let aborted = aborted.map(|list| list.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect());
    (Fetched::of(&answer).offsets(), partition.last_stable_offset, aborted)
}

fn latest(client: &mut Client, isolation_level: i8, timestamp: i64) -> i64 {
    let partition = ListOffsetsPartition { timestamp, current_leader_epoch: -1, ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition].into(), ..Default::default() };
    let request =
        ListOffsetsRequest { replica_id: -1, isolation_level, topics: vec![topic].into(), ..Default::default() };
    let answer = client.call(7, &request);
    let response: ListOffsetsResponse<'_> = answer.body();
    let topic = response.topics.iter().next().unwrap();
    topic.partitions.iter().next().unwrap().offset
}

/// First offset of each producer's open transaction.
fn open_transactions(client: &mut Client) -> Vec<(i64, i64)> {
    let topic = describe_producers_request::TopicRequest {
        name: "t".into(),
        partition_indexes: vec![0].into(),
        ..Default::default()
    };
    let answer = client.call(0, &DescribeProducersRequest { topics: vec![topic].into(), ..Default::default() });
    let response: DescribeProducersResponse<'_> = answer.body();
    let topic = response.topics.iter().next().unwrap();
    let partition = topic.partitions.iter().next().unwrap();
    partition.active_producers.iter().map(|p| (p.producer_id, p.current_txn_start_offset)).collect()
}

#[test]
fn readers_of_committed_records_are_bounded_and_told_what_was_aborted() {
    let mut broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("retention.ms", "-1")]);
    assert_eq!(client.produce("t", &batch(&["plain"])), (ErrorCode::None, 0));
    append(&mut broker, &[in_transaction(7, 0, &["a", "b"]), in_transaction(8, 0, &["c"])]);
    let mut client = broker.client();
    assert_eq!(open_transactions(&mut client), [(7, 1), (8, 3)]);
    assert_eq!(fetch(&mut client, 0, 0), (vec![0, 1, 2, 3], 1, None));
    assert_eq!(fetch(&mut client, 0, 1), (vec![0], 1, Some(vec![])));
    assert_eq!(fetch(&mut client, 1, 1), (vec![], 1, Some(vec![])));
    assert_eq!((latest(&mut client, 0, -1), latest(&mut client, 1, -1)), (4, 1));
    // The first record of at least this time lies above the last stable offset; "plain" is the only earlier one.
    assert_eq!((latest(&mut client, 0, 1_001), latest(&mut client, 1, 1_001)), (2, -1));
    assert_eq!((latest(&mut client, 0, -3), latest(&mut client, 1, -3)), (2, -1));
    assert_eq!((latest(&mut client, 1, 1_000), latest(&mut client, 1, -2)), (0, 0));

    append(&mut broker, &[marker(7, false)]);
    let mut client = broker.client();
    // Its last record is old, so that the start has forgotten the other producer.
    assert_eq!(open_transactions(&mut client), [(8, 3)]);
    assert_eq!(fetch(&mut client, 0, 1), (vec![0, 1, 2], 3, Some(vec![(7, 1)])));
    assert_eq!(latest(&mut client, 1, -1), 3);

    append(&mut broker, &[marker(8, true)]);
    let mut client = broker.client();
    assert_eq!(fetch(&mut client, 0, 1), (vec![0, 1, 2, 3, 4, 5], 6, Some(vec![(7, 1)])));
    assert_eq!(fetch(&mut client, 5, 1), (vec![5], 6, Some(vec![])));
    assert_eq!(fetch(&mut client, 0, 0).2, None);
    assert_eq!(latest(&mut client, 1, -1), 6);
}

#[test]
fn a_waiting_reader_of_committed_records_is_not_answered_with_others() {
    let mut broker = TestBroker::start();
    broker.client().create_topic("t", 1, &[("retention.ms", "-1")]);
    append(&mut broker, &[in_transaction(7, 0, &["a"])]);
    let (mut client, mut reader) = (broker.client(), broker.client());
    let waiting = FetchRequest { isolation_level: 1, max_wait_ms: 300, ..fetch_request("t", 0) };
    let sent = reader.send(12, &waiting);
    assert_eq!(client.produce("t", &batch(&["plain"])), (ErrorCode::None, 1));
    let fetched = Fetched::of(&reader.receive(sent));
    assert_eq!((fetched.offsets(), fetched.high_watermark), (vec![], 2));
}
