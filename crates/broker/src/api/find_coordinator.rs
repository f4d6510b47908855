//! FindCoordinator (10): where the coordinator of a group is; makes the offsets topic when it is first asked for.

use highwater_metadata::{CreateTopics, NewTopic};
use highwater_types::ErrorCode;
use highwater_wire::messages::FindCoordinatorRequest;
use highwater_wire::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::group::{OFFSETS_TOPIC, partition_of};
use crate::net::Out;

/// A broker, or why there is none.
type Found = Result<(i32, String, u16), (ErrorCode, &'static str)>;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: FindCoordinatorRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.coordinator_keys.len())?;
    let version = request.version();
    let response = if version >= 4 {
        let coordinators = body.coordinator_keys.iter().map(|key| {
            let found = find(cx, version, body.key_type, &key);
            let (error_code, error_message) = error(&found);
            let (node_id, host, port) = place(found);
            Coordinator { key, node_id, host: host.into(), port, error_code, error_message, ..Coordinator::default() }
        });
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() }
    } else {
        let found = find(cx, version, body.key_type, &body.key);
        let (error_code, error_message) = error(&found);
        let (node_id, host, port) = place(found);
        let error_message = error_message.filter(|_| 1 <= version);
        FindCoordinatorResponse {
            error_code,
            error_message,
            node_id,
            host: host.into(),
            port,
            ..FindCoordinatorResponse::default()
        }
    };
    request.to.send(out, &response)
}

fn find(cx: &Cx<'_>, version: i16, key_type: i8, key: &str) -> Found {
    match key_type {
        KEY_GROUP => find_group(cx, key),
        KEY_TRANSACTION => Err(NOT_AVAILABLE),
        KEY_SHARE if version >= 6 => Err(NOT_AVAILABLE),
        _ => Err((ErrorCode::InvalidRequest, "Unknown coordinator type.")),
    }
}

fn find_group(cx: &Cx<'_>, group: &str) -> Found {
    let image = &cx.view.image;
    let Some(topic) = image.topic(OFFSETS_TOPIC) else {
        create_offsets_topic(cx);
        return Err(NOT_AVAILABLE);
    };
    let leader = partition_of(group, topic.partition_count())
        .and_then(|index| u32::try_from(index).ok())
        .and_then(|index| topic.partition(highwater_types::PartitionIndex::new(index))?.leader)
        .and_then(|leader| image.broker(leader))
        .filter(|broker| broker.is_active());
    let Some(leader) = leader else { return Err(NOT_AVAILABLE) };
    let (host, port) = cx.node.endpoint_of(leader, cx.peer);
    Ok((leader.node.to_wire(), host, port))
}

fn error<'a>(found: &Found) -> (i16, Option<std::borrow::Cow<'a, str>>) {
    match found {
        Ok(_) => (ErrorCode::None as i16, None),
        Err((error, message)) => (*error as i16, Some((*message).into())),
    }
}

fn place(found: Found) -> (i32, String, i32) {
    found.map_or_else(|_| (-1, String::new(), -1), |(node, host, port)| (node, host, i32::from(port)))
}

/// Asks the controller for the topic without waiting: clients ask again until it is there.
fn create_offsets_topic(cx: &Cx<'_>) {
    let config = &cx.node.static_config;
    let number = |name: &str, default: i64| config.number(name).unwrap_or(default);
    let brokers = cx.view.image.brokers().filter(|broker| broker.is_active()).count();
    let replicas = number("offsets.topic.replication.factor", 3);
    // Who has not said otherwise wants as many replicas as there can be: a single node must work without settings.
    let replicas = match config.get("offsets.topic.replication.factor") {
        Some(_) => replicas,
        None => replicas.min(i64::try_from(brokers).unwrap_or(i64::MAX)),
    };
    let segment_bytes = number("offsets.topic.segment.bytes", 104_857_600);
    let configs = [
        ("cleanup.policy", "compact".to_owned()),
        ("compression.type", "producer".to_owned()),
        ("segment.bytes", segment_bytes.to_string()),
    ];
    let topic = NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        partitions: i32::try_from(number("offsets.topic.num.partitions", 50)).unwrap_or(50),
        replication_factor: i16::try_from(replicas).unwrap_or(i16::MAX),
        assignments: Vec::new(),
        configs: configs.into_iter().map(|(name, value)| (name.to_owned(), Some(value))).collect(),
    };
    cx.node.forwarder.create_topics(CreateTopics { topics: vec![topic], validate_only: false });
}

const NOT_AVAILABLE: (ErrorCode, &str) = (ErrorCode::CoordinatorNotAvailable, "The coordinator is not available.");
const KEY_GROUP: i8 = 0;
const KEY_TRANSACTION: i8 = 1;
const KEY_SHARE: i8 = 2;
