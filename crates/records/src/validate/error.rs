//! Why a leader refuses a batch.

use highwater_types::ErrorCode;

use crate::batch::BuildError;
use crate::{Codec, RecordError};

/// Why a batch is refused. Nothing of the append is stored then.
///
/// All variants blame the client that sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidateError {
    /// The bytes are no valid entry, or its records contradict it.
    #[error(transparent)]
    Malformed(#[from] RecordError),

    /// An entry is larger than the topic allows, as sent or as rewritten.
    #[error("batch of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Size in bytes; a lower bound where the batch was too large to be written at all.
        size: usize,
        /// `max.message.bytes`.
        limit: usize,
    },

    /// The request is too old for the codec.
    #[error("this version of the request does not allow {codec}")]
    CodecNotAllowed {
        /// The codec.
        codec: Codec,
    },

    /// The batch as a whole breaks a rule.
    #[error("{0}")]
    Batch(#[from] BatchFault),

    /// Records break a rule of the topic.
    #[error("{} of the records are refused, the first at index {}: {}", .0.len(), first_index(.0), first_reason(.0))]
    Records(Vec<RejectedRecord>),

    /// A header that is trusted in place of the records names a time out of bounds.
    #[error("{0}")]
    Timestamp(RejectReason),
}

impl ValidateError {
    /// The error code to answer.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Malformed(error) => error.code(),
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::CodecNotAllowed { .. } => ErrorCode::UnsupportedCompressionType,
            Self::Batch(_) => ErrorCode::InvalidRecord,
            Self::Timestamp(_) => ErrorCode::InvalidTimestamp,
            // One bad time outranks all other faults.
            Self::Records(rejected) if rejected.iter().any(|record| record.reason.is_about_time()) => {
                ErrorCode::InvalidTimestamp
            }
            Self::Records(_) => ErrorCode::InvalidRecord,
        }
    }

    /// The records at fault, for the answer's list of record errors; empty if the batch as a whole is.
    #[must_use]
    pub fn rejected(&self) -> &[RejectedRecord] {
        match self {
            Self::Records(rejected) => rejected,
            _ => &[],
        }
    }

    /// The error for a batch that could not be written anew.
    pub(super) fn of_build(error: BuildError, limit: usize) -> Self {
        match error {
            BuildError::Codec(error) => Self::Malformed(error),
            BuildError::Empty => Self::Batch(BatchFault::NoRecords),
            BuildError::TooLarge | BuildError::Offset { .. } => Self::TooLarge { size: i32::MAX as usize, limit },
        }
    }
}

fn first_index(rejected: &[RejectedRecord]) -> u32 {
    rejected.first().map_or(0, |record| record.index)
}

fn first_reason(rejected: &[RejectedRecord]) -> String {
    rejected.first().map(|record| record.reason.to_string()).unwrap_or_default()
}

/// What is wrong with a batch as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFault {
    /// There is no whole entry.
    #[error("there is no whole batch")]
    NoBatch,
    /// A v2 batch or a compressed message is not alone.
    #[error("more than one batch where one is allowed")]
    NotAlone,
    /// The request demands v2.
    #[error("magic {magic} where the request demands 2")]
    OldMagic {
        /// The magic found.
        magic: u8,
    },
    /// Formats are mixed.
    #[error("magic {magic} after magic {first}")]
    MixedMagic {
        /// The first entry's magic.
        first: u8,
        /// Another entry's magic.
        magic: u8,
    },
    /// Offsets are the leader's to assign; clients count from zero.
    #[error("base offset {base_offset} where 0 is expected")]
    BaseOffset {
        /// The offset found.
        base_offset: i64,
    },
    /// The last offset lies before the first.
    #[error("last offset delta {last_offset_delta}")]
    OffsetRange {
        /// The field found.
        last_offset_delta: i32,
    },
    /// There are no records, or the count is not that of the offsets.
    #[error("{count} records where the offsets are of {expected}")]
    Count {
        /// The field found.
        count: i32,
        /// Last offset delta plus one.
        expected: i64,
    },
    /// No record is in it.
    #[error("there are no records")]
    NoRecords,
    /// A client may not write control records.
    #[error("a control batch from a client")]
    Control,
    /// A producer id comes without a sequence number.
    #[error("sequence {base_sequence} from producer {producer_id}")]
    Sequence {
        /// The producer.
        producer_id: i64,
        /// The field found.
        base_sequence: i32,
    },
    /// A compressed batch counts its records' offsets wrongly.
    #[error("record {index} of a compressed batch is at offset delta {delta}")]
    OffsetDelta {
        /// The record.
        index: u32,
        /// Its delta.
        delta: i64,
    },
    /// A message inside a wrapper is of another format than the wrapper.
    #[error("message of magic {inner} in a wrapper of magic {outer}")]
    InnerMagic {
        /// The wrapper's magic.
        outer: u8,
        /// The inner message's magic.
        inner: u8,
    },
}

/// One record that breaks a rule of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RejectedRecord {
    /// Index within the request's records for the partition, from zero.
    pub index: u32,
    /// Which rule.
    pub reason: RejectReason,
}

/// Which rule of the topic a record breaks. The text is fit for the answer to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// A compacted topic needs keys.
    #[error("a compacted topic does not accept records without key")]
    NullKey,
    /// The timestamp is too far in the past or the future.
    #[error("timestamp {timestamp} is outside of {earliest} to {latest}")]
    TimestampOutOfRange {
        /// The record's timestamp, in milliseconds.
        timestamp: i64,
        /// The earliest accepted one.
        earliest: i64,
        /// The latest accepted one.
        latest: i64,
    },
    /// LogAppendTime is for leaders to set.
    #[error("a producer must not set the timestamp type to LogAppendTime")]
    AppendTimeFromProducer,
}

impl RejectReason {
    /// Whether the time is at fault, which has an error code of its own.
    #[must_use]
    pub const fn is_about_time(self) -> bool {
        match self {
            Self::NullKey => false,
            Self::TimestampOutOfRange { .. } | Self::AppendTimeFromProducer => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use highwater_types::ErrorCode;

    use super::{RejectReason, RejectedRecord, ValidateError};

    #[test]
    fn a_bad_time_outranks_a_missing_key() {
        let key = RejectedRecord { index: 0, reason: RejectReason::NullKey };
        let reason = RejectReason::TimestampOutOfRange { timestamp: 9, earliest: 1, latest: 5 };
        let time = RejectedRecord { index: 4, reason };
        assert_eq!(ValidateError::Records(vec![key]).code(), ErrorCode::InvalidRecord);
        let both = ValidateError::Records(vec![key, time]);
        assert_eq!(both.code(), ErrorCode::InvalidTimestamp);
        assert_eq!(both.rejected().len(), 2);
        assert_eq!(
            both.to_string(),
            "2 of the records are refused, the first at index 0: a compacted topic does not accept records without key"
        );
    }
}
