//! The error codes of an answer, each under the name of what it is about, and what must exist for them.

use std::collections::BTreeMap;

use highwater_types::Uuid;
use highwater_wire::frame::decode_response_header;
use highwater_wire::messages::{
    ApiVersionsResponse, CreatePartitionsResponse, CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteTopicsResponse, DescribeClusterResponse, DescribeConfigsResponse, DescribeLogDirsResponse,
    DescribeProducersResponse, DescribeTopicPartitionsResponse, FetchRequest, FetchResponse, FindCoordinatorResponse,
    IncrementalAlterConfigsResponse, InitProducerIdRequest, InitProducerIdResponse, ListConfigResourcesResponse,
    ListOffsetsResponse, MetadataResponse, ProduceRequest, ProduceResponse,
};
use highwater_wire::{ApiKey, Message, Reader};

use crate::cluster::Need;
use crate::groups;
use crate::recording::Exchange;

/// Topic names by id.
pub(crate) type Names = BTreeMap<Uuid, String>;

/// What an answer says, as far as it is compared.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    /// Error codes by topic, `topic-partition`, resource, or "" for the request as a whole.
    pub(crate) codes: BTreeMap<String, i16>,
    /// The fetch session, 0 without one.
    pub(crate) session: i32,
}

impl Codes {
    /// Whether a broker that has just started asks to come again.
    pub(crate) fn is_starting(&self) -> bool {
        self.codes.values().any(|code| matches!(code, 6 | 14 | 16))
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, code: i16) {
        self.codes.insert(what.into(), code);
    }

    pub(crate) fn add_partition(&mut self, topic: &str, index: i32, code: i16) {
        self.add(format!("{topic}-{index}"), code);
    }
}

/// Whether the answers of this API can be taken apart here: those that the broker has, and that were recorded.
pub(crate) fn is_known(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::ListOffsets
            | ApiKey::Metadata
            | ApiKey::FindCoordinator
            | ApiKey::ApiVersions
            | ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::DeleteRecords
            | ApiKey::InitProducerId
            | ApiKey::DescribeConfigs
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::CreatePartitions
            | ApiKey::DescribeCluster
            | ApiKey::DescribeProducers
            | ApiKey::DescribeTopicPartitions
            | ApiKey::DescribeLogDirs
            | ApiKey::ListConfigResources
    ) || groups::is_known(key)
}

/// Whether the request names a transaction.
pub(crate) fn is_transactional(exchange: &Exchange) -> bool {
    let (_, body) = exchange.header();
    let mut r = Reader::new(body);
    match exchange.key {
        ApiKey::InitProducerId => InitProducerIdRequest::decode(&mut r, exchange.version)
            .is_ok_and(|request| request.transactional_id.is_some()),
        ApiKey::Produce => {
            ProduceRequest::decode(&mut r, exchange.version).is_ok_and(|request| request.transactional_id.is_some())
        }
        _ => false,
    }
}

/// Takes a response apart, which has to be one of the request's version, to its last byte.
pub(crate) fn decode(exchange: &Exchange, response: &[u8], names: &Names) -> Result<Codes, String> {
    let mut r = Reader::new(response);
    let correlation =
        decode_response_header(&mut r, exchange.key, exchange.version).map_err(|error| format!("header: {error}"))?;
    let (request, _) = exchange.header();
    if correlation != request.correlation_id {
        return Err(format!("correlation id {correlation}, not {}", request.correlation_id));
    }
    let mut out = Codes::default();
    let body = r.rest();
    let version = exchange.version;
    match exchange.key {
        ApiKey::Produce => produce(&message(body, version)?, names, &mut out),
        ApiKey::Fetch => fetch(&message(body, version)?, names, &mut out),
        ApiKey::ListOffsets => list_offsets(&message(body, version)?, &mut out),
        ApiKey::Metadata => metadata(&message(body, version)?, &mut out),
        ApiKey::FindCoordinator => find_coordinator(&message(body, version)?, &mut out),
        ApiKey::ApiVersions => {
            // Whoever does not know the version answers in version 0.
            let is_fallback = body.starts_with(&UNSUPPORTED_VERSION.to_be_bytes());
            let response: ApiVersionsResponse<'_> = message(body, if is_fallback { 0 } else { version })?;
            out.add("", response.error_code);
        }
        ApiKey::DescribeProducers => describe_producers(&message(body, version)?, &mut out),
        ApiKey::DeleteRecords => delete_records(&message(body, version)?, &mut out),
        key if groups::is_known(key) => groups::decode(key, version, body, names, &mut out)?,
        _ => administration(exchange.key, version, body, &mut out)?,
    }
    Ok(out)
}

