//! Answers with an error, valid in every version.

use std::collections::BTreeMap;

use highwater_broker::Verdict;
use highwater_types::ErrorCode;
use highwater_wire::frame::encode_response;
use highwater_wire::messages::api_versions_response::ApiVersion;
use highwater_wire::messages::create_topics_response::CreatableTopicResult;
use highwater_wire::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use highwater_wire::messages::find_coordinator_response::Coordinator;
use highwater_wire::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use highwater_wire::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use highwater_wire::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use highwater_wire::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use highwater_wire::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use highwater_wire::messages::*;
use highwater_wire::{ApiKey, Message, Records};

use super::request::Request;

/// What can be answered with an error.
pub(super) const ANSWERED: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::InitProducerId,
    ApiKey::ConsumerGroupHeartbeat,
];

/// An answer with this error; `None` if the request cannot be read, or its answer has no place for one.
pub(super) fn error(request: &Request<'_>, code: ErrorCode, addresses: &BTreeMap<u32, u16>) -> Option<Verdict> {
    let error_code = code as i16;
    match request.key {
        ApiKey::Produce => produce(request, error_code),
        ApiKey::Fetch => fetch(request, error_code),
        ApiKey::ListOffsets => list_offsets(request, error_code),
        ApiKey::Metadata => metadata(request, error_code, addresses),
        ApiKey::OffsetCommit => offset_commit(request, error_code),
        ApiKey::OffsetFetch => offset_fetch(request, error_code),
        ApiKey::FindCoordinator => find_coordinator(request, error_code),
        ApiKey::JoinGroup => encode(
            request,
            &JoinGroupResponse {
                error_code,
                generation_id: -1,
                // Null only from version 7 on.
                protocol_name: Some("".into()),
                ..JoinGroupResponse::default()
            },
        ),
        ApiKey::Heartbeat => encode(request, &HeartbeatResponse { error_code, ..HeartbeatResponse::default() }),
        ApiKey::LeaveGroup => encode(request, &LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() }),
        ApiKey::SyncGroup => encode(request, &SyncGroupResponse { error_code, ..SyncGroupResponse::default() }),
        ApiKey::ApiVersions => api_versions(request, code),
        ApiKey::CreateTopics => create_topics(request, error_code),
        ApiKey::InitProducerId => encode(
            request,
            &InitProducerIdResponse {
                error_code,
                producer_id: -1,
                producer_epoch: -1,
                ..InitProducerIdResponse::default()
            },
        ),
        ApiKey::ConsumerGroupHeartbeat => {
            encode(request, &ConsumerGroupHeartbeatResponse { error_code, ..ConsumerGroupHeartbeatResponse::default() })
        }
        _ => None,
    }
}

fn encode<'m, M: Message<'m>>(request: &Request<'_>, response: &M) -> Option<Verdict> {
    encode_in(request, request.version, response)
}

fn encode_in<'m, M: Message<'m>>(request: &Request<'_>, version: i16, response: &M) -> Option<Verdict> {
    let mut frame = Vec::new();
    match encode_response(&mut frame, request.key, version, request.correlation_id, response) {
        Ok(_) => Some(Verdict::Answer(frame)),
        Err(error) => {
            tracing::error!("an error of {:?} in version {version} cannot be encoded: {error}", request.key);
            None
        }
    }
}

fn produce(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: ProduceRequest<'_> = request.decode()?;
    if asked.acks == 0 {
        return Some(Verdict::Close);
    }
    let partition = |index| PartitionProduceResponse {
        index,
        error_code,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..PartitionProduceResponse::default()
    };
    let topics = asked.topic_data.iter().map(|topic| TopicProduceResponse {
        partition_responses: topic.partition_data.iter().map(|data| partition(data.index)).collect(),
        name: topic.name,
        topic_id: topic.topic_id,
        ..TopicProduceResponse::default()
    });
    encode(request, &ProduceResponse { responses: topics.collect(), ..ProduceResponse::default() })
}

fn fetch(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: FetchRequest<'_> = request.decode()?;
    let partition = |partition_index| PartitionData {
        partition_index,
        error_code,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        records: Records::Bytes(&[]),
        ..PartitionData::default()
    };
    let topics = asked.topics.iter().map(|topic| FetchableTopicResponse {
        partitions: topic.partitions.iter().map(|wanted| partition(wanted.partition)).collect(),
        topic: topic.topic,
        topic_id: topic.topic_id,
        ..FetchableTopicResponse::default()
    });
    encode(request, &FetchResponse { responses: topics.collect(), ..FetchResponse::default() })
}

fn list_offsets(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: ListOffsetsRequest<'_> = request.decode()?;
    let partition = |partition_index| ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp: -1,
        offset: -1,
        ..ListOffsetsPartitionResponse::default()
    };
    let topics = asked.topics.iter().map(|topic| ListOffsetsTopicResponse {
        partitions: topic.partitions.iter().map(|wanted| partition(wanted.partition_index)).collect(),
        name: topic.name,
        ..ListOffsetsTopicResponse::default()
    });
    encode(request, &ListOffsetsResponse { topics: topics.collect(), ..ListOffsetsResponse::default() })
}

