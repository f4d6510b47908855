//! Brings the broker into the state that a recorded answer speaks of.

use std::time::{Duration, Instant};

use highwater_types::Uuid;
use highwater_wire::frame::{RequestHeader, SIZE_BYTES, decode_response_header, encode_request};
use highwater_wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, MetadataRequest,
    MetadataResponse, OffsetCommitRequest, OffsetCommitResponse, ProduceRequest, ProduceResponse,
    create_partitions_request, create_topics_request, delete_topics_request, join_group_request, metadata_request,
    offset_commit_request, produce_request,
};
use highwater_wire::{ApiKey, Message, Reader, Records};

use crate::connection::Connection;
use crate::groups::Member;
use crate::recording::Exchange;

/// Something that has to hold before a request is replayed, in the order in which it is brought about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Need {
    /// There is no such topic.
    Absent { topic: String },
    /// The topic has this partition.
    Partition { topic: String, index: i32 },
    /// The partition's log does not end before this offset.
    Records { topic: String, index: i32, end: i64 },
    /// The group's coordinator is found and has loaded.
    Coordinator { group: String },
    /// The group is there, without members.
    Group { group: String },
    /// The group, which has no members, has committed an offset of the partition.
    Committed { group: String, topic: String, index: i32 },
    /// The group is there, without members, and is one of the consumer protocol.
    ConsumerGroup { group: String },
    /// The group has the member, which the recording calls so.
    Member { group: String, recorded: String, instance: Option<String> },
}

/// The broker as an administrator sees it.
pub(crate) struct Cluster {
    connection: Connection,
    /// A record set that a recorded producer without idempotence sent.
    batch: Vec<u8>,
}

impl Cluster {
    pub(crate) fn new(connection: Connection, exchanges: &[Exchange]) -> Self {
        let batch = exchanges.iter().find_map(plain_batch).expect("kcat produced without idempotence");
        Self { connection, batch }
    }

    pub(crate) fn prepare(&mut self, needs: &[Need]) {
        for need in needs {
            match need {
                Need::Absent { topic } => self.delete(topic),
                Need::Partition { topic, index } => self.grow(topic, index + 1),
                Need::Records { topic, index, end } => {
                    self.grow(topic, index + 1);
                    while self.append(topic, *index) < *end {}
                }
                Need::Coordinator { group } => self.until(|cluster| cluster.is_coordinated(group)),
                Need::Group { group } => self.commit(group, GROUPS_TOPIC, 0),
                Need::Committed { group, topic, index } => self.commit(group, topic, *index),
                Need::ConsumerGroup { group } => self.make_consumer_group(group),
                Need::Member { group, instance, .. } => {
                    self.join(group, instance.as_deref());
                }
            }
        }
    }

    /// The id of a topic, made if need be.
    pub(crate) fn topic_id(&mut self, topic: &str) -> Uuid {
        self.grow(topic, 1);
        self.describe(topic).expect("the topic was just made").0
    }

    fn delete(&mut self, topic: &str) {
        if self.describe(topic).is_none() {
            return;
        }
        let state = delete_topics_request::DeleteTopicState { name: Some(topic.into()), ..Default::default() };
        let request = DeleteTopicsRequest { topics: vec![state].into(), timeout_ms: TIMEOUT_MS, ..Default::default() };
        let body = self.call(ApiKey::DeleteTopics, 6, &request);
        let response: DeleteTopicsResponse<'_> = decode(&body, 6);
        assert!(response.responses.iter().all(|each| each.error_code == 0), "{response:?}");
        self.until(|cluster| cluster.describe(topic).is_none());
    }

    fn grow(&mut self, topic: &str, partitions: i32) {
        if self.describe(topic).is_none() {
            self.create(topic, partitions);
            self.until(|cluster| cluster.describe(topic).is_some());
        }
        if self.describe(topic).is_some_and(|(_, count)| count < partitions) {
            self.create_partitions(topic, partitions);
            self.until(|cluster| cluster.describe(topic).is_some_and(|(_, count)| partitions <= count));
        }
    }

