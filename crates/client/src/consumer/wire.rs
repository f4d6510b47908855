//! The consumer's requests and answers on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_consumer::{
    AbortedTransaction, Answer, ConsumerGroupHeartbeatAnswer, FetchAnswer, FetchPartition, FetchRequest,
    FetchedPartition, GroupMember, IsolationLevel, JoinGroupAnswer, ListOffsetsAnswer, Membership, OffsetAndMetadata,
    OffsetCommitRequest, OffsetFetchAnswer, OffsetFetchRequest, OffsetForLeaderEpochAnswer, OffsetSpec, PartitionsById,
    Request,
};
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, TimestampMs, TopicId, TopicName,
    TopicPartition, Uuid,
};
use highwater_wire::messages::consumer_group_heartbeat_request::TopicPartitions as OwnedPartitions;
use highwater_wire::messages::fetch_request::{FetchPartition as WireFetchPartition, FetchTopic, ForgottenTopic};
use highwater_wire::messages::join_group_request::JoinGroupRequestProtocol;
use highwater_wire::messages::leave_group_request::MemberIdentity;
use highwater_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use highwater_wire::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use highwater_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use highwater_wire::messages::{self, *};
use highwater_wire::{ApiKey, EncodeError, Message, Records};

use super::driver::Names;
use super::embedded;
use crate::ClientError;
use crate::io::{Answer as WireAnswer, Io, Link, Submitted};
use crate::producer::now;

/// Kafka's name of a request.
pub(super) const fn name(request: &Request) -> &'static str {
    match request {
        Request::FindCoordinator(_) => "FindCoordinator",
        Request::JoinGroup(_) => "JoinGroup",
        Request::SyncGroup(_) => "SyncGroup",
        Request::Heartbeat(_) => "Heartbeat",
        Request::LeaveGroup(_) => "LeaveGroup",
        Request::ConsumerGroupHeartbeat(_) => "ConsumerGroupHeartbeat",
        Request::OffsetCommit(_) => "OffsetCommit",
        Request::OffsetFetch(_) => "OffsetFetch",
        Request::ListOffsets(_) => "ListOffsets",
        Request::OffsetForLeaderEpoch(_) => "OffsetForLeaderEpoch",
        Request::Fetch(_) => "Fetch",
    }
}

