//! What several brokers do together: replicas that are throttled, records that are deleted, leaders that are told of.

use std::borrow::Cow;

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::*;

use crate::cluster::unregister;
use crate::common::{Answer, Client, Fetched, batch, code, fetch_request, metadata_request, produce_request};
use crate::configs::{BROKER, TOPIC, incremental};
use crate::quorum::features_request;
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
    // For all brokers.
    set(&brokers, BROKER, "", "leader.replication.throttled.rate", "1");
    set(&brokers, BROKER, "", "follower.replication.throttled.rate", "1");
    set(&brokers, BROKER, "", "replica.alter.log.dirs.io.max.bytes.per.second", "1");
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

/// Error, who leads and since when, and where that node is, as an answer says.
type Hint = (ErrorCode, i32, i32, Vec<(i32, String, i32, Option<String>)>);

fn produce_hint(client: &mut Client, version: i16, id: Uuid, timeout_ms: i32) -> Hint {
    let records = batch(&["a"]);
    let mut request = produce_request("t", -1, &[(0, &records)]);
    request.timeout_ms = timeout_ms;
    if 13 <= version {
        request.topic_data = request
            .topic_data
            .iter()
            .map(|topic| produce_request::TopicProduceData { name: "".into(), topic_id: id, ..topic })
            .collect();
    }
    let answer = client.call(version, &request);
    produce_hint_of(&answer)
}

fn produce_hint_of(answer: &Answer) -> Hint {
    let response: ProduceResponse<'_> = answer.body();
    let partition = response.responses.iter().next().unwrap().partition_responses.iter().next().unwrap();
    let node = |node: produce_response::NodeEndpoint<'_>| {
        (node.node_id, node.host.into_owned(), node.port, node.rack.map(Cow::into_owned))
    };
    let leader = partition.current_leader;
    let nodes = response.node_endpoints.iter().map(node).collect();
    (code(partition.error_code), leader.leader_id, leader.leader_epoch, nodes)
}

fn fetch_hint(client: &mut Client, version: i16, id: Uuid, current_leader_epoch: i32) -> Hint {
    let mut request = fetch_request("t", 0);
    let by_id = |topic: fetch_request::FetchTopic<'static>| {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|one| fetch_request::FetchPartition { current_leader_epoch, ..one }).collect();
        let (topic, topic_id) = if 13 <= version { ("".into(), id) } else { (topic.topic, Uuid::ZERO) };
        fetch_request::FetchTopic { topic, topic_id, partitions, ..Default::default() }
    };
    request.topics = request.topics.iter().map(by_id).collect();
    let answer = client.call(version, &request);
    let response: FetchResponse<'_> = answer.body();
    let partition = response.responses.iter().next().unwrap().partitions.iter().next().unwrap();
    let node = |node: fetch_response::NodeEndpoint<'_>| {
        (node.node_id, node.host.into_owned(), node.port, node.rack.map(Cow::into_owned))
    };
    let leader = &partition.current_leader;
    let nodes = response.node_endpoints.iter().map(node).collect();
    (code(partition.error_code), leader.leader_id, leader.leader_epoch, nodes)
}

/// KIP-951: who asks the wrong broker is told who leads, and where that is.
#[test]
fn those_who_ask_the_wrong_broker_are_told_who_leads() {
    let brokers = Brokers::start(2, &[("broker.rack", "here")]);
    brokers.create_topic("t", &[&[1]], &[]);
    let id = brokers.client(2).wait_for_topic("t");
    let mut client = brokers.client(2);
    let port = i32::from(brokers.client(1).peer().port());
    let here = vec![(1, "127.0.0.1".to_owned(), port, Some("here".to_owned()))];
    let unsaid = (ErrorCode::NotLeaderOrFollower, -1, -1, vec![]);
    let told = (ErrorCode::NotLeaderOrFollower, 1, 0, here.clone());
    assert_eq!(produce_hint(&mut client, 9, id, 1000), unsaid);
    for version in 10..=13 {
        assert_eq!(produce_hint(&mut client, version, id, 1000), told, "Produce {version}");
        let taken = produce_hint(&mut brokers.client(1), version, id, 1000);
        assert_eq!(taken, (ErrorCode::None, -1, -1, vec![]), "Produce {version} to the leader");
    }
    assert_eq!(fetch_hint(&mut client, 12, id, -1), unsaid);
    assert_eq!(fetch_hint(&mut client, 15, id, -1), unsaid);
    for version in 16..=18 {
        assert_eq!(fetch_hint(&mut client, version, id, -1), told, "Fetch {version}");
    }
    // In a later epoch, who asks the leader by the old one is told too.
    brokers.reassign("t", &[2]);
    brokers.wait_for("t", "it has moved", |state| state.leader == 2 && state.replicas == [2]);
    brokers.reassign("t", &[1]);
    let state = brokers.wait_for("t", "it is back", |state| state.leader == 1 && state.replicas == [1]);
    let mut client = brokers.client(1);
    let hint = until("the leader knows", || {
        Some(fetch_hint(&mut client, 17, id, 0)).filter(|hint| hint.0 != ErrorCode::NotLeaderOrFollower)
    });
    assert_eq!(hint, (ErrorCode::FencedLeaderEpoch, 1, state.leader_epoch, here));
    assert_eq!(fetch_hint(&mut client, 15, id, 0), (ErrorCode::FencedLeaderEpoch, -1, -1, vec![]));
}

