//! Requests that real clients sent to Apache Kafka 4.3.0, sent to this broker: the answers have the same error codes.

use std::collections::BTreeMap;
use std::path::Path;

use highwater_types::Uuid;
use highwater_wire::frame::decode_response_header;
use highwater_wire::messages as m;
use highwater_wire::{ApiKey, Message, Reader};
use serde_json::Value;

use crate::common::TestBroker;

struct Exchange {
    index: usize,
    key: ApiKey,
    version: i16,
    request: Vec<u8>,
    /// `None`: the connection was closed.
    response: Option<Vec<u8>>,
}

/// Exchanges whose recorded error came from a moment that cannot be had again, or from what is not there yet.
const OTHERWISE: &[(usize, &str)] = &[
    (55, "the leader was moving: NOT_LEADER_OR_FOLLOWER"),
    (57, "the coordinator was loading: COORDINATOR_LOAD_IN_PROGRESS"),
    (59, "transactions"),
    (76, "behind records that are not in the recording"),
    (77, "behind records that are not in the recording"),
    (99, "transactions"),
    (155, "a later request of a session with another id"),
    (156, "a later request of a session with another id"),
    (212, "transactions"),
];

#[test]
fn recorded_requests_get_the_recorded_error_codes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/data/wire.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: {} is not there", file.display());
        return;
    };
    let mut exchanges = parse(&text);
    // The recording is grouped by client; what others build on comes first, what takes away last.
    exchanges.sort_by_key(|exchange| match exchange.key {
        ApiKey::CreateTopics | ApiKey::Metadata => 0,
        ApiKey::CreatePartitions | ApiKey::InitProducerId => 1,
        ApiKey::Produce => 2,
        ApiKey::DeleteRecords => 4,
        ApiKey::DeleteTopics => 5,
        _ => 3,
    });
    let recorded_ids = topic_ids(&exchanges);
    let broker = TestBroker::start_with(&[("node.id", "0"), ("num.partitions", "4")]);
    let mut replayed = 0;
    let mut differences = Vec::new();
    for exchange in &exchanges {
        if OTHERWISE.iter().any(|(index, _)| *index == exchange.index) {
            continue;
        }
        let mut client = broker.client();
        let mut request = exchange.request.clone();
        for (name, recorded) in &recorded_ids {
            if find(&request, recorded.as_bytes()).is_some() {
                replace(&mut request, recorded.as_bytes(), client.wait_for_topic(name).as_bytes());
            }
        }
        let mut frame = i32::try_from(request.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(&request);
        client.send_raw(&frame);
        replayed += 1;
        let what = format!("exchange {}: {:?} {}", exchange.index, exchange.key, exchange.version);
        let Some(expected) = &exchange.response else {
            assert_eq!(client.until_closed(), b"", "{what}");
            continue;
        };
        let answer = client.receive((exchange.key, exchange.version, 0));
        // An unknown version is answered in version 0.
        let version = if exchange.key == ApiKey::ApiVersions && exchange.version > 4 { 0 } else { exchange.version };
        let (expected, found) = (errors(exchange.key, version, expected), errors(exchange.key, version, answer.raw()));
        if expected != found {
            differences.push(format!("{what}: recorded {expected:?}, answered {found:?}"));
        }
        if exchange.key == ApiKey::Metadata && exchange.version == 4 {
            client.wait_for_topic("t1");
        }
    }
    assert!(replayed >= 80, "{replayed}");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn parse(text: &str) -> Vec<Exchange> {
    let served = [0, 1, 2, 3, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 44, 60, 61, 74, 75];
    let recorded: Vec<Value> = serde_json::from_str(text).unwrap();
    let exchange = |(index, value): (usize, &Value)| {
        let number = |name: &str| i16::try_from(value[name].as_i64().unwrap()).unwrap();
        served.contains(&number("api_key")).then(|| Exchange {
            index,
            key: ApiKey::from_code(number("api_key")).unwrap(),
            version: number("api_version"),
            request: unhex(value["request"].as_str().unwrap()),
            response: value["response"].as_str().map(unhex),
        })
    };
    recorded.iter().enumerate().filter_map(exchange).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Ids of the recorded topics by name.
fn topic_ids(exchanges: &[Exchange]) -> BTreeMap<String, Uuid> {
    let mut ids = BTreeMap::new();
    for exchange in exchanges {
        let Some(response) = &exchange.response else { continue };
        match exchange.key {
            ApiKey::Metadata if exchange.version >= 10 => {
                let body: m::MetadataResponse<'_> = decode(exchange.key, exchange.version, response);
                ids.extend(body.topics.iter().filter_map(|t| Some((t.name?.into_owned(), t.topic_id))));
            }
            ApiKey::CreateTopics if exchange.version >= 7 => {
                let body: m::CreateTopicsResponse<'_> = decode(exchange.key, exchange.version, response);
                ids.extend(body.topics.iter().map(|t| (t.name.into_owned(), t.topic_id)));
            }
            _ => {}
        }
    }
    ids.retain(|name, id| *id != Uuid::ZERO && !name.starts_with("__"));
    ids
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    while let Some(at) = find(bytes, from) {
        bytes[at..at + from.len()].copy_from_slice(to);
    }
}

fn decode<'a, M: Message<'a>>(key: ApiKey, version: i16, response: &'a [u8]) -> M {
    let mut reader = Reader::new(response);
    decode_response_header(&mut reader, key, version).unwrap();
    M::decode(&mut reader, version).unwrap()
}

/// The error codes of a response, with the names of what they are about where the order may differ.
fn errors(key: ApiKey, version: i16, response: &[u8]) -> Vec<(String, i16)> {
    macro_rules! body {
        ($message:ident) => {
            decode::<m::$message<'_>>(key, version, response)
        };
    }
    let top = |code: i16| vec![(String::new(), code)];
    let mut errors: Vec<(String, i16)> = match key {
        ApiKey::Produce => body!(ProduceResponse)
            .responses
            .iter()
            .flat_map(|t| t.partition_responses.iter().map(|p| (p.index.to_string(), p.error_code)).collect::<Vec<_>>())
            .collect(),
        ApiKey::Fetch => {
            let body = body!(FetchResponse);
            let partitions = body.responses.iter().flat_map(|t| {
                t.partitions.iter().map(|p| (p.partition_index.to_string(), p.error_code)).collect::<Vec<_>>()
            });
            top(body.error_code).into_iter().chain(partitions).collect()
        }
        ApiKey::ListOffsets => body!(ListOffsetsResponse)
            .topics
            .iter()
            .flat_map(|t| {
                t.partitions.iter().map(|p| (p.partition_index.to_string(), p.error_code)).collect::<Vec<_>>()
            })
            .collect(),
        // Which topics there are depends on the moment; their errors are compared where they were asked for by name.
        ApiKey::Metadata => {
            let internal = |name: &str| name.starts_with("__");
            let body = body!(MetadataResponse);
            let failed = body.topics.iter().filter(|t| t.error_code != 0 && t.error_code != 3);
            failed
                .map(|t| (t.name.unwrap_or_default().into_owned(), t.error_code))
                .filter(|(name, _)| !internal(name))
                .collect()
        }
        ApiKey::ApiVersions => top(body!(ApiVersionsResponse).error_code),
        ApiKey::CreateTopics => {
            body!(CreateTopicsResponse).topics.iter().map(|t| (t.name.into_owned(), t.error_code)).collect()
        }
        ApiKey::DeleteTopics => body!(DeleteTopicsResponse)
            .responses
            .iter()
            .map(|t| (t.name.unwrap_or_default().into_owned(), t.error_code))
            .collect(),
        ApiKey::DeleteRecords => body!(DeleteRecordsResponse)
            .topics
            .iter()
            .flat_map(|t| {
                t.partitions.iter().map(|p| (p.partition_index.to_string(), p.error_code)).collect::<Vec<_>>()
            })
            .collect(),
        ApiKey::InitProducerId => top(decode::<m::InitProducerIdResponse<'_>>(key, version, response).error_code),
        ApiKey::DescribeConfigs => body!(DescribeConfigsResponse)
            .results
            .iter()
            .map(|r| (r.resource_name.into_owned(), r.error_code))
            .collect(),
        ApiKey::DescribeLogDirs => {
            body!(DescribeLogDirsResponse).results.iter().map(|r| (String::new(), r.error_code)).collect()
        }
        ApiKey::CreatePartitions => {
            body!(CreatePartitionsResponse).results.iter().map(|r| (r.name.into_owned(), r.error_code)).collect()
        }
        ApiKey::IncrementalAlterConfigs => body!(IncrementalAlterConfigsResponse)
            .responses
            .iter()
            .map(|r| (r.resource_name.into_owned(), r.error_code))
            .collect(),
        ApiKey::DescribeCluster => top(body!(DescribeClusterResponse).error_code),
        ApiKey::DescribeProducers => body!(DescribeProducersResponse)
            .topics
            .iter()
            .flat_map(|t| {
                t.partitions.iter().map(|p| (p.partition_index.to_string(), p.error_code)).collect::<Vec<_>>()
            })
            .collect(),
        ApiKey::ListConfigResources => top(body!(ListConfigResourcesResponse).error_code),
        ApiKey::DescribeTopicPartitions => body!(DescribeTopicPartitionsResponse)
            .topics
            .iter()
            .map(|t| (t.name.unwrap_or_default().into_owned(), t.error_code))
            .collect(),
        other => panic!("{other:?} is not replayed"),
    };
    errors.sort();
    errors
}