/// The answers that are a list of one code for each topic or resource, or one code in all.
fn administration(key: ApiKey, version: i16, body: &[u8], out: &mut Codes) -> Result<(), String> {
    match key {
        ApiKey::CreateTopics => {
            let response: CreateTopicsResponse<'_> = message(body, version)?;
            response.topics.iter().for_each(|topic| out.add(topic.name, topic.error_code));
        }
        ApiKey::DeleteTopics => {
            let response: DeleteTopicsResponse<'_> = message(body, version)?;
            response.responses.iter().for_each(|topic| out.add(topic.name.unwrap_or_default(), topic.error_code));
        }
        ApiKey::CreatePartitions => {
            let response: CreatePartitionsResponse<'_> = message(body, version)?;
            response.results.iter().for_each(|topic| out.add(topic.name, topic.error_code));
        }
        ApiKey::DescribeTopicPartitions => {
            let response: DescribeTopicPartitionsResponse<'_> = message(body, version)?;
            response.topics.iter().for_each(|topic| out.add(topic.name.unwrap_or_default(), topic.error_code));
        }
        ApiKey::DescribeConfigs => {
            let response: DescribeConfigsResponse<'_> = message(body, version)?;
            response.results.iter().for_each(|each| out.add(each.resource_name, each.error_code));
        }
        ApiKey::IncrementalAlterConfigs => {
            let response: IncrementalAlterConfigsResponse<'_> = message(body, version)?;
            response.responses.iter().for_each(|each| out.add(each.resource_name, each.error_code));
        }
        ApiKey::DescribeLogDirs => {
            let response: DescribeLogDirsResponse<'_> = message(body, version)?;
            out.add("", response.error_code);
            response.results.iter().for_each(|dir| out.add("log dir", dir.error_code));
        }
        ApiKey::DescribeCluster => out.add("", message::<DescribeClusterResponse<'_>>(body, version)?.error_code),
        ApiKey::InitProducerId => out.add("", message::<InitProducerIdResponse<'_>>(body, version)?.error_code),
        ApiKey::ListConfigResources => {
            out.add("", message::<ListConfigResourcesResponse<'_>>(body, version)?.error_code);
        }
        _ => return Err("this test does not know the response".into()),
    }
    Ok(())
}

fn produce(response: &ProduceResponse<'_>, names: &Names, out: &mut Codes) {
    for topic in &response.responses {
        let name = name_of(&topic.name, topic.topic_id, names);
        for partition in &topic.partition_responses {
            out.add_partition(&name, partition.index, partition.error_code);
        }
    }
}

fn fetch(response: &FetchResponse<'_>, names: &Names, out: &mut Codes) {
    out.add("", response.error_code);
    out.session = response.session_id;
    for topic in &response.responses {
        let name = name_of(&topic.topic, topic.topic_id, names);
        for partition in &topic.partitions {
            out.add_partition(&name, partition.partition_index, partition.error_code);
        }
    }
}

fn list_offsets(response: &ListOffsetsResponse<'_>, out: &mut Codes) {
    for topic in &response.topics {
        for partition in &topic.partitions {
            out.add_partition(&topic.name, partition.partition_index, partition.error_code);
        }
    }
}

/// The topics of groups and transactions are left out: they come later.
fn metadata(response: &MetadataResponse<'_>, out: &mut Codes) {
    out.add("", response.error_code);
    for topic in response.topics.iter().filter(|topic| !topic.is_internal) {
        out.add(topic.name.unwrap_or_default(), topic.error_code);
    }
}

fn find_coordinator(response: &FindCoordinatorResponse<'_>, out: &mut Codes) {
    if response.coordinators.is_empty() {
        out.add("", response.error_code);
    }
    response.coordinators.iter().for_each(|each| out.add(each.key, each.error_code));
}

fn describe_producers(response: &DescribeProducersResponse<'_>, out: &mut Codes) {
    for topic in &response.topics {
        for partition in &topic.partitions {
            out.add_partition(&topic.name, partition.partition_index, partition.error_code);
        }
    }
}

fn delete_records(response: &DeleteRecordsResponse<'_>, out: &mut Codes) {
    for topic in &response.topics {
        for partition in &topic.partitions {
            out.add_partition(&topic.name, partition.partition_index, partition.error_code);
        }
    }
}

/// What has to hold so that the recorded answer is the right one.
pub(crate) fn needs(exchange: &Exchange, recorded: &Codes, names: &Names) -> Vec<Need> {
    let mut needs = Vec::new();
    for (what, code) in recorded.codes.iter().filter(|(what, _)| !what.is_empty()) {
        let topic = what.clone();
        match (exchange.key, code) {
            (ApiKey::Metadata, &UNKNOWN_TOPIC_OR_PARTITION) | (ApiKey::CreateTopics, 0) => {
                needs.push(Need::Absent { topic });
            }
            // Made anew, so that it has fewer partitions than are asked for.
            (ApiKey::CreatePartitions, 0) => {
                needs.push(Need::Absent { topic: topic.clone() });
                needs.push(Need::Partition { topic, index: 0 });
            }
            (ApiKey::Metadata | ApiKey::DeleteTopics | ApiKey::DescribeTopicPartitions, 0)
            | (ApiKey::DescribeConfigs, 0) => needs.push(Need::Partition { topic, index: 0 }),
            (ApiKey::IncrementalAlterConfigs, 0) if names.values().any(|name| *name == topic) => {
                needs.push(Need::Partition { topic, index: 0 });
            }
            (ApiKey::Produce | ApiKey::Fetch | ApiKey::ListOffsets | ApiKey::DescribeProducers, _) => {
                let (topic, index) = what.rsplit_once('-').expect("partitions are named topic-index");
                let index = index.parse().expect("partitions are named topic-index");
                needs.push(Need::Partition { topic: topic.into(), index });
            }
            _ => {}
        }
    }
    needs.extend(positions(exchange, names));
    needs
}

/// The offsets that a request names have to exist.
fn positions(exchange: &Exchange, names: &Names) -> Vec<Need> {
    let (_, body) = exchange.header();
    let mut r = Reader::new(body);
    let mut needs = Vec::new();
    match exchange.key {
        ApiKey::Fetch => {
            let request = FetchRequest::decode(&mut r, exchange.version).expect("recorded requests decode");
            for topic in &request.topics {
                let name = name_of(&topic.topic, topic.topic_id, names);
                for each in &topic.partitions {
                    let topic = name.clone();
                    needs.push(Need::Records { topic, index: each.partition, end: each.fetch_offset });
                }
            }
        }
        ApiKey::DeleteRecords => {
            let request = DeleteRecordsRequest::decode(&mut r, exchange.version).expect("recorded requests decode");
            for topic in &request.topics {
                for each in &topic.partitions {
                    let topic = topic.name.to_string();
                    needs.push(Need::Records { topic, index: each.partition_index, end: each.offset });
                }
            }
        }
        _ => {}
    }
    needs
}

/// The ids and names of topics that a recorded answer gives together.
pub(crate) fn names(exchange: &Exchange) -> Vec<(Uuid, String)> {
    let Some(response) = &exchange.response else { return Vec::new() };
    let mut r = Reader::new(response);
    if decode_response_header(&mut r, exchange.key, exchange.version).is_err() {
        return Vec::new();
    }
    let (body, version) = (r.rest(), exchange.version);
    let mut found: Vec<(Uuid, String)> = match exchange.key {
        ApiKey::Metadata => message::<MetadataResponse<'_>>(body, version)
            .map(|response| {
                response.topics.iter().map(|each| (each.topic_id, each.name.unwrap_or_default().into())).collect()
            })
            .unwrap_or_default(),
        ApiKey::CreateTopics => message::<CreateTopicsResponse<'_>>(body, version)
            .map(|response| response.topics.iter().map(|each| (each.topic_id, each.name.into())).collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    };
    found.retain(|(id, _)| *id != Uuid::ZERO);
    found
}

pub(crate) fn name_of(name: &str, id: Uuid, names: &Names) -> String {
    if name.is_empty() { names.get(&id).cloned().unwrap_or_else(|| id.to_string()) } else { name.to_owned() }
}

pub(crate) fn message<'a, M: Message<'a>>(body: &'a [u8], version: i16) -> Result<M, String> {
    let mut r = Reader::new(body);
    let message = M::decode(&mut r, version).map_err(|error| format!("not version {version}: {error}"))?;
    r.expect_end().map_err(|error| format!("more than version {version}: {error}"))?;
    Ok(message)
}

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const UNSUPPORTED_VERSION: i16 = 35;
