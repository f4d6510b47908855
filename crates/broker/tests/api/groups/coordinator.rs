//! Where the coordinator is, and its topic.

use highwater_types::ErrorCode;
use highwater_wire::messages::describe_configs_request::DescribeConfigsResource;
use highwater_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, FindCoordinatorRequest, FindCoordinatorResponse, MetadataResponse,
};

use super::{SETTINGS, find, until, wait_for_coordinator};
use crate::common::{TestBroker, batch, code, metadata_request};

const TOPIC: &str = "__consumer_offsets";

#[test]
fn the_first_question_makes_the_offsets_topic() {
    let broker = TestBroker::start_with(&SETTINGS);
    let mut client = broker.client();
    let internal = |client: &mut crate::common::Client| {
        let answer = client.call(12, &metadata_request(&[TOPIC]));
        let response: MetadataResponse<'_> = answer.body();
        let topic = response.topics.iter().next().unwrap();
        (code(topic.error_code), topic.is_internal, topic.partitions.len())
    };
    // Metadata alone does not make it, though topics are made on the way.
    assert_eq!(internal(&mut client).0, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(find(&mut client, "g"), ErrorCode::CoordinatorNotAvailable);
    wait_for_coordinator(&mut client, "g");
    assert_eq!(internal(&mut client), (ErrorCode::None, true, 4));
}

#[test]
fn the_topic_is_compacted_and_its_segments_are_small() {
    let broker = TestBroker::start_with(&SETTINGS);
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: TOPIC.into(),
        configuration_keys: None,
        ..Default::default()
    };
    let answer = client.call(4, &DescribeConfigsRequest { resources: vec![resource].into(), ..Default::default() });
    let response: DescribeConfigsResponse<'_> = answer.body();
    let result = response.results.iter().next().unwrap();
    let value = |name: &str| {
        result.configs.iter().find(|config| config.name == name).and_then(|config| config.value).unwrap().into_owned()
    };
    assert_eq!(value("cleanup.policy"), "compact");
    assert_eq!(value("compression.type"), "producer");
    assert_eq!(value("segment.bytes"), "104857600");
}

#[test]
fn more_replicas_than_brokers_are_refused_if_they_were_asked_for() {
    let settings: Vec<_> = SETTINGS.into_iter().chain([("offsets.topic.replication.factor", "3")]).collect();
    let broker = TestBroker::start_with(&settings);
    let mut client = broker.client();
    for _ in 0..5 {
        assert_eq!(find(&mut client, "g"), ErrorCode::CoordinatorNotAvailable);
        client.create_topic(&format!("t{}", client_count()), 1, &[]);
    }
}

/// A new number each time.
fn client_count() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn every_version_says_where_it_is() {
    let broker = TestBroker::start_with(&SETTINGS);
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    let expected = (ErrorCode::None, 1, "127.0.0.1".to_owned(), i32::from(broker.address().port()));
    for version in 0..=3 {
        let answer = client.call(version, &FindCoordinatorRequest { key: "g".into(), ..Default::default() });
        let response: FindCoordinatorResponse<'_> = answer.body();
        let found = (code(response.error_code), response.node_id, response.host.clone().into_owned(), response.port);
        assert_eq!(found, expected, "version {version}");
    }
    for version in 4..=6 {
        let keys = vec!["g".into(), "".into(), "another".into()].into();
        let answer = client.call(version, &FindCoordinatorRequest { coordinator_keys: keys, ..Default::default() });
        let response: FindCoordinatorResponse<'_> = answer.body();
        let found = |key: &str| {
            let found = response.coordinators.iter().find(|each| each.key == key).unwrap();
            (code(found.error_code), found.node_id, found.host.clone().into_owned(), found.port)
        };
        assert_eq!(found("g"), expected, "version {version}");
        assert_eq!(found("another"), expected, "version {version}");
        assert_eq!(response.coordinators.len(), 3);
    }
}

#[test]
fn clients_cannot_write_to_the_offsets_topic() {
    let broker = TestBroker::start_with(&SETTINGS);
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    assert_eq!(client.produce(TOPIC, &batch(&["x"])).0, ErrorCode::InvalidTopicException);
}

#[test]
fn fifty_partitions_are_there_before_a_client_loses_patience() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    until("the coordinator", || find(&mut client, "g") == ErrorCode::None);
    let answer = client.call(12, &metadata_request(&[TOPIC]));
    assert_eq!(answer.body::<MetadataResponse<'_>>().topics.iter().next().unwrap().partitions.len(), 50);
}
