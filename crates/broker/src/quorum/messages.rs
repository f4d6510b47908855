//! The quorum's messages on the wire: Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch and FetchSnapshot of
//! `__cluster_metadata`.

use highwater_raft::{
    BeginQuorumEpoch, Diverging, EndQuorumEpoch, Endpoint, Fetch, FetchAnswer, FetchSnapshot, Leadership, ReplicaKey,
    Request, Response, SnapshotAnswer, SnapshotId, Vote, VoteAnswer,
};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};
use highwater_wire::Records;
use highwater_wire::messages::{
    BeginQuorumEpochRequest, BeginQuorumEpochResponse, EndQuorumEpochRequest, EndQuorumEpochResponse, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, VoteRequest, VoteResponse, begin_quorum_epoch_request,
    begin_quorum_epoch_response, end_quorum_epoch_request, end_quorum_epoch_response, fetch_request, fetch_response,
    fetch_snapshot_request, fetch_snapshot_response, vote_request, vote_response,
};

use super::log::wire_directory;

/// Name of the one topic that they are about.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";

/// Host and port of a node.
pub(crate) type Address = (String, u16);

/// Who leads, and where it is reached as a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderAt {
    pub(crate) id: NodeId,
    pub(crate) address: Address,
}

/// What another node has answered.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Records, or a part of a snapshot.
    pub(super) bytes: Vec<u8>,
    /// Where the leader is reached, if the answer says so.
    pub(super) leader_at: Option<Address>,
}

/// The address of `leader` among those of an answer.
fn find(mut nodes: impl Iterator<Item = (i32, String, i32)>, leader: i32) -> Option<Address> {
    let (_, host, port) = nodes.find(|(id, ..)| *id == leader)?;
    Some((host, u16::try_from(port).ok()?))
}

/// The endpoint of the listener with this name, or else the first one.
pub(crate) fn on_listener(listener: &str, mut endpoints: impl Iterator<Item = Endpoint>) -> Option<Address> {
    let first = endpoints.next()?;
    let named = |endpoint: &Endpoint| endpoint.listener.eq_ignore_ascii_case(listener);
    let found = if named(&first) { None } else { endpoints.find(named) };
    let Endpoint { host, port, .. } = found.unwrap_or(first);
    Some((host, port))
}

/// Where the leader is that tells of its term.
pub(crate) fn begin_leader_at(request: &BeginQuorumEpochRequest<'_>, listener: &str) -> Option<Address> {
    let endpoint = |endpoint: begin_quorum_epoch_request::LeaderEndpoint<'_>| Endpoint {
        listener: endpoint.name.into_owned(),
        host: endpoint.host.into_owned(),
        port: endpoint.port,
    };
    on_listener(listener, request.leader_endpoints.iter().map(endpoint))
}

/// Where the leader is that has given up.
pub(crate) fn end_leader_at(request: &EndQuorumEpochRequest<'_>, listener: &str) -> Option<Address> {
    let endpoint = |endpoint: end_quorum_epoch_request::LeaderEndpoint<'_>| Endpoint {
        listener: endpoint.name.into_owned(),
        host: endpoint.host.into_owned(),
        port: endpoint.port,
    };
    on_listener(listener, request.leader_endpoints.iter().map(endpoint))
}

/// A directory id as the wire has it: zeros are none.
pub(crate) fn directory(id: Uuid) -> Option<DirectoryId> {
    (id != Uuid::ZERO).then_some(DirectoryId(id))
}

pub(super) fn key(id: i32, directory_id: Uuid) -> Option<ReplicaKey> {
    Some(ReplicaKey { id: NodeId::from_wire(id)?, directory: directory(directory_id) })
}

fn wire_leader(leader: Option<NodeId>) -> i32 {
    leader.map_or(-1, NodeId::to_wire)
}

fn leadership(error: i16, epoch: i32, leader: i32) -> Option<Leadership> {
    Some(Leadership {
        error: ErrorCode::from_code(error).unwrap_or(ErrorCode::UnknownServerError),
        epoch: LeaderEpoch::from_wire(epoch)?,
        leader: NodeId::from_wire(leader),
    })
}

/// The only item of a list of one.
fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

