//! Groups: their members, and how far they are.

use std::collections::BTreeMap;
use std::rc::Rc;

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicName, TopicPartition};
use highwater_wire::messages::leave_group_request::MemberIdentity;
use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use highwater_wire::messages::offset_fetch_request::OffsetFetchRequestGroup;
use highwater_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse,
};
use highwater_wire::records_schema::embedded::ConsumerProtocolAssignment;
use highwater_wire::{ApiKey, Message, Reader};

use super::offsets::place;
use super::routing::join_all;
use super::{Admin, Each};
use crate::ClientError;
use crate::error::check;
use crate::io::{Deadline, Io, Lane, Peer};
use crate::pending::Pending;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its name.
    pub name: String,
    /// What its members do, such as `consumer`.
    pub protocol_type: String,
    /// Kafka's word, such as `Stable`; `None` from brokers that do not say.
    pub state: Option<String>,
    /// Kafka's word, such as `classic` or `consumer`; `None` from brokers that do not say.
    pub kind: Option<String>,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// Kafka's word, such as `classic` or `consumer`.
    pub kind: &'static str,
    /// Kafka's word, such as `Stable`.
    pub state: String,
    /// The assignor that is used, if one has been chosen.
    pub assignor: String,
    /// The broker that keeps it.
    pub coordinator: NodeId,
    /// Epoch of the group, where it has one.
    pub epoch: Option<i32>,
    /// Who belongs to it.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The name that it has in the group.
    pub id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The name that it gives itself.
    pub client_id: String,
    /// Where it is.
    pub host: String,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
    /// Epoch of the member, where it has one.
    pub epoch: Option<i32>,
}

/// How far a group is in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The first record that is not done.
    pub offset: Offset,
    /// Leader epoch of the last record that is, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// What the group has written beside it.
    pub metadata: String,
}

impl Admin {
    /// Every group that the brokers keep.
    pub fn list_groups(&self) -> Pending<Vec<GroupListing>> {
        self.call("listing groups", |io, deadline| async move {
            let nodes = io.all_nodes(deadline).await?;
            let lists = join_all(nodes.into_iter().map(|node| {
                let io = &io;
                io.retry(deadline, move || async move {
                    let request = ListGroupsRequest::default();
                    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
                    let response: ListGroupsResponse<'_> = answer.decode()?;
                    check(response.error_code, None)?;
                    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
                    let listed = response.groups.iter().map(|group| GroupListing {
                        name: group.group_id.to_string(),
                        protocol_type: group.protocol_type.to_string(),
                        state: some(&group.group_state),
                        kind: some(&group.group_type),
                    });
                    Ok::<Vec<GroupListing>, ClientError>(listed.collect())
                })
            }))
            .await;
            let mut groups = Vec::new();
            for list in lists {
                groups.extend(list?);
            }
            groups.sort();
            groups.dedup();
            Ok(groups)
        })
    }

    /// Groups with their members. One that does not exist is described as `Dead`, as Kafka does for classic groups.
    pub fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Pending<Each<String, GroupDescription>> {
        let names: Vec<String> = groups.into_iter().map(Into::into).collect();
        self.call("describing groups", |io, deadline| async move {
            let described = join_all(names.iter().map(|name| {
                let io = &io;
                io.per_coordinator(name, deadline, move |node| describe(io, node, name, deadline))
            }))
            .await;
            Ok(Each::new(names.iter().cloned().zip(described).collect()))
        })
    }

    /// How far a group is in every partition that it has committed for.
    pub fn group_offsets(&self, group: impl Into<String>) -> Pending<BTreeMap<TopicPartition, CommittedOffset>> {
        let group: String = group.into();
        self.call("reading a group's offsets", |io, deadline| async move {
            let (io, group) = (&io, group.as_str());
            io.per_coordinator(group, deadline, |node| committed(io, node, group, deadline)).await
        })
    }

