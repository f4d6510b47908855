//! The quorum of controllers.

use highwater_types::{DirectoryId, LeaderEpoch, NodeId, Offset, TimestampMs, Uuid};
use highwater_wire::messages::describe_quorum_request::{PartitionData, TopicData};
use highwater_wire::messages::describe_quorum_response::ReplicaState;
use highwater_wire::messages::{DescribeQuorumRequest, DescribeQuorumResponse};

use super::Admin;
use crate::error::check;
use crate::pending::Pending;

/// The quorum of controllers, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Who leads it.
    pub leader: Option<NodeId>,
    /// In which epoch.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The line below which its log is committed.
    pub high_watermark: Option<Offset>,
    /// Who votes.
    pub voters: Vec<QuorumReplica>,
    /// Who only follows.
    pub observers: Vec<QuorumReplica>,
}

/// A node that has the quorum's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// The node.
    pub id: NodeId,
    /// Its directory; `None` if the quorum does not know.
    pub directory: Option<DirectoryId>,
    /// How far its log reaches, if the leader knows.
    pub log_end: Option<Offset>,
    /// When it has fetched last, if the leader knows.
    pub last_fetch: Option<TimestampMs>,
    /// When it has had everything last, if the leader knows.
    pub last_caught_up: Option<TimestampMs>,
}

impl Admin {
    /// The quorum of controllers.
    pub fn describe_quorum(&self) -> Pending<QuorumDescription> {
        self.call("describing the quorum", |io, deadline| async move {
            let partitions = vec![PartitionData::default()].into();
            let topic = TopicData { topic_name: "__cluster_metadata".into(), partitions, ..Default::default() };
            let request = DescribeQuorumRequest { topics: vec![topic].into(), ..DescribeQuorumRequest::default() };
            let answer = io.retry(deadline, || io.ask_any(i16::MAX, deadline, &request)).await?;
            let response: DescribeQuorumResponse<'_> = answer.decode()?;
            check(response.error_code, response.error_message.as_deref())?;
            let topic = response.topics.iter().next().ok_or_else(|| answer.lacks("the metadata log"))?;
            let quorum = topic.partitions.iter().next().ok_or_else(|| answer.lacks("the metadata log"))?;
            check(quorum.error_code, quorum.error_message.as_deref())?;
            Ok(QuorumDescription {
                leader: NodeId::from_wire(quorum.leader_id),
                leader_epoch: LeaderEpoch::from_wire(quorum.leader_epoch),
                high_watermark: Offset::from_wire(quorum.high_watermark),
                voters: quorum.current_voters.iter().filter_map(|state| replica(&state)).collect(),
                observers: quorum.observers.iter().filter_map(|state| replica(&state)).collect(),
            })
        })
    }
}

fn replica(state: &ReplicaState<'_>) -> Option<QuorumReplica> {
    let time = |ms: i64| (0 <= ms).then_some(TimestampMs(ms));
    Some(QuorumReplica {
        id: NodeId::from_wire(state.replica_id)?,
        directory: Some(DirectoryId(state.replica_directory_id)).filter(|id| id.0 != Uuid::ZERO),
        log_end: Offset::from_wire(state.log_end_offset),
        last_fetch: time(state.last_fetch_timestamp),
        last_caught_up: time(state.last_caught_up_timestamp),
    })
}