pub(super) fn vote_request<'a>(vote: &Vote, cluster_id: &'a str) -> VoteRequest<'a> {
    let partition = vote_request::PartitionData {
        replica_epoch: vote.epoch.to_wire(),
        replica_id: vote.candidate.id.to_wire(),
        replica_directory_id: wire_directory(vote.candidate.directory),
        voter_directory_id: wire_directory(vote.voter.directory),
        last_offset_epoch: vote.last_epoch.to_wire(),
        last_offset: vote.end.to_wire(),
        pre_vote: vote.is_pre_vote,
        ..Default::default()
    };
    let topic = vote_request::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    VoteRequest {
        cluster_id: Some(cluster_id.into()),
        voter_id: vote.voter.id.to_wire(),
        topics: vec![topic].into(),
        ..VoteRequest::default()
    }
}

/// What a candidate asks; `this` is who is asked, as versions before 1 do not say. `None` if it makes no sense.
pub(crate) fn read_vote(request: &VoteRequest<'_>, this: NodeId) -> Option<Request> {
    let topic = only(request.topics.iter()).filter(|topic| topic.topic_name == METADATA_TOPIC)?;
    let partition = only(topic.partitions.iter()).filter(|partition| partition.partition_index == 0)?;
    Some(Request::Vote(Vote {
        epoch: LeaderEpoch::from_wire(partition.replica_epoch)?,
        candidate: key(partition.replica_id, partition.replica_directory_id)?,
        voter: ReplicaKey {
            id: NodeId::from_wire(request.voter_id).unwrap_or(this),
            directory: directory(partition.voter_directory_id),
        },
        last_epoch: LeaderEpoch::from_wire(partition.last_offset_epoch)?,
        end: Offset::from_wire(partition.last_offset)?,
        is_pre_vote: partition.pre_vote,
    }))
}

pub(crate) fn vote_response(answer: &VoteAnswer, leader_at: Option<LeaderAt>) -> VoteResponse<'static> {
    let node = |LeaderAt { id, address: (host, port) }: LeaderAt| vote_response::NodeEndpoint {
        node_id: id.to_wire(),
        host: host.into(),
        port,
        ..Default::default()
    };
    let Leadership { error, epoch, leader } = answer.leadership;
    let partition = vote_response::PartitionData {
        error_code: error as i16,
        leader_id: wire_leader(leader),
        leader_epoch: epoch.to_wire(),
        vote_granted: answer.granted,
        ..Default::default()
    };
    let topic = vote_response::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    VoteResponse {
        topics: vec![topic].into(),
        node_endpoints: leader_at.map(node).into_iter().collect(),
        ..VoteResponse::default()
    }
}

pub(super) fn read_vote_response(response: &VoteResponse<'_>) -> Option<Answer> {
    let topic = only(response.topics.iter()).filter(|_| response.error_code == 0)?;
    let partition = only(topic.partitions.iter())?;
    let nodes = response.node_endpoints.iter().map(|node| (node.node_id, node.host.into_owned(), i32::from(node.port)));
    let leader_at = find(nodes, partition.leader_id);
    let answer = VoteAnswer {
        leadership: leadership(partition.error_code, partition.leader_epoch, partition.leader_id)?,
        granted: partition.vote_granted,
    };
    Some(Answer { response: Response::Vote(answer), bytes: Vec::new(), leader_at })
}

pub(super) fn begin_request<'a>(
    begin: &BeginQuorumEpoch,
    cluster_id: &'a str,
    endpoints: &'a [Endpoint],
) -> BeginQuorumEpochRequest<'a> {
    let partition = begin_quorum_epoch_request::PartitionData {
        voter_directory_id: wire_directory(begin.voter.directory),
        leader_id: begin.leader.to_wire(),
        leader_epoch: begin.epoch.to_wire(),
        ..Default::default()
    };
    let topic = begin_quorum_epoch_request::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    let endpoint = |endpoint: &'a Endpoint| begin_quorum_epoch_request::LeaderEndpoint {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..Default::default()
    };
    BeginQuorumEpochRequest {
        cluster_id: Some(cluster_id.into()),
        voter_id: begin.voter.id.to_wire(),
        topics: vec![topic].into(),
        leader_endpoints: endpoints.iter().map(endpoint).collect(),
        ..BeginQuorumEpochRequest::default()
    }
}

