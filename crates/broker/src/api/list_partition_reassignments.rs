//! ListPartitionReassignments (46): partitions that are moving (KIP-455).

use std::collections::BTreeMap;

use highwater_metadata::{Decision, Reassignment};
use highwater_types::{NodeId, PartitionIndex};
use highwater_wire::Array;
use highwater_wire::messages::ListPartitionReassignmentsRequest;
use highwater_wire::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: ListPartitionReassignmentsRequest<'_> = request.decode()?;
    let count: usize = body.topics.iter().flatten().map(|topic| topic.partition_indexes.len()).sum();
    at_most(NAMES_MAX, body.topics.as_ref().map_or(0, Array::len) + count)?;
    let wanted: Option<Vec<(String, PartitionIndex)>> = body.topics.as_ref().map(|topics| {
        let mut wanted = Vec::with_capacity(count);
        for topic in topics {
            let indexes = topic.partition_indexes.iter().filter_map(PartitionIndex::from_wire);
            wanted.extend(indexes.map(|index| (topic.name.clone().into_owned(), index)));
        }
        wanted
    });
    // The controller is asked, not the view of this broker: what it has just decided must be in the answer.
    let submitted = cx.node.quorum.decide(cx.peer.token(), move |controller| Decision {
        records: Vec::new(),
        response: controller.list_reassignments(wanted.as_deref()),
    });
    match submitted {
        Ok(job) => Ok(park_for(request, job, |listed, to, out| match listed {
            Ok(all) => to.send(out, &response(all)),
            Err(error) => {
                let error_message = Some(error.to_string().into());
                let error_code = error.to_code() as i16;
                to.send(out, &ListPartitionReassignmentsResponse { error_code, error_message, ..Default::default() })
            }
        })),
        Err(busy) => {
            let error_code = busy.to_code() as i16;
            let error_message = Some("the controller has too much to do".into());
            let response = ListPartitionReassignmentsResponse { error_code, error_message, ..Default::default() };
            request.to.send(out, &response)
        }
    }
}

fn response(all: Vec<Reassignment>) -> ListPartitionReassignmentsResponse<'static> {
    let ids = |nodes: &[NodeId]| -> Array<'static, i32> { nodes.iter().map(|node| node.to_wire()).collect() };
    let mut topics: BTreeMap<_, Vec<OngoingPartitionReassignment<'static>>> = BTreeMap::new();
    for Reassignment { topic, partition, replicas, adding, removing } in all {
        topics.entry(topic).or_default().push(OngoingPartitionReassignment {
            partition_index: partition.to_wire(),
            replicas: ids(&replicas),
            adding_replicas: ids(&adding),
            removing_replicas: ids(&removing),
            ..OngoingPartitionReassignment::default()
        });
    }
    let topics = topics.into_iter().map(|(name, partitions)| OngoingTopicReassignment {
        name: name.as_str().to_owned().into(),
        partitions: partitions.into(),
        ..OngoingTopicReassignment::default()
    });
    ListPartitionReassignmentsResponse {
        error_message: None,
        topics: topics.collect::<Vec<_>>().into(),
        ..ListPartitionReassignmentsResponse::default()
    }
}