    /// Commits offsets for a group that has no members.
    pub fn alter_group_offsets(
        &self,
        group: impl Into<String>,
        offsets: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> Pending<Each<TopicPartition, ()>> {
        let (group, offsets): (String, BTreeMap<_, _>) = (group.into(), offsets.into_iter().collect());
        self.call("changing a group's offsets", |io, deadline| async move {
            let (io, name, wanted) = (&io, group.as_str(), &offsets);
            let found = io
                .per_coordinator(name, deadline, move |node| async move {
                    let mut topics: BTreeMap<&TopicName, Vec<OffsetCommitRequestPartition<'_>>> = BTreeMap::new();
                    for (at, offset) in wanted {
                        let partition = OffsetCommitRequestPartition {
                            partition_index: at.partition.to_wire(),
                            committed_offset: offset.to_wire(),
                            committed_leader_epoch: -1,
                            committed_metadata: Some("".into()),
                            ..Default::default()
                        };
                        topics.entry(&at.topic).or_default().push(partition);
                    }
                    let topic = |(name, partitions): (&TopicName, Vec<_>)| OffsetCommitRequestTopic {
                        name: name.as_str().to_owned().into(),
                        partitions: partitions.into(),
                        ..Default::default()
                    };
                    let request = OffsetCommitRequest {
                        group_id: name.into(),
                        generation_id_or_member_epoch: -1,
                        topics: topics.into_iter().map(topic).collect(),
                        ..OffsetCommitRequest::default()
                    };
                    let answer = io.ask_node(node, NAMED_OFFSETS, deadline, &request).await?;
                    let response: OffsetCommitResponse<'_> = answer.decode()?;
                    let mut found = BTreeMap::new();
                    for topic in &response.topics {
                        for partition in &topic.partitions {
                            let result = check(partition.error_code, None);
                            // The whole request is tried again then.
                            if let Err(error) = &result
                                && is_about_coordinator(error)
                            {
                                return Err(error.clone());
                            }
                            if let Some(at) = place(&topic.name, partition.partition_index) {
                                found.insert(at, result);
                            }
                        }
                    }
                    Ok(found)
                })
                .await?;
            Ok(in_order(offsets.into_keys(), found))
        })
    }

    /// Forgets how far a group is in some partitions, none of which a member may be reading.
    pub fn delete_group_offsets(
        &self,
        group: impl Into<String>,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Pending<Each<TopicPartition, ()>> {
        let (group, partitions): (String, Vec<_>) = (group.into(), partitions.into_iter().collect());
        self.call("deleting a group's offsets", |io, deadline| async move {
            let (io, name, wanted) = (&io, group.as_str(), &partitions);
            let found = io
                .per_coordinator(name, deadline, move |node| async move {
                    let mut topics: BTreeMap<&TopicName, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
                    for at in wanted {
                        let partition = OffsetDeleteRequestPartition { partition_index: at.partition.to_wire() };
                        topics.entry(&at.topic).or_default().push(partition);
                    }
                    let topic = |(name, partitions): (&TopicName, Vec<_>)| OffsetDeleteRequestTopic {
                        name: name.as_str().to_owned().into(),
                        partitions: partitions.into(),
                    };
                    let topics = topics.into_iter().map(topic).collect();
                    let request = OffsetDeleteRequest { group_id: name.into(), topics };
                    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
                    let response: OffsetDeleteResponse<'_> = answer.decode()?;
                    check(response.error_code, None)?;
                    let mut found = BTreeMap::new();
                    for topic in &response.topics {
                        for partition in &topic.partitions {
                            if let Some(at) = place(&topic.name, partition.partition_index) {
                                found.insert(at, check(partition.error_code, None));
                            }
                        }
                    }
                    Ok(found)
                })
                .await?;
            Ok(in_order(partitions, found))
        })
    }

    /// Deletes groups that have no members, with their offsets.
    pub fn delete_groups(&self, groups: impl IntoIterator<Item = impl Into<String>>) -> Pending<Each<String, ()>> {
        let names: Vec<String> = groups.into_iter().map(Into::into).collect();
        self.call("deleting groups", |io, deadline| async move {
            let deleted = join_all(names.iter().map(|name| {
                let io = &io;
                io.per_coordinator(name, deadline, move |node| async move {
                    let groups_names = vec![name.as_str().into()].into();
                    let request = DeleteGroupsRequest { groups_names, ..DeleteGroupsRequest::default() };
                    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
                    let response: DeleteGroupsResponse<'_> = answer.decode()?;
                    let result = response.results.iter().next().ok_or_else(|| answer.lacks("the group"))?;
                    check(result.error_code, result.error_message.as_deref())
                })
            }))
            .await;
            Ok(Each::new(names.iter().cloned().zip(deleted).collect()))
        })
    }

    /// Removes members from a group: static ones by their `group.instance.id`, others by the name that they have in it.
    pub fn remove_members(
        &self,
        group: impl Into<String>,
        members: impl IntoIterator<Item = GroupMember>,
    ) -> Pending<Each<String, ()>> {
        let (group, members): (String, Vec<GroupMember>) = (group.into(), members.into_iter().collect());
        self.call("removing members", |io, deadline| async move {
            let (io, name, wanted) = (&io, group.as_str(), &members);
            let found = io
                .per_coordinator(name, deadline, move |node| async move {
                    let identity = |member: &GroupMember| MemberIdentity {
                        member_id: if member.instance_id.is_some() { "".into() } else { member.id.clone().into() },
                        group_instance_id: member.instance_id.clone().map(Into::into),
                        reason: Some("removed by an administrator".into()),
                        ..Default::default()
                    };
                    let members = wanted.iter().map(identity).collect();
                    let request = LeaveGroupRequest { group_id: name.into(), members, ..Default::default() };
                    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
                    let response: LeaveGroupResponse<'_> = answer.decode()?;
                    check(response.error_code, None)?;
                    let results = response.members.iter().map(|member| check(member.error_code, None));
                    Ok::<Vec<_>, ClientError>(results.collect())
                })
                .await?;
            Ok(Each::new(members.into_iter().map(|member| member.id).zip(found).collect()))
        })
    }
}

/// Describes a group with the newer protocol, and if it is not of that kind with the classic one.
async fn describe(io: &Rc<Io>, node: NodeId, name: &str, deadline: Deadline) -> Result<GroupDescription, ClientError> {
    let link = io.ready(Peer::Node(node), Lane::default(), deadline).await?;
    if io.version(link, ApiKey::ConsumerGroupDescribe, i16::MAX).is_ok() {
        match describe_consumer(io, node, name, deadline).await {
            Err(error) if matches!(error.code(), Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)) => {}
            result => return result,
        }
    }
    let request = DescribeGroupsRequest { groups: vec![name.into()].into(), ..DescribeGroupsRequest::default() };
    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
    let response: DescribeGroupsResponse<'_> = answer.decode()?;
    let group = response.groups.iter().next().ok_or_else(|| answer.lacks("the group"))?;
    check(group.error_code, group.error_message.as_deref())?;
    let members = group.members.iter().map(|member| GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.group_instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: classic_assignment(&member.member_assignment),
        epoch: None,
    });
    Ok(GroupDescription {
        name: name.to_owned(),
        kind: "classic",
        state: group.group_state.to_string(),
        assignor: group.protocol_data.to_string(),
        coordinator: node,
        epoch: None,
        members: members.collect(),
    })
}

