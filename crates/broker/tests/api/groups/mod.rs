//! Consumer groups.

mod admin;
mod classic;
mod consumer;
mod coordinator;
mod faults;
mod hostile;
mod offsets;

use std::time::{Duration, Instant};

use highwater_types::{ErrorCode, Uuid};
use highwater_wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse, join_group_request, leave_group_request, offset_commit_request, offset_fetch_request,
    sync_group_request,
};

use crate::common::{Answer, Client, TestBroker, code};

/// Few partitions are made quickly, and nobody waits for members that do not come.
pub(super) const SETTINGS: [(&str, &str); 2] =
    [("offsets.topic.num.partitions", "4"), ("group.initial.rebalance.delay.ms", "0")];

/// A broker whose offsets topic is there, and a client of it.
pub(super) fn broker() -> (TestBroker, Client) {
    broker_with(&[])
}

pub(super) fn broker_with(settings: &[(&str, &str)]) -> (TestBroker, Client) {
    let all: Vec<_> = SETTINGS.iter().chain(settings).copied().collect();
    let broker = TestBroker::start_with(&all);
    let mut client = broker.client();
    wait_for_coordinator(&mut client, "g");
    (broker, client)
}

/// What a client does before anything else.
pub(super) fn wait_for_coordinator(client: &mut Client, group: &str) {
    until("the coordinator", || find(client, group) == ErrorCode::None);
    // Each partition of the topic has to load first, and groups may be in any.
    until("the load", || {
        let answer = client.call(5, &ListGroupsRequest::default());
        code(answer.body::<ListGroupsResponse<'_>>().error_code) == ErrorCode::None
    });
    assert_eq!(fetch_offsets(client, 7, group, &[]).0, ErrorCode::None);
}

pub(super) fn find(client: &mut Client, group: &str) -> ErrorCode {
    let request = FindCoordinatorRequest { coordinator_keys: vec![group.into()].into(), ..Default::default() };
    let answer = client.call(4, &request);
    code(answer.body::<FindCoordinatorResponse<'_>>().coordinators.iter().next().unwrap().error_code)
}

pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::yield_now();
    }
}

/// A join of a consumer with one assignor, `range`.
pub(super) fn join_request<'a>(group: &'a str, member: &'a str, metadata: &'a [u8]) -> JoinGroupRequest<'a> {
    let protocol = join_group_request::JoinGroupRequestProtocol {
        name: "range".into(),
        metadata: metadata.into(),
        ..Default::default()
    };
    JoinGroupRequest {
        group_id: group.into(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 60_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol].into(),
        ..Default::default()
    }
}

/// What a member learns of a generation.
#[derive(Debug, PartialEq)]
pub(super) struct Joined {
    pub(super) error: ErrorCode,
    pub(super) member: String,
    pub(super) leader: String,
    pub(super) generation: i32,
    pub(super) protocol: Option<String>,
    /// Ids and metadata, for the leader.
    pub(super) members: Vec<(String, Vec<u8>)>,
}

pub(super) fn joined(answer: &Answer) -> Joined {
    let response: JoinGroupResponse<'_> = answer.body();
    let members = response.members.iter().map(|member| (member.member_id.into(), member.metadata.into()));
    Joined {
        error: code(response.error_code),
        member: response.member_id.clone().into(),
        leader: response.leader.clone().into(),
        generation: response.generation_id,
        protocol: response.protocol_name.clone().map(Into::into),
        members: members.collect(),
    }
}

/// Joins with the id that the coordinator gives.
pub(super) fn join(client: &mut Client, group: &str) -> Joined {
    let told = joined(&client.call(5, &join_request(group, "", b"metadata")));
    assert_eq!(told.error, ErrorCode::MemberIdRequired);
    joined(&client.call(5, &join_request(group, &told.member, b"metadata")))
}

pub(super) fn sync_request<'a>(
    group: &'a str,
    joined: &'a Joined,
    assignments: &[(&'a str, &'a [u8])],
) -> SyncGroupRequest<'a> {
    let assignments = assignments.iter().map(|(member, bytes)| sync_group_request::SyncGroupRequestAssignment {
        member_id: (*member).into(),
        assignment: (*bytes).into(),
        ..Default::default()
    });
    SyncGroupRequest {
        group_id: group.into(),
        generation_id: joined.generation,
        member_id: joined.member.as_str().into(),
        assignments: assignments.collect(),
        ..Default::default()
    }
}

