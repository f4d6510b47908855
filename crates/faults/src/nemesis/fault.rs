//! Faults.

use std::fmt;

use clap::ValueEnum;
use highwater_testsupport::history::Key;
use highwater_types::NodeId;

use crate::network::Host;

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// A node is killed and stays down until the end of the round.
    Kill,
    /// A node is killed and started again at once.
    Bounce,
    /// All nodes are killed.
    KillAll,
    /// A node is stopped by SIGSTOP until the end of the round.
    Pause,
    /// One node no longer hears another.
    OneWayCut,
    /// Two nodes no longer hear one another.
    TwoWayCut,
    /// A node is cut off from all others, but not from the clients.
    Isolate,
    /// A node is cut off from the clients, but not from the others.
    ClientCut,
    /// All links of a node are slow.
    SlowLinks,
    /// A node is stopped in order and started again.
    Restart,
    /// Every node in turn is stopped in order and started again.
    RollingRestart,
    /// A node's disk is full.
    FullDisk,
    /// The syncs of a node fail.
    FailingSync,
    /// Partitions get other preferred leaders, which are then elected.
    MoveLeaders,
    /// Partitions get other replicas.
    Reassign,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill(NodeId),
    Bounce(NodeId),
    KillAll,
    Pause(NodeId),
    /// What the first sends to the second is lost.
    Cut(Vec<(Host, Host)>),
    SlowLinks(NodeId),
    Restart(NodeId),
    RollingRestart,
    FullDisk(NodeId),
    FailingSync(NodeId),
    /// Replicas of each partition, the leader first.
    MoveLeaders(Vec<(Key, Vec<NodeId>)>),
    Reassign(Vec<(Key, Vec<NodeId>)>),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no kind is hidden");
        f.write_str(value.get_name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(id) => write!(f, "node {id} is killed"),
            Self::Bounce(id) => write!(f, "node {id} is killed and started at once"),
            Self::KillAll => f.write_str("all nodes are killed"),
            Self::Pause(id) => write!(f, "node {id} is paused"),
            Self::Cut(links) => {
                let links: Vec<String> = links.iter().map(|(from, to)| format!("{from} to {to}")).collect();
                write!(f, "nothing comes from {}", links.join(", from "))
            }
            Self::SlowLinks(id) => write!(f, "the links of node {id} are slow"),
            Self::Restart(id) => write!(f, "node {id} is restarted"),
            Self::RollingRestart => f.write_str("every node is restarted"),
            Self::FullDisk(id) => write!(f, "the disk of node {id} is full"),
            Self::FailingSync(id) => write!(f, "the syncs of node {id} fail"),
            Self::MoveLeaders(moves) => write!(f, "leaders move: {}", shown(moves)),
            Self::Reassign(moves) => write!(f, "replicas move: {}", shown(moves)),
        }
    }
}

fn shown(moves: &[(Key, Vec<NodeId>)]) -> String {
    let shown = |(key, replicas): &(Key, Vec<NodeId>)| {
        let replicas: Vec<String> = replicas.iter().map(NodeId::to_string).collect();
        format!("{key} to {}", replicas.join(","))
    };
    moves.iter().map(shown).collect::<Vec<_>>().join(" ")
}
