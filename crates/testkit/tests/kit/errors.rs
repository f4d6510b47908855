//! Errors in every version of every API that has a place for one.

use highwater_broker::peer::PeerConnection;
use highwater_testkit::{ApiKey, EmbeddedBroker, ErrorCode, On, Reply};
use highwater_wire::Message;
use highwater_wire::messages::create_topics_request::CreatableTopic;
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::metadata_request::MetadataRequestTopic;
use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic};
use highwater_wire::messages::*;

use crate::common::{WAIT, batch, client, fetch_request, produce_request};

const ERROR: ErrorCode = ErrorCode::RequestTimedOut;
const CODE: i16 = ERROR as i16;

pub(crate) fn create_topics(name: &str) -> CreateTopicsRequest<'_> {
    let topic =
        CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1, ..CreatableTopic::default() };
    CreateTopicsRequest { topics: vec![topic].into(), timeout_ms: 10_000, ..CreateTopicsRequest::default() }
}

/// Asks in every version, and finds the codes.
struct Asking {
    broker: EmbeddedBroker,
    client: PeerConnection,
}

impl Asking {
    fn new() -> Self {
        let broker = EmbeddedBroker::builder().topic("orders", 1).start().unwrap();
        let client = client(&broker, 1);
        Self { broker, client }
    }

    /// Expects `codes` of the answer to be exactly one, the error, in all `versions`.
    fn check<'q, Q: Message<'q>, R>(
        &mut self,
        versions: std::ops::RangeInclusive<i16>,
        request: impl Fn(i16) -> Q,
        codes: impl Fn(&mut PeerConnection, i16, &Q) -> R,
    ) where
        R: Into<Vec<i16>>,
    {
        let api = ApiKey::from_code(Q::KEY.unwrap()).unwrap();
        let fault = self.broker.fault(On::api(api), Reply::Error(ERROR)).unwrap();
        for (version, hits) in versions.zip(1..) {
            let found: Vec<i16> = codes(&mut self.client, version, &request(version)).into();
            assert_eq!(found, [CODE], "{api:?} in version {version}");
            assert_eq!(fault.hits(), hits, "{api:?} in version {version}");
        }
        fault.remove();
    }
}

