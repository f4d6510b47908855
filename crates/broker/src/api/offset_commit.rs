//! OffsetCommit (8).

use std::sync::Arc;

use highwater_group::{OffsetCommit, OffsetToCommit, Request as GroupRequest, Response};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};
use highwater_wire::messages::OffsetCommitRequest;
use highwater_wire::messages::offset_commit_request::OffsetCommitRequestTopic;
use highwater_wire::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::coordinator::{ask, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;

/// One topic of the answer.
struct Topic {
    name: Arc<str>,
    id: Uuid,
    /// Each with its error; `None` where the coordinator decides.
    partitions: Vec<(i32, Option<ErrorCode>)>,
}

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: OffsetCommitRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.iter().map(|topic| topic.partitions.len()).sum())?;
    let version = request.version();
    let (mut topics, mut offsets) = (Vec::with_capacity(body.topics.len()), Vec::new());
    for topic in &body.topics {
        topics.push(take_topic(cx, version, &topic, &mut offsets));
    }
    if offsets.is_empty() && topics.iter().any(|topic| !topic.partitions.is_empty()) {
        return send(&topics, &[], request.to, out);
    }
    let commit = OffsetCommit {
        group: &body.group_id,
        member: &body.member_id,
        instance_id: body.group_instance_id.as_deref(),
        generation_or_epoch: body.generation_id_or_member_epoch,
        retention_ms: (2..=4).contains(&version).then_some(body.retention_time_ms).filter(|ms| 0 <= *ms),
        offsets,
        knows_member_epochs: 9 <= version,
    };
    ask(cx, request, out, &body.group_id, GroupRequest::OffsetCommit(commit), move |response, to, out| {
        let Response::OffsetCommit(codes) = response else { return unexpected() };
        send(&topics, &codes, to, out)
    })
}

/// Adds what can be committed of a topic to `offsets`.
fn take_topic<'a>(
    cx: &Cx<'_>,
    version: i16,
    topic: &OffsetCommitRequestTopic<'a>,
    offsets: &mut Vec<OffsetToCommit<'a>>,
) -> Topic {
    let by_id = 10 <= version;
    let image = &cx.view.image;
    let known = if by_id { image.topic_by_id(TopicId(topic.topic_id)) } else { image.topic(&topic.name) };
    let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
    let name: Arc<str> = Arc::from(known.map_or(&*topic.name, |known| known.name().as_str()));
    let partitions = topic.partitions.iter().map(|partition| {
        let index = PartitionIndex::from_wire(partition.partition_index);
        let error = match (known, index, Offset::from_wire(partition.committed_offset)) {
            (None, ..) => Some(unknown),
            (Some(known), Some(index), _) if known.partition(index).is_none() => {
                Some(ErrorCode::UnknownTopicOrPartition)
            }
            (_, None, _) => Some(ErrorCode::UnknownTopicOrPartition),
            (_, _, None) => Some(ErrorCode::InvalidRequest),
            (Some(known), Some(index), Some(offset)) => {
                offsets.push(OffsetToCommit {
                    topic: Arc::clone(&name),
                    topic_id: Some(known.id()),
                    partition: index,
                    offset,
                    leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
                    metadata: partition.committed_metadata.unwrap_or_default(),
                });
                None
            }
        };
        (partition.partition_index, error)
    });
    let partitions = partitions.collect();
    Topic { name, id: topic.topic_id, partitions }
}

/// Answers with each partition's own error, or the coordinator's next one.
fn send(topics: &[Topic], codes: &[ErrorCode], to: ReplyTo, out: &mut Out) -> Result<Outcome, Refused> {
    let mut codes = codes.iter().copied();
    let topics = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|(index, own)| {
            let error = own.unwrap_or_else(|| codes.next().unwrap_or(ErrorCode::UnknownServerError));
            OffsetCommitResponsePartition {
                partition_index: *index,
                error_code: error as i16,
                ..OffsetCommitResponsePartition::default()
            }
        });
        OffsetCommitResponseTopic {
            name: (&*topic.name).into(),
            topic_id: topic.id,
            partitions: partitions.collect(),
            ..OffsetCommitResponseTopic::default()
        }
    });
    let response = OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() };
    to.send(out, &response)
}
