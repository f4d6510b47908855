//! Why bytes are not a message, and why a message has no bytes.

/// The bytes contradict the protocol. The peer, or what wrote the log, is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A value ends after the end of the bytes.
    #[error("{needed} bytes needed where {left} are left")]
    Truncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// Bytes follow the end of what should be the last value.
    #[error("{0} bytes after the end")]
    TrailingBytes(usize),
    /// A length or count is below -1.
    #[error("length {0} is negative")]
    NegativeLength(i32),
    /// Null stands for something that may not be null in this version.
    #[error("null where a value is required")]
    UnexpectedNull,
    /// An array claims more elements than the bytes that are left could hold.
    #[error("{count} elements cannot fit in {left} bytes")]
    CountTooLarge {
        /// Elements that the array claims.
        count: u32,
        /// Bytes that there are.
        left: usize,
    },
    /// A string is longer than 32767 bytes.
    #[error("string of {0} bytes is longer than 32767")]
    StringTooLong(u32),
    /// A string is not valid UTF-8.
    #[error("string is not UTF-8")]
    InvalidUtf8,
    /// A variable-length integer does not end after its fifth byte.
    #[error("variable-length integer does not end within five bytes")]
    VarintTooLong,
    /// Tagged fields are not in strictly ascending order.
    #[error("tag {tag} follows tag {previous}")]
    TagOrder {
        /// Tag before.
        previous: u32,
        /// Tag that should be greater.
        tag: u32,
    },
    /// A tagged field is larger than its value.
    #[error("tag {tag} has {left} bytes after its value")]
    TagSize {
        /// Tag of the field.
        tag: u32,
        /// Bytes that belong to no value.
        left: usize,
    },
    /// The version has no layout here.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// Version asked for.
        version: i16,
    },
    /// The API key is not one of [`ApiKey::ALL`](crate::ApiKey::ALL).
    #[error("api key {0} is unknown")]
    UnknownApiKey(i16),
    /// The record type of a log record is unknown.
    #[error("record type {0} is unknown")]
    UnknownRecordType(u32),
    /// A metadata record is framed in a version other than 1.
    #[error("metadata frame version {0} is unknown")]
    UnknownFrameVersion(u32),
}

/// The message cannot be written as asked. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The version has no layout here.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// Name of the message.
        message: &'static str,
        /// Version asked for.
        version: i16,
    },
    /// A field that the version lacks has a value that may not be dropped silently.
    #[error("{field} does not exist in version {version} and is not its default")]
    NotInVersion {
        /// Structure and field.
        field: &'static str,
        /// Version asked for.
        version: i16,
    },
    /// A field that may not be null in this version is null.
    #[error("{field} is null")]
    UnexpectedNull {
        /// Structure and field.
        field: &'static str,
    },
    /// A string is longer than 32767 bytes.
    #[error("string of {0} bytes is longer than 32767")]
    StringTooLong(usize),
    /// A length, or the whole, does not fit the 31 bits that the protocol has for it.
    #[error("length {0} does not fit in 31 bits")]
    TooLarge(usize),
    /// Unknown tagged fields are not ascending, or one has the tag of a known field.
    #[error("tag {0} is out of order or taken")]
    TagConflict(u32),
}
