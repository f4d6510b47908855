//! What the kit asks of its own brokers, as a client that no fault concerns.

use std::time::Duration;

use highwater_broker::peer::{PeerConfig, PeerConnection};
use highwater_types::ErrorCode;
use highwater_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use highwater_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use highwater_wire::messages::elect_leaders_request::TopicPartitions;
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, CreateTopicsRequest, CreateTopicsResponse,
    ElectLeadersRequest, ElectLeadersResponse, MetadataRequest, MetadataResponse,
};

use crate::error::KitError;
use crate::topic::NewTopic;

pub(crate) type Connection = PeerConnection;

/// Connects to the broker on this port of 127.0.0.1.
pub(crate) fn connect(port: u16) -> Result<Connection, KitError> {
    let config = PeerConfig { client_id: CLIENT_ID.to_owned(), ..PeerConfig::default() };
    Ok(PeerConnection::connect("127.0.0.1", port, &config)?)
}

pub(crate) fn create_topic(connection: &mut Connection, topic: &NewTopic) -> Result<(), KitError> {
    let wanted = CreatableTopic {
        name: topic.name.as_str().into(),
        num_partitions: topic.partitions.map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX)),
        replication_factor: topic.replicas.map_or(-1, |count| i16::try_from(count).unwrap_or(i16::MAX)),
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
                ..CreatableTopicConfig::default()
            })
            .collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![wanted].into(), timeout_ms: TIMEOUT_MS, ..Default::default() };
    let response: CreateTopicsResponse<'_> = connection.call(7, &request, TIMEOUT)?;
    let what = || format!("create topic {}", topic.name);
    for created in &response.topics {
        check(created.error_code, what, created.error_message.as_deref())?;
    }
    Ok(())
}

/// Puts `node` first among the replicas of a partition and has it elected.
pub(crate) fn move_leader(connection: &mut Connection, topic: &str, partition: u32, node: u32) -> Result<(), KitError> {
    let index = i32::try_from(partition).unwrap_or(i32::MAX);
    let leader = i32::try_from(node).unwrap_or(i32::MAX);
    let mut replicas = replicas(connection, topic, index)?
        .ok_or_else(|| KitError::NoSuchPartition { topic: topic.to_owned(), partition })?;
    let Some(at) = replicas.iter().position(|replica| *replica == leader) else {
        return Err(KitError::NoReplica { node, topic: topic.to_owned(), partition });
    };
    replicas[..=at].rotate_right(1);
    let what = || format!("move {topic}-{partition} to node {node}");
    let moved = ReassignablePartition {
        partition_index: index,
        replicas: Some(replicas.into()),
        ..ReassignablePartition::default()
    };
    let moved =
        ReassignableTopic { name: topic.into(), partitions: vec![moved].into(), ..ReassignableTopic::default() };
    let request =
        AlterPartitionReassignmentsRequest { timeout_ms: TIMEOUT_MS, topics: vec![moved].into(), ..Default::default() };
    let response: AlterPartitionReassignmentsResponse<'_> = connection.call(0, &request, TIMEOUT)?;
    check(response.error_code, what, response.error_message.as_deref())?;
    for answered in response.responses.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>()) {
        check(answered.error_code, what, answered.error_message.as_deref())?;
    }
    let elected = TopicPartitions { topic: topic.into(), partitions: vec![index].into(), ..TopicPartitions::default() };
    let request = ElectLeadersRequest {
        election_type: PREFERRED,
        topic_partitions: Some(vec![elected].into()),
        timeout_ms: TIMEOUT_MS,
        ..Default::default()
    };
    let response: ElectLeadersResponse<'_> = connection.call(2, &request, TIMEOUT)?;
    check(response.error_code, what, None)?;
    for answered in &response.replica_election_results {
        for partition in &answered.partition_result {
            // It may lead already.
            if partition.error_code != ErrorCode::ElectionNotNeeded as i16 {
                check(partition.error_code, what, partition.error_message.as_deref())?;
            }
        }
    }
    Ok(())
}

fn replicas(connection: &mut Connection, topic: &str, partition: i32) -> Result<Option<Vec<i32>>, KitError> {
    let named = MetadataRequestTopic { name: Some(topic.into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![named].into()), ..MetadataRequest::default() };
    let response: MetadataResponse<'_> = connection.call(12, &request, TIMEOUT)?;
    let mut partitions = response.topics.iter().flat_map(|topic| topic.partitions.iter().collect::<Vec<_>>());
    let found = partitions.find(|found| found.partition_index == partition);
    Ok(found.map(|found| found.replica_nodes.iter().collect()))
}

/// An error, if the code is one.
pub(crate) fn check(code: i16, what: impl Fn() -> String, message: Option<&str>) -> Result<(), KitError> {
    match ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError) {
        ErrorCode::None => Ok(()),
        code => Err(KitError::Refused { what: what(), code, message: message.unwrap_or_default().to_owned() }),
    }
}

/// By which the faults tell the kit from those whom they concern.
pub(crate) const CLIENT_ID: &str = "highwater-testkit";
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MS: i32 = 30_000;
const PREFERRED: i8 = 0;
