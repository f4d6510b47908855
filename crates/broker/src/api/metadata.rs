//! Metadata (3): brokers, topics and partition leaders; creates topics that are missing.

use std::collections::HashSet;

use highwater_metadata::{CreateTopics, MetadataImage, NewTopic, TopicImage};
use highwater_types::{ErrorCode, NodeId, TopicId, TopicName, Uuid};
use highwater_wire::Array;
use highwater_wire::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use highwater_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: MetadataRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.as_ref().map_or(0, Array::len))?;
    let version = request.version();
    let image = &cx.view.image;
    let topics = match &body.topics {
        // Version 0 has no null: there, nothing asked for means everything.
        None => image.topics().map(|topic| known_topic(image, topic, version)).collect(),
        Some(asked) if version == 0 && asked.is_empty() => {
            image.topics().map(|topic| known_topic(image, topic, version)).collect()
        }
        Some(asked) => asked_topics(cx, asked, body.allow_auto_topic_creation, version),
    };
    let brokers = image
        .brokers()
        .filter(|broker| !broker.fenced)
        .map(|broker| {
            let (host, port) = cx.node.endpoint_of(broker, cx.peer);
            MetadataResponseBroker {
                node_id: broker.node.to_wire(),
                host: host.into(),
                port: i32::from(port),
                rack: broker.rack.as_deref().map(Into::into),
                ..MetadataResponseBroker::default()
            }
        })
        .collect();
    let response = MetadataResponse {
        brokers,
        cluster_id: Some(image.cluster_id().into()),
        controller_id: image.controller().to_wire(),
        topics,
        ..MetadataResponse::default()
    };
    request.to.send(out, &response)
}

/// Each topic that was asked for, once: a request that repeats a name must not multiply the answer.
fn asked_topics<'a>(
    cx: &Cx<'_>,
    asked: &Array<'a, MetadataRequestTopic<'a>>,
    create: bool,
    version: i16,
) -> Array<'a, MetadataResponseTopic<'a>> {
    let image = &cx.view.image;
    let mut seen = HashSet::with_capacity(asked.len().min(1024));
    let mut missing = Vec::new();
    let answers = asked
        .iter()
        .filter(|topic| seen.insert((topic.name.clone(), topic.topic_id)))
        .map(|topic| {
            let failed = |error: ErrorCode, topic: MetadataRequestTopic<'a>| MetadataResponseTopic {
                error_code: error as i16,
                name: match topic.name {
                    None if version < 12 => Some("".into()),
                    name => name,
                },
                topic_id: topic.topic_id,
                ..MetadataResponseTopic::default()
            };
            // Asking by id came with version 12; the fields were there earlier by mistake.
            if version < 12 && (topic.name.is_none() || topic.topic_id != Uuid::ZERO) {
                return failed(ErrorCode::InvalidRequest, topic);
            }
            if topic.topic_id != Uuid::ZERO {
                return match image.topic_by_id(TopicId(topic.topic_id)) {
                    Some(known) => known_topic(image, known, version),
                    None => failed(ErrorCode::UnknownTopicId, MetadataRequestTopic { name: None, ..topic }),
                };
            }
            let name = topic.name.as_deref().unwrap_or_default();
            if let Some(known) = image.topic(name) {
                return known_topic(image, known, version);
            }
            match TopicName::new(name) {
                Err(_) => failed(ErrorCode::InvalidTopicException, topic),
                Ok(name) => {
                    if create && cx.node.settings.auto_create_topics && !name.is_internal() {
                        missing.push(name);
                    }
                    failed(ErrorCode::UnknownTopicOrPartition, topic)
                }
            }
        })
        .collect();
    create_missing(cx, missing);
    answers
}

fn known_topic<'a>(image: &MetadataImage, topic: &TopicImage, version: i16) -> MetadataResponseTopic<'a> {
    let partitions = topic
        .partitions()
        .map(|(index, state)| MetadataResponsePartition {
            error_code: match state.leader {
                Some(_) => ErrorCode::None as i16,
                None => ErrorCode::LeaderNotAvailable as i16,
            },
            partition_index: index.to_wire(),
            leader_id: state.leader.map_or(-1, NodeId::to_wire),
            leader_epoch: state.leader_epoch.to_wire(),
            replica_nodes: state.replicas.iter().map(|node| node.to_wire()).collect(),
            isr_nodes: state.isr.iter().map(|node| node.to_wire()).collect(),
            offline_replicas: if 5 <= version {
                image.offline_replicas(state).map(NodeId::to_wire).collect()
            } else {
                Array::new()
            },
            ..MetadataResponsePartition::default()
        })
        .collect();
    MetadataResponseTopic {
        name: Some(topic.name().as_str().to_owned().into()),
        topic_id: topic.id().0,
        is_internal: topic.name().is_internal(),
        partitions,
        ..MetadataResponseTopic::default()
    }
}

/// Asks the controller for topics without waiting: the client asks again until they are there.
fn create_missing(cx: &Cx<'_>, mut names: Vec<TopicName>) {
    if names.is_empty() {
        return;
    }
    names.truncate(AUTO_CREATED_PER_REQUEST_MAX);
    let topics: Vec<NewTopic> = names
        .iter()
        .map(|name| NewTopic {
            name: name.as_str().to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        })
        .collect();
    cx.node.forwarder.create_topics(CreateTopics { topics, validate_only: false });
}

/// Topics that one request may create on the way; the client's retry creates the next ones.
const AUTO_CREATED_PER_REQUEST_MAX: usize = 100;