    fn create(&mut self, topic: &str, partitions: i32) {
        let topic = create_topics_request::CreatableTopic {
            name: topic.into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: TIMEOUT_MS, ..Default::default() };
        let body = self.call(ApiKey::CreateTopics, 7, &request);
        let response: CreateTopicsResponse<'_> = decode(&body, 7);
        let code = response.topics.iter().next().expect("one topic").error_code;
        // Kafka makes a topic that was asked for by its name a moment after it answered.
        assert!(matches!(code, 0 | TOPIC_ALREADY_EXISTS), "{response:?}");
    }

    fn create_partitions(&mut self, topic: &str, total: i32) {
        let topic = create_partitions_request::CreatePartitionsTopic {
            name: topic.into(),
            count: total,
            assignments: None,
            ..Default::default()
        };
        let request =
            CreatePartitionsRequest { topics: vec![topic].into(), timeout_ms: TIMEOUT_MS, ..Default::default() };
        let body = self.call(ApiKey::CreatePartitions, 3, &request);
        let response: CreatePartitionsResponse<'_> = decode(&body, 3);
        assert!(response.results.iter().all(|each| each.error_code == 0), "{response:?}");
    }

    /// Appends one batch; returns the offset of its first record, behind which the log now ends.
    fn append(&mut self, topic: &str, index: i32) -> i64 {
        let batch = self.batch.clone();
        let partition =
            produce_request::PartitionProduceData { index, records: Records::Bytes(&batch), ..Default::default() };
        let data = produce_request::TopicProduceData {
            name: topic.into(),
            partition_data: vec![partition].into(),
            ..Default::default()
        };
        let request =
            ProduceRequest { acks: -1, timeout_ms: TIMEOUT_MS, topic_data: vec![data].into(), ..Default::default() };
        let body = self.call(ApiKey::Produce, 9, &request);
        let response: ProduceResponse<'_> = decode(&body, 9);
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic.partition_responses.iter().next().expect("one partition");
        assert_eq!(partition.error_code, 0, "{response:?}");
        partition.base_offset
    }