pub(crate) fn read_begin(request: &BeginQuorumEpochRequest<'_>, this: NodeId) -> Option<Request> {
    let topic = only(request.topics.iter()).filter(|topic| topic.topic_name == METADATA_TOPIC)?;
    let partition = only(topic.partitions.iter()).filter(|partition| partition.partition_index == 0)?;
    Some(Request::BeginQuorumEpoch(BeginQuorumEpoch {
        epoch: LeaderEpoch::from_wire(partition.leader_epoch)?,
        leader: NodeId::from_wire(partition.leader_id)?,
        voter: ReplicaKey {
            id: NodeId::from_wire(request.voter_id).unwrap_or(this),
            directory: directory(partition.voter_directory_id),
        },
    }))
}

pub(crate) fn begin_response(answer: Leadership, leader_at: Option<LeaderAt>) -> BeginQuorumEpochResponse<'static> {
    let node = |LeaderAt { id, address: (host, port) }: LeaderAt| begin_quorum_epoch_response::NodeEndpoint {
        node_id: id.to_wire(),
        host: host.into(),
        port,
        ..Default::default()
    };
    let partition = begin_quorum_epoch_response::PartitionData {
        error_code: answer.error as i16,
        leader_id: wire_leader(answer.leader),
        leader_epoch: answer.epoch.to_wire(),
        ..Default::default()
    };
    let topic = begin_quorum_epoch_response::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    BeginQuorumEpochResponse {
        topics: vec![topic].into(),
        node_endpoints: leader_at.map(node).into_iter().collect(),
        ..BeginQuorumEpochResponse::default()
    }
}

pub(super) fn read_begin_response(response: &BeginQuorumEpochResponse<'_>) -> Option<Answer> {
    let topic = only(response.topics.iter()).filter(|_| response.error_code == 0)?;
    let partition = only(topic.partitions.iter())?;
    let nodes = response.node_endpoints.iter().map(|node| (node.node_id, node.host.into_owned(), i32::from(node.port)));
    let leader_at = find(nodes, partition.leader_id);
    let leadership = leadership(partition.error_code, partition.leader_epoch, partition.leader_id)?;
    Some(Answer { response: Response::BeginQuorumEpoch(leadership), bytes: Vec::new(), leader_at })
}

pub(super) fn end_request<'a>(
    end: &EndQuorumEpoch,
    cluster_id: &'a str,
    endpoints: &'a [Endpoint],
) -> EndQuorumEpochRequest<'a> {
    let candidate = |key: &ReplicaKey| end_quorum_epoch_request::ReplicaInfo {
        candidate_id: key.id.to_wire(),
        candidate_directory_id: wire_directory(key.directory),
        ..Default::default()
    };
    let partition = end_quorum_epoch_request::PartitionData {
        leader_id: end.leader.to_wire(),
        leader_epoch: end.epoch.to_wire(),
        preferred_successors: end.successors.iter().map(|key| key.id.to_wire()).collect(),
        preferred_candidates: end.successors.iter().map(candidate).collect(),
        ..Default::default()
    };
    let topic = end_quorum_epoch_request::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    let endpoint = |endpoint: &'a Endpoint| end_quorum_epoch_request::LeaderEndpoint {
        name: endpoint.listener.as_str().into(),
        host: endpoint.host.as_str().into(),
        port: endpoint.port,
        ..Default::default()
    };
    EndQuorumEpochRequest {
        cluster_id: Some(cluster_id.into()),
        topics: vec![topic].into(),
        leader_endpoints: endpoints.iter().map(endpoint).collect(),
        ..EndQuorumEpochRequest::default()
    }
}

pub(crate) fn read_end(request: &EndQuorumEpochRequest<'_>) -> Option<Request> {
    let topic = only(request.topics.iter()).filter(|topic| topic.topic_name == METADATA_TOPIC)?;
    let partition = only(topic.partitions.iter()).filter(|partition| partition.partition_index == 0)?;
    let candidates = partition.preferred_candidates.iter();
    let mut successors: Vec<ReplicaKey> =
        candidates.filter_map(|candidate| key(candidate.candidate_id, candidate.candidate_directory_id)).collect();
    if successors.is_empty() {
        // Version 0 knows no directories.
        successors.extend(partition.preferred_successors.iter().filter_map(|id| key(id, Uuid::ZERO)));
    }
    Some(Request::EndQuorumEpoch(EndQuorumEpoch {
        epoch: LeaderEpoch::from_wire(partition.leader_epoch)?,
        leader: NodeId::from_wire(partition.leader_id)?,
        successors,
    }))
}

