//! AlterPartitionReassignments (45): partitions move to other brokers (KIP-455).

use highwater_metadata::{AlterReassignments, ApiError, ReassignPartition};
use highwater_types::ErrorCode;
use highwater_wire::messages::AlterPartitionReassignmentsRequest;
use highwater_wire::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: AlterPartitionReassignmentsRequest<'_> = request.decode()?;
    let count: usize = body.topics.iter().map(|topic| topic.partitions.len()).sum();
    at_most(CHANGES_MAX, body.topics.len() + count)?;
    let mut topics = Vec::with_capacity(body.topics.len());
    let mut partitions = Vec::with_capacity(count);
    for topic in &body.topics {
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        topics.push((topic.name.clone().into_owned(), indexes.collect()));
        partitions.extend(topic.partitions.iter().map(|partition| ReassignPartition {
            topic: topic.name.clone().into_owned(),
            partition: partition.partition_index,
            replicas: partition.replicas.map(|replicas| replicas.iter().collect()),
        }));
    }
    let asked = Asked { topics, allow_replication_factor_change: body.allow_replication_factor_change };
    let alter =
        AlterReassignments { partitions, allow_replication_factor_change: body.allow_replication_factor_change };
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| controller.alter_reassignments(&alter));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |altered, to, out| match altered {
            Ok(results) => to.send(out, &asked.response(results)),
            Err(error) => to.send(out, &asked.failed(error.to_code(), error.to_string())),
        })),
        Err(busy) => {
            request.to.send(out, &asked.failed(busy.to_code(), "the controller has too much to do".to_owned()))
        }
    }
}

/// What of the request is said again in the answer.
struct Asked {
    topics: Vec<(String, Vec<i32>)>,
    allow_replication_factor_change: bool,
}

impl Asked {
    /// One result for each partition, in the order of the request.
    fn response(self, results: Vec<Result<(), ApiError>>) -> AlterPartitionReassignmentsResponse<'static> {
        let mut results = results.into_iter();
        let responses = self.topics.into_iter().map(|(name, indexes)| ReassignableTopicResponse {
            name: name.into(),
            partitions: indexes.into_iter().zip(results.by_ref()).map(|(index, result)| one(index, result)).collect(),
            ..ReassignableTopicResponse::default()
        });
        AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: self.allow_replication_factor_change,
            error_message: None,
            responses: responses.collect::<Vec<_>>().into(),
            ..AlterPartitionReassignmentsResponse::default()
        }
    }

    fn failed(&self, code: ErrorCode, why: String) -> AlterPartitionReassignmentsResponse<'static> {
        AlterPartitionReassignmentsResponse {
            allow_replication_factor_change: self.allow_replication_factor_change,
            error_code: code as i16,
            error_message: Some(why.into()),
            ..AlterPartitionReassignmentsResponse::default()
        }
    }
}

fn one(partition_index: i32, result: Result<(), ApiError>) -> ReassignablePartitionResponse<'static> {
    let (code, message) = match result {
        Ok(()) => (ErrorCode::None, None),
        Err(ApiError { code, message }) => (code, Some(message)),
    };
    ReassignablePartitionResponse {
        partition_index,
        error_code: code as i16,
        error_message: message.map(Into::into),
        ..ReassignablePartitionResponse::default()
    }
}