async fn describe_consumer(
    io: &Rc<Io>,
    node: NodeId,
    name: &str,
    deadline: Deadline,
) -> Result<GroupDescription, ClientError> {
    let request = ConsumerGroupDescribeRequest { group_ids: vec![name.into()].into(), ..Default::default() };
    let answer = io.ask_node(node, i16::MAX, deadline, &request).await?;
    let response: ConsumerGroupDescribeResponse<'_> = answer.decode()?;
    let group = response.groups.iter().next().ok_or_else(|| answer.lacks("the group"))?;
    check(group.error_code, group.error_message.as_deref())?;
    let members = group.members.iter().map(|member| GroupMember {
        id: member.member_id.to_string(),
        instance_id: member.instance_id.as_deref().map(str::to_owned),
        client_id: member.client_id.to_string(),
        host: member.client_host.to_string(),
        assignment: member
            .assignment
            .topic_partitions
            .iter()
            .flat_map(|topic| {
                let places = topic.partitions.iter().filter_map(|index| place(&topic.topic_name, index));
                places.collect::<Vec<_>>()
            })
            .collect(),
        epoch: Some(member.member_epoch),
    });
    Ok(GroupDescription {
        name: name.to_owned(),
        kind: "consumer",
        state: group.group_state.to_string(),
        assignor: group.assignor_name.to_string(),
        coordinator: node,
        epoch: Some(group.group_epoch),
        members: members.collect(),
    })
}

