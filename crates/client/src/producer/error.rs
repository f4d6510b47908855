//! Why a record was not stored, or not taken.

use std::sync::Arc;

use highwater_producer::{PrepareError, ProduceError, Refusal};
use highwater_types::ErrorCode;

/// Why a record was not taken, or not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It has no bytes, or a time before 1970. The caller must change it.
    #[error(transparent)]
    Prepare(Arc<PrepareError>),
    /// The producer does not take it: too large, no such partition, closed.
    #[error(transparent)]
    Refused(Refusal),
    /// The brokers do not let anybody write to its topic.
    #[error("topic {topic} cannot be written to: {}", code.name())]
    Topic {
        /// The topic.
        topic: String,
        /// Kafka's code.
        code: ErrorCode,
    },
    /// What it needs did not come within `max.block.ms`: metadata of its topic, or room in `buffer.memory`.
    #[error("{missing} after {waited_ms} ms")]
    TimedOut {
        /// What was missing.
        missing: Refusal,
        /// How long was waited for it: `max.block.ms`.
        waited_ms: u64,
    },
    /// It was taken, but not acknowledged.
    #[error(transparent)]
    Produce(ProduceError),
}

impl SendError {
    /// Kafka's code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Topic { code, .. } => Some(*code),
            Self::Produce(error) => error.code(),
            Self::Refused(Refusal::TooLarge { .. }) => Some(ErrorCode::MessageTooLarge),
            Self::TimedOut { .. } => Some(ErrorCode::RequestTimedOut),
            Self::Prepare(_) | Self::Refused(_) => None,
        }
    }

    /// The same as what interceptors are told.
    pub(super) fn to_produce_error(&self) -> ProduceError {
        match self {
            Self::Produce(error) => error.clone(),
            other => ProduceError::Broker {
                code: other.code().unwrap_or(ErrorCode::InvalidRequest),
                message: Some(other.to_string().into()),
            },
        }
    }
}
