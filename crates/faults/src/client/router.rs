//! Finds the leaders of partitions, and keeps a connection to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_broker::peer::PeerError;
use highwater_testsupport::history::Key;
use highwater_types::{LeaderEpoch, NodeId};

use super::Broker;
use crate::node::Endpoint;

/// Who leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) node: NodeId,
    pub(crate) epoch: LeaderEpoch,
}

/// What some broker says of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionState {
    pub(crate) key: Key,
    /// `None` if nobody leads it.
    pub(crate) leader: Option<Leader>,
    pub(crate) replicas: Vec<NodeId>,
    pub(crate) isr: Vec<NodeId>,
}

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Router {
    endpoints: Arc<[Endpoint]>,
    open: BTreeMap<NodeId, Broker>,
    leaders: BTreeMap<Key, Leader>,
    /// Whom to ask for metadata next.
    next: usize,
}

impl Router {
    /// A client that asks the broker number `first` first.
    pub(crate) fn new(endpoints: Arc<[Endpoint]>, first: usize) -> Self {
        Self { endpoints, open: BTreeMap::new(), leaders: BTreeMap::new(), next: first }
    }

    /// The leader of a partition, from what is known or else from the next broker.
    pub(crate) fn leader(&mut self, key: &Key) -> Option<Leader> {
        if !self.leaders.contains_key(key) {
            self.refresh(&key.topic);
        }
        self.leaders.get(key).copied()
    }

    /// Forgets who led a partition, after it turned out that it does not.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.leaders.remove(key);
    }

    /// Runs a request on a connection to `node`, which is closed if that fails.
    pub(crate) fn on<R>(
        &mut self,
        node: NodeId,
        request: impl FnOnce(&mut Broker) -> Result<R, PeerError>,
    ) -> Result<R, PeerError> {
        let mut broker = match self.open.remove(&node) {
            Some(broker) => broker,
            None => Broker::connect(self.endpoint(node))?,
        };
        let answer = request(&mut broker)?;
        self.open.insert(node, broker);
        Ok(answer)
    }

    /// Makes sure that there is a connection to `node`: what fails after that may have been carried out.
    pub(crate) fn connect(&mut self, node: NodeId) -> Result<(), PeerError> {
        self.on(node, |_| Ok(()))
    }

    /// Runs a request on any broker, the next one each time.
    pub(crate) fn on_any<R>(&mut self, request: impl FnOnce(&mut Broker) -> Result<R, PeerError>) -> Option<R> {
        let node = self.endpoints[self.next % self.endpoints.len()].id;
        self.next += 1;
        self.on(node, request).ok()
    }

    /// The partitions of a topic, as the next broker sees them.
    pub(crate) fn describe(&mut self, topic: &str) -> Option<Vec<PartitionState>> {
        self.on_any(|broker| broker.describe(topic)).map(|(partitions, _)| partitions)
    }

    fn refresh(&mut self, topic: &str) {
        for state in self.describe(topic).into_iter().flatten() {
            if let Some(leader) = state.leader {
                self.leaders.insert(state.key, leader);
            }
        }
    }

    fn endpoint(&self, node: NodeId) -> &Endpoint {
        // A broker that names a node that there is none of has lost its mind; the first one will refuse.
        self.endpoints.iter().find(|endpoint| endpoint.id == node).unwrap_or(&self.endpoints[0])
    }
}