#[test]
fn produce_and_fetch() {
    let mut asking = Asking::new();
    let batch = batch(&["a"]);
    asking.check(
        3..=12,
        |_| produce_request("orders", 0, -1, &batch),
        |client, version, request| {
            let answer: ProduceResponse<'_> = client.call(version, request, WAIT).unwrap();
            answer
                .responses
                .iter()
                .flat_map(|topic| {
                    assert_eq!(topic.name, "orders");
                    topic.partition_responses.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        },
    );
    asking.check(
        4..=12,
        |_| fetch_request("orders"),
        |client, version, request| {
            let answer: FetchResponse<'_> = client.call(version, request, WAIT).unwrap();
            answer
                .responses
                .iter()
                .flat_map(|topic| {
                    assert_eq!(topic.topic, "orders");
                    topic.partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        },
    );
    assert_eq!(asking.broker.end_offset("orders", 0).unwrap(), 0);
}

#[test]
fn topics_named_by_id_are_known_by_name() {
    let mut asking = Asking::new();
    let named = MetadataRequestTopic { name: Some("orders".into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![named].into()), ..MetadataRequest::default() };
    let answer: MetadataResponse<'_> = asking.client.call(12, &request, WAIT).unwrap();
    let id = answer.topics.iter().next().unwrap().topic_id;
    let on = On::api(ApiKey::Produce).topic("orders");
    let fault = asking.broker.fault(on, Reply::Error(ERROR)).unwrap();
    let batch = batch(&["a"]);
    let mut request = produce_request("", 0, -1, &batch);
    let mut topic = request.topic_data.iter().next().unwrap();
    topic.topic_id = id;
    request.topic_data = vec![topic].into();
    let answer: ProduceResponse<'_> = asking.client.call(13, &request, WAIT).unwrap();
    let topic = answer.responses.iter().next().unwrap();
    assert_eq!(topic.topic_id, id);
    assert_eq!(topic.partition_responses.iter().next().unwrap().error_code, CODE);
    assert_eq!(fault.hits(), 1);
    for version in 13..=18 {
        let on = On::api(ApiKey::Fetch).topic("orders").times(1);
        asking.broker.fault(on, Reply::Error(ERROR)).unwrap();
        let mut request = fetch_request("");
        let mut topic = request.topics.iter().next().unwrap();
        topic.topic_id = id;
        request.topics = vec![topic].into();
        let answer: FetchResponse<'_> = asking.client.call(version, &request, WAIT).unwrap();
        let topic = answer.responses.iter().next().unwrap();
        assert_eq!(topic.topic_id, id);
        assert_eq!(topic.partitions.iter().next().unwrap().error_code, CODE, "version {version}");
    }
}

#[test]
fn metadata_and_list_offsets() {
    let mut asking = Asking::new();
    let metadata = |_| {
        let named = MetadataRequestTopic { name: Some("orders".into()), ..MetadataRequestTopic::default() };
        MetadataRequest { topics: Some(vec![named].into()), allow_auto_topic_creation: true, ..Default::default() }
    };
    asking.check(0..=13, metadata, |client, version, request| {
        let answer: MetadataResponse<'_> = client.call(version, request, WAIT).unwrap();
        assert_eq!(answer.brokers.iter().count(), 1);
        answer.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>()
    });
    let offsets = |_| {
        let partition = ListOffsetsPartition { timestamp: -1, ..ListOffsetsPartition::default() };
        let topic =
            ListOffsetsTopic { name: "orders".into(), partitions: vec![partition].into(), ..Default::default() };
        ListOffsetsRequest { replica_id: -1, topics: vec![topic].into(), ..ListOffsetsRequest::default() }
    };
    asking.check(1..=11, offsets, |client, version, request| {
        let answer: ListOffsetsResponse<'_> = client.call(version, request, WAIT).unwrap();
        let topic = answer.topics.iter().next().unwrap();
        topic.partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    });
}

#[test]
fn offsets_of_groups() {
    let mut asking = Asking::new();
    let commit = |_| {
        let topic = OffsetCommitRequestTopic {
            name: "orders".into(),
            partitions: vec![OffsetCommitRequestPartition::default()].into(),
            ..OffsetCommitRequestTopic::default()
        };
        OffsetCommitRequest { group_id: "g".into(), topics: vec![topic].into(), ..OffsetCommitRequest::default() }
    };
    asking.check(2..=9, commit, |client, version, request| {
        let answer: OffsetCommitResponse<'_> = client.call(version, request, WAIT).unwrap();
        let topic = answer.topics.iter().next().unwrap();
        topic.partitions.iter().map(|partition| partition.error_code).collect::<Vec<_>>()
    });
    let fetch = |version| {
        if 8 <= version {
            let group = OffsetFetchRequestGroup { group_id: "g".into(), ..OffsetFetchRequestGroup::default() };
            return OffsetFetchRequest { groups: vec![group].into(), ..OffsetFetchRequest::default() };
        }
        let topic = OffsetFetchRequestTopic {
            name: "orders".into(),
            partition_indexes: vec![0].into(),
            ..OffsetFetchRequestTopic::default()
        };
        OffsetFetchRequest { group_id: "g".into(), topics: Some(vec![topic].into()), ..OffsetFetchRequest::default() }
    };
    asking.check(1..=10, fetch, |client, version, request| {
        let answer: OffsetFetchResponse<'_> = client.call(version, request, WAIT).unwrap();
        match version {
            8.. => answer.groups.iter().map(|group| group.error_code).collect::<Vec<_>>(),
            2.. => vec![answer.error_code],
            _ => answer.topics.iter().next().unwrap().partitions.iter().map(|found| found.error_code).collect(),
        }
    });
}

#[test]
fn membership_of_groups() {
    let mut asking = Asking::new();
    asking.check(
        0..=9,
        |_| JoinGroupRequest::default(),
        |client, version, request| {
            let answer: JoinGroupResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
    asking.check(
        0..=5,
        |_| SyncGroupRequest::default(),
        |client, version, request| {
            let answer: SyncGroupResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
    asking.check(
        0..=4,
        |_| HeartbeatRequest::default(),
        |client, version, request| {
            let answer: HeartbeatResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
    asking.check(
        0..=5,
        |_| LeaveGroupRequest::default(),
        |client, version, request| {
            let answer: LeaveGroupResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
    asking.check(
        0..=1,
        |_| ConsumerGroupHeartbeatRequest::default(),
        |client, version, request| {
            let answer: ConsumerGroupHeartbeatResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
}

#[test]
fn coordinators_producers_and_topics() {
    let mut asking = Asking::new();
    let coordinator = |version| {
        if version < 4 {
            return FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
        }
        FindCoordinatorRequest { coordinator_keys: vec!["g".into()].into(), ..FindCoordinatorRequest::default() }
    };
    asking.check(0..=6, coordinator, |client, version, request| {
        let answer: FindCoordinatorResponse<'_> = client.call(version, request, WAIT).unwrap();
        if version < 4 {
            return vec![answer.error_code];
        }
        answer.coordinators.iter().map(|coordinator| coordinator.error_code).collect()
    });
    asking.check(
        0..=5,
        |_| InitProducerIdRequest::default(),
        |client, version, request| {
            let answer: InitProducerIdResponse<'_> = client.call(version, request, WAIT).unwrap();
            [answer.error_code]
        },
    );
    asking.check(
        2..=7,
        |_| create_topics("new"),
        |client, version, request| {
            let answer: CreateTopicsResponse<'_> = client.call(version, request, WAIT).unwrap();
            answer.topics.iter().map(|topic| topic.error_code).collect::<Vec<_>>()
        },
    );
    assert_eq!(asking.broker.partitions("new"), None);
    let versions = |_| ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
        ..ApiVersionsRequest::default()
    };
    asking.check(0..=4, versions, |client, version, request| {
        let answer: ApiVersionsResponse<'_> = client.call(version, request, WAIT).unwrap();
        [answer.error_code]
    });
}

#[test]
fn an_unsupported_version_is_told_in_version_0() {
    use std::io::{Read, Write};

    use highwater_wire::Reader;
    use highwater_wire::frame::{RequestHeader, encode_request};

    let broker = EmbeddedBroker::start().unwrap();
    broker.fault(On::api(ApiKey::ApiVersions), Reply::Error(ErrorCode::UnsupportedVersion)).unwrap();
    let header = RequestHeader {
        api_key: ApiKey::ApiVersions as i16,
        api_version: 3,
        correlation_id: 5,
        ..RequestHeader::default()
    };
    let mut frame = Vec::new();
    encode_request(&mut frame, &header, &ApiVersionsRequest::default()).unwrap();
    let mut stream = std::net::TcpStream::connect(broker.address(1).unwrap()).unwrap();
    stream.write_all(&frame).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut bytes = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut bytes).unwrap();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.i32(), Ok(5));
    let answer = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
    reader.expect_end().unwrap();
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion as i16);
    assert_eq!(answer.api_keys.iter().next().unwrap().max_version, 4);
}
