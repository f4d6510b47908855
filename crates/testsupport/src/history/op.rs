//! What one client did.

use std::collections::BTreeMap;
use std::fmt;

/// Number of a client that does one thing after the other.
pub type Process = u32;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
}

impl Key {
    /// Partition `partition` of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<String>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// How an operation ended, as its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Ok,
    /// It certainly did not happen.
    Fail,
    /// Nobody knows.
    Unknown,
}

/// One operation, in the order in which the operations ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Who did it.
    pub process: Process,
    /// How it ended.
    pub outcome: Outcome,
    /// What it did: one step, or those of a transaction.
    pub steps: Vec<Step>,
    /// The client's partitions may have changed since its last operation: what it reads next need not follow on.
    pub reassigned: bool,
}

/// A part of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A value was sent.
    Send {
        /// Where to.
        key: Key,
        /// A value that is sent once only.
        value: u64,
        /// Where it was put, if the client was told.
        offset: Option<u64>,
    },
    /// Values were read, of each partition in order, with their offsets.
    Poll(BTreeMap<Key, Vec<(u64, u64)>>),
}

impl Op {
    /// An operation of one step.
    #[must_use]
    pub fn new(process: Process, outcome: Outcome, step: Step) -> Self {
        Self { process, outcome, steps: vec![step], reassigned: false }
    }

    /// What it sent: where to, the value, and the offset if it is known.
    pub(super) fn sends(&self) -> impl Iterator<Item = (&Key, u64, Option<u64>)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Send { key, value, offset } => Some((key, *value, *offset)),
            Step::Poll(_) => None,
        })
    }

    /// What it read: where, the offset, and the value.
    pub(super) fn reads(&self) -> impl Iterator<Item = (&Key, u64, u64)> {
        self.steps.iter().flat_map(|step| match step {
            Step::Send { .. } => Vec::new(),
            Step::Poll(polled) => {
                let of = |(key, values): (_, &Vec<(u64, u64)>)| -> Vec<_> {
                    values.iter().map(|(offset, value)| (key, *offset, *value)).collect()
                };
                polled.iter().flat_map(of).collect()
            }
        })
    }
}
