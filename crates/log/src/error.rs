//! Errors of the log, by who must act.

use std::io;
use std::path::{Path, PathBuf};

use highwater_records::validate::ValidateError;
use highwater_types::{ErrorCode, Offset, ProducerEpoch, ProducerId, Sequence};

/// Why a log or a log directory could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The caller asked for something the log does not hold. The log is fine; fix the request.
    #[error("offset {requested} is outside {start}..={end}")]
    OutOfRange {
        /// The offset asked for.
        requested: Offset,
        /// The log start offset.
        start: Offset,
        /// The largest offset that could have been asked for.
        end: Offset,
    },

    /// Bytes on disk contradict their checksum, their format or each other. Not retryable.
    #[error("corrupt {what} in {} at byte {position}", path.display())]
    Corrupt {
        /// What is wrong, as a noun phrase.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
    },

    /// A text file of the directory cannot be understood.
    #[error("malformed {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// A directory in the log directory is neither a partition nor anything else that belongs there.
    #[error("{} is not the directory of a partition", path.display())]
    UnknownDirectory {
        /// The directory.
        path: PathBuf,
    },

    /// The directory is in use by another process, or by another handle of this one.
    #[error("{} is locked by another user", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// The operating system refused an operation. After a failed write or sync the log is
    /// [`Poisoned`](Self::Poisoned) and its directory offline.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The log has been closed, or a value that can be taken once was taken twice.
    #[error("the log is closed")]
    Closed,

    /// An earlier write or sync failed in this log or its directory, so memory and disk may disagree. Reopen it.
    #[error("the log is poisoned by an earlier I/O failure")]
    Poisoned,
}

/// Who has to act on a [`LogError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request was wrong.
    Caller,
    /// The bytes on disk are wrong.
    Data,
    /// The machine or its disk is at fault.
    Host,
}

impl LogError {
    /// Who has to act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::OutOfRange { .. } | Self::Locked { .. } | Self::Closed => Blame::Caller,
            Self::Corrupt { .. } | Self::Malformed { .. } | Self::UnknownDirectory { .. } => Blame::Data,
            Self::Io { .. } | Self::Poisoned => Blame::Host,
        }
    }

    /// The code a broker answers with.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            _ => ErrorCode::KafkaStorageError,
        }
    }

    pub(crate) fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(what: &'static str, path: &Path, position: u64) -> Self {
        Self::Corrupt { what, path: path.to_owned(), position }
    }
}

/// Why one record set was not appended. Nothing of it is in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// There is no whole entry in the bytes, which requests of old versions may send. A broker answers without
    /// an error and without an offset.
    #[error("there is nothing to append")]
    Nothing,

    /// The records break a rule of the format or of the topic.
    #[error(transparent)]
    Invalid(#[from] ValidateError),

    /// The whole set is larger than `segment.bytes`.
    #[error("{size} bytes do not fit a segment of {limit}")]
    LargerThanSegment {
        /// Size of the set in bytes.
        size: u64,
        /// `segment.bytes`.
        limit: u64,
    },

    /// Bytes of a replica contradict their checksum or their own lengths.
    #[error("corrupt batch at byte {position}: {reason}")]
    Corrupt {
        /// Where in the bytes offered.
        position: usize,
        /// What is wrong.
        reason: String,
    },

    /// The offered records do not continue the log.
    #[error("records from offset {first} do not continue a log that ends at {expected}")]
    UnexpectedOffset {
        /// First offset offered, or the offset that does not increase.
        first: Offset,
        /// The least offset that would have been accepted.
        expected: Offset,
    },

    /// A producer skipped or repeated sequence numbers.
    #[error("producer {producer} sent sequence {sequence} where {expected:?} follows")]
    OutOfOrderSequence {
        /// The producer.
        producer: ProducerId,
        /// First sequence of the batch.
        sequence: Sequence,
        /// The sequence that would have been accepted; `None` if none could be.
        expected: Option<Sequence>,
    },

    /// A producer's epoch is older than one the log has seen.
    #[error("producer {producer} has epoch {epoch}, which is behind {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer: ProducerId,
        /// Epoch of the batch.
        epoch: ProducerEpoch,
        /// Newest epoch seen.
        current: ProducerEpoch,
    },

    /// A batch outside a transaction while the producer's transaction is open.
    #[error("producer {producer} sent a non-transactional batch inside its transaction")]
    InvalidTxnState {
        /// The producer.
        producer: ProducerId,
    },

    /// A transaction marker from a coordinator that has been replaced.
    #[error("transaction marker of coordinator epoch {epoch}, which is behind {current}")]
    StaleCoordinator {
        /// Coordinator epoch of the marker.
        epoch: i32,
        /// Newest seen.
        current: i32,
    },

    /// The log itself could not.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// The code a broker answers with.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::Nothing => ErrorCode::None,
            Self::Invalid(error) => error.code(),
            Self::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            Self::Corrupt { .. } => ErrorCode::CorruptMessage,
            Self::UnexpectedOffset { .. } => ErrorCode::UnknownServerError,
            Self::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            Self::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            Self::StaleCoordinator { .. } => ErrorCode::TransactionCoordinatorFenced,
            Self::Log(error) => error.error_code(),
        }
    }
}
