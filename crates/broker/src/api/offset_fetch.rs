//! OffsetFetch (9).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use highwater_group::{FetchedOffset, OffsetFetch, OffsetFetchResponse as Fetched, Request as GroupRequest, Response};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, TopicId, Uuid};
use highwater_wire::Array;
use highwater_wire::messages::OffsetFetchRequest;
use highwater_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use highwater_wire::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::coordinator::{answer_all, ask, unexpected};
use super::request::{Cx, NAMES_MAX, Outcome, Refused, ReplyTo, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: OffsetFetchRequest<'_> = request.decode()?;
    let names = |group: OffsetFetchRequestGroup<'_>| {
        group.topics.map_or(1, |topics| topics.iter().map(|topic| topic.partition_indexes.len()).sum::<usize>() + 1)
    };
    at_most(NAMES_MAX, body.groups.iter().map(names).sum())?;
    if 8 <= request.version() { fetch_groups(cx, request, out, &body) } else { fetch_one(cx, request, out, &body) }
}

/// Versions before 8 ask for one group.
fn fetch_one(
    cx: &Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
    body: &OffsetFetchRequest<'_>,
) -> Result<Outcome, Refused> {
    let mut seen = HashSet::new();
    let asked: Option<Vec<_>> =
        body.topics.as_ref().map(|topics| topics.iter().filter(|topic| seen.insert(topic.name.clone())).collect());
    at_most(NAMES_MAX, asked.iter().flatten().map(|topic| topic.partition_indexes.len()).sum())?;
    let topics: Option<Vec<(&str, Vec<PartitionIndex>)>> = asked
        .as_ref()
        .map(|topics| topics.iter().map(|topic| (&*topic.name, indexes(&topic.partition_indexes))).collect());
    // Version 1 has no error of the whole: each partition must be able to say it.
    let names: Vec<(String, Vec<PartitionIndex>)> = match &topics {
        Some(topics) if request.version() < 2 => {
            topics.iter().map(|(name, partitions)| ((*name).to_owned(), partitions.clone())).collect()
        }
        _ => Vec::new(),
    };
    let fetch = OffsetFetch {
        group: &body.group_id,
        member: None,
        member_epoch: -1,
        topics,
        require_stable: body.require_stable,
    };
    ask(cx, request, out, &body.group_id, GroupRequest::OffsetFetch(fetch), move |response, to, out| {
        let Response::OffsetFetch(fetched) = response else { return unexpected() };
        send_one(&fetched, &names, to, out)
    })
}

fn send_one(
    fetched: &Fetched,
    names: &[(String, Vec<PartitionIndex>)],
    to: ReplyTo,
    out: &mut Out,
) -> Result<Outcome, Refused> {
    let partition = |offset: &FetchedOffset| OffsetFetchResponsePartition {
        partition_index: offset.partition.to_wire(),
        committed_offset: offset.offset.map_or(-1, Offset::to_wire),
        committed_leader_epoch: offset.leader_epoch.map_or(-1, LeaderEpoch::to_wire),
        metadata: Some(offset.metadata.to_string().into()),
        error_code: offset.error as i16,
        ..OffsetFetchResponsePartition::default()
    };
    let failed = |index: &PartitionIndex| OffsetFetchResponsePartition {
        partition_index: index.to_wire(),
        committed_offset: -1,
        metadata: Some("".into()),
        error_code: fetched.error as i16,
        ..OffsetFetchResponsePartition::default()
    };
    let topics: Array<'_, OffsetFetchResponseTopic<'_>> = if fetched.error != ErrorCode::None && to.version < 2 {
        let topics = names.iter().map(|(name, partitions)| OffsetFetchResponseTopic {
            name: name.as_str().into(),
            partitions: partitions.iter().map(failed).collect(),
            ..OffsetFetchResponseTopic::default()
        });
        topics.collect()
    } else {
        let topics = fetched.topics.iter().map(|(name, offsets)| OffsetFetchResponseTopic {
            name: (&**name).into(),
            partitions: offsets.iter().map(partition).collect(),
            ..OffsetFetchResponseTopic::default()
        });
        topics.collect()
    };
    let response = OffsetFetchResponse { topics, error_code: fetched.error as i16, ..OffsetFetchResponse::default() };
    to.send(out, &response)
}

/// What the answer for one group needs besides the offsets.
struct Asked {
    group: String,
    /// Ids by name, for an answer that has ids.
    ids: BTreeMap<Arc<str>, Uuid>,
    /// Topics by ids that nobody knows.
    unknown: Vec<(Uuid, Vec<i32>)>,
    /// Everything was asked for: topics that are gone have no id, and are left out.
    wants_all: bool,
}