pub(crate) fn end_response(answer: Leadership, leader_at: Option<LeaderAt>) -> EndQuorumEpochResponse<'static> {
    let node = |LeaderAt { id, address: (host, port) }: LeaderAt| end_quorum_epoch_response::NodeEndpoint {
        node_id: id.to_wire(),
        host: host.into(),
        port,
        ..Default::default()
    };
    let partition = end_quorum_epoch_response::PartitionData {
        error_code: answer.error as i16,
        leader_id: wire_leader(answer.leader),
        leader_epoch: answer.epoch.to_wire(),
        ..Default::default()
    };
    let topic = end_quorum_epoch_response::TopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    EndQuorumEpochResponse {
        topics: vec![topic].into(),
        node_endpoints: leader_at.map(node).into_iter().collect(),
        ..EndQuorumEpochResponse::default()
    }
}

pub(super) fn read_end_response(response: &EndQuorumEpochResponse<'_>) -> Option<Answer> {
    let topic = only(response.topics.iter()).filter(|_| response.error_code == 0)?;
    let partition = only(topic.partitions.iter())?;
    let nodes = response.node_endpoints.iter().map(|node| (node.node_id, node.host.into_owned(), i32::from(node.port)));
    let leader_at = find(nodes, partition.leader_id);
    let leadership = leadership(partition.error_code, partition.leader_epoch, partition.leader_id)?;
    Some(Answer { response: Response::EndQuorumEpoch(leadership), bytes: Vec::new(), leader_at })
}

pub(super) fn fetch_request<'a>(fetch: &Fetch, cluster_id: &'a str) -> FetchRequest<'a> {
    let partition = fetch_request::FetchPartition {
        current_leader_epoch: fetch.epoch.to_wire(),
        fetch_offset: fetch.offset.to_wire(),
        last_fetched_epoch: fetch.last_epoch.to_wire(),
        partition_max_bytes: FETCH_BYTES_MAX,
        replica_directory_id: wire_directory(fetch.replica.directory),
        high_watermark: fetch.high_watermark.map_or(-1, Offset::to_wire),
        ..Default::default()
    };
    let topic = fetch_request::FetchTopic {
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition].into(),
        ..Default::default()
    };
    FetchRequest {
        cluster_id: Some(cluster_id.into()),
        replica_state: fetch_request::ReplicaState {
            replica_id: fetch.replica.id.to_wire(),
            replica_epoch: -1,
            ..Default::default()
        },
        max_wait_ms: i32::try_from(fetch.wait_ms).unwrap_or(i32::MAX),
        max_bytes: FETCH_BYTES_MAX,
        topics: vec![topic].into(),
        ..FetchRequest::default()
    }
}

/// Whether a fetch is one of the metadata log.
pub(crate) fn is_metadata_fetch(request: &FetchRequest<'_>) -> bool {
    request.topics.iter().next().is_some_and(|topic| topic.topic_id == Uuid::METADATA_TOPIC)
}

/// What a replica of the metadata log asks, and for how many bytes. `None` if it makes no sense.
pub(crate) fn read_fetch(request: &FetchRequest<'_>) -> Option<(Request, u32)> {
    let topic = only(request.topics.iter()).filter(|topic| topic.topic_id == Uuid::METADATA_TOPIC)?;
    let partition = only(topic.partitions.iter()).filter(|partition| partition.partition == 0)?;
    let replica_id = request.replica_id.max(request.replica_state.replica_id);
    let fetch = Fetch {
        epoch: LeaderEpoch::from_wire(partition.current_leader_epoch)?,
        replica: key(replica_id, partition.replica_directory_id)?,
        offset: Offset::from_wire(partition.fetch_offset)?,
        last_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch.max(0))?,
        high_watermark: Offset::from_wire(partition.high_watermark),
        wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
    };
    let bytes_max = request.max_bytes.min(partition.partition_max_bytes).clamp(1, FETCH_BYTES_MAX);
    Some((Request::Fetch(fetch), bytes_max.unsigned_abs()))
}

