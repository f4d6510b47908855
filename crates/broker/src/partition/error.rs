//! Why a partition refused an operation.

use highwater_log::{AppendError, LogError};
use highwater_replication::leader::{AckError, EpochError};

/// Why an operation on a partition of this broker was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartitionError {
    /// The partition is not, or no longer, on this broker.
    #[error("the partition is not on this broker")]
    Gone,
    /// Its log directory failed earlier.
    #[error("the partition's log directory is offline")]
    Offline,
    /// Another broker leads the partition, or none.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The client's leader epoch is behind or ahead of ours.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// Too few replicas are in sync.
    #[error(transparent)]
    Ack(#[from] AckError),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log refused one record set.
    #[error(transparent)]
    Append(#[from] AppendError),
}
