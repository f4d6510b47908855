//! CreateTopics (19).

use std::borrow::Cow;

use highwater_metadata::{CreateTopicResult, CreateTopics, NewTopic, ReplicaAssignment};
use highwater_types::{ErrorCode, TopicId};
use highwater_wire::messages::CreateTopicsRequest;
use highwater_wire::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;
use crate::random::new_topic_id;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: CreateTopicsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.topics.len())?;
    let topics: Vec<NewTopic> = body
        .topics
        .iter()
        .map(|topic| NewTopic {
            name: topic.name.into_owned(),
            partitions: topic.num_partitions,
            replication_factor: topic.replication_factor,
            assignments: topic
                .assignments
                .iter()
                .map(|assignment| ReplicaAssignment {
                    partition: assignment.partition_index,
                    replicas: assignment.broker_ids.iter().collect(),
                })
                .collect(),
            configs: topic
                .configs
                .iter()
                .map(|config| (config.name.into_owned(), config.value.map(Cow::into_owned)))
                .collect(),
        })
        .collect();
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let ids: Vec<TopicId> = topics.iter().map(|_| new_topic_id()).collect();
    let create = CreateTopics { topics, validate_only: body.validate_only };
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| controller.create_topics(&create, &ids));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |created, to, out| match created {
            Ok(results) => to.send(out, &response(results)),
            Err(error) => to.send(out, &all_failed(&names, error.to_code())),
        })),
        Err(busy) => request.to.send(out, &all_failed(&names, busy.to_code())),
    }
}

fn response(results: Vec<CreateTopicResult>) -> CreateTopicsResponse<'static> {
    let topics = results
        .into_iter()
        .map(|CreateTopicResult { name, result }| match result {
            Ok(created) => CreatableTopicResult {
                name: name.into(),
                topic_id: created.id.0,
                num_partitions: i32::try_from(created.partitions).unwrap_or(i32::MAX),
                replication_factor: i16::try_from(created.replication_factor).unwrap_or(i16::MAX),
                configs: Some(
                    created
                        .configs
                        .into_iter()
                        .map(|config| CreatableTopicConfigs {
                            name: config.name.into(),
                            value: config.value.map(Into::into),
                            read_only: config.read_only,
                            config_source: config.source.code(),
                            is_sensitive: config.sensitive,
                            ..CreatableTopicConfigs::default()
                        })
                        .collect(),
                ),
                error_message: None,
                ..CreatableTopicResult::default()
            },
            Err(error) => failed(name, error.code, Some(error.message)),
        })
        .collect();
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

fn all_failed(names: &[String], code: ErrorCode) -> CreateTopicsResponse<'static> {
    let topics = names.iter().map(|name| failed(name.clone(), code, None)).collect();
    CreateTopicsResponse { topics, ..CreateTopicsResponse::default() }
}

fn failed(name: String, code: ErrorCode, message: Option<String>) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: name.into(),
        error_code: code as i16,
        error_message: message.map(Into::into),
        // Never null, though the schema allows it: Java's client fails on null.
        configs: Some(Vec::new().into()),
        ..CreatableTopicResult::default()
    }
}