async fn committed(
    io: &Rc<Io>,
    node: NodeId,
    group: &str,
    deadline: Deadline,
) -> Result<BTreeMap<TopicPartition, CommittedOffset>, ClientError> {
    let link = io.ready(Peer::Node(node), Lane::default(), deadline).await?;
    let version = io.version(link, ApiKey::OffsetFetch, NAMED_OFFSETS)?;
    let mut request = OffsetFetchRequest::default();
    if version < GROUPED_OFFSET_FETCH {
        request.group_id = group.into();
        request.topics = None;
    } else {
        let group =
            OffsetFetchRequestGroup { group_id: group.into(), member_epoch: -1, topics: None, ..Default::default() };
        request.groups = vec![group].into();
    }
    let answer = io.ask(link, version, io.request_deadline(deadline), &request).await?;
    let response: OffsetFetchResponse<'_> = answer.decode()?;
    check(response.error_code, None)?;
    let mut found = BTreeMap::new();
    let mut take = |topic: &str, partition: i32, offset: i64, epoch: i32, metadata: Option<&str>, code: i16| {
        check(code, None)?;
        if let (Some(at), Some(offset)) = (place(topic, partition), Offset::from_wire(offset)) {
            let leader_epoch = LeaderEpoch::from_wire(epoch);
            let metadata = metadata.unwrap_or_default().to_owned();
            found.insert(at, CommittedOffset { offset, leader_epoch, metadata });
        }
        Ok::<(), ClientError>(())
    };
    for topic in &response.topics {
        for at in &topic.partitions {
            let metadata = at.metadata.as_deref();
            let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
            take(&topic.name, at.partition_index, offset, epoch, metadata, at.error_code)?;
        }
    }
    for group in &response.groups {
        check(group.error_code, None)?;
        for topic in &group.topics {
            for at in &topic.partitions {
                let metadata = at.metadata.as_deref();
                let (offset, epoch) = (at.committed_offset, at.committed_leader_epoch);
                take(&topic.name, at.partition_index, offset, epoch, metadata, at.error_code)?;
            }
        }
    }
    Ok(found)
}

/// The partitions in the bytes that members of classic groups of consumers are assigned; none if it is something else.
fn classic_assignment(bytes: &[u8]) -> Vec<TopicPartition> {
    let mut reader = Reader::new(bytes);
    let Ok(version) = reader.i16() else { return Vec::new() };
    let known = ConsumerProtocolAssignment::VERSIONS;
    let Ok(assignment) = ConsumerProtocolAssignment::decode(&mut reader, version.clamp(known.min, known.max)) else {
        return Vec::new();
    };
    let places = |topic: highwater_wire::records_schema::embedded::consumer_protocol_assignment::TopicPartition<'_>| {
        let index = |partition: i32| Some((TopicName::new(&topic.topic).ok()?, PartitionIndex::from_wire(partition)?));
        let places = topic.partitions.iter().filter_map(index);
        places.map(|(topic, partition)| TopicPartition { topic, partition }).collect::<Vec<_>>()
    };
    assignment.assigned_partitions.iter().flat_map(places).collect()
}

fn in_order(
    partitions: impl IntoIterator<Item = TopicPartition>,
    mut found: BTreeMap<TopicPartition, Result<(), ClientError>>,
) -> Each<TopicPartition, ()> {
    let missing = || Err(ClientError::of(ErrorCode::UnknownTopicOrPartition));
    let results = partitions.into_iter().map(|at| {
        let result = found.remove(&at).unwrap_or_else(missing);
        (at, result)
    });
    Each::new(results.collect())
}

fn is_about_coordinator(error: &ClientError) -> bool {
    let code = error.code();
    code.is_some_and(|code| {
        matches!(
            code,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::CoordinatorLoadInProgress
        )
    })
}

/// First version of OffsetFetch that asks for several groups.
const GROUPED_OFFSET_FETCH: i16 = 8;
/// Last version of OffsetFetch and OffsetCommit that names topics.
const NAMED_OFFSETS: i16 = 9;
