//! From errors to the codes of the wire, in one place.

use highwater_types::ErrorCode;

use crate::partition::PartitionError;
use crate::purgatory::WorkersBusy;
use crate::quorum::ControllerError;

/// The code a client gets for an error.
pub(crate) trait ToCode {
    fn to_code(&self) -> ErrorCode;
}

impl ToCode for PartitionError {
    fn to_code(&self) -> ErrorCode {
        match self {
            Self::Gone => ErrorCode::UnknownTopicOrPartition,
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::Offline => ErrorCode::KafkaStorageError,
            Self::Epoch(error) => error.code(),
            Self::Ack(error) => error.code(),
            Self::Log(error) => error.error_code(),
            Self::Append(error) => error.error_code(),
        }
    }
}

impl ToCode for ControllerError {
    fn to_code(&self) -> ErrorCode {
        self.code()
    }
}

impl ToCode for WorkersBusy {
    fn to_code(&self) -> ErrorCode {
        // Retriable, and what Kafka's controller answers when its queue is too slow.
        ErrorCode::RequestTimedOut
    }
}