/// Queues a request on a link.
pub(super) fn submit(io: &Io, link: Link, request: &Request) -> Result<Submitted, ClientError> {
    match request {
        Request::FindCoordinator(find) => {
            let version = io.version(link, ApiKey::FindCoordinator, i16::MAX)?;
            let mut body = FindCoordinatorRequest::default();
            if version < BATCHED_COORDINATORS {
                body.key = (&*find.group).into();
            } else {
                body.coordinator_keys = vec![(&*find.group).into()].into();
            }
            io.submit(link, version, &body, Vec::new(), true)
        }
        Request::JoinGroup(join) => {
            let protocols: Result<Vec<_>, EncodeError> = join
                .protocols
                .iter()
                .map(|(name, member)| {
                    let metadata = embedded::encode_subscription(name, member)?.into();
                    Ok(JoinGroupRequestProtocol { name: (*name).into(), metadata, ..Default::default() })
                })
                .collect();
            let body = JoinGroupRequest {
                group_id: (&*join.group).into(),
                session_timeout_ms: wire_ms(join.session_timeout_ms),
                rebalance_timeout_ms: wire_ms(join.rebalance_timeout_ms),
                member_id: (&*join.member).into(),
                group_instance_id: join.instance.as_deref().map(Into::into),
                protocol_type: CONSUMER.into(),
                protocols: protocols.map_err(|source| unsupported(ApiKey::JoinGroup, source))?.into(),
                ..JoinGroupRequest::default()
            };
            send(io, link, &body)
        }
        Request::SyncGroup(sync) => {
            let assignments: Result<Vec<_>, EncodeError> = sync
                .assignments
                .iter()
                .map(|(member, partitions)| {
                    let assignment = embedded::encode_assignment(partitions)?.into();
                    let member_id = (&**member).into();
                    Ok(SyncGroupRequestAssignment { member_id, assignment, ..Default::default() })
                })
                .collect();
            let body = SyncGroupRequest {
                group_id: (&*sync.group).into(),
                generation_id: wire_ms(sync.generation),
                member_id: (&*sync.member).into(),
                group_instance_id: sync.instance.as_deref().map(Into::into),
                protocol_type: Some(CONSUMER.into()),
                protocol_name: Some((&*sync.protocol).into()),
                assignments: assignments.map_err(|source| unsupported(ApiKey::SyncGroup, source))?.into(),
                ..SyncGroupRequest::default()
            };
            send(io, link, &body)
        }
        Request::Heartbeat(beat) => {
            let body = HeartbeatRequest {
                group_id: (&*beat.group).into(),
                generation_id: wire_ms(beat.generation),
                member_id: (&*beat.member).into(),
                group_instance_id: beat.instance.as_deref().map(Into::into),
                ..HeartbeatRequest::default()
            };
            send(io, link, &body)
        }
        Request::LeaveGroup(leave) => {
            let version = io.version(link, ApiKey::LeaveGroup, i16::MAX)?;
            let mut body = LeaveGroupRequest { group_id: (&*leave.group).into(), ..LeaveGroupRequest::default() };
            if version < BATCHED_LEAVES {
                body.member_id = (&*leave.member).into();
            } else {
                let reason = Some(leave.reason.into());
                let member = MemberIdentity { member_id: (&*leave.member).into(), reason, ..Default::default() };
                body.members = vec![member].into();
            }
            io.submit(link, version, &body, Vec::new(), true)
        }
        Request::ConsumerGroupHeartbeat(beat) => {
            let owned = |(id, partitions): &(TopicId, Vec<PartitionIndex>)| OwnedPartitions {
                topic_id: id.0,
                partitions: partitions.iter().map(|partition| partition.to_wire()).collect(),
                ..Default::default()
            };
            let topics = beat.topics.as_ref();
            let body = ConsumerGroupHeartbeatRequest {
                group_id: (&*beat.group).into(),
                member_id: (&*beat.member).into(),
                member_epoch: match beat.membership {
                    Membership::Join => 0,
                    Membership::Stay(epoch) => wire_ms(epoch),
                    Membership::Leave => -1,
                    Membership::LeaveForNow => -2,
                },
                instance_id: beat.instance.as_deref().map(Into::into),
                rack_id: beat.rack.as_deref().map(Into::into),
                rebalance_timeout_ms: beat.rebalance_timeout_ms.map_or(-1, wire_ms),
                subscribed_topic_names: topics.map(|names| names.iter().map(|name| name.as_str().into()).collect()),
                server_assignor: beat.assignor.as_deref().map(Into::into),
                topic_partitions: beat.owned.as_ref().map(|topics| topics.iter().map(owned).collect()),
                ..ConsumerGroupHeartbeatRequest::default()
            };
            send(io, link, &body)
        }
        Request::OffsetCommit(commit) => submit_commit(io, link, commit),
        Request::OffsetFetch(fetch) => submit_offset_fetch(io, link, fetch),
        Request::ListOffsets(list) => {
            let mut topics: BTreeMap<&TopicName, Vec<ListOffsetsPartition<'_>>> = BTreeMap::new();
            for asked in &list.partitions {
                let partition = ListOffsetsPartition {
                    partition_index: asked.partition.partition.to_wire(),
                    current_leader_epoch: wire_epoch(asked.leader_epoch),
                    timestamp: match asked.at {
                        OffsetSpec::Earliest => -2,
                        OffsetSpec::Latest => -1,
                        OffsetSpec::Timestamp(at) => at.value(),
                        OffsetSpec::Ago(ms) => {
                            now().value().saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)).max(0)
                        }
                    },
                    ..Default::default()
                };
                topics.entry(&asked.partition.topic).or_default().push(partition);
            }
            let topic = |(name, partitions): (&'_ TopicName, Vec<_>)| ListOffsetsTopic {
                name: name.as_str().to_owned().into(),
                partitions: partitions.into(),
                ..Default::default()
            };
            let body = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: isolation(list.isolation),
                topics: topics.into_iter().map(topic).collect(),
                ..ListOffsetsRequest::default()
            };
            send(io, link, &body)
        }
        Request::OffsetForLeaderEpoch(epochs) => {
            let mut topics: BTreeMap<&TopicName, Vec<OffsetForLeaderPartition<'_>>> = BTreeMap::new();
            for asked in &epochs.partitions {
                let partition = OffsetForLeaderPartition {
                    partition: asked.partition.partition.to_wire(),
                    current_leader_epoch: wire_epoch(asked.current_leader_epoch),
                    leader_epoch: asked.leader_epoch.to_wire(),
                    ..Default::default()
                };
                topics.entry(&asked.partition.topic).or_default().push(partition);
            }
            let topic = |(name, partitions): (&'_ TopicName, Vec<_>)| OffsetForLeaderTopic {
                topic: name.as_str().to_owned().into(),
                partitions: partitions.into(),
                ..Default::default()
            };
            let topics = topics.into_iter().map(topic).collect();
            send(io, link, &OffsetForLeaderEpochRequest { replica_id: -1, topics, ..Default::default() })
        }
        Request::Fetch(fetch) => submit_fetch(io, link, fetch),
    }
}