/// One that asks for all topics has a place for an error from version 13 on; before, it is served.
fn metadata(request: &Request<'_>, error_code: i16, addresses: &BTreeMap<u32, u16>) -> Option<Verdict> {
    let asked: MetadataRequest<'_> = request.decode()?;
    let brokers = addresses.iter().filter_map(|(node, port)| {
        Some(MetadataResponseBroker {
            node_id: i32::try_from(*node).ok()?,
            host: "127.0.0.1".into(),
            port: i32::from(*port),
            ..MetadataResponseBroker::default()
        })
    });
    let mut response =
        MetadataResponse { brokers: brokers.collect(), controller_id: -1, ..MetadataResponse::default() };
    let named: Vec<_> = asked.topics.iter().flat_map(|topics| topics.iter()).collect();
    if named.is_empty() {
        if request.version < METADATA_ERROR_MIN {
            return None;
        }
        response.error_code = error_code;
    } else {
        let topic = |name, topic_id| MetadataResponseTopic { error_code, name, topic_id, ..Default::default() };
        let is_nameless = request.version >= NAMELESS_MIN;
        response.topics = named
            .into_iter()
            .map(|wanted| {
                let name = if is_nameless { wanted.name } else { Some(wanted.name.unwrap_or_default()) };
                topic(name, wanted.topic_id)
            })
            .collect();
    }
    encode(request, &response)
}

fn offset_commit(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: OffsetCommitRequest<'_> = request.decode()?;
    let partition = |partition_index| OffsetCommitResponsePartition {
        partition_index,
        error_code,
        ..OffsetCommitResponsePartition::default()
    };
    let topics = asked.topics.iter().map(|topic| OffsetCommitResponseTopic {
        partitions: topic.partitions.iter().map(|wanted| partition(wanted.partition_index)).collect(),
        name: topic.name,
        topic_id: topic.topic_id,
        ..OffsetCommitResponseTopic::default()
    });
    encode(request, &OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() })
}

/// For each group from version 8 on, for the whole from version 2 on, before that for each partition.
fn offset_fetch(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: OffsetFetchRequest<'_> = request.decode()?;
    let mut response = OffsetFetchResponse::default();
    match request.version {
        8.. => {
            let group = |group_id| OffsetFetchResponseGroup { group_id, error_code, ..Default::default() };
            response.groups = asked.groups.iter().map(|asked| group(asked.group_id)).collect();
        }
        2.. => response.error_code = error_code,
        _ => {
            let partition = |partition_index| OffsetFetchResponsePartition {
                partition_index,
                committed_offset: -1,
                metadata: Some("".into()),
                error_code,
                ..OffsetFetchResponsePartition::default()
            };
            let topics = asked.topics.iter().flat_map(|topics| topics.iter());
            response.topics = topics
                .map(|topic| OffsetFetchResponseTopic {
                    partitions: topic.partition_indexes.iter().map(partition).collect(),
                    name: topic.name,
                    ..OffsetFetchResponseTopic::default()
                })
                .collect();
        }
    }
    encode(request, &response)
}

/// For each key from version 4 on.
fn find_coordinator(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: FindCoordinatorRequest<'_> = request.decode()?;
    if request.version < 4 {
        let response = FindCoordinatorResponse { error_code, node_id: -1, port: -1, ..Default::default() };
        return encode(request, &response);
    }
    let coordinator = |key| Coordinator { key, node_id: -1, port: -1, error_code, ..Coordinator::default() };
    let coordinators = asked.coordinator_keys.iter().map(coordinator).collect();
    encode(request, &FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() })
}

fn create_topics(request: &Request<'_>, error_code: i16) -> Option<Verdict> {
    let asked: CreateTopicsRequest<'_> = request.decode()?;
    let topic = |name| CreatableTopicResult {
        name,
        error_code,
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopicResult::default()
    };
    let topics = asked.topics.iter().map(|asked| topic(asked.name)).collect();
    encode(request, &CreateTopicsResponse { topics, ..CreateTopicsResponse::default() })
}

/// An unsupported version is told in version 0, with the versions that are supported, as on any broker.
fn api_versions(request: &Request<'_>, code: ErrorCode) -> Option<Verdict> {
    let own = ApiVersion { api_key: ApiKey::ApiVersions as i16, min_version: 0, max_version: 4, ..Default::default() };
    let response =
        ApiVersionsResponse { error_code: code as i16, api_keys: vec![own].into(), ..ApiVersionsResponse::default() };
    let version = if code == ErrorCode::UnsupportedVersion { 0 } else { request.version };
    encode_in(request, version, &response)
}

/// From this version on metadata has an error of its own.
const METADATA_ERROR_MIN: i16 = 13;
/// From this version on a topic in metadata may be named by id alone.
const NAMELESS_MIN: i16 = 12;
