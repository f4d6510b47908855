//! What can go wrong around an embedded broker.

use std::io;
use std::time::Duration;

use highwater_broker::config::ConfigError;
use highwater_broker::peer::PeerError;
use highwater_broker::{FormatError, InspectError, StartError};
use highwater_types::ErrorCode;

/// Why an embedded broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// A key of [`Builder::set`](crate::Builder::set) that no broker knows.
    #[error("unknown config `{key}`{}", nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// The key that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A key that the kit sets itself: where the nodes listen, where their data is, who they are.
    #[error("config `{key}` is the test kit's to set")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// Values that do not fit their keys.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// More nodes than the kit starts, or none.
    #[error("{nodes} nodes: between 1 and 9 can be started")]
    Nodes {
        /// How many were asked for.
        nodes: u32,
    },
    /// The directory of the data cannot be made or used.
    #[error("the data directory: {0}")]
    Directory(#[source] io::Error),
    /// The data directory was formatted for others.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The system has no port to give.
    #[error("a free port of 127.0.0.1: {0}")]
    Port(#[source] io::Error),
    /// A broker did not start.
    #[error("start node {node}: {source}")]
    Start {
        /// Which.
        node: u32,
        /// Why.
        source: StartError,
    },
    /// There is no such node.
    #[error("there is no node {node}")]
    NoSuchNode {
        /// The node that was named.
        node: u32,
    },
    /// The node has been stopped or killed, or leads and is needed, but does not run.
    #[error("node {node} does not run")]
    NotRunning {
        /// Which.
        node: u32,
    },
    /// The node runs already.
    #[error("node {node} runs already")]
    Running {
        /// Which.
        node: u32,
    },
    /// No node runs that knows of such a topic or partition.
    #[error("no topic {topic} with a partition {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The partition has no leader now.
    #[error("nobody leads {topic}-{partition}")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The node that is to lead has no replica.
    #[error("node {node} has no replica of {topic}-{partition}")]
    NoReplica {
        /// The node.
        node: u32,
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
    },
    /// The cluster refused what it was asked.
    #[error("{what}: {} {message}", code.name())]
    Refused {
        /// What it was asked.
        what: String,
        /// Its code.
        code: ErrorCode,
        /// Its words, if it had any.
        message: String,
    },
    /// Something has not come about in time, on a machine that is too busy or in a cluster without a majority.
    #[error("not within {} s: {what}", waited.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// A node did not answer the kit.
    #[error(transparent)]
    Connection(#[from] PeerError),
    /// A log cannot be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// What is in a log cannot be decoded.
    #[error("{topic}-{partition} from offset {offset} on: {reason}")]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Where reading had come to.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}