fn submit_commit(io: &Io, link: Link, commit: &OffsetCommitRequest) -> Result<Submitted, ClientError> {
    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
    for (at, committed) in &commit.offsets {
        let partition = OffsetCommitRequestPartition {
            partition_index: at.partition.to_wire(),
            committed_offset: committed.offset.to_wire(),
            committed_leader_epoch: wire_epoch(committed.leader_epoch),
            committed_metadata: Some(committed.metadata.as_deref().unwrap_or_default().to_owned().into()),
            ..Default::default()
        };
        topics.entry(&at.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&'_ TopicName, Vec<_>)| OffsetCommitRequestTopic {
        name: name.as_str().to_owned().into(),
        partitions: partitions.into(),
        ..Default::default()
    };
    let (member, epoch) = commit.member.as_ref().map_or(("", -1), |(id, epoch)| (&**id, wire_ms(*epoch)));
    let body = messages::OffsetCommitRequest {
        group_id: (&*commit.group).into(),
        generation_id_or_member_epoch: epoch,
        member_id: member.into(),
        group_instance_id: commit.instance.as_deref().map(Into::into),
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    };
    let version = io.version(link, ApiKey::OffsetCommit, NAMED_OFFSETS)?;
    io.submit(link, version, &body, Vec::new(), true)
}

fn submit_offset_fetch(io: &Io, link: Link, fetch: &OffsetFetchRequest) -> Result<Submitted, ClientError> {
    let version = io.version(link, ApiKey::OffsetFetch, NAMED_OFFSETS)?;
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    fetch.partitions.iter().for_each(|at| topics.entry(&at.topic).or_default().push(at.partition.to_wire()));
    let mut body = messages::OffsetFetchRequest::default();
    if STABLE_OFFSETS <= version {
        body.require_stable = fetch.require_stable;
    }
    if version < GROUPED_OFFSET_FETCH {
        let topic = |(name, partitions): (&'_ TopicName, Vec<i32>)| OffsetFetchRequestTopic {
            name: name.as_str().to_owned().into(),
            partition_indexes: partitions.into(),
            ..Default::default()
        };
        body.group_id = (&*fetch.group).into();
        body.topics = Some(topics.into_iter().map(topic).collect());
    } else {
        let topic = |(name, partitions): (&'_ TopicName, Vec<i32>)| OffsetFetchRequestTopics {
            name: name.as_str().to_owned().into(),
            partition_indexes: partitions.into(),
            ..Default::default()
        };
        let mut group = OffsetFetchRequestGroup {
            group_id: (&*fetch.group).into(),
            topics: Some(topics.into_iter().map(topic).collect()),
            ..Default::default()
        };
        if NAMED_OFFSETS <= version {
            group.member_epoch = -1;
            if let Some((member, epoch)) = &fetch.member {
                (group.member_id, group.member_epoch) = (Some((&**member).into()), wire_ms(*epoch));
            }
        }
        body.groups = vec![group].into();
    }
    io.submit(link, version, &body, Vec::new(), true)
}

fn submit_fetch(io: &Io, link: Link, fetch: &FetchRequest) -> Result<Submitted, ClientError> {
    let cluster = io.cluster.borrow();
    let id = |name: &TopicName| cluster.topics.get(name).and_then(|topic| topic.id).map_or(Uuid::ZERO, |id| id.0);
    // A session that began by ids goes on by ids, also with a fetch that names nothing.
    let all_have_ids = fetch.partitions.iter().all(|partition| !id(&partition.partition.topic).is_zero())
        && cluster.topics.values().all(|topic| topic.id.is_some() || topic.partitions.is_err());
    let version = io.version(link, ApiKey::Fetch, if all_have_ids { i16::MAX } else { NAMED_FETCH })?;
    let by_name = version <= NAMED_FETCH;
    // Zero where the version has the other.
    let topic_id = |name: &TopicName| if by_name { Uuid::ZERO } else { id(name) };
    let topic_name = |name: &TopicName| if by_name { name.as_str().to_owned() } else { String::new() };

    // In the order in which they are to be served: a topic may come several times.
    let mut topics: Vec<(&TopicName, Vec<WireFetchPartition<'_>>)> = Vec::new();
    for asked in &fetch.partitions {
        let partition = fetch_partition(asked);
        match topics.last_mut() {
            Some((name, partitions)) if **name == asked.partition.topic => partitions.push(partition),
            _ => topics.push((&asked.partition.topic, vec![partition])),
        }
    }
    let topics = topics.into_iter().map(|(name, partitions)| FetchTopic {
        topic: topic_name(name).into(),
        topic_id: topic_id(name),
        partitions: partitions.into(),
        ..Default::default()
    });
    let mut forgotten: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    // One whose id is gone cannot be named; the broker notices by itself.
    let nameable = fetch.forgotten.iter().filter(|at| by_name || !id(&at.topic).is_zero());
    nameable.for_each(|at| forgotten.entry(&at.topic).or_default().push(at.partition.to_wire()));
    let forgotten = forgotten.into_iter().map(|(name, partitions)| ForgottenTopic {
        topic: topic_name(name).into(),
        topic_id: topic_id(name),
        partitions: partitions.into(),
        ..Default::default()
    });
    let body = messages::FetchRequest {
        replica_id: -1,
        max_wait_ms: wire_ms(fetch.wait_ms_max),
        min_bytes: wire_ms(fetch.bytes_min),
        max_bytes: wire_ms(fetch.bytes_max),
        isolation_level: isolation(fetch.isolation),
        session_id: fetch.session.id,
        session_epoch: fetch.session.epoch,
        topics: topics.collect(),
        forgotten_topics_data: forgotten.collect(),
        rack_id: fetch.rack.as_deref().unwrap_or_default().into(),
        ..Default::default()
    };
    io.submit(link, version, &body, Vec::new(), true)
}

fn fetch_partition(asked: &FetchPartition) -> WireFetchPartition<'static> {
    WireFetchPartition {
        partition: asked.partition.partition.to_wire(),
        current_leader_epoch: wire_epoch(asked.leader_epoch),
        fetch_offset: asked.offset.to_wire(),
        partition_max_bytes: wire_ms(asked.bytes_max),
        ..Default::default()
    }
}

fn send<'q, Q: Message<'q>>(io: &Io, link: Link, body: &Q) -> Result<Submitted, ClientError> {
    let api = Q::KEY.and_then(ApiKey::from_code).expect("requests have an API key");
    let version = io.version(link, api, i16::MAX)?;
    io.submit(link, version, body, Vec::new(), true)
}

/// What the machine is told of an answer.
pub(super) fn read(io: &Io, request: &Request, answer: &WireAnswer, names: &Names) -> Result<Answer, ClientError> {
    Ok(match request {
        Request::FindCoordinator(_) => Answer::FindCoordinator(read_coordinator(io, answer)?),
        Request::JoinGroup(_) => read_join(answer)?,
        Request::SyncGroup(_) => {
            let response: SyncGroupResponse<'_> = answer.decode()?;
            Answer::SyncGroup(match error(response.error_code) {
                ErrorCode::None => {
                    let partitions = embedded::decode_assignment(&response.assignment);
                    Ok(partitions.ok_or_else(|| answer.lacks("an assignment that is one"))?)
                }
                code => Err(code),
            })
        }
        Request::Heartbeat(_) => Answer::Heartbeat(error(answer.decode::<HeartbeatResponse<'_>>()?.error_code)),
        Request::LeaveGroup(_) => {
            let response: LeaveGroupResponse<'_> = answer.decode()?;
            let member = response.members.iter().next().map_or(0, |member| member.error_code);
            Answer::LeaveGroup(error(if response.error_code == 0 { member } else { response.error_code }))
        }
        Request::ConsumerGroupHeartbeat(_) => {
            let response: ConsumerGroupHeartbeatResponse<'_> = answer.decode()?;
            let assignment = response.assignment.map(|assignment| {
                let mut partitions = PartitionsById::new();
                for topic in &assignment.topic_partitions {
                    let indexes = topic.partitions.iter().filter_map(PartitionIndex::from_wire);
                    partitions.push((TopicId(topic.topic_id), indexes.collect()));
                }
                partitions
            });
            Answer::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatAnswer {
                error: error(response.error_code),
                message: response.error_message.as_deref().map(Arc::from),
                epoch: u32::try_from(response.member_epoch).unwrap_or_default(),
                interval_ms: u32::try_from(response.heartbeat_interval_ms).unwrap_or_default(),
                assignment,
            })
        }
        Request::OffsetCommit(_) => {
            let response: OffsetCommitResponse<'_> = answer.decode()?;
            let mut committed = Vec::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    if let Some(at) = place(&topic.name, partition.partition_index) {
                        committed.push((at, error(partition.error_code)));
                    }
                }
            }
            Answer::OffsetCommit(committed)
        }
        Request::OffsetFetch(_) => Answer::OffsetFetch(read_offsets(answer)?),
        Request::ListOffsets(_) => {
            let response: ListOffsetsResponse<'_> = answer.decode()?;
            let mut listed = Vec::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let Some(at) = place(&topic.name, partition.partition_index) else { continue };
                    listed.push(ListOffsetsAnswer {
                        partition: at,
                        error: error(partition.error_code),
                        offset: Offset::from_wire(partition.offset),
                        timestamp: TimestampMs(partition.timestamp),
                        leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                    });
                }
            }
            Answer::ListOffsets(listed)
        }
        Request::OffsetForLeaderEpoch(_) => {
            let response: OffsetForLeaderEpochResponse<'_> = answer.decode()?;
            let mut ends = Vec::new();
            for topic in &response.topics {
                for partition in &topic.partitions {
                    let Some(at) = place(&topic.topic, partition.partition) else { continue };
                    ends.push(OffsetForLeaderEpochAnswer {
                        partition: at,
                        error: error(partition.error_code),
                        leader_epoch: LeaderEpoch::from_wire(partition.leader_epoch),
                        end_offset: Offset::from_wire(partition.end_offset),
                    });
                }
            }
            Answer::OffsetForLeaderEpoch(ends)
        }
        Request::Fetch(_) => Answer::Fetch(read_fetch(io, answer, names)?),
    })
}

