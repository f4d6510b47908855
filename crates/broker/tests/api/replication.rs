//! What several brokers do together: replicas that are throttled, records that are deleted.

use highwater_types::ErrorCode;
use highwater_wire::messages::*;

use crate::common::{Client, Fetched, batch, code, fetch_request};
use crate::configs::{BROKER, TOPIC, incremental};
use crate::several::{Brokers, until};

const SET: i8 = 0;

/// Small fetches, one batch at a time, which are not forgotten within an hour.
const SMALL: [(&str, &str); 3] =
    [("replica.fetch.max.bytes", "1"), ("replica.fetch.wait.max.ms", "50"), ("replication.quota.window.num", "3600")];

fn set(brokers: &Brokers, kind: i8, name: &str, key: &str, value: &str) {
    assert_eq!(incremental(&mut brokers.client(1), kind, name, &[(key, SET, Some(value))]), ErrorCode::None);
}

/// Bytes of the replica of `t-0` on a broker; `None` while it has none.
fn size(brokers: &Brokers, id: u32) -> Option<i64> {
    let answer = brokers.client(id).call(4, &DescribeLogDirsRequest { topics: None, ..Default::default() });
    let response: DescribeLogDirsResponse<'_> = answer.body();
    let all: Vec<_> = response.results.iter().flat_map(|result| result.topics.iter().collect::<Vec<_>>()).collect();
    let topic = all.iter().find(|topic| topic.name == "t")?;
    topic.partitions.iter().next().map(|partition| partition.partition_size)
}

/// A replica that is added does not get beyond its first batch at a rate of 1 byte a second, which `key` on broker
/// `throttled` says, and has everything soon once it may.
fn catches_up_when_it_may(topic_key: &str, broker_key: &str, throttled: u32) {
    let brokers = Brokers::start(2, &SMALL);
    brokers.create_topic("t", &[&[1]], &[(topic_key, &format!("0:{throttled}"))]);
    set(&brokers, BROKER, &throttled.to_string(), broker_key, "1");
    let value = "x".repeat(1000);
    let one = batch(&[&value]);
    let mut client = brokers.client(1);
    for offset in 0..20 {
        assert_eq!(client.produce("t", &one), (ErrorCode::None, offset));
    }
    let all = size(&brokers, 1).unwrap();
    brokers.reassign("t", &[1, 2]);
    let first = until("the first batch is there", || size(&brokers, 2).filter(|size| 0 < *size));
    // Were it not throttled, it would take some milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let later = size(&brokers, 2).unwrap();
    assert!(first < all && later <= all / 20, "{first}, {later} of {all}");
    let state = brokers.wait_for("t", "it moves", |_| true);
    assert_eq!(state.isr, [1], "it is not in sync");
    set(&brokers, BROKER, &throttled.to_string(), broker_key, "1000000");
    brokers.wait_for("t", "it is in sync", |state| state.isr == [1, 2]);
    assert_eq!(size(&brokers, 2), Some(all));
    // In sync, it is never held back.
    set(&brokers, BROKER, &throttled.to_string(), broker_key, "1");
    for offset in 20..30 {
        assert_eq!(client.produce("t", &one), (ErrorCode::None, offset), "acknowledged by both");
    }
    set(&brokers, TOPIC, "t", topic_key, "");
}

#[test]
fn a_leader_holds_throttled_replicas_back() {
    catches_up_when_it_may("leader.replication.throttled.replicas", "leader.replication.throttled.rate", 1);
}

#[test]
fn a_throttled_follower_waits() {
    catches_up_when_it_may("follower.replication.throttled.replicas", "follower.replication.throttled.rate", 2);
}

/// The list of the topic may change while the replica waits.
#[test]
fn a_replica_that_is_throttled_no_more_goes_on() {
    let brokers = Brokers::start(2, &SMALL);
    let keys = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
    brokers.create_topic("t", &[&[1]], &[(keys[0], "*"), (keys[1], "*")]);
    for id in ["1", "2"] {
        set(&brokers, BROKER, id, "leader.replication.throttled.rate", "1");
        set(&brokers, BROKER, id, "follower.replication.throttled.rate", "1");
    }
    let one = batch(&[&"x".repeat(1000)]);
    let mut client = brokers.client(1);
    (0..5).for_each(|offset| assert_eq!(client.produce("t", &one), (ErrorCode::None, offset)));
    brokers.reassign("t", &[1, 2]);
    until("the first batch is there", || size(&brokers, 2).filter(|size| 0 < *size));
    assert_eq!(brokers.wait_for("t", "it moves", |_| true).isr, [1]);
    set(&brokers, TOPIC, "t", keys[0], "0:2");
    set(&brokers, TOPIC, "t", keys[1], "0:1,1:2");
    brokers.wait_for("t", "it is in sync", |state| state.isr == [1, 2]);
}

/// Deletes what is before an offset of `t-0`. Error and low watermark.
fn delete_records(client: &mut Client, offset: i64, timeout_ms: i32) -> (ErrorCode, i64) {
    use delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition { offset, ..Default::default() };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition].into(), ..Default::default() };
    let answer = client.call(2, &DeleteRecordsRequest { topics: vec![topic].into(), timeout_ms, ..Default::default() });
    let response: DeleteRecordsResponse<'_> = answer.body();
    let result = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
    (code(result.error_code), result.low_watermark)
}

#[test]
fn records_are_deleted_when_every_live_replica_has_deleted_them() {
    let mut brokers = Brokers::start(3, &[]);
    brokers.create_topic("t", &[&[1, 2, 3]], &[]);
    brokers.wait_for("t", "all are in sync", |state| state.isr.len() == 3);
    let mut client = brokers.client(1);
    for offset in 0..10 {
        assert_eq!(client.produce("t", &batch(&["a"])), (ErrorCode::None, offset));
    }
    assert_eq!(delete_records(&mut client, 4, 60_000), (ErrorCode::None, 4));
    for id in [1, 2, 3] {
        // As a consumer that may read from any replica.
        let answer = brokers.client(id).call(12, &fetch_request("t", 4));
        assert_eq!(Fetched::of(&answer).log_start, 4, "on broker {id}, when it is answered");
    }
    let mut follower = brokers.client(2);
    assert_eq!(delete_records(&mut follower, 5, 60_000), (ErrorCode::NotLeaderOrFollower, -1));
    assert_eq!(delete_records(&mut client, 5, 0), (ErrorCode::RequestTimedOut, 4), "followers have not heard of it");
    assert_eq!(delete_records(&mut client, 5, 60_000), (ErrorCode::None, 5));
    // A broker that has left is not waited for.
    brokers.stop(3);
    assert_eq!(delete_records(&mut client, 7, 60_000), (ErrorCode::None, 7));
}
