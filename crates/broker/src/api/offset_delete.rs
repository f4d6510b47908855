//! OffsetDelete (47).

use highwater_group::{OffsetDelete, OffsetDeleteResponse as OffsetDeleted, Request as GroupRequest, Response};
use highwater_types::{ErrorCode, PartitionIndex};
use highwater_wire::messages::OffsetDeleteRequest;
use highwater_wire::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::coordinator::{ask, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: OffsetDeleteRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let asked: Vec<_> = body.topics.iter().collect();
    let image = &cx.view.image;
    let exists = |topic: &str, index: i32| {
        PartitionIndex::from_wire(index)
            .filter(|index| image.topic(topic).is_some_and(|t| t.partition(*index).is_some()))
    };
    let topics: Vec<Topic> = asked
        .iter()
        .map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            let partitions = indexes.map(|index| (index, exists(&topic.name, index))).collect();
            Topic { name: topic.name.to_string(), partitions }
        })
        .collect();
    let known: Vec<(&str, Vec<PartitionIndex>)> = topics
        .iter()
        .map(|topic| (topic.name.as_str(), topic.partitions.iter().filter_map(|(_, known)| *known).collect::<Vec<_>>()))
        .filter(|(_, partitions)| !partitions.is_empty())
        .collect();
    if known.is_empty() && !topics.is_empty() {
        return request.to.send(out, &response(&OffsetDeleted { error: ErrorCode::None, topics: Vec::new() }, &topics));
    }
    let delete = OffsetDelete { group: &body.group_id, topics: known };
    let about = topics.clone();
    ask(cx, request, out, &body.group_id, GroupRequest::OffsetDelete(delete), move |answer, to, out| {
        let Response::OffsetDelete(deleted) = answer else { return unexpected() };
        to.send(out, &response(&deleted, &about))
    })
}

/// What is to be deleted of a topic: each partition as it was asked for, and as one that exists. What does not exist is
/// not the coordinator's business, as in Kafka.
#[derive(Clone)]
struct Topic {
    name: String,
    partitions: Vec<(i32, Option<PartitionIndex>)>,
}

/// Answers with the coordinator's codes, which are in the order in which it was asked.
fn response<'r>(deleted: &OffsetDeleted, topics: &'r [Topic]) -> OffsetDeleteResponse<'r> {
    if deleted.error != ErrorCode::None {
        return OffsetDeleteResponse { error_code: deleted.error as i16, ..OffsetDeleteResponse::default() };
    }
    let mut codes = deleted.topics.iter().flat_map(|(_, partitions)| partitions.iter().map(|(_, error)| *error));
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|(partition_index, known)| {
            let error = match known {
                Some(_) => codes.next().unwrap_or(ErrorCode::UnknownServerError),
                None => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetDeleteResponsePartition { partition_index: *partition_index, error_code: error as i16 }
        });
        OffsetDeleteResponseTopic { name: topic.name.as_str().into(), partitions: partitions.collect() }
    });
    OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() }
}
