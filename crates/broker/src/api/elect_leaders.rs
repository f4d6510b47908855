//! ElectLeaders (43): leaderships go to preferred replicas, or to replicas that may lack records (KIP-183, KIP-460).

use std::collections::BTreeMap;

use highwater_metadata::{ApiError, Election, ElectionResult};
use highwater_types::ErrorCode;
use highwater_wire::messages::ElectLeadersRequest;
use highwater_wire::messages::elect_leaders_response::{ElectLeadersResponse, PartitionResult, ReplicaElectionResult};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ElectLeadersRequest<'_> = request.decode()?;
    let count: usize = body.topic_partitions.iter().flatten().map(|topic| 1 + topic.partitions.len()).sum();
    at_most(NAMES_MAX, count)?;
    let topics: Option<Vec<(String, Vec<i32>)>> = body.topic_partitions.as_ref().map(|topics| {
        topics.iter().map(|topic| (topic.topic.clone().into_owned(), topic.partitions.iter().collect())).collect()
    });
    let election = match body.election_type {
        PREFERRED => Election::Preferred,
        UNCLEAN => Election::Unclean,
        unknown => {
            let why = format!("Unknown election type {unknown}");
            return request.to.send(out, &failed(request.to, topics, ErrorCode::InvalidRequest, &why));
        }
    };
    match topics {
        Some(topics) => elect(cx, request, out, election, topics),
        None => elect_all(cx, request, out, election),
    }
}

fn elect(
    cx: &mut Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
    election: Election,
    topics: Vec<(String, Vec<i32>)>,
) -> Result<Outcome, Refused> {
    let partitions: Vec<(String, i32)> =
        topics.iter().flat_map(|(name, indexes)| indexes.iter().map(|index| (name.clone(), *index))).collect();
    let submitted =
        cx.node.quorum.decide(cx.peer.token(), move |controller| controller.elect_leaders(election, &partitions));
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |elected, to, out| match elected {
            Ok(results) => {
                let mut results = results.into_iter();
                let told = topics.into_iter().map(|(name, indexes)| {
                    topic(name, indexes.into_iter().zip(results.by_ref()).map(|(index, result)| one(index, result)))
                });
                to.send(out, &response(told))
            }
            Err(error) => to.send(out, &failed(to, Some(topics), error.to_code(), &error.to_string())),
        })),
        Err(busy) => request.to.send(out, &failed(request.to, Some(topics), busy.to_code(), BUSY)),
    }
}

/// Without a list, the answer names the partitions that needed an election.
fn elect_all(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out, election: Election) -> Result<Outcome, Refused> {
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| controller.elect_all_leaders(election));
    match submitted {
        Ok(job) => Ok(park_for(request, job, |elected, to, out| match elected {
            Ok(results) => {
                let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
                for ElectionResult { topic, partition, result } in results {
                    topics.entry(topic).or_default().push(one(partition.to_wire(), result));
                }
                to.send(out, &response(topics.into_iter().map(|(name, all)| topic(name.as_str().to_owned(), all))))
            }
            Err(error) => to.send(out, &failed(to, None, error.to_code(), &error.to_string())),
        })),
        Err(busy) => request.to.send(out, &failed(request.to, None, busy.to_code(), BUSY)),
    }
}

fn response(topics: impl Iterator<Item = ReplicaElectionResult<'static>>) -> ElectLeadersResponse<'static> {
    let replica_election_results = topics.collect::<Vec<_>>().into();
    ElectLeadersResponse { replica_election_results, ..ElectLeadersResponse::default() }
}

fn topic(
    name: String,
    partitions: impl IntoIterator<Item = PartitionResult<'static>>,
) -> ReplicaElectionResult<'static> {
    ReplicaElectionResult {
        topic: name.into(),
        partition_result: partitions.into_iter().collect::<Vec<_>>().into(),
        ..ReplicaElectionResult::default()
    }
}

fn one(partition_id: i32, result: Result<(), ApiError>) -> PartitionResult<'static> {
    let (code, message) = match result {
        Ok(()) => (ErrorCode::None, None),
        Err(ApiError { code, message }) => (code, Some(message)),
    };
    PartitionResult {
        partition_id,
        error_code: code as i16,
        error_message: message.map(Into::into),
        ..PartitionResult::default()
    }
}

/// The same error for everything that was asked for. Version 0 can say it of partitions only.
fn failed(
    to: ReplyTo,
    topics: Option<Vec<(String, Vec<i32>)>>,
    code: ErrorCode,
    why: &str,
) -> ElectLeadersResponse<'static> {
    let topics = topics.into_iter().flatten().map(|(name, indexes)| {
        let refused = || Err(ApiError { code, message: why.to_owned() });
        topic(name, indexes.into_iter().map(|index| one(index, refused())))
    });
    let error_code = if 1 <= to.version { code as i16 } else { 0 };
    ElectLeadersResponse { error_code, ..response(topics) }
}

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
const BUSY: &str = "the controller has too much to do";