/// Records wait for a follower that sleeps, while the leader changes.
#[test]
fn a_producer_that_waits_is_told_who_leads_now() {
    let sleepy = [("replica.fetch.min.bytes", "1000000"), ("replica.fetch.wait.max.ms", "25000")];
    let brokers = Brokers::start(2, &sleepy);
    brokers.create_topic("t", &[&[1, 2]], &[]);
    let records = batch(&["a"]);
    let mut client = brokers.client(1);
    let sent = client.send(12, &produce_request("t", -1, &[(0, &records)]));
    until("the record is there", || size(&brokers, 1).filter(|size| 0 < *size));
    brokers.reassign("t", &[2, 1]);
    brokers.wait_for("t", "the order is another", |state| state.replicas == [2, 1]);
    let topic =
        elect_leaders_request::TopicPartitions { topic: "t".into(), partitions: vec![0].into(), ..Default::default() };
    let request =
        ElectLeadersRequest { topic_partitions: Some(vec![topic].into()), timeout_ms: 10_000, ..Default::default() };
    let answer = brokers.client(1).call(2, &request);
    assert_eq!(answer.body::<ElectLeadersResponse<'_>>().error_code, 0);
    let state = brokers.wait_for("t", "the other leads", |state| state.leader == 2);
    let port = i32::from(brokers.client(2).peer().port());
    let there = vec![(2, "127.0.0.1".to_owned(), port, None)];
    let hint = produce_hint_of(&client.receive(sent));
    assert_eq!(hint, (ErrorCode::NotLeaderOrFollower, 2, state.leader_epoch, there));
}

/// As with Kafka's broker: its heartbeats are refused from then on, and it does not register again by itself.
#[test]
fn an_unregistered_broker_stays_out_until_it_is_started_again() {
    let mut brokers = Brokers::start(2, &[("broker.heartbeat.interval.ms", "20")]);
    brokers.create_topic("t", &[&[2, 1]], &[]);
    let known = |brokers: &Brokers| {
        let answer = brokers.client(1).call(12, &metadata_request(&[]));
        let response: MetadataResponse<'_> = answer.body();
        response.brokers.iter().map(|broker| broker.node_id).collect::<Vec<_>>()
    };
    assert_eq!(known(&brokers), [1, 2]);
    assert_eq!(unregister(&mut brokers.client(1), 2).0, ErrorCode::None);
    brokers.wait_for("t", "the other leads", |state| state.leader == 1 && state.isr == [1]);
    // Many heartbeats.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(known(&brokers), [1]);
    brokers.stop(2);
    brokers.start_one(2);
    assert_eq!(known(&brokers), [1, 2]);
    brokers.wait_for("t", "it is in sync again", |state| state.isr.len() == 2);
}

/// Leader, in-sync, eligible and last known eligible replicas of `t-0`, as DescribeTopicPartitions says.
fn eligible(brokers: &Brokers) -> (i32, Vec<i32>, Vec<i32>, Vec<i32>) {
    let topic = describe_topic_partitions_request::TopicRequest { name: "t".into(), ..Default::default() };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![topic].into(),
        response_partition_limit: 10,
        ..Default::default()
    };
    let answer = brokers.client(1).call(0, &request);
    let response: DescribeTopicPartitionsResponse<'_> = answer.body();
    let topic = response.topics.iter().next().unwrap();
    let partition = topic.partitions.iter().next().unwrap();
    let ids = |nodes: Option<highwater_wire::Array<'_, i32>>| nodes.map(|ids| ids.iter().collect()).unwrap_or_default();
    (
        partition.leader_id,
        partition.isr_nodes.iter().collect(),
        ids(partition.eligible_leader_replicas.clone()),
        ids(partition.last_known_elr.clone()),
    )
}

/// KIP-966: once the feature is on, who leaves below `min.insync.replicas` may lead without loss.
#[test]
fn eligible_leader_replicas_are_kept_when_the_feature_is_on() {
    let mut brokers = Brokers::start(3, &[]);
    let answer = brokers.client(1).call(1, &features_request(1, &[("eligible.leader.replicas.version", 1, 1)]));
    assert_eq!(code(answer.body::<UpdateFeaturesResponse<'_>>().error_code), ErrorCode::None);
    let refused = incremental(&mut brokers.client(1), BROKER, "2", &[("min.insync.replicas", SET, Some("2"))]);
    assert_eq!(refused, ErrorCode::InvalidConfig);
    brokers.create_topic("t", &[&[2, 3]], &[("min.insync.replicas", "2")]);
    assert_eq!(brokers.client(2).produce("t", &batch(&["a"])), (ErrorCode::None, 0));
    brokers.stop(2);
    assert_eq!(eligible(&brokers), (3, vec![3], vec![2], vec![]));
    brokers.stop(3);
    assert_eq!(eligible(&brokers), (-1, vec![], vec![2, 3], vec![3]));
    // It was not the last to lead, and has every committed record all the same.
    brokers.start_one(2);
    until("it leads", || Some(eligible(&brokers)).filter(|state| state.0 == 2));
    brokers.start_one(3);
    until("both are in sync", || Some(eligible(&brokers)).filter(|state| state.1 == [2, 3] && state.2.is_empty()));
    // The leader may learn of that after others.
    let produce = || Some(brokers.client(2).produce("t", &batch(&["b"])));
    let taken = until("it is taken", || produce().filter(|(code, _)| *code != ErrorCode::NotEnoughReplicas));
    assert_eq!(taken, (ErrorCode::None, 1));
}
