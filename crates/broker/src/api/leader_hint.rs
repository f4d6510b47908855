//! Who leads a partition, for clients that have asked a broker that does not (KIP-951).

use std::collections::BTreeMap;

use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicId, Uuid};
use highwater_wire::messages::{fetch_response, produce_response};

use super::request::Cx;

/// The leaders that one answer tells of.
pub(super) struct LeaderHints<'c> {
    cx: &'c Cx<'c>,
    nodes: BTreeMap<NodeId, NodeAddress>,
}

/// A leader and its epoch, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaderHint {
    leader: i32,
    epoch: i32,
}

struct NodeAddress {
    host: String,
    port: u16,
    rack: Option<String>,
}

impl<'c> LeaderHints<'c> {
    pub(super) fn new(cx: &'c Cx<'c>) -> Self {
        Self { cx, nodes: BTreeMap::new() }
    }

    /// Who leads a partition of a topic, which has been asked for by its id, if that is one, or by its name. Its address
    /// goes with the answer if its broker lives.
    pub(super) fn leader_of(&mut self, name: &str, id: Uuid, index: i32) -> LeaderHint {
        let image = &self.cx.view.image;
        let topic = if id == Uuid::ZERO { image.topic(name) } else { image.topic_by_id(TopicId(id)) };
        let index = PartitionIndex::from_wire(index);
        let Some(state) = topic.zip(index).and_then(|(topic, index)| topic.partition(index)) else {
            return LeaderHint { leader: -1, epoch: -1 };
        };
        if let Some(broker) = state.leader.and_then(|leader| image.broker(leader)).filter(|broker| !broker.fenced) {
            let (host, port) = self.cx.node.endpoint_of(broker, self.cx.peer);
            self.nodes.insert(broker.node, NodeAddress { host, port, rack: broker.rack.clone() });
        }
        LeaderHint { leader: state.leader.map_or(-1, NodeId::to_wire), epoch: state.leader_epoch.to_wire() }
    }

    pub(super) fn produce_endpoints(self) -> Vec<produce_response::NodeEndpoint<'static>> {
        let endpoint = |(node, address): (NodeId, NodeAddress)| produce_response::NodeEndpoint {
            node_id: node.to_wire(),
            host: address.host.into(),
            port: i32::from(address.port),
            rack: address.rack.map(Into::into),
            ..Default::default()
        };
        self.nodes.into_iter().map(endpoint).collect()
    }

    pub(super) fn fetch_endpoints(self) -> Vec<fetch_response::NodeEndpoint<'static>> {
        let endpoint = |(node, address): (NodeId, NodeAddress)| fetch_response::NodeEndpoint {
            node_id: node.to_wire(),
            host: address.host.into(),
            port: i32::from(address.port),
            rack: address.rack.map(Into::into),
            ..Default::default()
        };
        self.nodes.into_iter().map(endpoint).collect()
    }
}

impl From<LeaderHint> for produce_response::LeaderIdAndEpoch<'_> {
    fn from(hint: LeaderHint) -> Self {
        Self { leader_id: hint.leader, leader_epoch: hint.epoch, ..Self::default() }
    }
}

impl From<LeaderHint> for fetch_response::LeaderIdAndEpoch<'_> {
    fn from(hint: LeaderHint) -> Self {
        Self { leader_id: hint.leader, leader_epoch: hint.epoch, ..Self::default() }
    }
}

/// Whether an answer to a produce request in `version` tells who leads instead.
pub(super) fn has_produce_hint(version: i16, code: i16) -> bool {
    PRODUCE_VERSION <= version && code == ErrorCode::NotLeaderOrFollower as i16
}

/// Whether an answer to a fetch in `version` tells who leads instead.
pub(super) fn has_fetch_hint(version: i16, code: ErrorCode) -> bool {
    FETCH_VERSION <= version && matches!(code, ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch)
}

const PRODUCE_VERSION: i16 = 10;
const FETCH_VERSION: i16 = 16;