    fn is_coordinated(&mut self, group: &str) -> bool {
        let request =
            FindCoordinatorRequest { coordinator_keys: vec![group.into()].into(), ..FindCoordinatorRequest::default() };
        let body = self.call(ApiKey::FindCoordinator, 4, &request);
        let found: FindCoordinatorResponse<'_> = decode(&body, 4);
        let is_found = found.coordinators.iter().all(|each| each.error_code == 0);
        let body = self.call(ApiKey::Heartbeat, 0, &HeartbeatRequest { group_id: group.into(), ..Default::default() });
        is_found && !matches!(decode::<HeartbeatResponse<'_>>(&body, 0).error_code, 14..=16)
    }

    /// Commits an offset as no member, which makes a group that is not there. One that is empty stays what it is.
    fn commit(&mut self, group: &str, topic: &str, index: i32) {
        self.until(|cluster| cluster.is_coordinated(group));
        self.grow(topic, index + 1);
        let partition =
            offset_commit_request::OffsetCommitRequestPartition { partition_index: index, ..Default::default() };
        let topic = offset_commit_request::OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![partition].into(),
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic].into(),
            ..Default::default()
        };
        let body = self.call(ApiKey::OffsetCommit, 8, &request);
        let response: OffsetCommitResponse<'_> = decode(&body, 8);
        let topic = response.topics.iter().next().expect("one topic");
        assert!(topic.partitions.iter().all(|each| each.error_code == 0), "{response:?}");
    }

    /// Joins with the consumer protocol and leaves.
    fn make_consumer_group(&mut self, group: &str) {
        self.until(|cluster| cluster.is_coordinated(group));
        self.grow(GROUPS_TOPIC, 1);
        let mut heartbeat = ConsumerGroupHeartbeatRequest {
            group_id: group.into(),
            member_id: "replay-member".into(),
            rebalance_timeout_ms: TIMEOUT_MS,
            subscribed_topic_names: Some(vec![GROUPS_TOPIC.into()].into()),
            topic_partitions: Some(Vec::new().into()),
            ..Default::default()
        };
        for epoch in [0, -1] {
            heartbeat.member_epoch = epoch;
            let body = self.call(ApiKey::ConsumerGroupHeartbeat, 1, &heartbeat);
            let response: ConsumerGroupHeartbeatResponse<'_> = decode(&body, 1);
            assert_eq!(response.error_code, 0, "{group}: {response:?}");
        }
    }

    /// Joins with the classic protocol, as a consumer.
    pub(crate) fn join(&mut self, group: &str, instance: Option<&str>) -> Member {
        self.until(|cluster| cluster.is_coordinated(group));
        let protocol = join_group_request::JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
        let mut request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: TIMEOUT_MS,
            rebalance_timeout_ms: TIMEOUT_MS,
            group_instance_id: instance.map(Into::into),
            protocol_type: "consumer".into(),
            protocols: vec![protocol].into(),
            ..Default::default()
        };
        loop {
            let body = self.call(ApiKey::JoinGroup, 5, &request);
            let response: JoinGroupResponse<'_> = decode(&body, 5);
            let id = response.member_id.to_string();
            if response.error_code == 0 {
                return Member { id, epoch: response.generation_id };
            }
            assert_eq!(response.error_code, MEMBER_ID_REQUIRED, "{group}: {response:?}");
            request.member_id = id.into();
        }
    }

    /// Id and number of partitions that have a leader; `None` when there is no such topic.
    fn describe(&mut self, topic: &str) -> Option<(Uuid, i32)> {
        let topic = metadata_request::MetadataRequestTopic { name: Some(topic.into()), ..Default::default() };
        let request = MetadataRequest {
            topics: Some(vec![topic].into()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let body = self.call(ApiKey::Metadata, 12, &request);
        let response: MetadataResponse<'_> = decode(&body, 12);
        let topic = response.topics.iter().next().expect("one topic was asked for");
        let led = topic.partitions.iter().filter(|partition| partition.leader_id >= 0).count();
        (topic.error_code == 0).then(|| (topic.topic_id, i32::try_from(led).expect("few partitions")))
    }

    /// Sends a request and returns the body of the response.
    fn call<'q, Q: Message<'q>>(&mut self, key: ApiKey, version: i16, request: &Q) -> Vec<u8> {
        let header = RequestHeader { api_key: key.code(), api_version: version, ..Default::default() };
        let mut frame = Vec::new();
        encode_request(&mut frame, &header, request).expect("the version has every field that is set");
        let response = self.connection.ask(&frame[SIZE_BYTES..]).expect("the broker answers");
        let mut r = Reader::new(&response);
        decode_response_header(&mut r, key, version).expect("a response has a header");
        r.rest().to_vec()
    }

    /// Kafka shows a change to metadata a moment after it confirmed it.
    fn until(&mut self, holds: impl Fn(&mut Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < deadline, "the change did not show in 30 s");
        }
    }
}

fn decode<'a, M: Message<'a>>(body: &'a [u8], version: i16) -> M {
    M::decode(&mut Reader::new(body), version).expect("the response is of the version that was asked for")
}

/// The first record set of a recorded request, if its producer was not idempotent.
fn plain_batch(exchange: &Exchange) -> Option<Vec<u8>> {
    if exchange.key != ApiKey::Produce {
        return None;
    }
    let (_, body) = exchange.header();
    let request: ProduceRequest<'_> = ProduceRequest::decode(&mut Reader::new(body), exchange.version).ok()?;
    let topic = request.topic_data.iter().next()?;
    let batch = topic.partition_data.iter().next()?.records.as_bytes()?.to_vec();
    let is_plain = batch.get(PRODUCER_ID) == Some([0xff; 8].as_slice());
    is_plain.then_some(batch)
}

/// Where the producer id is in a record batch.
const PRODUCER_ID: std::ops::Range<usize> = 43..51;
const TOPIC_ALREADY_EXISTS: i16 = 36;
const MEMBER_ID_REQUIRED: i16 = 79;
/// For groups that only have to be there.
const GROUPS_TOPIC: &str = "replay-groups";
const TIMEOUT_MS: i32 = 30_000;