fn read_coordinator(io: &Io, answer: &WireAnswer) -> Result<Result<NodeId, ErrorCode>, ClientError> {
    let response: FindCoordinatorResponse<'_> = answer.decode()?;
    let (code, id, host, port) = match response.coordinators.iter().next() {
        Some(found) => (found.error_code, found.node_id, found.host, found.port),
        None => (response.error_code, response.node_id, response.host, response.port),
    };
    Ok(match error(code) {
        ErrorCode::None => {
            io.learn_node(id, &host, port, None);
            Ok(NodeId::from_wire(id).ok_or_else(|| answer.lacks("the coordinator"))?)
        }
        code => Err(code),
    })
}

fn read_join(answer: &WireAnswer) -> Result<Answer, ClientError> {
    let response: JoinGroupResponse<'_> = answer.decode()?;
    let protocol: Arc<str> = response.protocol_name.as_deref().unwrap_or_default().into();
    let member = |member: join_group_response::JoinGroupResponseMember<'_>| GroupMember {
        id: (&*member.member_id).into(),
        instance: member.group_instance_id.as_deref().map(Arc::from),
        subscription: embedded::decode_subscription(&protocol, &member.metadata),
    };
    Ok(Answer::JoinGroup(JoinGroupAnswer {
        error: error(response.error_code),
        member: (&*response.member_id).into(),
        generation: u32::try_from(response.generation_id).unwrap_or_default(),
        is_leader: response.leader == response.member_id,
        skip_assignment: response.skip_assignment,
        members: response.members.iter().map(member).collect(),
        protocol,
    }))
}

