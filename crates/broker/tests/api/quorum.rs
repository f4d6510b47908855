//! The metadata log and the features that it finalizes.

use std::borrow::Cow;

use highwater_types::ErrorCode;
use highwater_wire::messages::*;

use crate::common::{Client, TestBroker, code};

pub(crate) fn quorum_request(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest<'static> {
    let partition =
        |index: &i32| describe_quorum_request::PartitionData { partition_index: *index, ..Default::default() };
    let topic = describe_quorum_request::TopicData {
        topic_name: topic.to_owned().into(),
        partitions: partitions.iter().map(partition).collect(),
        ..Default::default()
    };
    DescribeQuorumRequest { topics: vec![topic].into(), ..Default::default() }
}

/// Updates given by name, level and kind; version 0 has whether it may be a downgrade instead of a kind.
pub(crate) fn features_request(version: i16, updates: &[(&str, i16, i8)]) -> UpdateFeaturesRequest<'static> {
    let update = |(name, level, kind): &(&str, i16, i8)| update_features_request::FeatureUpdateKey {
        feature: (*name).to_owned().into(),
        max_version_level: *level,
        allow_downgrade: version == 0 && *kind != 0,
        upgrade_type: if version == 0 { 1 } else { *kind },
        ..Default::default()
    };
    UpdateFeaturesRequest { feature_updates: updates.iter().map(update).collect(), ..Default::default() }
}

#[test]
fn a_broker_that_is_its_own_controller_leads_alone() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let mut ask = || {
        let answer = client.call(2, &quorum_request("__cluster_metadata", &[0]));
        let response: DescribeQuorumResponse<'_> = answer.body();
        assert_eq!(response.error_code, 0);
        let nodes: Vec<_> = response.nodes.iter().collect();
        let listener = nodes[0].listeners.iter().next().unwrap();
        assert_eq!((nodes.len(), nodes[0].node_id, listener.port), (1, 1, broker.address().port()));
        let partition = response.topics.iter().next().unwrap().partitions.iter().next().unwrap();
        let voters: Vec<_> = partition.current_voters.iter().collect();
        assert_eq!((partition.error_code, partition.leader_id, voters.len()), (0, 1, 1));
        assert_eq!((voters[0].replica_id, voters[0].log_end_offset), (1, partition.high_watermark));
        assert!(voters[0].last_caught_up_timestamp > 0 && partition.observers.is_empty());
        (partition.leader_epoch, partition.high_watermark)
    };
    let (epoch, before) = ask();
    assert_eq!(epoch, 1, "the first leader of a new log");
    broker.client().create_topic("t", 3, &[]);
    let (_, after) = ask();
    assert!(before + 4 <= after, "a topic and its partitions are records: {before} to {after}");
}

#[test]
fn only_the_metadata_partition_has_a_quorum() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    for (topic, partitions) in [("t", &[0][..]), ("__cluster_metadata", &[1]), ("__cluster_metadata", &[0, 1])] {
        let answer = client.call(2, &quorum_request(topic, partitions));
        let response: DescribeQuorumResponse<'_> = answer.body();
        assert_eq!(response.error_code, 0);
        let answered: Vec<_> = response.topics.iter().next().unwrap().partitions.iter().collect();
        assert_eq!(answered.len(), partitions.len());
        assert!(answered.iter().all(|p| code(p.error_code) == ErrorCode::UnknownTopicOrPartition), "{topic}");
    }
    let answer = client.call(2, &DescribeQuorumRequest::default());
    assert_eq!(answer.body::<DescribeQuorumResponse<'_>>().topics.iter().count(), 0);
}

#[test]
fn more_partitions_than_anybody_asks_for_end_the_connection() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    client.send(2, &quorum_request("t", &vec![0; 20_000]));
    assert_eq!(client.until_closed(), b"");
    let mut client = broker.client();
    client.call(2, &quorum_request("t", &[0]));
}

/// The level of `group.version` that ApiVersions tells of.
fn group_version(client: &mut Client) -> Option<i16> {
    let request = ApiVersionsRequest {
        client_software_name: "t".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let answer = client.call(4, &request);
    let response: ApiVersionsResponse<'_> = answer.body();
    let found = response.finalized_features.iter().find(|feature| feature.name == "group.version");
    found.map(|feature| feature.max_version_level)
}

#[test]
fn features_are_changed_together_or_not_at_all() {
    let broker = TestBroker::start();
    let mut client = broker.client();
    let mut update = |version, updates: &[(&str, i16, i8)], validate_only| {
        let request = UpdateFeaturesRequest { validate_only, ..features_request(version, updates) };
        let answer = client.call(version, &request);
        let response: UpdateFeaturesResponse<'_> = answer.body();
        let message = response.error_message.map(Cow::into_owned);
        (code(response.error_code), message.unwrap_or_default(), response.results.iter().count())
    };
    let done = |results| (ErrorCode::None, String::new(), results);
    assert_eq!(update(2, &[("group.version", 0, 2)], true), done(0), "checked only");
    let (error, message, _) = update(2, &[("group.version", 0, 2), ("metadata.version", 99, 1)], false);
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    let expected = "The update failed for all features since the following feature had an error: \
                    Invalid update version 99 for feature metadata.version. \
                    Local controller 1 only supports versions 22-30";
    assert_eq!(message, expected);
    assert_eq!(group_version(&mut broker.client()), Some(1), "nothing has changed");
    let (error, message, _) = update(2, &[("group.version", 0, 2), ("kraft.version", 9, 1)], false);
    assert_eq!(error, ErrorCode::InvalidUpdateVersion);
    assert!(message.ends_with("for feature kraft.version. Local controller 1 only supports versions 0-1"), "{message}");
    assert_eq!(group_version(&mut broker.client()), Some(1), "nothing has changed");
    assert_eq!(update(2, &[("kraft.version", 0, 1)], false), done(0), "it is so already");
    assert_eq!(update(1, &[("group.version", 0, 2)], false), done(1), "older versions list the features");
    assert_eq!(group_version(&mut broker.client()), None, "level 0 is none");
    assert_eq!(update(2, &[("group.version", 1, 2)], false).0, ErrorCode::InvalidUpdateVersion, "up by a downgrade");
    assert_eq!(update(0, &[("group.version", 1, 0)], false), done(1));
    assert_eq!(update(0, &[("group.version", 0, 0)], false).0, ErrorCode::InvalidUpdateVersion);
    assert_eq!(update(0, &[("group.version", 0, 1)], false), done(1), "version 0 allows it by a flag");
    assert_eq!(update(2, &[], false), done(0));
}
