//! Creating, growing, trimming, deleting and describing topics; brokers and disks.

use std::borrow::Cow;

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use highwater_wire::messages::delete_topics_request::DeleteTopicState;
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, batch, code, create_request};

fn create(client: &mut Client, version: i16, topics: Vec<CreatableTopic<'_>>) -> Vec<(String, ErrorCode)> {
    let request = CreateTopicsRequest { topics: topics.into(), timeout_ms: 10_000, ..CreateTopicsRequest::default() };
    let answer = client.call(version, &request);
    let response: CreateTopicsResponse<'_> = answer.body();
    response.topics.iter().map(|topic| (topic.name.into_owned(), code(topic.error_code))).collect()
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'_> {
    CreatableTopic { name: name.into(), num_partitions, replication_factor, ..CreatableTopic::default() }
}

fn all_topics(client: &mut Client) -> Vec<(String, usize)> {
    let answer = client.call(1, &MetadataRequest { topics: None, ..MetadataRequest::default() });
    let response: MetadataResponse<'_> = answer.body();
    response.topics.iter().map(|t| (t.name.unwrap().into_owned(), t.partitions.len())).collect()
}

#[test]
fn creation_is_refused_topic_by_topic() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("there", 1, &[]);
    client.create_topic("a.b", 1, &[]);
    let config = create_topics_request::CreatableTopicConfig {
        name: "no.such.config".into(),
        value: Some("1".into()),
        ..Default::default()
    };
    let assignment =
        CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1].into(), ..Default::default() };
    let results = create(
        &mut client,
        7,
        vec![
            topic("good", 2, 1),
            topic("there", 1, 1),
            topic("bad/name", 1, 1),
            topic("a_b", 1, 1),
            topic("none", 0, 1),
            topic("thrice", 1, 3),
            CreatableTopic { configs: vec![config].into(), ..topic("configured", 1, 1) },
            CreatableTopic { assignments: vec![assignment.clone()].into(), ..topic("assigned", -1, -1) },
            CreatableTopic { assignments: vec![assignment].into(), ..topic("both", 2, 1) },
        ],
    );
    let codes: Vec<ErrorCode> = results.iter().map(|(_, code)| *code).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::None,
            ErrorCode::TopicAlreadyExists,
            ErrorCode::InvalidTopicException,
            ErrorCode::InvalidTopicException,
            ErrorCode::InvalidPartitions,
            ErrorCode::InvalidReplicationFactor,
            ErrorCode::InvalidConfig,
            ErrorCode::None,
            ErrorCode::InvalidRequest,
        ]
    );
    let names: Vec<String> = all_topics(&mut client).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a.b", "assigned", "good", "there"]);
}

#[test]
fn defaults_apply_and_the_answer_tells_them() {
    let broker = TestBroker::start_with(&[("num.partitions", "3")]);
    let mut client = broker.client();
    let answer = client.call(7, &create_request("t", -1, &[("retention.ms", "5")]));
    let response: CreateTopicsResponse<'_> = answer.body();
    let created = response.topics.iter().next().unwrap();
    assert_eq!((created.num_partitions, created.replication_factor), (3, 1));
    assert_ne!(created.topic_id, Uuid::ZERO);
    let configs: Vec<_> = created.configs.expect("never null: Java fails on null").iter().collect();
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("5"), 1));
    assert!(configs.len() > 30);
    // A failure has an empty list, not null.
    let answer = client.call(7, &create_request("t", 1, &[]));
    let response: CreateTopicsResponse<'_> = answer.body();
    let refused = response.topics.iter().next().unwrap();
    assert_eq!(
        (code(refused.error_code), refused.configs.map(|list| list.len())),
        (ErrorCode::TopicAlreadyExists, Some(0))
    );
}

