//! What must not be in a history.

use std::fmt;

use super::{Key, Process};

/// Something that a correct cluster does not do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Anomaly {
    /// Two values were seen at one offset.
    InconsistentOffset {
        /// Where.
        key: Key,
        /// At which offset.
        offset: u64,
        /// The values.
        values: Vec<u64>,
    },
    /// A value was seen at two offsets.
    Duplicate {
        /// Where.
        key: Key,
        /// The value.
        value: u64,
        /// The offsets.
        offsets: Vec<u64>,
    },
    /// A value was acknowledged, something behind it was read, and nobody ever read it.
    LostWrite {
        /// Where.
        key: Key,
        /// The value.
        value: u64,
    },
    /// A value was acknowledged and not read by the end, with nothing behind it that was.
    Unseen {
        /// Where.
        key: Key,
        /// The value.
        value: u64,
    },
    /// A value was read of which the writer was told that it certainly failed (G1a).
    AbortedRead {
        /// Where.
        key: Key,
        /// The value.
        value: u64,
        /// Who read it.
        reader: Process,
    },
    /// A transaction read what it had sent itself.
    PrecommittedRead {
        /// Where.
        key: Key,
        /// The value.
        value: u64,
        /// Whose transaction.
        process: Process,
    },
    /// A consumer passed over a value.
    PollSkip {
        /// Where.
        key: Key,
        /// Who.
        process: Process,
        /// What it read before.
        from: u64,
        /// What it read next.
        to: u64,
    },
    /// A consumer went back.
    NonmonotonicPoll {
        /// Where.
        key: Key,
        /// Who.
        process: Process,
        /// What it read before.
        from: u64,
        /// What it read next.
        to: u64,
    },
    /// A producer's later value is in front of its earlier one.
    NonmonotonicSend {
        /// Where.
        key: Key,
        /// Who.
        process: Process,
        /// What it sent before.
        from: u64,
        /// What it sent next.
        to: u64,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InconsistentOffset { key, offset, values } => write!(f, "{key} at {offset} is {values:?}"),
            Self::Duplicate { key, value, offsets } => write!(f, "{key} has {value} at {offsets:?}"),
            Self::LostWrite { key, value } => write!(f, "{key} has lost {value}, which was acknowledged"),
            Self::Unseen { key, value } => write!(f, "{key} has not shown {value}, which was acknowledged"),
            Self::AbortedRead { key, value, reader } => {
                write!(f, "{key}: process {reader} read {value}, which certainly failed")
            }
            Self::PrecommittedRead { key, value, process } => {
                write!(f, "{key}: a transaction of process {process} read its own {value}")
            }
            Self::PollSkip { key, process, from, to } => {
                write!(f, "{key}: process {process} read {to} after {from}, and passed over something")
            }
            Self::NonmonotonicPoll { key, process, from, to } => {
                write!(f, "{key}: process {process} read {to} after {from}, which lies behind it")
            }
            Self::NonmonotonicSend { key, process, from, to } => {
                write!(f, "{key}: process {process} sent {to} after {from}, which lies behind it")
            }
        }
    }
}
