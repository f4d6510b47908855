//! From replicas to the thread that asks the controller for what only it decides.

use crossbeam_channel::{Receiver, Sender, unbounded};
use highwater_replication::leader::IsrProposal;
use highwater_types::{DirectoryId, PartitionIndex, TopicId};

/// Something to be asked of the controller, or said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControllerAsk {
    /// Other in-sync replicas.
    Isr(IsrAsk),
    /// The replica of this broker is in this directory.
    Directory(DirectoryId, TopicId, PartitionIndex),
    /// Nothing more is asked.
    Stop,
}

/// A proposal, with whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IsrAsk {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: PartitionIndex,
    pub(crate) proposal: IsrProposal,
}

/// Where replicas put what they want of the controller. Each leader has one proposal at a time without an answer, and a
/// directory is told once, which bounds the queue.
#[derive(Clone, Debug)]
pub(crate) struct ControllerAsks(Sender<ControllerAsk>);

impl ControllerAsks {
    pub(crate) fn new() -> (Self, Receiver<ControllerAsk>) {
        let (sender, receiver) = unbounded();
        (Self(sender), receiver)
    }

    /// Ends the thread that asks.
    pub(crate) fn stop(&self) {
        let _ = self.0.send(ControllerAsk::Stop);
    }

    pub(super) fn propose(&self, ask: IsrAsk) {
        // Without a receiver the broker is stopping.
        let _ = self.0.send(ControllerAsk::Isr(ask));
    }

    /// Says in which directory the replica of this broker is.
    pub(crate) fn say_where(&self, directory: DirectoryId, topic_id: TopicId, partition: PartitionIndex) {
        let _ = self.0.send(ControllerAsk::Directory(directory, topic_id, partition));
    }
}