#[test]
fn validating_only_creates_nothing() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let request = CreateTopicsRequest { validate_only: true, ..create_request("t", 2, &[]) };
    let answer = client.call(5, &request);
    let response: CreateTopicsResponse<'_> = answer.body();
    let validated = response.topics.iter().next().unwrap();
    assert_eq!((validated.error_code, validated.num_partitions), (0, 2));
    assert!(all_topics(&mut client).is_empty());
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let id = client.create_topic("by-id", 2, &[]);
    client.create_topic("by-name", 1, &[]);
    let unknown = Uuid::from_bytes([3; 16]);
    let states = vec![
        DeleteTopicState { topic_id: id, name: None, ..Default::default() },
        DeleteTopicState { name: Some("by-name".into()), ..Default::default() },
        DeleteTopicState { name: Some("nope".into()), ..Default::default() },
        DeleteTopicState { topic_id: unknown, name: None, ..Default::default() },
    ];
    let answer = client.call(6, &DeleteTopicsRequest { topics: states.into(), ..DeleteTopicsRequest::default() });
    let response: DeleteTopicsResponse<'_> = answer.body();
    let mut results: Vec<_> =
        response.responses.iter().map(|r| (r.name.map(Cow::into_owned), code(r.error_code))).collect();
    results.sort();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        results,
        [
            (None, ErrorCode::UnknownTopicId),
            (name("by-id"), ErrorCode::None),
            (name("by-name"), ErrorCode::None),
            (name("nope"), ErrorCode::UnknownTopicOrPartition),
        ]
    );
    assert!(all_topics(&mut client).is_empty());
    let left: Vec<String> = std::fs::read_dir(broker.directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("by-") && !name.ends_with("-delete"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn deletion_can_be_forbidden() {
    let broker = TestBroker::start_with(&[("delete.topic.enable", "false")]);
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    for (version, expected) in [(1, ErrorCode::InvalidRequest), (5, ErrorCode::TopicDeletionDisabled)] {
        let request = DeleteTopicsRequest { topic_names: vec!["t".into()].into(), ..DeleteTopicsRequest::default() };
        let answer = client.call(version, &request);
        let response: DeleteTopicsResponse<'_> = answer.body();
        assert_eq!(code(response.responses.iter().next().unwrap().error_code), expected);
    }
    assert_eq!(all_topics(&mut client).len(), 1);
}

#[test]
fn partitions_are_added_and_every_topic_gets_a_result() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", &batch(&["kept"]));
    let grow = |name: &'static str, count| create_partitions_request::CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: None,
        ..Default::default()
    };
    let request = CreatePartitionsRequest {
        topics: vec![grow("t", 3), grow("nope", 3)].into(),
        ..CreatePartitionsRequest::default()
    };
    let answer = client.call(3, &request);
    let response: CreatePartitionsResponse<'_> = answer.body();
    let results: Vec<_> = response.results.iter().map(|r| code(r.error_code)).collect();
    assert_eq!(results, [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(all_topics(&mut client), [("t".to_owned(), 3)]);
    assert_eq!(client.fetch("t", 0).offsets(), [0]);
    let fewer = CreatePartitionsRequest { topics: vec![grow("t", 2)].into(), ..CreatePartitionsRequest::default() };
    let answer = client.call(3, &fewer);
    let response: CreatePartitionsResponse<'_> = answer.body();
    assert_eq!(code(response.results.iter().next().unwrap().error_code), ErrorCode::InvalidPartitions);
}

#[test]
fn deleting_records_raises_the_log_start() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 1, &[]);
    client.create_topic("compacted", 1, &[("cleanup.policy", "compact")]);
    for _ in 0..3 {
        client.produce("t", &batch(&["a", "b"]));
    }
    let mut delete = |topic: &'static str, offset| {
        let partition = delete_records_request::DeleteRecordsPartition { offset, ..Default::default() };
        let topic = delete_records_request::DeleteRecordsTopic {
            name: topic.into(),
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let answer =
            client.call(2, &DeleteRecordsRequest { topics: vec![topic].into(), ..DeleteRecordsRequest::default() });
        let response: DeleteRecordsResponse<'_> = answer.body();
        let result = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
        (code(result.error_code), result.low_watermark)
    };
    assert_eq!(delete("t", 3), (ErrorCode::None, 3));
    assert_eq!(delete("t", 7), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete("t", -2), (ErrorCode::OffsetOutOfRange, -1));
    assert_eq!(delete("t", -1), (ErrorCode::None, 6), "-1 is the high watermark");
    assert_eq!(delete("nope", 0), (ErrorCode::UnknownTopicOrPartition, -1));
    assert_eq!(delete("compacted", 0), (ErrorCode::PolicyViolation, -1));
    let fetched = client.fetch("t", 5);
    assert_eq!(fetched.error, ErrorCode::OffsetOutOfRange);
    assert_eq!(client.fetch("t", 6).log_start, 6);
}

#[test]
fn the_cluster_and_its_endpoints() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let answer = client.call(2, &DescribeClusterRequest { endpoint_type: 1, ..DescribeClusterRequest::default() });
    let response: DescribeClusterResponse<'_> = answer.body();
    let brokers: Vec<_> = response.brokers.iter().collect();
    assert_eq!((response.error_code, response.controller_id, brokers.len()), (0, 1, 1));
    assert_eq!(brokers[0].port, i32::from(broker.address().port()));
    assert_eq!(response.cluster_authorized_operations, i32::MIN);
    for (endpoint_type, expected) in [(2, ErrorCode::MismatchedEndpointType), (9, ErrorCode::UnsupportedEndpointType)] {
        let answer = client.call(1, &DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() });
        let response: DescribeClusterResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), expected);
    }
}