fn fetch_groups(
    cx: &Cx<'_>,
    request: &Request<'_>,
    out: &mut Out,
    body: &OffsetFetchRequest<'_>,
) -> Result<Outcome, Refused> {
    let by_id = 10 <= request.version();
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for group in body.groups.iter().filter(|group| seen.insert(group.group_id.clone())) {
        let (topics, about) = resolve(cx, by_id, &group);
        let topics = topics
            .as_ref()
            .map(|topics| topics.iter().map(|(name, partitions)| (&**name, partitions.clone())).collect::<Vec<_>>());
        let fetch = OffsetFetch {
            group: &group.group_id,
            member: group.member_id.as_deref().filter(|member| !member.is_empty()),
            member_epoch: group.member_epoch,
            topics,
            require_stable: body.require_stable,
        };
        let fetch = GroupRequest::OffsetFetch(fetch);
        answers.push(cx.node.coordinators.ask(cx.now, cx.peer.token(), &group.group_id, fetch));
        asked.push(about);
    }
    let view = Arc::clone(&cx.view);
    answer_all(request, out, answers, move |responses, to, out| {
        let groups = asked.into_iter().zip(responses).map(|(mut asked, response)| {
            let Response::OffsetFetch(fetched) = response else { return OffsetFetchResponseGroup::default() };
            if by_id && asked.wants_all {
                let known = fetched
                    .topics
                    .iter()
                    .filter_map(|(name, _)| Some((Arc::clone(name), view.image.topic(name)?.id().0)));
                asked.ids = known.collect();
            }
            group_response(&asked, &fetched, by_id)
        });
        to.send(out, &OffsetFetchResponse { groups: groups.collect(), ..OffsetFetchResponse::default() })
    })
}

type NamedTopics = Vec<(Arc<str>, Vec<PartitionIndex>)>;

/// Finds the names of what a group is asked for.
fn resolve(cx: &Cx<'_>, by_id: bool, group: &OffsetFetchRequestGroup<'_>) -> (Option<NamedTopics>, Asked) {
    let mut about = Asked {
        group: group.group_id.clone().into_owned(),
        ids: BTreeMap::new(),
        unknown: Vec::new(),
        wants_all: group.topics.is_none(),
    };
    let Some(topics) = &group.topics else { return (None, about) };
    let mut named = Vec::with_capacity(topics.len());
    let mut seen = HashSet::with_capacity(topics.len());
    for topic in topics.iter().filter(|topic| seen.insert((topic.name.clone(), topic.topic_id))) {
        let name: Arc<str> = if !by_id {
            Arc::from(&*topic.name)
        } else if let Some(known) = cx.view.image.topic_by_id(TopicId(topic.topic_id)) {
            Arc::from(known.name().as_str())
        } else {
            about.unknown.push((topic.topic_id, topic.partition_indexes.iter().collect()));
            continue;
        };
        if by_id {
            about.ids.insert(Arc::clone(&name), topic.topic_id);
        }
        named.push((name, indexes(&topic.partition_indexes)));
    }
    (Some(named), about)
}

fn group_response(asked: &Asked, fetched: &Fetched, by_id: bool) -> OffsetFetchResponseGroup<'static> {
    let known = fetched.topics.iter().filter_map(|(name, offsets)| {
        let topic_id = if by_id { *asked.ids.get(name)? } else { Uuid::ZERO };
        Some(OffsetFetchResponseTopics {
            name: name.to_string().into(),
            topic_id,
            partitions: offsets.iter().map(partition_response).collect(),
            ..OffsetFetchResponseTopics::default()
        })
    });
    let unknown = asked.unknown.iter().map(|(id, partitions)| OffsetFetchResponseTopics {
        topic_id: *id,
        partitions: partitions.iter().map(|index| unknown_partition(*index)).collect(),
        ..OffsetFetchResponseTopics::default()
    });
    let topics = if fetched.error == ErrorCode::None { known.chain(unknown).collect() } else { Array::new() };
    OffsetFetchResponseGroup {
        group_id: asked.group.clone().into(),
        topics,
        error_code: fetched.error as i16,
        ..OffsetFetchResponseGroup::default()
    }
}

fn partition_response(offset: &FetchedOffset) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: offset.partition.to_wire(),
        committed_offset: offset.offset.map_or(-1, Offset::to_wire),
        committed_leader_epoch: offset.leader_epoch.map_or(-1, LeaderEpoch::to_wire),
        metadata: Some(offset.metadata.to_string().into()),
        error_code: offset.error as i16,
        ..OffsetFetchResponsePartitions::default()
    }
}

fn unknown_partition(index: i32) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: ErrorCode::UnknownTopicId as i16,
        ..OffsetFetchResponsePartitions::default()
    }
}

/// Those that can be partitions, each once: what is named again must not be answered again, since the answer has what
/// the client wrote beside the offset.
fn indexes(partitions: &Array<'_, i32>) -> Vec<PartitionIndex> {
    let mut seen = HashSet::with_capacity(partitions.len());
    partitions.iter().filter_map(PartitionIndex::from_wire).filter(|index| seen.insert(*index)).collect()
}
