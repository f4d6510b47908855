//! What can be wrong with stored or received records.

use highwater_types::ErrorCode;

use crate::Codec;

/// Bytes that are not a valid entry, batch or record.
///
/// Every variant blames the data, never the caller or the host: the remedy is to reject the request or, for
/// stored bytes, to fetch them again. [`code`](Self::code) says what a broker answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The length field of an entry is below what its format needs. A zero-filled file tail reads so.
    #[error("entry length {length} is below the minimum of {min}")]
    EntryTooShort {
        /// The length field as stored: the bytes after it.
        length: i32,
        /// The least length an entry of this format has.
        min: i32,
    },

    /// The magic byte names a format that does not exist.
    #[error("unknown magic {magic}")]
    UnknownMagic {
        /// The byte found.
        magic: u8,
    },

    /// A parser was given an entry of another format than it reads.
    #[error("magic {magic} where {expected} is expected")]
    OtherMagic {
        /// The byte found.
        magic: u8,
        /// What this parser reads.
        expected: &'static str,
    },

    /// The bytes given do not hold the whole entry, or hold more than it.
    #[error("entry of {size} bytes in a slice of {available}")]
    SizeMismatch {
        /// Size the entry declares, in bytes.
        size: u64,
        /// Size of the slice, in bytes.
        available: u64,
    },

    /// The checksum does not match the bytes.
    #[error("checksum {computed:#010x} where {stored:#010x} is stored")]
    Checksum {
        /// The value in the entry.
        stored: u32,
        /// The value its bytes have.
        computed: u32,
    },

    /// The codec bits name a codec that does not exist.
    #[error("unknown compression codec {id}")]
    UnknownCodec {
        /// The three bits found, 5 to 7.
        id: u8,
    },

    /// The codec exists, but this build leaves it out.
    #[error("this build has no support for {codec}")]
    CodecNotBuilt {
        /// The codec.
        codec: Codec,
    },

    /// The codec may not be used in this message format.
    #[error("{codec} is not allowed in a magic {magic} wrapper")]
    CodecNotAllowed {
        /// The codec.
        codec: Codec,
        /// The wrapper's format.
        magic: u8,
    },

    /// The header declares a count of records that is negative or that the payload cannot hold.
    #[error("record count {count} in a payload of {payload} bytes")]
    RecordCount {
        /// The count as stored.
        count: i32,
        /// Size of the payload, or the limit to it while it is compressed, in bytes.
        payload: u64,
    },

    /// The payload ended before the declared number of records.
    #[error("payload ended at record {index} of {count}")]
    RecordsMissing {
        /// Index of the record that is cut or missing.
        index: u32,
        /// Declared count.
        count: u32,
    },

    /// Bytes remain after the last declared record.
    #[error("bytes remain after the last of {count} records")]
    BytesAfterRecords {
        /// Declared count.
        count: u32,
    },

    /// A record's own bytes are inconsistent.
    #[error("record {index}: {what}")]
    MalformedRecord {
        /// Index within its batch, from zero.
        index: u32,
        /// What is wrong.
        what: &'static str,
    },

    /// A compressed v0 or v1 wrapper breaks a rule of its format.
    #[error("compressed message: {what}")]
    MalformedWrapper {
        /// What is wrong.
        what: &'static str,
    },

    /// The compressed payload does not decode.
    #[error("{codec} payload: {what}")]
    Decompress {
        /// The codec.
        codec: Codec,
        /// What is wrong.
        what: &'static str,
    },

    /// The payload decompresses to more than the limit. It was not decompressed further.
    #[error("payload decompresses to more than {limit} bytes")]
    LimitExceeded {
        /// The limit, in bytes.
        limit: u64,
    },
}

impl RecordError {
    /// The error code a broker answers for such bytes.
    ///
    /// A broken entry is `CORRUPT_MESSAGE`; a sound entry whose records contradict it is `INVALID_RECORD`.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::EntryTooShort { .. }
            | Self::UnknownMagic { .. }
            | Self::OtherMagic { .. }
            | Self::SizeMismatch { .. }
            | Self::Checksum { .. }
            | Self::UnknownCodec { .. }
            | Self::Decompress { .. } => ErrorCode::CorruptMessage,
            Self::CodecNotBuilt { .. } | Self::CodecNotAllowed { .. } => ErrorCode::UnsupportedCompressionType,
            Self::LimitExceeded { .. } => ErrorCode::MessageTooLarge,
            Self::RecordCount { .. }
            | Self::RecordsMissing { .. }
            | Self::BytesAfterRecords { .. }
            | Self::MalformedRecord { .. }
            | Self::MalformedWrapper { .. } => ErrorCode::InvalidRecord,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RecordError;

    #[test]
    fn stays_small_for_the_hot_path() {
        assert!(size_of::<Result<(), RecordError>>() <= 32);
    }
}