pub(super) fn synced(answer: &Answer) -> (ErrorCode, Vec<u8>) {
    let response: SyncGroupResponse<'_> = answer.body();
    (code(response.error_code), response.assignment.clone().into())
}

/// Joins alone and takes everything.
pub(super) fn become_stable(client: &mut Client, group: &str) -> Joined {
    let joined = join(client, group);
    assert_eq!(joined.error, ErrorCode::None);
    let answer = client.call(3, &sync_request(group, &joined, &[(&joined.member, b"all")]));
    assert_eq!(synced(&answer), (ErrorCode::None, b"all".to_vec()));
    joined
}

pub(super) fn heartbeat(client: &mut Client, group: &str, member: &str, generation: i32) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: group.into(),
        generation_id: generation,
        member_id: member.into(),
        ..Default::default()
    };
    code(client.call(3, &request).body::<HeartbeatResponse<'_>>().error_code)
}

/// Leaves in a version that names one member; the code of the request.
pub(super) fn leave(client: &mut Client, version: i16, group: &str, member: &str) -> (ErrorCode, Vec<ErrorCode>) {
    let one = leave_group_request::MemberIdentity { member_id: member.into(), ..Default::default() };
    let request = match version {
        0..3 => LeaveGroupRequest { group_id: group.into(), member_id: member.into(), ..Default::default() },
        _ => LeaveGroupRequest { group_id: group.into(), members: vec![one].into(), ..Default::default() },
    };
    let answer = client.call(version, &request);
    let response: LeaveGroupResponse<'_> = answer.body();
    (code(response.error_code), response.members.iter().map(|member| code(member.error_code)).collect())
}

/// A topic by name and by id, as versions differ in which they use.
#[derive(Clone, Copy)]
pub(super) struct Named<'a>(pub(super) &'a str, pub(super) Uuid);

/// A commit of one topic by somebody who is no member.
pub(super) fn commit_request<'a>(
    version: i16,
    group: &'a str,
    Named(name, id): Named<'a>,
    offsets: &[(i32, i64, &'a str)],
) -> OffsetCommitRequest<'a> {
    let partitions =
        offsets.iter().map(|(index, offset, metadata)| offset_commit_request::OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: *offset,
            committed_metadata: Some((*metadata).into()),
            ..Default::default()
        });
    let topic = offset_commit_request::OffsetCommitRequestTopic {
        name: if version < 10 { name.into() } else { "".into() },
        topic_id: if version < 10 { Uuid::ZERO } else { id },
        partitions: partitions.collect(),
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic].into(),
        ..Default::default()
    }
}

/// The codes of a commit, flat.
pub(super) fn committed(answer: &Answer) -> Vec<ErrorCode> {
    let response: OffsetCommitResponse<'_> = answer.body();
    let partitions = response
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| code(partition.error_code)).collect::<Vec<_>>());
    partitions.collect()
}

pub(super) fn commit(client: &mut Client, group: &str, topic: &str, partition: i32, offset: i64) -> ErrorCode {
    let request = commit_request(8, group, Named(topic, Uuid::ZERO), &[(partition, offset, "")]);
    committed(&client.call(8, &request))[0]
}

/// What is committed: partition, offset, metadata, code.
pub(super) type Offsets = Vec<(i32, i64, String, ErrorCode)>;

/// Asks in a version before 8, for one topic or, without one, for nothing.
pub(super) fn fetch_offsets(
    client: &mut Client,
    version: i16,
    group: &str,
    topics: &[(&str, &[i32])],
) -> (ErrorCode, Offsets) {
    let topics = topics.iter().map(|(name, partitions)| offset_fetch_request::OffsetFetchRequestTopic {
        name: (*name).into(),
        partition_indexes: partitions.to_vec().into(),
        ..Default::default()
    });
    let request = OffsetFetchRequest { group_id: group.into(), topics: Some(topics.collect()), ..Default::default() };
    let answer = client.call(version, &request);
    let response: OffsetFetchResponse<'_> = answer.body();
    let mut offsets = Vec::new();
    for topic in &response.topics {
        for p in &topic.partitions {
            let metadata = p.metadata.clone().unwrap_or_default().into_owned();
            offsets.push((p.partition_index, p.committed_offset, metadata, code(p.error_code)));
        }
    }
    (code(response.error_code), offsets)
}
