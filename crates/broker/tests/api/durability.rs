//! `flush.messages` and `flush.ms`: what is acknowledged and read when.

use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::messages::{ProduceRequest, ProduceResponse};

use crate::common::{Answer, Client, TestBroker, batch, code, produce_request};
use crate::configs::{TOPIC, incremental};
use crate::faulty_disk::FaultyDisk;

/// The operation of an incremental change of configs.
const SET: i8 = 0;
const FLUSHED: [(&str, &str); 1] = [("flush.messages", "1")];

fn broker() -> (FaultyDisk, TestBroker) {
    let disk = FaultyDisk::default();
    let broker = TestBroker::start_on(disk.shared(), &[]);
    (disk, broker)
}

fn outcome(answer: &Answer) -> Vec<(ErrorCode, i64)> {
    let response: ProduceResponse<'_> = answer.body();
    let partitions = response.responses.iter().flat_map(|topic| {
        topic.partition_responses.iter().map(|p| (code(p.error_code), p.base_offset)).collect::<Vec<_>>()
    });
    partitions.collect()
}

/// Waits until the broker has parked `count` more requests than `before`.
fn wait_for_parks(broker: &TestBroker, before: u64, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.broker().stats().net.parks < before + count {
        assert!(Instant::now() < deadline, "the requests never came to wait");
        std::thread::yield_now();
    }
}

#[test]
fn nothing_is_acknowledged_or_read_before_it_is_synced() {
    let (disk, broker) = broker();
    let mut client = broker.client();
    client.create_topic("t", 1, &FLUSHED);
    client.create_topic("other", 1, &[]);
    let records = batch(&["a"]);
    let parks = broker.broker().stats().net.parks;
    disk.hold_syncs("/t-0/");
    for (waiting, acks) in [1, -1].into_iter().enumerate() {
        let mut producer = broker.client();
        // No time is left for replicas, and none is needed: the sync is part of the append.
        let request = ProduceRequest { timeout_ms: 0, ..produce_request("t", acks, &[(0, &records)]) };
        let sent = producer.send(9, &request);
        disk.wait_for_held(1);
        wait_for_parks(&broker, parks, 1 + waiting as u64);
        let fetched = client.fetch("t", 0);
        assert_eq!((fetched.high_watermark, fetched.records.len()), (waiting as i64, waiting * records.len()));
        // The event loops go on with other logs meanwhile.
        assert_eq!(client.produce("other", &records).0, ErrorCode::None);
        assert_eq!(disk.syncs("/t-0/"), waiting);
        disk.release_syncs();
        assert_eq!(outcome(&producer.receive(sent)), [(ErrorCode::None, waiting as i64)], "acks={acks}");
        assert_eq!(client.fetch("t", 0).high_watermark, 1 + waiting as i64);
        disk.hold_syncs("/t-0/");
    }
    disk.release_syncs();
}

