//! All nodes, and what can be done to them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::NodeId;

use crate::disk::{self, FailingSync};
use crate::error::HarnessError;
use crate::network::{self, Host, Network};
use crate::node::{Endpoint, Node};
use crate::sandbox::Sandbox;
use crate::server::{Launch, Server};

/// The nodes with their network and disks.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    endpoints: Arc<[Endpoint]>,
    server: Server,
    network: Option<Network>,
    failing_sync: Result<FailingSync, HarnessError>,
    /// Nodes that may end by themselves, for something was done to their disks; until they are started again.
    sick: BTreeSet<NodeId>,
}

impl Cluster {
    /// Lays out `count` nodes in `directory` and formats them. None runs yet.
    pub(crate) fn lay_out(
        count: u32,
        server: Server,
        sandbox: &Sandbox,
        settings: &[String],
        directory: &Path,
    ) -> Result<Self, HarnessError> {
        let ids: Vec<NodeId> = (1..=count).map(NodeId::new).collect();
        let network = match sandbox.missing {
            None => Some(Network::build(&ids)?),
            Some(_) => None,
        };
        let endpoints = endpoints(&ids, network.is_some()).map_err(HarnessError::io("find free ports"))?;
        let mut nodes = Vec::new();
        for endpoint in &endpoints {
            let home = directory.join(format!("node-{}", endpoint.id));
            let host = network.is_some().then_some(Host::Node(endpoint.id));
            let node = Node::new(endpoint.clone(), home, host);
            let make = |path: PathBuf| fs::create_dir_all(&path).map_err(HarnessError::io(path.display().to_string()));
            make(node.disk())?;
            if network.is_some() {
                disk::mount_small(&node.disk())?;
            }
            make(node.data())?;
            let text = properties(&node, &endpoints, settings);
            fs::write(node.properties(), text).map_err(HarnessError::io(node.properties().display().to_string()))?;
            server.format(&node.properties())?;
            nodes.push(node);
        }
        let failing_sync = FailingSync::build(directory);
        Ok(Self { nodes, endpoints: endpoints.into(), server, network, failing_sync, sick: BTreeSet::new() })
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.endpoints.iter().map(|endpoint| endpoint.id).collect()
    }

    pub(crate) fn endpoints(&self) -> Arc<[Endpoint]> {
        Arc::clone(&self.endpoints)
    }

    /// The network, if the suite has one of its own.
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// Why syncs cannot be made to fail, if so.
    pub(crate) fn failing_sync_missing(&self) -> Option<String> {
        self.failing_sync.as_ref().err().map(ToString::to_string)
    }

