//! A look at what a broker holds, without the network.

use highwater_log::ReadBound;
use highwater_types::{NodeId, Offset, PartitionIndex, TimestampMs};

use crate::broker::Broker;
use crate::partition::{self, PartitionError};

/// Where one replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// The first offset that the log still has.
    pub log_start: Offset,
    /// Where committed records end.
    pub high_watermark: Offset,
    /// Where the log ends.
    pub log_end: Offset,
}

/// Why a replica cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// This broker has no replica of the partition.
    #[error("node {node} has no replica of {topic}-{partition}", node = node.value(), partition = partition.value())]
    NoReplica {
        /// The broker that was asked.
        node: NodeId,
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The log refused, or its disk failed.
    #[error("read {topic}-{partition}: {reason}", partition = partition.value())]
    Log {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// What went wrong.
        reason: String,
    },
}

impl Broker {
    /// Names of the topics that this broker knows of, in order.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.node().view.load().image.topics().map(|topic| topic.name().as_str().to_owned()).collect()
    }

    /// Who leads the partitions of a topic, in their order, as far as this broker knows; `None` for a topic that it does
    /// not know.
    #[must_use]
    pub fn leaders(&self, topic: &str) -> Option<Vec<Option<NodeId>>> {
        let view = self.node().view.load();
        Some(view.image.topic(topic)?.partitions().map(|(_, partition)| partition.leader).collect())
    }

    /// Where the replica on this broker stands.
    ///
    /// # Errors
    ///
    /// [`InspectError`] if there is none, or its directory is offline.
    pub fn replica(&self, topic: &str, partition: PartitionIndex) -> Result<ReplicaState, InspectError> {
        self.look(topic, partition, |locked| {
            let log = locked.log();
            Ok(ReplicaState {
                log_start: log.log_start(),
                high_watermark: log.high_watermark(),
                log_end: log.log_end(),
            })
        })
    }

    /// Reads committed batches of the replica on this broker, as they are in the log: the one with the record `from`
    /// first, and about `bytes_max` bytes; nothing at the end of what is committed. The last batch may be cut off.
    ///
    /// Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`InspectError`] if there is no replica, it does not have `from`, or the disk failed.
    pub fn read(
        &self,
        topic: &str,
        partition: PartitionIndex,
        from: Offset,
        bytes_max: u32,
    ) -> Result<Vec<u8>, InspectError> {
        let slice = self.look(topic, partition, |locked| {
            locked.read(from, bytes_max, true, ReadBound::HighWatermark).map_err(|error| error.to_string())
        })?;
        let failed = |reason: std::io::Error| log_error(topic, partition, reason.to_string());
        slice.read_to_vec().map_err(failed)
    }

    /// Applies retention to every partition on this broker, as housekeeping does from time to time, as if it was `now`.
    /// What is removed cannot be read from then on. Blocks on the disk.
    pub fn apply_retention(&self, now: TimestampMs) {
        partition::apply_retention(&self.node().view, self.deleting(), now);
    }

    fn look<R>(
        &self,
        topic: &str,
        partition: PartitionIndex,
        operation: impl FnOnce(&mut partition::LockedPartition<'_>) -> Result<R, String>,
    ) -> Result<R, InspectError> {
        let view = self.node().view.load();
        let found = view.topics.by_name(topic).and_then(|entry| entry.partition(partition.to_wire()));
        let found = found.ok_or_else(|| InspectError::NoReplica {
            node: self.node().id,
            topic: topic.to_owned(),
            partition,
        })?;
        let locked = found.lock().map_err(|error: PartitionError| error.to_string());
        locked.and_then(|mut locked| operation(&mut locked)).map_err(|reason| log_error(topic, partition, reason))
    }
}

fn log_error(topic: &str, partition: PartitionIndex, reason: String) -> InspectError {
    InspectError::Log { topic: topic.to_owned(), partition, reason }
}