pub(crate) fn fetch_response<'a>(
    answer: &FetchAnswer,
    records: &'a [u8],
    leader_at: Option<LeaderAt>,
) -> FetchResponse<'a> {
    let node = |LeaderAt { id, address: (host, port) }: LeaderAt| fetch_response::NodeEndpoint {
        node_id: id.to_wire(),
        host: host.into(),
        port: i32::from(port),
        ..Default::default()
    };
    let Leadership { error, epoch, leader } = answer.leadership;
    let mut partition = fetch_response::PartitionData {
        error_code: error as i16,
        high_watermark: answer.high_watermark.map_or(-1, Offset::to_wire),
        last_stable_offset: answer.high_watermark.map_or(-1, Offset::to_wire),
        log_start_offset: -1,
        current_leader: fetch_response::LeaderIdAndEpoch {
            leader_id: wire_leader(leader),
            leader_epoch: epoch.to_wire(),
            ..Default::default()
        },
        records: Records::Bytes(records),
        preferred_read_replica: -1,
        ..Default::default()
    };
    if let Some(Diverging { epoch, end }) = answer.diverging {
        partition.diverging_epoch =
            fetch_response::EpochEndOffset { epoch: epoch.to_wire(), end_offset: end.to_wire(), ..Default::default() };
    }
    if let Some(SnapshotId { end, epoch }) = answer.snapshot {
        partition.snapshot_id =
            fetch_response::SnapshotId { end_offset: end.to_wire(), epoch: epoch.to_wire(), ..Default::default() };
    }
    let topic = fetch_response::FetchableTopicResponse {
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition].into(),
        ..Default::default()
    };
    FetchResponse {
        responses: vec![topic].into(),
        node_endpoints: leader_at.map(node).into_iter().collect(),
        ..FetchResponse::default()
    }
}

/// What the leader answers, and the bytes of the records.
pub(super) fn read_fetch_response(response: &FetchResponse<'_>) -> Option<Answer> {
    let topic = only(response.responses.iter()).filter(|_| response.error_code == 0)?;
    let partition = only(topic.partitions.iter())?;
    let leader = &partition.current_leader;
    let diverging = || {
        let epoch = LeaderEpoch::from_wire(partition.diverging_epoch.epoch)?;
        Some(Diverging { epoch, end: Offset::from_wire(partition.diverging_epoch.end_offset)? })
    };
    let snapshot = || {
        let end = Offset::from_wire(partition.snapshot_id.end_offset)?;
        Some(SnapshotId { end, epoch: LeaderEpoch::from_wire(partition.snapshot_id.epoch)? })
    };
    let records = match partition.records {
        Records::Bytes(bytes) => bytes,
        _ => &[],
    };
    let answer = FetchAnswer {
        leadership: leadership(partition.error_code, leader.leader_epoch, leader.leader_id)?,
        high_watermark: Offset::from_wire(partition.high_watermark),
        diverging: diverging(),
        snapshot: snapshot(),
        // Where they begin, the first batch says.
        records_from: None,
    };
    let nodes = response.node_endpoints.iter().map(|node| (node.node_id, node.host.into_owned(), node.port));
    let leader_at = find(nodes, leader.leader_id);
    Some(Answer { response: Response::Fetch(answer), bytes: records.to_vec(), leader_at })
}

pub(super) fn snapshot_request<'a>(fetch: &FetchSnapshot, cluster_id: &'a str) -> FetchSnapshotRequest<'a> {
    let partition = fetch_snapshot_request::PartitionSnapshot {
        current_leader_epoch: fetch.epoch.to_wire(),
        snapshot_id: fetch_snapshot_request::SnapshotId {
            end_offset: fetch.id.end.to_wire(),
            epoch: fetch.id.epoch.to_wire(),
            ..Default::default()
        },
        position: i64::try_from(fetch.position).unwrap_or(i64::MAX),
        replica_directory_id: wire_directory(fetch.replica.directory),
        ..Default::default()
    };
    let topic = fetch_snapshot_request::TopicSnapshot {
        name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    FetchSnapshotRequest {
        cluster_id: Some(cluster_id.into()),
        replica_id: fetch.replica.id.to_wire(),
        max_bytes: FETCH_BYTES_MAX,
        topics: vec![topic].into(),
        ..FetchSnapshotRequest::default()
    }
}

