//! DescribeTopicPartitions (75): topics in pages (KIP-966).

use std::collections::BTreeSet;

use highwater_metadata::{MetadataImage, PartitionImage, TopicImage};
use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicName};
use highwater_wire::Array;
use highwater_wire::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use highwater_wire::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeTopicPartitionsRequest<'_> = request.decode()?;
    at_most(NAMES_MAX, body.topics.len())?;
    let limit = usize::try_from(body.response_partition_limit).unwrap_or(0);
    let room = limit.clamp(1, cx.node.settings.describe_partitions_max);
    let mut page = Page { image: &cx.view.image, room, topics: Vec::new() };
    let (first_topic, first_partition) = match &body.cursor {
        Some(cursor) => (&*cursor.topic_name, u32::try_from(cursor.partition_index).unwrap_or(0)),
        None => ("", 0),
    };
    let start_in = |name: &str| if name == first_topic { first_partition } else { 0 };
    let image = &cx.view.image;
    let next_cursor = if body.topics.is_empty() {
        image.topics_from(first_topic).find_map(|topic| page.add(topic, start_in(topic.name().as_str())))
    } else {
        let names: BTreeSet<_> = body.topics.iter().map(|topic| topic.name).collect();
        names.into_iter().filter(|name| first_topic <= &**name).find_map(|name| match image.topic(&name) {
            Some(topic) => page.add(topic, start_in(&name)),
            None => {
                page.add_unknown(&name);
                None
            }
        })
    };
    let response = DescribeTopicPartitionsResponse {
        topics: page.topics.into(),
        next_cursor,
        ..DescribeTopicPartitionsResponse::default()
    };
    request.to.send(out, &response)
}

/// An answer with room for so many more partitions.
struct Page<'a> {
    image: &'a MetadataImage,
    room: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic<'static>>,
}

impl Page<'_> {
    /// Adds the partitions of `topic` from `first` on; tells where to go on if they do not all fit.
    fn add(&mut self, topic: &TopicImage, first: u32) -> Option<Cursor<'static>> {
        let next = |index: PartitionIndex| Cursor {
            topic_name: topic.name().as_str().to_owned().into(),
            partition_index: index.to_wire(),
            ..Cursor::default()
        };
        if self.room == 0 {
            return Some(next(PartitionIndex::new(0)));
        }
        let mut left = topic.partitions().filter(|(index, _)| first <= index.value());
        let partitions: Vec<_> =
            left.by_ref().take(self.room).map(|(index, state)| partition(self.image, index, state)).collect();
        self.room -= partitions.len();
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(topic.name().as_str().to_owned().into()),
            topic_id: topic.id().0,
            is_internal: topic.name().is_internal(),
            partitions: partitions.into(),
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        left.next().map(|(index, _)| next(index))
    }

    fn add_unknown(&mut self, name: &str) {
        let code = match TopicName::check(name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        self.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: code as i16,
            name: Some(name.to_owned().into()),
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }
}

fn partition(
    image: &MetadataImage,
    index: PartitionIndex,
    state: &PartitionImage,
) -> DescribeTopicPartitionsResponsePartition<'static> {
    let ids = |nodes: &[NodeId]| -> Array<'static, i32> { nodes.iter().map(|node| node.to_wire()).collect() };
    DescribeTopicPartitionsResponsePartition {
        // Unlike Metadata, Kafka knows no error for a partition without leader here.
        error_code: ErrorCode::None as i16,
        partition_index: index.to_wire(),
        leader_id: state.leader.map_or(-1, NodeId::to_wire),
        leader_epoch: state.leader_epoch.to_wire(),
        replica_nodes: ids(&state.replicas),
        isr_nodes: ids(&state.isr),
        // Never null, though the schema allows it: Java's client fails on null.
        eligible_leader_replicas: Some(ids(&state.elr)),
        last_known_elr: Some(ids(&state.last_known_elr)),
        offline_replicas: image.offline_replicas(state).map(NodeId::to_wire).collect(),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}
