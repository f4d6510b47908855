//! What a fetch asks for.

use std::sync::Arc;

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::FetchRequest;

use crate::partition::Partition;
use crate::session::FetchSessions;
use crate::view::View;

/// The fetch sessions of the broker.
pub(crate) type Sessions = FetchSessions<PartitionKey, Want>;

/// A partition as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PartitionKey {
    pub(super) topic: TopicKey,
    pub(super) index: i32,
}

/// A topic as a client names it: by id since version 13.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    Name(Arc<str>),
    Id(Uuid),
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(super) offset: i64,
    pub(super) max_bytes: u32,
    /// `-1` if the client does not say.
    pub(super) current_leader_epoch: i32,
    /// `-1` if the client does not say.
    pub(super) last_fetched_epoch: i32,
    /// Where a follower's log begins; `-1` from others.
    pub(super) log_start: i64,
}

impl TopicKey {
    fn new(name: &str, id: Uuid, by_id: bool) -> Self {
        if by_id { Self::Id(id) } else { Self::Name(name.into()) }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Id(_) => "",
        }
    }

    pub(super) fn id(&self) -> Uuid {
        match self {
            Self::Name(_) => Uuid::ZERO,
            Self::Id(id) => *id,
        }
    }

    /// What is answered when the topic is not there.
    pub(super) fn unknown(&self) -> ErrorCode {
        match self {
            Self::Name(_) => ErrorCode::UnknownTopicOrPartition,
            Self::Id(_) => ErrorCode::UnknownTopicId,
        }
    }
}

/// The partitions that a request names.
pub(super) fn wanted(body: &FetchRequest<'_>, by_id: bool) -> Vec<(PartitionKey, Want)> {
    let mut wanted = Vec::new();
    for topic in &body.topics {
        let key = TopicKey::new(&topic.topic, topic.topic_id, by_id);
        wanted.extend(topic.partitions.iter().map(|partition| {
            let want = Want {
                offset: partition.fetch_offset,
                max_bytes: u32::try_from(partition.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                log_start: partition.log_start_offset,
            };
            (PartitionKey { topic: key.clone(), index: partition.partition }, want)
        }));
    }
    wanted
}

/// The partitions that a request takes out of its session.
pub(super) fn forgotten(body: &FetchRequest<'_>, by_id: bool) -> Vec<PartitionKey> {
    let mut forgotten = Vec::new();
    for topic in &body.forgotten_topics_data {
        let key = TopicKey::new(&topic.topic, topic.topic_id, by_id);
        forgotten.extend(topic.partitions.iter().map(|index| PartitionKey { topic: key.clone(), index }));
    }
    forgotten
}

/// Finds the partitions that a fetch wants.
pub(super) fn resolve(view: &View, wanted: &[(PartitionKey, Want)]) -> Vec<Result<Arc<Partition>, ErrorCode>> {
    let mut targets = Vec::with_capacity(wanted.len());
    for group in wanted.chunk_by(|(a, _), (b, _)| a.topic == b.topic) {
        let topic = &group[0].0.topic;
        let entry = match topic {
            TopicKey::Name(name) => view.topics.by_name(name).ok_or(topic.unknown()),
            TopicKey::Id(id) => view.topic_by("", *id).map_err(|_| topic.unknown()),
        };
        targets.extend(
            group.iter().map(|(key, _)| entry.and_then(|entry| view.partition_of(entry, key.index)).map(Arc::clone)),
        );
    }
    targets
}