fn read_offsets(answer: &WireAnswer) -> Result<OffsetFetchAnswer, ClientError> {
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    let mut read = OffsetFetchAnswer { error: error(response.error_code), partitions: Vec::new() };
    let mut take = |topic: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<&str>, code: i16| {
        let Some(at) = place(topic, partition) else { return };
        let committed = match error(code) {
            ErrorCode::None => Ok(Offset::from_wire(offset).map(|offset| OffsetAndMetadata {
                offset,
                leader_epoch: LeaderEpoch::from_wire(epoch),
                metadata: metadata.filter(|text| !text.is_empty()).map(Arc::from),
            })),
            code => Err(code),
        };
        read.partitions.push((at, committed));
    };
    for topic in &response.topics {
        for at in &topic.partitions {
            let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
            take(&topic.name, at.partition_index, offset, epoch, at.metadata.as_deref(), at.error_code);
        }
    }
    let group = response.groups.iter().next();
    for topic in group.iter().flat_map(|group| group.topics.iter()) {
        for at in &topic.partitions {
            let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
            take(&topic.name, at.partition_index, offset, epoch, at.metadata.as_deref(), at.error_code);
        }
    }
    if let Some(group) = group
        && read.error.is_none()
    {
        read.error = error(group.error_code);
    }
    Ok(read)
}