#[test]
fn appends_that_come_during_a_sync_share_the_next() {
    let (disk, broker) = broker();
    broker.client().create_topic("t", 1, &FLUSHED);
    let records = batch(&["a"]);
    let parks = broker.broker().stats().net.parks;
    disk.hold_syncs("/t-0/");
    let mut producers: Vec<Client> = (0..12).map(|_| broker.client()).collect();
    let mut sent = Vec::new();
    for producer in &mut producers {
        sent.push(producer.send(9, &produce_request("t", 1, &[(0, &records)])));
        disk.wait_for_held(1);
    }
    wait_for_parks(&broker, parks, 12);
    disk.release_syncs();
    let mut offsets: Vec<i64> = Vec::new();
    for (producer, sent) in producers.iter_mut().zip(sent) {
        let [(ErrorCode::None, offset)] = outcome(&producer.receive(sent))[..] else { panic!("refused") };
        offsets.push(offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, (0..12).collect::<Vec<_>>());
    assert_eq!(disk.syncs("/t-0/"), 2);
}

#[test]
fn logs_are_synced_side_by_side() {
    let (disk, broker) = broker();
    broker.client().create_topic("t", 4, &FLUSHED);
    let records = batch(&["a"]);
    disk.hold_syncs("/t-");
    let mut producer = broker.client();
    let partitions: Vec<(i32, &[u8])> = (0..4).map(|index| (index, &records[..])).collect();
    let sent = producer.send(9, &produce_request("t", -1, &partitions));
    disk.wait_for_held(4);
    disk.release_syncs();
    assert_eq!(outcome(&producer.receive(sent)), [(ErrorCode::None, 0); 4]);
}

#[test]
fn a_failed_sync_is_answered_with_a_storage_error() {
    let disk = FaultyDisk::default();
    let broker = TestBroker::start_on(disk.shared(), &[("log.dirs", "d0,d1")]);
    let mut client = broker.client();
    client.create_topic("t", 2, &FLUSHED);
    // The directory of the metadata is left alone, so that the broker goes on.
    let index = (0..2).find(|i| broker.directory().join(format!("d1/t-{i}")).exists()).unwrap();
    let records = batch(&["a"]);
    let parks = broker.broker().stats().net.parks;
    disk.hold_syncs("/d1/");
    let mut waiting: Vec<_> = [1, -1, 1]
        .into_iter()
        .map(|acks| {
            let mut producer = broker.client();
            let sent = producer.send(9, &produce_request("t", acks, &[(index, &records)]));
            (producer, sent)
        })
        .collect();
    disk.wait_for_held(1);
    wait_for_parks(&broker, parks, 3);
    disk.fail("/d1/");
    for (producer, sent) in &mut waiting {
        assert_eq!(outcome(&producer.receive(*sent)), [(ErrorCode::KafkaStorageError, -1)]);
    }
    let answer = client.call(9, &produce_request("t", 1, &[(index, &records), (1 - index, &records)]));
    assert_eq!(outcome(&answer), [(ErrorCode::KafkaStorageError, -1), (ErrorCode::None, 0)]);
    disk.heal();
    let answer = client.call(9, &produce_request("t", 1, &[(index, &records)]));
    assert_eq!(outcome(&answer), [(ErrorCode::KafkaStorageError, -1)], "offline until the restart");
}

#[test]
fn only_the_append_that_reaches_the_number_waits() {
    let (disk, broker) = broker();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.messages", "3")]);
    disk.hold_syncs("/t-0/");
    assert_eq!(client.produce("t", &batch(&["a", "b"])), (ErrorCode::None, 0));
    assert_eq!(client.fetch("t", 0).high_watermark, 2);
    let mut producer = broker.client();
    let records = batch(&["c"]);
    let sent = producer.send(9, &produce_request("t", -1, &[(0, &records)]));
    disk.wait_for_held(1);
    assert_eq!(client.fetch("t", 0).high_watermark, 2);
    disk.release_syncs();
    assert_eq!(outcome(&producer.receive(sent)), [(ErrorCode::None, 2)]);
    assert_eq!((client.fetch("t", 0).high_watermark, disk.syncs("/t-0/")), (3, 1));
}

#[test]
fn taking_the_setting_back_answers_those_who_wait() {
    let (disk, broker) = broker();
    let mut client = broker.client();
    client.create_topic("t", 1, &FLUSHED);
    let parks = broker.broker().stats().net.parks;
    disk.hold_syncs("/t-0/");
    let mut producer = broker.client();
    let records = batch(&["a"]);
    // Longer than the client waits for an answer.
    let request = ProduceRequest { timeout_ms: 120_000, ..produce_request("t", 1, &[(0, &records)]) };
    let sent = producer.send(9, &request);
    disk.wait_for_held(1);
    wait_for_parks(&broker, parks, 1);
    assert_eq!(incremental(&mut client, TOPIC, "t", &[("flush.messages", SET, Some("1000"))]), ErrorCode::None);
    assert_eq!(outcome(&producer.receive(sent)), [(ErrorCode::None, 0)]);
    assert_eq!(client.fetch("t", 0).high_watermark, 1);
    disk.release_syncs();
}

#[test]
fn flush_ms_syncs_without_anyone_waiting() {
    let (disk, broker) = broker();
    let mut client = broker.client();
    client.create_topic("t", 1, &[("flush.ms", "1")]);
    assert_eq!(client.produce("t", &batch(&["a"])), (ErrorCode::None, 0));
    let deadline = Instant::now() + Duration::from_secs(30);
    while disk.syncs("/t-0/") == 0 {
        assert!(Instant::now() < deadline, "never synced");
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_waits_for_the_sync_and_keeps_its_records() {
    let (disk, mut broker) = broker();
    broker.client().create_topic("t", 1, &FLUSHED);
    disk.hold_syncs("/t-0/");
    let mut producer = broker.client();
    let records = batch(&["a"]);
    producer.send(9, &produce_request("t", 1, &[(0, &records)]));
    disk.wait_for_held(1);
    let release = {
        let disk = disk.clone();
        std::thread::spawn(move || disk.release_syncs())
    };
    broker.restart();
    release.join().unwrap();
    assert_eq!(broker.client().fetch("t", 0).offsets(), [0]);
}
