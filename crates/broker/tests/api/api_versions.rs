//! ApiVersions, and that everything it promises is kept.

use highwater_types::ErrorCode;
use highwater_wire::messages::*;
use highwater_wire::{ApiKey, Message};

use crate::common::{Client, TestBroker, code};

fn hello<'a>(name: &'a str, version: &'a str) -> ApiVersionsRequest<'a> {
    ApiVersionsRequest {
        client_software_name: name.into(),
        client_software_version: version.into(),
        ..ApiVersionsRequest::default()
    }
}

#[test]
fn an_unknown_version_is_answered_in_version_0() {
    let broker = TestBroker::start();
    for version in [5i16, 99, i16::MAX] {
        let mut client = broker.client();
        // Key, version, correlation id, and nothing that we could know the layout of.
        let mut bytes = 12i32.to_be_bytes().to_vec();
        bytes.extend_from_slice(&18i16.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 9, 0xde, 0xad, 0xbe, 0xef]);
        client.send_raw(&bytes);
        let answer = client.receive((ApiKey::ApiVersions, 0, 9));
        let response: ApiVersionsResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), ErrorCode::UnsupportedVersion);
        let keys: Vec<_> =
            response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
        assert_eq!(keys, [(18, 0, 4)], "only itself");
        // The connection goes on.
        assert_eq!(client.call(0, &ApiVersionsRequest::default()).body::<ApiVersionsResponse<'_>>().error_code, 0);
    }
}

#[test]
fn the_software_name_is_checked_since_version_3() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    for (name, version, expected) in [
        ("librdkafka", "2.16.0", ErrorCode::None),
        ("", "1", ErrorCode::InvalidRequest),
        ("a b", "1", ErrorCode::InvalidRequest),
        ("a", "", ErrorCode::InvalidRequest),
        ("a", "-1", ErrorCode::InvalidRequest),
    ] {
        let answer = client.call(3, &hello(name, version));
        let response: ApiVersionsResponse<'_> = answer.body();
        assert_eq!(code(response.error_code), expected, "{name:?} {version:?}");
        assert_eq!(response.api_keys.is_empty(), expected != ErrorCode::None);
    }
}

#[test]
fn the_response_header_is_version_0_at_every_version() {
    let broker = TestBroker::start();
    let answer = broker.client().call(4, &hello("test", "1"));
    // Correlation id, then the error code at once: no tagged fields in between.
    assert_eq!(answer.raw()[4..6], [0, 0]);
}

#[test]
fn version_3_leaves_out_features_that_begin_at_0() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let answer = client.call(3, &hello("test", "1"));
    let response: ApiVersionsResponse<'_> = answer.body();
    assert!(response.supported_features.iter().all(|feature| feature.min_version > 0));
    let answer = client.call(4, &hello("test", "1"));
    let response: ApiVersionsResponse<'_> = answer.body();
    let finalized: Vec<_> = response.finalized_features.iter().map(|feature| feature.name).collect();
    assert_eq!(finalized, ["group.version", "metadata.version"], "only what works is finalized: clients act on it");
    assert!(response.finalized_features_epoch >= 0);
}

#[test]
fn what_is_advertised() {
    let broker = TestBroker::start();
    let answer = broker.client().call(0, &ApiVersionsRequest::default());
    let response: ApiVersionsResponse<'_> = answer.body();
    let keys: Vec<_> = response.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    let expected = [
        (0, 0, 13), // Produce, from 0 for librdkafka before 2.11
        (1, 4, 18),
        (2, 1, 11),
        (3, 0, 13),
        (8, 2, 10),
        (9, 1, 10),
        (10, 0, 6),
        (11, 0, 9),
        (12, 0, 4),
        (13, 0, 5),
        (14, 0, 5),
        (15, 0, 6),
        (16, 0, 5),
        (18, 0, 4),
        (19, 2, 7),
        (20, 1, 6),
        (21, 0, 2),
        (22, 0, 5),
        (23, 2, 4),
        (32, 1, 4),
        (33, 0, 2),
        (34, 1, 2),
        (35, 1, 5),
        (37, 0, 3),
        (42, 0, 2),
        (43, 0, 2),
        (44, 0, 1),
        (45, 0, 1),
        (46, 0, 0),
        (47, 0, 0),
        (55, 0, 2),
        (57, 0, 2),
        (60, 0, 2),
        (61, 0, 0),
        (64, 0, 0),
        (68, 0, 1),
        (69, 0, 1),
        (74, 0, 1),
        (75, 0, 0),
        (80, 0, 1),
        (81, 0, 0),
    ];
    assert_eq!(keys, expected);
}

