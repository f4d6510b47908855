//! The rules for single records.

use highwater_types::TimestampMs;

use super::{LeaderRules, RejectReason, RejectedRecord, ValidateError};
use crate::{RecordView, TimestampType};

/// At most this many refused records are remembered; the rest of such a batch goes unlisted.
const REJECTED_MAX: usize = 1 << 16;

/// Checks records one by one and remembers what the batch needs to know of them.
pub(super) struct RecordCheck {
    key_required: bool,
    times: TimeCheck,
    /// Records seen so far.
    pub(super) count: u32,
    /// Largest timestamp so far, at least -1.
    pub(super) max_timestamp: i64,
    rejected: Vec<RejectedRecord>,
}

impl RecordCheck {
    /// `source` is the timestamp type of the batch as sent.
    pub(super) fn new(rules: &LeaderRules, source: TimestampType, now: TimestampMs) -> Self {
        Self {
            key_required: rules.compacted,
            times: TimeCheck::new(rules, source, now),
            count: 0,
            max_timestamp: -1,
            rejected: Vec::new(),
        }
    }

    /// The same check goes on over a message of another timestamp type.
    pub(super) fn set_source(&mut self, source: TimestampType) {
        self.times.source = source;
    }

    #[inline(always)]
    pub(super) fn see(&mut self, record: &RecordView<'_>) {
        if self.key_required && record.key.is_none() {
            self.reject(RejectReason::NullKey);
        } else if !self.times.accepts(record.timestamp) {
            self.reject(self.times.reason(record.timestamp));
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        // A batch has at most 2^31 bytes, or the limit to decompression, and a record at least seven.
        self.count += 1;
    }

    #[cold]
    fn reject(&mut self, reason: RejectReason) {
        if self.rejected.len() < REJECTED_MAX {
            self.rejected.push(RejectedRecord { index: self.count, reason });
        }
    }

    pub(super) fn finish(self) -> Result<Seen, ValidateError> {
        if self.rejected.is_empty() {
            Ok(Seen { count: self.count, max_timestamp: self.max_timestamp })
        } else {
            Err(ValidateError::Records(self.rejected))
        }
    }
}

/// What remains of a check that all records have passed.
pub(super) struct Seen {
    pub(super) count: u32,
    pub(super) max_timestamp: i64,
}

/// The rules for timestamps, with the limits worked out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeCheck {
    topic: TimestampType,
    source: TimestampType,
    earliest: i64,
    latest: i64,
}

impl TimeCheck {
    pub(super) fn new(rules: &LeaderRules, source: TimestampType, now: TimestampMs) -> Self {
        Self {
            topic: rules.timestamp_type,
            source,
            earliest: now.value().saturating_sub(rules.before_max_ms),
            latest: now.value().saturating_add(rules.after_max_ms),
        }
    }

    #[inline(always)]
    pub(super) fn accepts(&self, timestamp: i64) -> bool {
        if self.is_bounded(timestamp) {
            self.earliest <= timestamp && timestamp <= self.latest
        } else {
            self.source == TimestampType::CreateTime
        }
    }

    /// Whether the limits apply: not where the leader sets the time, nor where there is none.
    #[inline(always)]
    fn is_bounded(&self, timestamp: i64) -> bool {
        self.topic == TimestampType::CreateTime && timestamp != -1
    }

    /// Why [`accepts`](Self::accepts) said no.
    pub(super) fn reason(&self, timestamp: i64) -> RejectReason {
        if self.is_bounded(timestamp) {
            RejectReason::TimestampOutOfRange { timestamp, earliest: self.earliest, latest: self.latest }
        } else {
            RejectReason::AppendTimeFromProducer
        }
    }
}
