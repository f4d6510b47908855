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
    let (known, unknown): (Vec<_>, Vec<_>) = asked.iter().partition(|topic| image.topic(&topic.name).is_some());
    let unknown: Vec<(String, Vec<i32>)> = unknown
        .into_iter()
        .map(|topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            (topic.name.to_string(), indexes.collect())
        })
        .collect();
    if known.is_empty() && !unknown.is_empty() {
        return request
            .to
            .send(out, &response(&OffsetDeleted { error: ErrorCode::None, topics: Vec::new() }, &unknown));
    }
    let topics = known.into_iter().map(|topic| {
        let indexes =
            topic.partitions.iter().filter_map(|partition| PartitionIndex::from_wire(partition.partition_index));
        (&*topic.name, indexes.collect())
    });
    let delete = OffsetDelete { group: &body.group_id, topics: topics.collect() };
    ask(cx, request, out, &body.group_id, GroupRequest::OffsetDelete(delete), move |answer, to, out| {
        let Response::OffsetDelete(deleted) = answer else { return unexpected() };
        to.send(out, &response(&deleted, &unknown))
    })
}

/// Topics that do not exist are not the coordinator's business, as in Kafka.
fn response<'r>(deleted: &'r OffsetDeleted, unknown: &'r [(String, Vec<i32>)]) -> OffsetDeleteResponse<'r> {
    if deleted.error != ErrorCode::None {
        return OffsetDeleteResponse { error_code: deleted.error as i16, ..OffsetDeleteResponse::default() };
    }
    let partition =
        |partition_index, error: ErrorCode| OffsetDeleteResponsePartition { partition_index, error_code: error as i16 };
    let topic = |name: &'r str, partitions| OffsetDeleteResponseTopic { name: name.into(), partitions };
    let known = deleted.topics.iter().map(|(name, partitions)| {
        topic(name, partitions.iter().map(|(index, error)| partition(index.to_wire(), *error)).collect())
    });
    let unknown = unknown.iter().map(|(name, partitions)| {
        let refused = |index: &i32| partition(*index, ErrorCode::UnknownTopicOrPartition);
        topic(name, partitions.iter().map(refused).collect())
    });
    OffsetDeleteResponse { topics: known.chain(unknown).collect(), ..OffsetDeleteResponse::default() }
}