#[test]
fn log_directories_and_their_disks() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("t", 2, &[]);
    client.produce("t", &batch(&["a"]));
    let answer = client.call(4, &DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() });
    let response: DescribeLogDirsResponse<'_> = answer.body();
    let result = response.results.iter().next().unwrap();
    assert_eq!(*result.log_dir, *broker.directory().to_str().unwrap());
    assert!(result.total_bytes > 0 && result.usable_bytes > 0);
    let topic = result.topics.iter().next().unwrap();
    let sizes: Vec<_> = topic.partitions.iter().map(|p| (p.partition_index, p.partition_size, p.offset_lag)).collect();
    assert_eq!(sizes, [(0, batch(&["a"]).len() as i64, 0), (1, 0, 0)]);
    let none = DescribeLogDirsRequest { topics: Some(Vec::new().into()), ..DescribeLogDirsRequest::default() };
    let answer = client.call(4, &none);
    let response: DescribeLogDirsResponse<'_> = answer.body();
    assert!(response.results.iter().next().unwrap().topics.is_empty());
}

#[test]
fn topics_are_described_in_pages() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.create_topic("a", 3, &[]);
    client.create_topic("b", 2, &[]);
    let mut page = |limit, cursor: Option<(&'static str, i32)>, names: &[&'static str]| {
        let request = DescribeTopicPartitionsRequest {
            topics: names
                .iter()
                .map(|name| describe_topic_partitions_request::TopicRequest {
                    name: (*name).into(),
                    ..Default::default()
                })
                .collect(),
            response_partition_limit: limit,
            cursor: cursor.map(|(name, index)| describe_topic_partitions_request::Cursor {
                topic_name: name.into(),
                partition_index: index,
                ..Default::default()
            }),
            ..DescribeTopicPartitionsRequest::default()
        };
        let answer = client.call(0, &request);
        let response: DescribeTopicPartitionsResponse<'_> = answer.body();
        let mut told = Vec::new();
        for topic in &response.topics {
            let name = topic.name.unwrap().into_owned();
            for partition in &topic.partitions {
                assert!(partition.eligible_leader_replicas.is_some(), "never null: Java fails on null");
                told.push((name.clone(), partition.partition_index, topic.error_code));
            }
            if topic.partitions.is_empty() {
                told.push((name, -1, topic.error_code));
            }
        }
        (told, response.next_cursor.map(|cursor| (cursor.topic_name.into_owned(), cursor.partition_index)))
    };
    let at = |name: &str, index| (name.to_owned(), index, 0);
    let cursor = |name: &str, index| Some((name.to_owned(), index));
    assert_eq!(page(2, None, &[]), (vec![at("a", 0), at("a", 1)], cursor("a", 2)));
    assert_eq!(page(2, Some(("a", 2)), &[]), (vec![at("a", 2), at("b", 0)], cursor("b", 1)));
    assert_eq!(page(2, Some(("b", 1)), &[]), (vec![at("b", 1)], None));
    assert_eq!(page(3, None, &[]).1, cursor("b", 0));
    assert_eq!(page(2000, None, &["nope", "b", "b"]).0, [at("b", 0), at("b", 1), ("nope".to_owned(), -1, 3)]);
    assert_eq!(page(-5, None, &["b"]), (vec![at("b", 0)], cursor("b", 1)), "at least one");
}

#[test]
fn transactions_and_share_groups_have_no_coordinator() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let request = |key_type| FindCoordinatorRequest { key: "t".into(), key_type, ..FindCoordinatorRequest::default() };
    let answer = client.call(2, &request(1));
    let response: FindCoordinatorResponse<'_> = answer.body();
    assert_eq!((code(response.error_code), response.node_id), (ErrorCode::CoordinatorNotAvailable, -1));
    for (version, key_type, expected) in [
        (6, 1, ErrorCode::CoordinatorNotAvailable),
        (6, 2, ErrorCode::CoordinatorNotAvailable),
        (5, 2, ErrorCode::InvalidRequest),
        (6, 9, ErrorCode::InvalidRequest),
    ] {
        let keys = vec!["t".into(), "u".into()].into();
        let request = FindCoordinatorRequest { coordinator_keys: keys, key_type, ..FindCoordinatorRequest::default() };
        let answer = client.call(version, &request);
        let response: FindCoordinatorResponse<'_> = answer.body();
        let answers: Vec<_> = response.coordinators.iter().map(|c| (c.key.into_owned(), code(c.error_code))).collect();
        assert_eq!(answers, [("t".to_owned(), expected), ("u".to_owned(), expected)], "type {key_type}");
    }
    let answer = client.call(2, &request(9));
    assert_eq!(code(answer.body::<FindCoordinatorResponse<'_>>().error_code), ErrorCode::InvalidRequest);
}
