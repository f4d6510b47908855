//! DeleteTopics (20), by name or by id.

use std::borrow::Cow;

use highwater_metadata::{DeleteTopicResult, TopicSelector};
use highwater_types::{ErrorCode, TopicId, Uuid};
use highwater_wire::messages::DeleteTopicsRequest;
use highwater_wire::messages::delete_topics_response::{DeletableTopicResult, DeleteTopicsResponse};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DeleteTopicsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.topics.len() + body.topic_names.len())?;
    let version = request.version();
    let topics: Vec<TopicSelector> = if version >= 6 {
        body.topics
            .iter()
            .map(|topic| TopicSelector {
                name: topic.name.map(Cow::into_owned),
                id: (topic.topic_id != Uuid::ZERO).then_some(TopicId(topic.topic_id)),
            })
            .collect()
    } else {
        body.topic_names.iter().map(|name| TopicSelector { name: Some(name.into_owned()), id: None }).collect()
    };
    if !cx.node.settings.delete_topics {
        let code = if version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
        return request.to.send(out, &all_failed(&topics, code));
    }
    let asked = topics.clone();
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| controller.delete_topics(&topics));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |deleted, to, out| match deleted {
            Ok(results) => to.send(out, &response(results)),
            Err(error) => to.send(out, &all_failed(&asked, error.to_code())),
        })),
        Err(busy) => request.to.send(out, &all_failed(&asked, busy.to_code())),
    }
}

fn response(results: Vec<DeleteTopicResult>) -> DeleteTopicsResponse<'static> {
    let responses = results
        .into_iter()
        .map(|DeleteTopicResult { name, id, result }| {
            let (code, message) = match result {
                Ok(()) => (ErrorCode::None, None),
                Err(error) => (error.code, Some(error.message)),
            };
            one(name, id, code, message)
        })
        .collect();
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn all_failed(topics: &[TopicSelector], code: ErrorCode) -> DeleteTopicsResponse<'static> {
    let responses = topics.iter().map(|topic| one(topic.name.clone(), topic.id, code, None)).collect();
    DeleteTopicsResponse { responses, ..DeleteTopicsResponse::default() }
}

fn one(
    name: Option<String>,
    id: Option<TopicId>,
    code: ErrorCode,
    message: Option<String>,
) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: name.map(Into::into),
        topic_id: id.map_or(Uuid::ZERO, |id| id.0),
        error_code: code as i16,
        error_message: message.map(Into::into),
        ..DeletableTopicResult::default()
    }
}