/// Sends a request of every version and expects an answer that decodes.
fn every_version<'m, Q, R>(client: &mut Client, min: i16, max: i16, request: impl Fn(i16) -> Q)
where
    Q: Message<'m>,
    R: for<'a> Answers<'a>,
{
    for version in min..=max {
        let answer = client.call(version, &request(version));
        <R as Answers<'_>>::check(&answer, version);
    }
}

/// A response type, whatever the lifetime of the bytes it is decoded from.
trait Answers<'a> {
    fn check(answer: &'a crate::common::Answer, version: i16);
}

macro_rules! answers {
    ($($marker:ident = $response:ty;)*) => { $(
        struct $marker;
        impl<'a> Answers<'a> for $marker {
            fn check(answer: &'a crate::common::Answer, version: i16) {
                let encoded = answer.body::<$response>();
                assert!(encoded.encoded_size(version).is_ok());
            }
        }
    )* };
}

answers! {
    Fetch = FetchResponse<'a>;
    Produce = ProduceResponse<'a>;
    ListOffsets = ListOffsetsResponse<'a>;
    Metadata = MetadataResponse<'a>;
    FindCoordinator = FindCoordinatorResponse<'a>;
    CreateTopics = CreateTopicsResponse<'a>;
    DeleteTopics = DeleteTopicsResponse<'a>;
    DeleteRecords = DeleteRecordsResponse<'a>;
    InitProducerId = InitProducerIdResponse<'a>;
    OffsetForLeaderEpoch = OffsetForLeaderEpochResponse<'a>;
    DescribeConfigs = DescribeConfigsResponse<'a>;
    AlterConfigs = AlterConfigsResponse<'a>;
    DescribeLogDirs = DescribeLogDirsResponse<'a>;
    CreatePartitions = CreatePartitionsResponse<'a>;
    IncrementalAlterConfigs = IncrementalAlterConfigsResponse<'a>;
    DescribeCluster = DescribeClusterResponse<'a>;
    DescribeQuorum = DescribeQuorumResponse<'a>;
    UpdateFeatures = UpdateFeaturesResponse<'a>;
    DescribeProducers = DescribeProducersResponse<'a>;
    ListConfigResources = ListConfigResourcesResponse<'a>;
    DescribeTopicPartitions = DescribeTopicPartitionsResponse<'a>;
}

