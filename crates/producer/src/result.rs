//! How a record ended.

use std::sync::Arc;

use highwater_types::{ErrorCode, Offset, PartitionIndex, TimestampMs, TopicName};

/// Where a record is, now that it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset. `None` if nobody says: with `acks=0`, and if the broker only knows that it has the record.
    pub offset: Option<Offset>,
    /// Its time: the one it was sent with, or when the leader appended it if the topic has it so.
    pub timestamp: TimestampMs,
    /// Size of its key in bytes; `None` for null.
    pub key_bytes: Option<u32>,
    /// Size of its value in bytes; `None` for null.
    pub value_bytes: Option<u32>,
}

/// Why a record was not acknowledged. It may be stored all the same: an earlier attempt whose answer was lost may have
/// succeeded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The broker refused its batch, for good or until `retries` were used up.
    #[error("{code}: {}", message.as_deref().unwrap_or("the broker gives no reason"))]
    Broker {
        /// Kafka's code.
        code: ErrorCode,
        /// What the broker says.
        message: Option<Arc<str>>,
    },
    /// The broker refused this record, and its batch with it.
    #[error("INVALID_RECORD: {message}")]
    InvalidRecord {
        /// What the broker says of it.
        message: Arc<str>,
    },
    /// The broker refused other records of its batch.
    #[error("the record was part of a batch which had one or more invalid records")]
    InvalidNeighbour,
    /// It was not acknowledged within `delivery.timeout.ms`.
    #[error("expiring {records} records for {topic}-{partition}: {waited_ms} ms has passed since batch creation")]
    Expired {
        /// Records in its batch.
        records: u32,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// Age of the batch.
        waited_ms: u64,
    },
    /// The producer was closed, and its deadline has passed.
    #[error("the producer is closed forcefully")]
    Closed,
    /// The application gave up what had not been sent yet.
    #[error("the record was dropped by an abort")]
    Aborted,
    /// The producer can never send again: its identity was refused.
    #[error("the producer is in a state of fatal error: {code}")]
    Fatal {
        /// Why.
        code: ErrorCode,
    },
    /// The records cannot be compressed.
    #[error("the batch cannot be written: {reason}")]
    Unwritable {
        /// Why.
        reason: highwater_records::BuildError,
    },
}

impl ProduceError {
    /// Kafka's code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } | Self::Fatal { code } => Some(*code),
            Self::InvalidRecord { .. } | Self::InvalidNeighbour => Some(ErrorCode::InvalidRecord),
            Self::Expired { .. } => Some(ErrorCode::RequestTimedOut),
            Self::Closed | Self::Aborted | Self::Unwritable { .. } => None,
        }
    }
}
