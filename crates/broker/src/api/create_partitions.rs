//! CreatePartitions (37): more partitions for topics that exist.

use highwater_metadata::{CreatePartitions, CreatePartitionsResult, NewPartitions};
use highwater_types::ErrorCode;
use highwater_wire::messages::CreatePartitionsRequest;
use highwater_wire::messages::create_partitions_response::{CreatePartitionsResponse, CreatePartitionsTopicResult};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: CreatePartitionsRequest<'_> = request.decode()?;
    at_most(CHANGES_MAX, body.topics.len())?;
    let topics: Vec<NewPartitions> = body
        .topics
        .iter()
        .map(|topic| NewPartitions {
            name: topic.name.into_owned(),
            count: topic.count,
            assignments: topic.assignments.map(|assignments| {
                assignments.iter().map(|assignment| assignment.broker_ids.iter().collect()).collect()
            }),
        })
        .collect();
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let create = CreatePartitions { topics, validate_only: body.validate_only };
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| controller.create_partitions(&create));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |created, to, out| match created {
            Ok(results) => to.send(out, &response(results)),
            Err(error) => to.send(out, &all_failed(&names, error.to_code())),
        })),
        Err(busy) => request.to.send(out, &all_failed(&names, busy.to_code())),
    }
}

fn response(results: Vec<CreatePartitionsResult>) -> CreatePartitionsResponse<'static> {
    let results = results
        .into_iter()
        .map(|CreatePartitionsResult { name, result }| match result {
            Ok(()) => one(name, ErrorCode::None, None),
            Err(error) => one(name, error.code, Some(error.message)),
        })
        .collect();
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

fn all_failed(names: &[String], code: ErrorCode) -> CreatePartitionsResponse<'static> {
    let results = names.iter().map(|name| one(name.clone(), code, None)).collect();
    CreatePartitionsResponse { results, ..CreatePartitionsResponse::default() }
}

fn one(name: String, code: ErrorCode, message: Option<String>) -> CreatePartitionsTopicResult<'static> {
    CreatePartitionsTopicResult {
        name: name.into(),
        error_code: code as i16,
        error_message: message.map(Into::into),
        ..CreatePartitionsTopicResult::default()
    }
}