/// Each API answers real content in each version: a field that a version lacks would close the connection instead.
#[test]
fn every_advertised_version_is_answered() {
    use crate::common::{batch, create_request, fetch_request, metadata_request, produce_request};
    use crate::quorum::{features_request, quorum_request};

    let broker = TestBroker::start();
    let client = &mut broker.client();
    let id = client.create_topic("t", 1, &[]);
    let records = batch(&["a", "b"]);
    every_version::<_, Produce>(client, 3, 13, |version| {
        let mut request = produce_request("t", 1, &[(0, &records), (9, &records), (0, b"garbage")]);
        if version >= 13 {
            let mut topic = request.topic_data.iter().next().unwrap();
            topic.topic_id = id;
            request.topic_data = vec![topic].into();
        }
        request
    });
    every_version::<_, Fetch>(client, 4, 18, |version| {
        let mut request = fetch_request("t", 0);
        if version >= 13 {
            let mut topic = request.topics.iter().next().unwrap();
            topic.topic_id = id;
            request.topics = vec![topic].into();
        }
        if version >= 7 {
            request.session_epoch = 0;
        }
        request
    });
    every_version::<_, ListOffsets>(client, 1, 11, |_| {
        let at = |timestamp| list_offsets_request::ListOffsetsPartition { timestamp, ..Default::default() };
        let topic = |timestamp| list_offsets_request::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![at(timestamp)].into(),
            ..Default::default()
        };
        ListOffsetsRequest { replica_id: -1, topics: vec![topic(1000)].into(), ..Default::default() }
    });
    every_version::<_, Metadata>(client, 0, 13, |_| metadata_request(&["t", "bad/name"]));
    every_version::<_, FindCoordinator>(client, 0, 6, |version| match version {
        0..=3 => FindCoordinatorRequest { key: "g".into(), ..Default::default() },
        _ => FindCoordinatorRequest { coordinator_keys: vec!["g".into(), "h".into()].into(), ..Default::default() },
    });
    every_version::<_, CreateTopics>(client, 2, 7, |version| {
        let mut request = create_request(["a2", "a3", "a4", "a5", "a6", "a7"][version as usize - 2], 1, &[]);
        let mut good = request.topics.iter().next().unwrap();
        good.replication_factor = 1;
        let bad = create_topics_request::CreatableTopic { name: "bad/name".into(), ..good.clone() };
        request.topics = vec![good, bad].into();
        request
    });
    every_version::<_, DeleteTopics>(client, 1, 6, |version| match version {
        1..=5 => DeleteTopicsRequest {
            topic_names: vec![["a1", "a2", "a3", "a4", "a5"][version as usize - 1].into()].into(),
            ..Default::default()
        },
        _ => DeleteTopicsRequest {
            topics: vec![delete_topics_request::DeleteTopicState { name: Some("a6".into()), ..Default::default() }]
                .into(),
            ..Default::default()
        },
    });
    every_version::<_, DeleteRecords>(client, 0, 2, |_| DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![Default::default()].into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    });
    every_version::<_, InitProducerId>(client, 0, 5, |_| InitProducerIdRequest::default_for_test());
    every_version::<_, OffsetForLeaderEpoch>(client, 2, 4, |_| OffsetForLeaderEpochRequest {
        topics: vec![offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![Default::default()].into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    });
    every_version::<_, DescribeConfigs>(client, 1, 4, |_| DescribeConfigsRequest {
        resources: vec![describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configuration_keys: None,
            ..Default::default()
        }]
        .into(),
        include_synonyms: true,
        ..Default::default()
    });
    every_version::<_, AlterConfigs>(client, 0, 2, |_| AlterConfigsRequest {
        resources: vec![alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    });
    every_version::<_, DescribeLogDirs>(client, 1, 5, |_| DescribeLogDirsRequest::default());
    every_version::<_, CreatePartitions>(client, 0, 3, |version| CreatePartitionsRequest {
        topics: vec![create_partitions_request::CreatePartitionsTopic {
            name: "t".into(),
            count: 2 + i32::from(version),
            assignments: None,
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    });
    every_version::<_, IncrementalAlterConfigs>(client, 0, 1, |_| IncrementalAlterConfigsRequest {
        resources: vec![incremental_alter_configs_request::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            ..Default::default()
        }]
        .into(),
        ..Default::default()
    });
    every_version::<_, DescribeCluster>(client, 0, 2, |_| DescribeClusterRequest::default());
    every_version::<_, DescribeQuorum>(client, 0, 2, |_| quorum_request("__cluster_metadata", &[0]));
    every_version::<_, UpdateFeatures>(client, 0, 2, |version| {
        features_request(version, &[("group.version", 1, i8::from(0 < version))])
    });
    every_version::<_, DescribeProducers>(client, 0, 0, |_| DescribeProducersRequest::default());
    every_version::<_, ListConfigResources>(client, 0, 1, |_| ListConfigResourcesRequest::default());
    every_version::<_, DescribeTopicPartitions>(client, 0, 0, |_| DescribeTopicPartitionsRequest::default());
}

/// The request of an idempotent producer that has no id yet.
trait DefaultForTest {
    fn default_for_test() -> Self;
}

impl DefaultForTest for InitProducerIdRequest<'_> {
    fn default_for_test() -> Self {
        Self { transactional_id: None, transaction_timeout_ms: 60_000, ..Self::default() }
    }
}
