//! A network of the suite's own: a namespace for each node, a bridge between them, and the clients at the bridge.
//!
//! Packets from one host to another are stopped by giving the sender a wrong link address for the receiver: they are sent
//! and nobody takes them in, as with a broken switch. That needs no packet filter, which not every kernel has. The
//! addresses are from the block for tests of network devices (RFC 2544); none of them exists outside.

use std::fmt;
use std::net::Ipv4Addr;
use std::process::Command;

use highwater_types::NodeId;

use crate::error::{HarnessError, run};

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    /// A node.
    Node(NodeId),
    /// All clients.
    Clients,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node {id}"),
            Self::Clients => f.write_str("the clients"),
        }
    }
}

/// The bridge, with everybody at it.
#[derive(Debug)]
pub(crate) struct Network {
    hosts: Vec<Host>,
}

impl Network {
    /// Builds it in the namespace of this process, which must be the suite's own.
    pub(crate) fn build(nodes: &[NodeId]) -> Result<Self, HarnessError> {
        let hosts: Vec<Host> = nodes.iter().map(|id| Host::Node(*id)).chain([Host::Clients]).collect();
        // Where `ip` keeps names of namespaces. The mount is seen in here only.
        run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
        ip(Host::Clients, "link set lo up")?;
        ip(Host::Clients, &format!("link add {BRIDGE} address {} type bridge", link_address(Host::Clients)))?;
        ip(Host::Clients, &format!("addr add {}/24 dev {BRIDGE}", address(Host::Clients)))?;
        ip(Host::Clients, &format!("link set {BRIDGE} up"))?;
        for id in nodes {
            let (host, link) = (Host::Node(*id), link_address(Host::Node(*id)));
            ip(Host::Clients, &format!("netns add n{id}"))?;
            let peer = format!("peer name {NODE_LINK} address {link} netns n{id}");
            ip(Host::Clients, &format!("link add v{id} type veth {peer}"))?;
            ip(Host::Clients, &format!("link set v{id} master {BRIDGE} up"))?;
            ip(host, &format!("addr add {}/24 dev {NODE_LINK}", address(host)))?;
            ip(host, &format!("link set {NODE_LINK} up"))?;
            ip(host, "link set lo up")?;
        }
        let network = Self { hosts };
        network.heal()?;
        Ok(network)
    }

    /// Stops what `from` sends to `to`, in silence.
    pub(crate) fn cut(&self, from: Host, to: Host) -> Result<(), HarnessError> {
        neighbour(from, to, NOWHERE)
    }

    /// Lets a node send and receive no more than a trickle.
    pub(crate) fn slow(&self, id: NodeId) -> Result<(), HarnessError> {
        tc(Host::Node(id), &format!("qdisc replace dev {NODE_LINK} root {TRICKLE}"))?;
        tc(Host::Clients, &format!("qdisc replace dev v{id} root {TRICKLE}"))
    }

    /// Lets everything through again.
    pub(crate) fn heal(&self) -> Result<(), HarnessError> {
        for from in &self.hosts {
            for to in self.hosts.iter().filter(|to| *to != from) {
                neighbour(*from, *to, &link_address(*to))?;
            }
            if let Host::Node(id) = from {
                // Fails if it is not there.
                let _ = tc(*from, &format!("qdisc del dev {NODE_LINK} root"));
                let _ = tc(Host::Clients, &format!("qdisc del dev v{id} root"));
            }
        }
        Ok(())
    }

    /// Whether links can be slowed here, or why not.
    pub(crate) fn can_slow(&self) -> Result<(), HarnessError> {
        tc(Host::Clients, &format!("qdisc replace dev lo root {TRICKLE}"))?;
        tc(Host::Clients, "qdisc del dev lo root")
    }
}

/// Where a host is.
pub(crate) fn address(host: Host) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 0, number(host))
}

/// What starts a program at a host: `exec`, so that the process is the program's.
pub(crate) fn at(host: Host, program: &str) -> Command {
    match host {
        Host::Clients => Command::new(program),
        Host::Node(id) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/n{id}")).arg(program);
            command
        }
    }
}

fn neighbour(from: Host, to: Host, link: &str) -> Result<(), HarnessError> {
    let device = if from == Host::Clients { BRIDGE } else { NODE_LINK };
    ip(from, &format!("neigh replace {} lladdr {link} nud permanent dev {device}", address(to)))
}

fn ip(host: Host, arguments: &str) -> Result<(), HarnessError> {
    run(at(host, "ip").args(arguments.split(' '))).map(drop)
}

fn tc(host: Host, arguments: &str) -> Result<(), HarnessError> {
    run(at(host, "tc").args(arguments.split(' '))).map(drop)
}

fn link_address(host: Host) -> String {
    format!("02:00:00:00:00:{:02x}", number(host))
}

fn number(host: Host) -> u8 {
    match host {
        Host::Node(id) => u8::try_from(id.value()).expect("there are few nodes"),
        Host::Clients => 254,
    }
}

const BRIDGE: &str = "hub";
const NODE_LINK: &str = "eth0";
/// A link address that nobody has.
const NOWHERE: &str = "02:00:00:00:00:ff";
/// Less than what the replication of the workload needs, with a queue of two seconds.
const TRICKLE: &str = "tbf rate 200kbit burst 16kb latency 2s";
