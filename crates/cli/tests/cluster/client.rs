//! A client that says exactly what it asks and gets exactly what is answered.

use std::time::{Duration, Instant};

use highwater_broker::peer::{PeerConfig, PeerConnection, PeerError};
use highwater_records::{BatchBuilder, BatchOptions, DecompressLimit, RecordSet};
use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use highwater_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use highwater_wire::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DescribeQuorumRequest, DescribeQuorumResponse, FetchRequest, FetchResponse,
    ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
    RemoveRaftVoterRequest, RemoveRaftVoterResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    add_raft_voter_request, describe_quorum_request, describe_quorum_response, update_features_request,
};
use highwater_wire::{Array, Records};

/// One connection to one broker.
pub(crate) struct Client(PeerConnection);

/// What the metadata says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) leader: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) isr: Vec<i32>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Result<Self, PeerError> {
        let config = PeerConfig { connect_timeout: Duration::from_secs(2), ..PeerConfig::default() };
        PeerConnection::connect("127.0.0.1", port, &config).map(Self)
    }

    /// Creates a topic with one partition on these brokers.
    pub(crate) fn create(&mut self, name: &str, replicas: &[i32], configs: &[(&str, &str)]) -> ErrorCode {
        let assignment = CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: replicas.iter().copied().collect(),
            ..Default::default()
        };
        let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
            name: (*name).to_owned().into(),
            value: Some((*value).to_owned().into()),
            ..Default::default()
        };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![assignment].into(),
            configs: configs.iter().map(config).collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 10_000, ..Default::default() };
        let response: CreateTopicsResponse<'_> = self.0.call(5, &request, PATIENCE).expect("an answer");
        code(response.topics.iter().next().expect("one topic").error_code)
    }

    pub(crate) fn state(&mut self, topic: &str) -> Option<State> {
        let asked = MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![asked].into()), ..Default::default() };
        let response: MetadataResponse<'_> = self.0.call(9, &request, PATIENCE).ok()?;
        let topic = response.topics.iter().next()?;
        let partition = topic.partitions.iter().next()?;
        Some(State {
            leader: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            isr: partition.isr_nodes.iter().collect(),
        })
    }

    /// Numbers of the brokers that are there.
    pub(crate) fn brokers(&mut self) -> Vec<i32> {
        let request = MetadataRequest { topics: Some(Array::new()), ..Default::default() };
        let response: Result<MetadataResponse<'_>, _> = self.0.call(9, &request, PATIENCE);
        let mut brokers: Vec<i32> = response
            .map_or_else(|_| Vec::new(), |response| response.brokers.iter().map(|broker| broker.node_id).collect());
        brokers.sort_unstable();
        brokers
    }

    /// Who decides in the metadata quorum, the node that leads it first, and who else follows it. Nobody if the node that
    /// is asked does not know.
    pub(crate) fn quorum(&mut self) -> (Vec<i32>, Vec<i32>) {
        let partition = describe_quorum_request::PartitionData::default();
        let topic = describe_quorum_request::TopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic].into(), ..Default::default() };
        let response: Result<DescribeQuorumResponse<'_>, _> = self.0.call(2, &request, PATIENCE);
        let Some(topic) = response.as_ref().ok().and_then(|response| response.topics.iter().next()) else {
            return Default::default();
        };
        let partition = topic.partitions.iter().next().expect("one partition");
        if partition.error_code != 0 {
            return Default::default();
        }
        let ids = |replicas: &Array<'_, describe_quorum_response::ReplicaState<'_>>| -> Vec<i32> {
            replicas.iter().map(|replica| replica.replica_id).collect()
        };
        let mut voters = ids(&partition.current_voters);
        voters.sort_by_key(|id| (*id != partition.leader_id, *id));
        (voters, ids(&partition.observers))
    }

    /// The voters, with the port of each.
    pub(crate) fn voter_ports(&mut self) -> Vec<(i32, u16)> {
        let topic = describe_quorum_request::TopicData {
            topic_name: "__cluster_metadata".into(),
            partitions: vec![describe_quorum_request::PartitionData::default()].into(),
            ..Default::default()
        };
        let request = DescribeQuorumRequest { topics: vec![topic].into(), ..Default::default() };
        let response: Result<DescribeQuorumResponse<'_>, _> = self.0.call(2, &request, PATIENCE);
        let Ok(response) = response else { return Vec::new() };
        let port = |node: describe_quorum_response::Node<'_>| Some((node.node_id, node.listeners.iter().next()?.port));
        response.nodes.iter().filter_map(port).collect()
    }

    /// Lets a controller decide.
    pub(crate) fn add_voter(&mut self, id: u32, directory: Uuid, port: u16) -> ErrorCode {
        let listener = add_raft_voter_request::Listener {
            name: "CONTROLLER".into(),
            host: "127.0.0.1".into(),
            port,
            ..Default::default()
        };
        let request = AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: 10_000,
            voter_id: i32::try_from(id).expect("ids are small"),
            voter_directory_id: directory,
            listeners: vec![listener].into(),
            ..Default::default()
        };
        let response: Result<AddRaftVoterResponse<'_>, _> = self.0.call(1, &request, PATIENCE);
        response.map_or(ErrorCode::NetworkException, |response| code(response.error_code))
    }

    /// Lets a controller decide no more.
    pub(crate) fn remove_voter(&mut self, id: u32, directory: Uuid) -> ErrorCode {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: i32::try_from(id).expect("ids are small"),
            voter_directory_id: directory,
            ..Default::default()
        };
        let response: Result<RemoveRaftVoterResponse<'_>, _> = self.0.call(0, &request, PATIENCE);
        response.map_or(ErrorCode::NetworkException, |response| code(response.error_code))
    }

    /// Level of `kraft.version`, 0 if it is not told.
    pub(crate) fn kraft_version(&mut self) -> i16 {
        let request = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let response: Result<ApiVersionsResponse<'_>, _> = self.0.call(4, &request, PATIENCE);
        let response = response.expect("an answer");
        let finalized = response.finalized_features.iter().find(|feature| feature.name == "kraft.version");
        finalized.map_or(0, |feature| feature.max_version_level)
    }

    /// Sets the level of `kraft.version`.
    pub(crate) fn set_kraft_version(&mut self, level: i16) -> ErrorCode {
        let update = update_features_request::FeatureUpdateKey {
            feature: "kraft.version".into(),
            max_version_level: level,
            ..Default::default()
        };
        let request =
            UpdateFeaturesRequest { timeout_ms: 10_000, feature_updates: vec![update].into(), ..Default::default() };
        let response: Result<UpdateFeaturesResponse<'_>, _> = self.0.call(2, &request, PATIENCE);
        response.map_or(ErrorCode::NetworkException, |response| code(response.error_code))
    }

    /// Appends one record. The offset, or why not.
    pub(crate) fn produce(&mut self, topic: &str, acks: i16, value: &str) -> Result<i64, ErrorCode> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(1_700_000_000_000, None, Some(value.as_bytes()), &[]).expect("a small record");
        let records = builder.finish().expect("a small batch");
        let partition = PartitionProduceData { index: 0, records: Records::Bytes(&records), ..Default::default() };
        let topic =
            TopicProduceData { name: topic.into(), partition_data: vec![partition].into(), ..Default::default() };
        let request = ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic].into(), ..Default::default() };
        let response: Result<ProduceResponse<'_>, _> = self.0.call(9, &request, PATIENCE);
        let response = response.map_err(|_| ErrorCode::NetworkException)?;
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic.partition_responses.iter().next().expect("one partition");
        match code(partition.error_code) {
            ErrorCode::None => Ok(partition.base_offset),
            error => Err(error),
        }
    }

    /// Every value that a consumer can read.
    pub(crate) fn read(&mut self, topic: &str) -> Result<Vec<String>, ErrorCode> {
        let partition = FetchPartition { current_leader_epoch: -1, partition_max_bytes: 1 << 20, ..Default::default() };
        let topic = FetchTopic { topic: topic.into(), partitions: vec![partition].into(), ..Default::default() };
        let request = FetchRequest {
            replica_id: -1,
            max_bytes: 1 << 20,
            session_epoch: -1,
            topics: vec![topic].into(),
            ..Default::default()
        };
        let response: Result<FetchResponse<'_>, _> = self.0.call(11, &request, PATIENCE);
        let response = response.map_err(|_| ErrorCode::NetworkException)?;
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic.partitions.iter().next().expect("one partition");
        match code(partition.error_code) {
            ErrorCode::None => {}
            error => return Err(error),
        }
        let Records::Bytes(bytes) = partition.records else { return Ok(Vec::new()) };
        let mut values = Vec::new();
        for entry in RecordSet::new(bytes).entries() {
            let entry = entry.expect("a whole batch");
            let mut records = entry.records(DecompressLimit::default()).expect("a batch of records");
            while let Some(record) = records.next_record().expect("a record") {
                values.push(String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned());
            }
        }
        Ok(values)
    }

    /// End of the log, as a replica is told.
    pub(crate) fn log_end(&mut self, topic: &str) -> Result<i64, ErrorCode> {
        let partition = ListOffsetsPartition { current_leader_epoch: -1, timestamp: -1, ..Default::default() };
        let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![partition].into(), ..Default::default() };
        // A number that is no broker's: the leader tells its end to any replica.
        let request = ListOffsetsRequest { replica_id: 99, topics: vec![topic].into(), ..Default::default() };
        let response: Result<ListOffsetsResponse<'_>, _> = self.0.call(5, &request, PATIENCE);
        let response = response.map_err(|_| ErrorCode::NetworkException)?;
        let topic = response.topics.iter().next().expect("one topic");
        let partition = topic.partitions.iter().next().expect("one partition");
        match code(partition.error_code) {
            ErrorCode::None => Ok(partition.offset),
            error => Err(error),
        }
    }
}

/// Asks until something comes of it.
pub(crate) fn until<R>(what: &str, mut attempt: impl FnMut() -> Option<R>) -> R {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn code(wire: i16) -> ErrorCode {
    ErrorCode::from_code(wire).unwrap_or(ErrorCode::UnknownServerError)
}

const PATIENCE: Duration = Duration::from_secs(30);
