//! What a state topic holds.

use highwater_types::{ProducerEpoch, ProducerId};

/// One entry of a state topic, as a shard applies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<R> {
    /// A record that counts at once.
    Record(R),
    /// A record written inside a transaction: it counts when its producer's commit marker comes.
    Transactional {
        /// Who wrote it.
        producer: ProducerId,
        /// In which epoch.
        epoch: ProducerEpoch,
        /// What was written.
        record: R,
    },
    /// The end of a producer's transaction on this partition.
    Marker {
        /// Whose transaction ends.
        producer: ProducerId,
        /// In which epoch.
        epoch: ProducerEpoch,
        /// How it ends.
        outcome: TransactionOutcome,
    },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionOutcome {
    /// What it wrote counts.
    Commit,
    /// What it wrote is void.
    Abort,
}
