//! Metadata and the topics that it creates.

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::MetadataResponse;
use highwater_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use highwater_wire::messages::metadata_response::MetadataResponseTopic;

use crate::common::{TestBroker, code, metadata_request};

fn names(response: &MetadataResponse<'_>) -> Vec<String> {
    response.topics.iter().map(|topic| topic.name.unwrap_or_default().into_owned()).collect()
}

fn only<'a>(response: &MetadataResponse<'a>) -> MetadataResponseTopic<'a> {
    assert_eq!(response.topics.len(), 1);
    response.topics.iter().next().unwrap()
}

#[test]
fn a_missing_topic_is_created_after_an_error() {
    let broker = TestBroker::start_with(&[("num.partitions", "4")]);
    let mut client = broker.client();
    let answer = client.call(12, &metadata_request(&["fresh"]));
    let first = only(&answer.body());
    assert_eq!(code(first.error_code), ErrorCode::UnknownTopicOrPartition);
    client.wait_for_topic("fresh");
    let answer = client.call(12, &metadata_request(&["fresh"]));
    let topic = only(&answer.body());
    assert_eq!(topic.partitions.len(), 4);
    assert_ne!(topic.topic_id, Uuid::ZERO);
    for partition in &topic.partitions {
        assert_eq!((partition.leader_id, partition.leader_epoch), (1, 0));
        assert_eq!(partition.replica_nodes.iter().collect::<Vec<_>>(), [1]);
        assert_eq!(partition.isr_nodes.iter().collect::<Vec<_>>(), [1]);
        assert!(partition.offline_replicas.is_empty());
    }
}

#[test]
fn topics_are_not_created_when_either_side_says_no() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let unasked = MetadataRequest { allow_auto_topic_creation: false, ..metadata_request(&["nope"]) };
    for _ in 0..3 {
        let answer = client.call(9, &unasked);
        assert_eq!(code(only(&answer.body()).error_code), ErrorCode::UnknownTopicOrPartition);
    }
    // The controller works in order: once this topic is there, the other would be, too.
    client.create_topic("later", 1, &[]);
    let all = client.call(1, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(names(&all.body()), ["later"]);

    let broker = TestBroker::start_with(&[("auto.create.topics.enable", "false")]);
    let mut client = broker.client();
    client.call(1, &metadata_request(&["nope"]));
    client.create_topic("later", 1, &[]);
    let all = client.call(1, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert_eq!(names(&all.body()), ["later"]);
}

#[test]
fn invalid_names_are_refused_and_not_created() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let long = "x".repeat(250);
    for name in ["bad/name", "..", ".", "", "ü", long.as_str()] {
        for version in [1, 9, 13] {
            let answer = client.call(version, &metadata_request(&[name]));
            let topic = only(&answer.body());
            assert_eq!(code(topic.error_code), ErrorCode::InvalidTopicException, "{name:?} at version {version}");
            assert_eq!(topic.name.as_deref(), Some(name));
        }
    }
}

#[test]
fn no_topics_means_all_in_version_0_and_none_later() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("b", 1, &[]);
    client.create_topic("a", 1, &[]);
    let none = MetadataRequest { topics: Some(Vec::new().into()), ..MetadataRequest::default() };
    assert_eq!(names(&client.call(0, &none).body()), ["a", "b"]);
    for version in [1, 8, 13] {
        assert!(names(&client.call(version, &none).body()).is_empty());
        let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
        assert_eq!(names(&client.call(version, &all).body()), ["a", "b"], "null at version {version}");
    }
}

#[test]
fn a_repeated_name_is_answered_once() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 50, &[]);
    let many = vec!["t"; 5000];
    let answer = client.call(9, &metadata_request(&many));
    assert_eq!(names(&answer.body()), ["t"]);
}

#[test]
fn topics_are_found_by_id_since_version_12() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let id = client.create_topic("t", 1, &[]);
    let by_id = |id| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { topic_id: id, name: None, ..Default::default() }].into()),
        ..MetadataRequest::default()
    };
    let answer = client.call(12, &by_id(id));
    assert_eq!(only(&answer.body()).name.as_deref(), Some("t"));
    let unknown = Uuid::from_bytes([9; 16]);
    let answer = client.call(12, &by_id(unknown));
    let topic = only(&answer.body());
    assert_eq!((code(topic.error_code), topic.name, topic.topic_id), (ErrorCode::UnknownTopicId, None, unknown));
    let answer = client.call(
        10,
        &MetadataRequest {
            topics: Some(
                vec![MetadataRequestTopic { topic_id: id, name: Some("t".into()), ..Default::default() }].into(),
            ),
            ..MetadataRequest::default()
        },
    );
    assert_eq!(code(only(&answer.body()).error_code), ErrorCode::InvalidRequest);
}

#[test]
fn a_recreated_topic_has_another_id() {
    use highwater_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
    let broker = TestBroker::start();
    let mut client = broker.client();
    let first = client.create_topic("t", 1, &[]);
    client.produce("t", &crate::common::batch(&["old"]));
    let answer =
        client.call(5, &DeleteTopicsRequest { topic_names: vec!["t".into()].into(), ..DeleteTopicsRequest::default() });
    let response: DeleteTopicsResponse<'_> = answer.body();
    assert_eq!(response.responses.iter().next().unwrap().error_code, 0);
    let second = client.create_topic("t", 1, &[]);
    assert_ne!(first, second);
    assert_eq!(client.fetch("t", 0).high_watermark, 0, "nothing is left of the old topic");
}

#[test]
fn brokers_cluster_and_operations() {
    let broker = TestBroker::start_with(&[("node.id", "0"), ("broker.rack", "r1")]);
    let mut client = broker.client();
    let answer = client.call(8, &metadata_request(&[]));
    let response: MetadataResponse<'_> = answer.body();
    let brokers: Vec<_> = response.brokers.iter().collect();
    assert_eq!(brokers.len(), 1);
    assert_eq!((brokers[0].node_id, &*brokers[0].host), (0, "127.0.0.1"));
    assert_eq!(brokers[0].port, i32::from(broker.address().port()), "port 0 advertises the port that was bound");
    assert_eq!(brokers[0].rack.as_deref(), Some("r1"));
    assert_eq!(response.controller_id, 0);
    assert_eq!(response.cluster_id.unwrap().len(), 22);
    assert_eq!(response.cluster_authorized_operations, i32::MIN, "not asked for");
}

#[test]
fn advertised_listeners_are_told_as_they_are() {
    let broker = TestBroker::start_with(&[("advertised.listeners", "PLAINTEXT://broker.example:19092")]);
    let answer = broker.client().call(1, &metadata_request(&[]));
    let response: MetadataResponse<'_> = answer.body();
    let told = response.brokers.iter().next().unwrap();
    assert_eq!((&*told.host, told.port), ("broker.example", 19092));
}