pub(crate) fn read_fetch_snapshot(request: &FetchSnapshotRequest<'_>) -> Option<(Request, u32)> {
    let topic = only(request.topics.iter()).filter(|topic| topic.name == METADATA_TOPIC)?;
    let partition = only(topic.partitions.iter()).filter(|partition| partition.partition == 0)?;
    let fetch = FetchSnapshot {
        epoch: LeaderEpoch::from_wire(partition.current_leader_epoch)?,
        replica: key(request.replica_id, partition.replica_directory_id)?,
        id: SnapshotId {
            end: Offset::from_wire(partition.snapshot_id.end_offset)?,
            epoch: LeaderEpoch::from_wire(partition.snapshot_id.epoch)?,
        },
        position: u64::try_from(partition.position).ok()?,
    };
    Some((Request::FetchSnapshot(fetch), request.max_bytes.clamp(1, FETCH_BYTES_MAX).unsigned_abs()))
}

pub(crate) fn snapshot_response<'a>(
    answer: &SnapshotAnswer,
    bytes: &'a [u8],
    leader_at: Option<LeaderAt>,
) -> FetchSnapshotResponse<'a> {
    let node = |LeaderAt { id, address: (host, port) }: LeaderAt| fetch_snapshot_response::NodeEndpoint {
        node_id: id.to_wire(),
        host: host.into(),
        port,
        ..Default::default()
    };
    let Leadership { error, epoch, leader } = answer.leadership;
    let partition = fetch_snapshot_response::PartitionSnapshot {
        error_code: error as i16,
        snapshot_id: fetch_snapshot_response::SnapshotId {
            end_offset: answer.id.end.to_wire(),
            epoch: answer.id.epoch.to_wire(),
            ..Default::default()
        },
        current_leader: fetch_snapshot_response::LeaderIdAndEpoch {
            leader_id: wire_leader(leader),
            leader_epoch: epoch.to_wire(),
            ..Default::default()
        },
        size: i64::try_from(answer.size).unwrap_or(i64::MAX),
        position: i64::try_from(answer.position).unwrap_or(i64::MAX),
        unaligned_records: Records::Bytes(bytes),
        ..Default::default()
    };
    let topic = fetch_snapshot_response::TopicSnapshot {
        name: METADATA_TOPIC.into(),
        partitions: vec![partition].into(),
        ..Default::default()
    };
    FetchSnapshotResponse {
        topics: vec![topic].into(),
        node_endpoints: leader_at.map(node).into_iter().collect(),
        ..FetchSnapshotResponse::default()
    }
}

pub(super) fn read_snapshot_response(response: &FetchSnapshotResponse<'_>) -> Option<Answer> {
    let topic = only(response.topics.iter()).filter(|_| response.error_code == 0)?;
    let partition = only(topic.partitions.iter())?;
    let leader = &partition.current_leader;
    let bytes = match partition.unaligned_records {
        Records::Bytes(bytes) => bytes,
        _ => &[],
    };
    let answer = SnapshotAnswer {
        leadership: leadership(partition.error_code, leader.leader_epoch, leader.leader_id)?,
        id: SnapshotId {
            end: Offset::from_wire(partition.snapshot_id.end_offset)?,
            epoch: LeaderEpoch::from_wire(partition.snapshot_id.epoch)?,
        },
        size: u64::try_from(partition.size).ok()?,
        position: u64::try_from(partition.position).ok()?,
    };
    let nodes = response.node_endpoints.iter().map(|node| (node.node_id, node.host.into_owned(), i32::from(node.port)));
    let leader_at = find(nodes, leader.leader_id);
    Some(Answer { response: Response::FetchSnapshot(answer), bytes: bytes.to_vec(), leader_at })
}

/// Most bytes of records or of a snapshot in one answer.
const FETCH_BYTES_MAX: i32 = 8 << 20;
