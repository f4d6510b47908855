//! Requests that change the cluster, and what it tells of itself.

use highwater_broker::peer::PeerError;
use highwater_testsupport::history::Key;
use highwater_types::{ErrorCode, LeaderEpoch, NodeId};
use highwater_wire::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use highwater_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use highwater_wire::messages::elect_leaders_request::TopicPartitions;
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, CreateTopicsRequest, CreateTopicsResponse,
    ElectLeadersRequest, ElectLeadersResponse, MetadataRequest, MetadataResponse,
};

use super::broker::{Broker, success, wire};
use super::router::{Leader, PartitionState};

/// A topic to be made.
#[derive(Clone, Debug)]
pub(crate) struct TopicSpec {
    pub(crate) name: &'static str,
    /// Replicas of each partition, the preferred leader first.
    pub(crate) partitions: Vec<Vec<NodeId>>,
    pub(crate) configs: Vec<(&'static str, String)>,
}

impl TopicSpec {
    /// Its partitions, with their replicas.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (Key, &[NodeId])> {
        self.partitions.iter().zip(0..).map(|(replicas, number)| (Key::new(self.name, number), replicas.as_slice()))
    }
}

impl Broker {
    /// What this broker thinks of a topic's partitions, and which brokers it knows.
    pub(crate) fn describe(&mut self, topic: &str) -> Result<(Vec<PartitionState>, Vec<NodeId>), PeerError> {
        let asked = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked].into()), ..Default::default() };
        let response: MetadataResponse<'_> = self.ask(12, &request)?;
        let ids = |wire: &mut dyn Iterator<Item = i32>| wire.filter_map(NodeId::from_wire).collect();
        let brokers = ids(&mut response.brokers.iter().map(|broker| broker.node_id));
        let mut partitions = Vec::new();
        for found in response.topics.iter().filter(|topic| topic.error_code == ErrorCode::None.code()) {
            for partition in &found.partitions {
                let number = u32::try_from(partition.partition_index).unwrap_or_default();
                let node = NodeId::from_wire(partition.leader_id);
                let epoch = LeaderEpoch::from_wire(partition.leader_epoch);
                partitions.push(PartitionState {
                    key: Key::new(topic, number),
                    leader: node.zip(epoch).map(|(node, epoch)| Leader { node, epoch }),
                    replicas: ids(&mut partition.replica_nodes.iter()),
                    isr: ids(&mut partition.isr_nodes.iter()),
                });
            }
        }
        Ok((partitions, brokers))
    }

    pub(crate) fn create(&mut self, spec: &TopicSpec) -> Result<Result<(), ErrorCode>, PeerError> {
        let assignment = |(key, replicas): (Key, &[NodeId])| CreatableReplicaAssignment {
            partition_index: wire(&key),
            broker_ids: replicas.iter().map(|id| id.to_wire()).collect(),
            ..Default::default()
        };
        let config = |(name, value): &(&'static str, String)| CreatableTopicConfig {
            name: (*name).into(),
            value: Some(value.clone().into()),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: spec.name.into(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: spec.keys().map(assignment).collect(),
            configs: spec.configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: ADMIN_TIMEOUT_MS, ..Default::default() };
        let response: CreateTopicsResponse<'_> = self.ask(7, &request)?;
        let code = response.topics.iter().next().map(|topic| topic.error_code);
        Ok(success(code.unwrap_or(ErrorCode::UnknownServerError.code())))
    }

    /// Lets the preferred replica of a partition lead.
    pub(crate) fn elect_preferred(&mut self, key: &Key) -> Result<Result<(), ErrorCode>, PeerError> {
        let topic = TopicPartitions {
            topic: key.topic.as_str().into(),
            partitions: vec![wire(key)].into(),
            ..Default::default()
        };
        let request = ElectLeadersRequest {
            election_type: 0,
            topic_partitions: Some(vec![topic].into()),
            timeout_ms: ADMIN_TIMEOUT_MS,
            ..Default::default()
        };
        let response: ElectLeadersResponse<'_> = self.ask(2, &request)?;
        if let Err(code) = success(response.error_code) {
            return Ok(Err(code));
        }
        let topic = response.replica_election_results.iter().next();
        let code = topic.and_then(|topic| topic.partition_result.iter().next()).map(|partition| partition.error_code);
        Ok(success(code.unwrap_or(ErrorCode::UnknownServerError.code())))
    }

    /// Gives a partition other replicas, or the same in another order.
    pub(crate) fn reassign(&mut self, key: &Key, replicas: &[NodeId]) -> Result<Result<(), ErrorCode>, PeerError> {
        let partition = ReassignablePartition {
            partition_index: wire(key),
            replicas: Some(replicas.iter().map(|id| id.to_wire()).collect()),
            ..Default::default()
        };
        let topic = ReassignableTopic {
            name: key.topic.as_str().into(),
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: ADMIN_TIMEOUT_MS,
            topics: vec![topic].into(),
            ..Default::default()
        };
        let response: AlterPartitionReassignmentsResponse<'_> = self.ask(1, &request)?;
        if let Err(code) = success(response.error_code) {
            return Ok(Err(code));
        }
        let topic = response.responses.iter().next();
        let code = topic.and_then(|topic| topic.partitions.iter().next()).map(|partition| partition.error_code);
        Ok(success(code.unwrap_or(ErrorCode::UnknownServerError.code())))
    }
}

const ADMIN_TIMEOUT_MS: i32 = 3000;
