//! A broker, as the sender sees it.

use std::collections::VecDeque;

use highwater_types::{NodeId, Ticks};

use crate::RequestId;
use crate::accumulator::{BatchId, PartitionRef};

/// A broker: its connection, what it has not answered, and what it leads.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) is_connected: bool,
    /// Whether a connection was asked for.
    pub(crate) is_connecting: bool,
    /// Not answered, oldest first.
    pub(crate) requests: VecDeque<RequestId>,
    /// Partitions that it leads.
    pub(crate) partitions: Vec<PartitionRef>,
    /// Where among them the next request begins, so that none is left out for ever.
    pub(crate) first: usize,
    /// Since when there is something that it does not take.
    pub(crate) blocked_since: Option<Ticks>,
}

impl Node {
    /// Whether nothing is lost by forgetting it.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_connected && !self.is_connecting && self.requests.is_empty() && self.partitions.is_empty()
    }
}

/// A request that has not been answered.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) node: NodeId,
    pub(crate) sent: Ticks,
    pub(crate) batches: Vec<BatchId>,
}