    /// Log directory of each node.
    pub(crate) fn data(&self) -> Vec<(NodeId, PathBuf)> {
        self.nodes.iter().map(|node| (node.id(), node.data())).collect()
    }

    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), HarnessError> {
        let launch = self.launch(id);
        self.node(id).start(&launch)
    }

    pub(crate) fn start_all(&mut self) -> Result<(), HarnessError> {
        self.ids().into_iter().try_for_each(|id| self.start(id))
    }

    pub(crate) fn kill(&mut self, id: NodeId) {
        self.node(id).kill();
    }

    pub(crate) fn pause(&mut self, id: NodeId) {
        self.node(id).pause();
    }

    /// Stops a node in order; `false` if it had to be killed.
    pub(crate) fn stop(&mut self, id: NodeId) -> bool {
        self.node(id).stop()
    }

    /// Stops all nodes in order at the same time, and says of which that could be done.
    pub(crate) fn stop_all(&mut self) -> Vec<(NodeId, bool)> {
        self.nodes.iter_mut().for_each(Node::ask_to_stop);
        self.nodes.iter_mut().map(|node| (node.id(), node.stop())).collect()
    }

    /// Takes all space from a node's disk.
    pub(crate) fn fill_disk(&mut self, id: NodeId) -> Result<(), HarnessError> {
        self.sick.insert(id);
        disk::fill(&self.node(id).disk())
    }

    /// Lets the syncs of a node fail.
    pub(crate) fn fail_syncs(&mut self, id: NodeId) -> Result<(), HarnessError> {
        self.sick.insert(id);
        let switch = self.node(id).sync_switch();
        File::create(&switch).map(drop).map_err(HarnessError::io(switch.display().to_string()))
    }

    /// Ends all faults: whatever was stopped runs again. Does not wait for it.
    pub(crate) fn heal(&mut self) -> Result<(), HarnessError> {
        if let Some(network) = &self.network {
            network.heal()?;
        }
        for id in self.ids() {
            let is_sick = self.sick.remove(&id);
            let launch = self.launch(id);
            let node = self.node(id);
            node.resume();
            if is_sick {
                disk::release(&node.disk());
                // It is there only if syncs were made to fail.
                let _ = fs::remove_file(node.sync_switch());
                // A failed disk is not used again until the node starts.
                node.kill();
            }
            node.start(&launch)?;
        }
        Ok(())
    }

    /// Nodes that have ended although nothing was done to them that allows it, and their last words.
    pub(crate) fn ended(&mut self) -> Vec<String> {
        let sick = &self.sick;
        let ended = self.nodes.iter_mut().filter_map(|node| {
            let status = node.ended()?;
            let words = || format!("node {} has ended by itself with {status}\n{}", node.id(), node.last_words());
            (!sick.contains(&node.id())).then(words)
        });
        ended.collect()
    }

    /// Lines of the nodes' logs that are about a fault in the program.
    pub(crate) fn confessions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for node in &self.nodes {
            let text = fs::read(node.log()).unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines() {
                if self.server.confessions().iter().any(|words| line.contains(words)) {
                    found.push(format!("node {} says: {line}", node.id()));
                }
            }
        }
        found
    }

    fn launch(&self, id: NodeId) -> Launch {
        let node = self.nodes.iter().find(|node| node.id() == id).expect(KNOWN);
        let mut launch = self.server.launch(&node.properties());
        if let Ok(failing_sync) = &self.failing_sync {
            let environment = failing_sync.environment(&node.sync_switch());
            launch.environment.extend(environment.map(|(name, value)| (name, value.into_os_string())));
        }
        launch
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id() == id).expect(KNOWN)
    }
}

impl Drop for Cluster {
    /// The directory can be removed only once nothing is mounted in it.
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
            if self.network.is_some() {
                disk::unmount(&node.disk());
            }
        }
    }
}

fn endpoints(ids: &[NodeId], is_networked: bool) -> std::io::Result<Vec<Endpoint>> {
    // All are held until the last one is found, so that none is given twice.
    let mut held = Vec::new();
    let mut free_port = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        held.push(listener);
        std::io::Result::Ok(port)
    };
    let endpoint = |id: &NodeId| {
        let (host, port, controller_port) = if is_networked {
            (network::address(Host::Node(*id)), BROKER_PORT, CONTROLLER_PORT)
        } else {
            (Ipv4Addr::LOCALHOST, free_port()?, free_port()?)
        };
        Ok(Endpoint { id: *id, host: host.to_string(), port, controller_port })
    };
    ids.iter().map(endpoint).collect()
}

/// Kafka's own settings, with times that fit a run of minutes.
fn properties(node: &Node, all: &[Endpoint], settings: &[String]) -> String {
    let Endpoint { id, host, port, controller_port } = node.endpoint();
    let voter = |other: &Endpoint| format!("{}@{}:{}", other.id, other.host, other.controller_port);
    let voters: Vec<String> = all.iter().map(voter).collect();
    let own = [
        format!("node.id={id}"),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}"),
        format!("advertised.listeners=PLAINTEXT://{host}:{port}"),
        format!("log.dirs={}", node.data().display()),
    ];
    let common = COMMON.lines().map(str::trim).map(str::to_owned);
    own.into_iter().chain(common).chain(settings.iter().cloned()).map(|line| line + "\n").collect()
}

const COMMON: &str = "process.roles=broker,controller
    controller.listener.names=CONTROLLER
    inter.broker.listener.name=PLAINTEXT
    auto.create.topics.enable=false
    unclean.leader.election.enable=false
    broker.heartbeat.interval.ms=500
    broker.session.timeout.ms=3000
    replica.lag.time.max.ms=4000
    replica.socket.timeout.ms=3000
    leader.imbalance.check.interval.seconds=20
    log.initial.task.delay.ms=100";
const BROKER_PORT: u16 = 9092;
const CONTROLLER_PORT: u16 = 9093;
const KNOWN: &str = "only ids of this cluster are used";
