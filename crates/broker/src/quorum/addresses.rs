//! Where the nodes of the quorum are reached.

use std::collections::BTreeMap;

use highwater_raft::{Endpoint, VoterSet};
use highwater_types::NodeId;

use super::messages::{Address, on_listener};

/// Where the nodes of the quorum are reached, as far as this one knows.
pub(super) struct Addresses {
    /// Name of the listener on which this node looks for controllers.
    listener: String,
    /// This node, and where it is reached itself.
    own: (NodeId, Vec<Endpoint>),
    /// `controller.quorum.voters`.
    configured: BTreeMap<NodeId, Address>,
    /// `controller.quorum.bootstrap.servers`.
    bootstrap: Vec<Address>,
    /// Leaders, where others have said that they are.
    heard: BTreeMap<NodeId, Address>,
}

impl Addresses {
    pub(super) fn new(
        listener: String,
        own: (NodeId, Vec<Endpoint>),
        configured: impl IntoIterator<Item = (NodeId, Address)>,
        bootstrap: Vec<Address>,
    ) -> Self {
        Self { listener, own, configured: configured.into_iter().collect(), bootstrap, heard: BTreeMap::new() }
    }

    /// Where a node is: what the log says of a voter counts most, then the configuration.
    pub(super) fn of(&self, node: NodeId, voters: &VoterSet) -> Option<Address> {
        let voter = voters.get(node).and_then(|voter| self.on_listener(&voter.endpoints));
        let (this, endpoints) = &self.own;
        // A port that the system has chosen is not known here.
        let own = || self.on_listener(endpoints).filter(|(_, port)| node == *this && *port != 0);
        voter.or_else(|| self.configured.get(&node).cloned()).or_else(own).or_else(|| self.heard.get(&node).cloned())
    }

    /// The endpoint of the listener on which this node looks for controllers.
    pub(super) fn on_listener(&self, endpoints: &[Endpoint]) -> Option<Address> {
        on_listener(&self.listener, endpoints.iter().cloned())
    }

    pub(super) fn bootstrap(&self, server: u32) -> Option<Address> {
        self.bootstrap.get(usize::try_from(server).ok()?).cloned()
    }

    /// Somebody says where a leader is.
    pub(super) fn hear(&mut self, leader: NodeId, address: Address) {
        if HEARD_MAX <= self.heard.len() {
            // A leader that matters will be told of again.
            self.heard.clear();
        }
        self.heard.insert(leader, address);
    }

    /// The voters that are reached somewhere, by id.
    pub(super) fn controllers(&self, voters: &VoterSet) -> BTreeMap<NodeId, Address> {
        voters.iter().filter_map(|key| Some((key.id, self.of(key.id, voters)?))).collect()
    }
}

/// Leaders that are remembered: others name them.
const HEARD_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use highwater_raft::{ReplicaKey, Voter};

    use super::*;

    fn address(host: &str) -> Address {
        (host.to_owned(), 9093)
    }

    #[test]
    fn the_log_knows_best_where_a_voter_is() {
        let own = (NodeId::new(1), Vec::new());
        let configured = [(NodeId::new(2), address("configured"))];
        let mut addresses = Addresses::new("CONTROLLER".into(), own, configured, vec![address("first")]);
        let endpoint =
            |listener: &str, host: &str| Endpoint { listener: listener.into(), host: host.into(), port: 9093 };
        let voter = |endpoints| {
            let key = ReplicaKey { id: NodeId::new(2), directory: None };
            VoterSet::of(vec![Voter { endpoints, ..key.into() }])
        };
        let unknown = VoterSet::default();
        assert_eq!(addresses.of(NodeId::new(2), &unknown), Some(address("configured")));
        addresses.hear(NodeId::new(2), address("heard"));
        addresses.hear(NodeId::new(3), address("heard"));
        assert_eq!(addresses.of(NodeId::new(2), &unknown), Some(address("configured")), "not what others call it");
        assert_eq!(addresses.of(NodeId::new(3), &unknown), Some(address("heard")));
        let voters = voter(vec![endpoint("OTHER", "other"), endpoint("controller", "log")]);
        assert_eq!(addresses.of(NodeId::new(2), &voters), Some(address("log")));
        let voters = voter(vec![endpoint("OTHER", "other")]);
        assert_eq!(addresses.of(NodeId::new(2), &voters), Some(address("other")), "better than nothing");
        assert_eq!(addresses.of(NodeId::new(1), &voters), None, "this node has no listener for controllers");
        assert_eq!((addresses.bootstrap(0), addresses.bootstrap(1)), (Some(address("first")), None));
    }

    #[test]
    fn what_others_say_is_bounded() {
        let mut addresses = Addresses::new(String::new(), (NodeId::new(1), Vec::new()), [], Vec::new());
        for id in 2..1000 {
            addresses.hear(NodeId::new(id), address("heard"));
        }
        assert!(addresses.heard.len() <= HEARD_MAX);
        assert_eq!(addresses.of(NodeId::new(999), &VoterSet::default()), Some(address("heard")));
    }
}
