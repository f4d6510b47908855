//! DescribeQuorum (55): who leads the metadata log, and how far the others are.

use highwater_raft::{Endpoint, QuorumView, ReplicaView, RoleName, Voter, VoterSet};
use highwater_types::{ErrorCode, NodeId, Offset, Ticks, Uuid};
use highwater_wire::messages::DescribeQuorumRequest;
use highwater_wire::messages::describe_quorum_request::TopicData as AskedTopic;
use highwater_wire::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

use super::error_map::ToCode;
use super::parked::park_for;
use super::request::{CHANGES_MAX, Cx, Outcome, Refused, Request, at_most};
use crate::net::{Now, Out};
use crate::quorum::messages::METADATA_TOPIC;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeQuorumRequest<'_> = request.decode()?;
    let partitions: usize = body.topics.iter().map(|topic| topic.partitions.len()).sum();
    at_most(CHANGES_MAX, body.topics.len() + partitions)?;
    if !asks_for_metadata(&body) {
        return request.to.send(out, &unknown(&body));
    }
    // Older versions have no room for them.
    let nodes = if 2 <= request.version() { nodes(cx) } else { Vec::new() };
    let submitted = cx.node.quorum.view(cx.peer.token());
    match submitted {
        Ok(job) => Ok(park_for(request, job, move |quorum, to, out| {
            let nodes = if to.version < 2 || quorum.voter_set.as_slice().iter().all(|voter| voter.endpoints.is_empty())
            {
                nodes
            } else {
                voter_nodes(&quorum.voter_set)
            };
            to.send(out, &response(&quorum, nodes, to.version))
        })),
        Err(busy) => {
            let error_code = busy.to_code() as i16;
            request.to.send(out, &DescribeQuorumResponse { error_code, ..DescribeQuorumResponse::default() })
        }
    }
}

/// The one question that there is an answer to.
fn asks_for_metadata(body: &DescribeQuorumRequest<'_>) -> bool {
    let mut topics = body.topics.iter();
    let (Some(topic), None) = (topics.next(), topics.next()) else { return false };
    let mut partitions = topic.partitions.iter();
    let (Some(partition), None) = (partitions.next(), partitions.next()) else { return false };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == 0
}

fn unknown(body: &DescribeQuorumRequest<'_>) -> DescribeQuorumResponse<'static> {
    let topics = body.topics.iter().map(|topic: AskedTopic<'_>| TopicData {
        topic_name: topic.topic_name.into_owned().into(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| PartitionData {
                partition_index: partition.partition_index,
                error_code: ErrorCode::UnknownTopicOrPartition as i16,
                error_message: Some("This server does not host this topic-partition.".into()),
                ..PartitionData::default()
            })
            .collect(),
        ..TopicData::default()
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}

fn response(quorum: &QuorumView, nodes: Vec<Node<'static>>, version: i16) -> DescribeQuorumResponse<'static> {
    let now = Now::read();
    let wall = |ticks: Option<Ticks>| {
        let past = |ticks: Ticks| now.wall.value() - i64::try_from(now.ticks().ms_since(ticks)).unwrap_or(0);
        ticks.map_or(-1, past)
    };
    let replica = |view: &ReplicaView| ReplicaState {
        replica_id: view.key.id.to_wire(),
        // Older versions have no room for it.
        replica_directory_id: view.key.directory.filter(|_| 2 <= version).map_or(Uuid::ZERO, |directory| directory.0),
        log_end_offset: view.end.map_or(-1, Offset::to_wire),
        last_fetch_timestamp: wall(view.last_fetch),
        last_caught_up_timestamp: wall(view.last_caught_up),
        ..ReplicaState::default()
    };
    let partition = match quorum.role {
        RoleName::Leader => PartitionData {
            leader_id: quorum.leader.map_or(-1, NodeId::to_wire),
            leader_epoch: quorum.epoch.to_wire(),
            high_watermark: quorum.high_watermark.map_or(-1, Offset::to_wire),
            current_voters: quorum.voters.iter().map(replica).collect(),
            observers: quorum.observers.iter().map(replica).collect(),
            ..PartitionData::default()
        },
        _ => PartitionData {
            error_code: ErrorCode::NotLeaderOrFollower as i16,
            leader_id: quorum.leader.map_or(-1, NodeId::to_wire),
            leader_epoch: quorum.epoch.to_wire(),
            ..PartitionData::default()
        },
    };
    let topic =
        TopicData { topic_name: METADATA_TOPIC.into(), partitions: vec![partition].into(), ..TopicData::default() };
    DescribeQuorumResponse { topics: vec![topic].into(), nodes: nodes.into(), ..DescribeQuorumResponse::default() }
}

/// Where the voters are reached, as the log says.
fn voter_nodes(voters: &VoterSet) -> Vec<Node<'static>> {
    let listener = |endpoint: &Endpoint| Listener {
        name: endpoint.listener.clone().into(),
        host: endpoint.host.clone().into(),
        port: endpoint.port,
        ..Listener::default()
    };
    let node = |voter: &Voter| Node {
        node_id: voter.key.id.to_wire(),
        listeners: voter.endpoints.iter().map(listener).collect(),
        ..Node::default()
    };
    voters.as_slice().iter().map(node).collect()
}

/// Where the voters are reached: those of the configuration, or a broker that is its own controller, at its listener.
fn nodes(cx: &Cx<'_>) -> Vec<Node<'static>> {
    let controllers = cx.node.quorum.state().controllers();
    if !controllers.is_empty() {
        let listener = &cx.node.settings.controller_listener;
        let node = |(id, (host, port)): (&NodeId, &(String, u16))| Node {
            node_id: id.to_wire(),
            listeners: vec![Listener {
                name: listener.clone().into(),
                host: host.clone().into(),
                port: *port,
                ..Listener::default()
            }]
            .into(),
            ..Node::default()
        };
        return controllers.iter().map(node).collect();
    }
    let this = cx.view.image.broker(cx.node.id);
    let listeners = this.into_iter().filter_map(|broker| {
        let (host, port) = cx.node.endpoint_of(broker, cx.peer);
        let name = broker.endpoints.get(cx.peer.listener())?.name.clone();
        Some(Listener { name: name.into(), host: host.into(), port, ..Listener::default() })
    });
    vec![Node { node_id: cx.node.id.to_wire(), listeners: listeners.collect(), ..Node::default() }]
}
