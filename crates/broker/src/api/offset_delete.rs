//! OffsetDelete (47).

use highwater_group::{OffsetDelete, Request as GroupRequest, Response};
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
    // What does not exist can still have offsets, and they can be deleted: only what no partition can be is refused.
    let topics = asked.iter().map(|topic| {
        let indexes =
            topic.partitions.iter().filter_map(|partition| PartitionIndex::from_wire(partition.partition_index));
        (&*topic.name, indexes.collect())
    });
    let delete = OffsetDelete { group: &body.group_id, topics: topics.collect() };
    ask(cx, request, out, &body.group_id, GroupRequest::OffsetDelete(delete), move |response, to, out| {
        let Response::OffsetDelete(deleted) = response else { return unexpected() };
        let topics = deleted.topics.iter().map(|(name, partitions)| {
            let partitions = partitions.iter().map(|(index, error): &(PartitionIndex, ErrorCode)| {
                OffsetDeleteResponsePartition { partition_index: index.to_wire(), error_code: *error as i16 }
            });
            OffsetDeleteResponseTopic { name: (&**name).into(), partitions: partitions.collect() }
        });
        let response = OffsetDeleteResponse {
            error_code: deleted.error as i16,
            topics: topics.collect(),
            ..OffsetDeleteResponse::default()
        };
        to.send(out, &response)
    })
}