fn read_fetch(io: &Io, answer: &WireAnswer, names: &Names) -> Result<FetchAnswer, ClientError> {
    let response: FetchResponse<'_> = answer.decode()?;
    for endpoint in &response.node_endpoints {
        io.learn_node(endpoint.node_id, &endpoint.host, endpoint.port, endpoint.rack.as_deref());
    }
    let mut read =
        FetchAnswer { error: error(response.error_code), session: response.session_id, partitions: Vec::new() };
    for topic in &response.responses {
        let named = || TopicName::new(&topic.topic).ok();
        // One that was forgotten meanwhile.
        let Some(name) = names.get(&topic.topic_id).cloned().or_else(named) else { continue };
        for partition in &topic.partitions {
            let Some(index) = PartitionIndex::from_wire(partition.partition_index) else { continue };
            let records = match partition.records {
                Records::Bytes(bytes) if !bytes.is_empty() => answer.body.slice_ref(bytes),
                _ => bytes::Bytes::new(),
            };
            let mut fetched = FetchedPartition::new(name.clone(), index, error(partition.error_code), records);
            fetched.high_watermark = Offset::from_wire(partition.high_watermark);
            fetched.last_stable = Offset::from_wire(partition.last_stable_offset);
            fetched.log_start = Offset::from_wire(partition.log_start_offset);
            fetched.preferred_replica = NodeId::from_wire(partition.preferred_read_replica);
            let leader = NodeId::from_wire(partition.current_leader.leader_id);
            fetched.leader = leader.zip(LeaderEpoch::from_wire(partition.current_leader.leader_epoch));
            for aborted in partition.aborted_transactions.iter().flatten() {
                let producer = ProducerId::from_wire(aborted.producer_id);
                let first = Offset::from_wire(aborted.first_offset);
                if let Some((producer_id, first_offset)) = producer.zip(first) {
                    fetched.aborted.push(AbortedTransaction { producer_id, first_offset });
                }
            }
            read.partitions.push(fetched);
        }
    }
    Ok(read)
}

fn place(topic: &str, partition: i32) -> Option<TopicPartition> {
    Some(TopicPartition { topic: TopicName::new(topic).ok()?, partition: PartitionIndex::from_wire(partition)? })
}

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn wire_ms(ms: u32) -> i32 {
    i32::try_from(ms).unwrap_or(i32::MAX)
}

fn wire_epoch(epoch: Option<LeaderEpoch>) -> i32 {
    epoch.map_or(-1, LeaderEpoch::to_wire)
}

const fn isolation(level: IsolationLevel) -> i8 {
    match level {
        IsolationLevel::ReadUncommitted => 0,
        IsolationLevel::ReadCommitted => 1,
    }
}

fn unsupported(api: ApiKey, source: EncodeError) -> ClientError {
    ClientError::Unsupported { address: "any broker".to_owned(), api, source }
}

/// The protocol type of consumers.
const CONSUMER: &str = "consumer";
/// First version of FindCoordinator that asks for several at once.
const BATCHED_COORDINATORS: i16 = 4;
/// First version of LeaveGroup in which several can leave at once.
const BATCHED_LEAVES: i16 = 3;
/// First version of OffsetFetch that asks for several groups.
const GROUPED_OFFSET_FETCH: i16 = 8;
/// First version of OffsetFetch that can wait for open transactions.
const STABLE_OFFSETS: i16 = 7;
/// Last version of OffsetFetch and OffsetCommit that names topics.
const NAMED_OFFSETS: i16 = 9;
/// Last version of Fetch that names topics.
const NAMED_FETCH: i16 = 12;
