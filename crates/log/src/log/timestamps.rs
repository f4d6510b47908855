//! Finding offsets by time (storage format, section 12).

use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::Log;
use crate::error::LogError;
use crate::segment::Segment;

/// What is looked for (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampQuery {
    /// The log end, `-1`. Callers lower it to what their reader may see.
    Latest,
    /// The log start, `-2`.
    Earliest,
    /// The first record with the largest timestamp, `-3`.
    MaxTimestamp,
    /// The first offset on this machine, `-4`; the log start, as nothing is tiered.
    EarliestLocal,
    /// The first record of at least this time.
    At(TimestampMs),
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampAnswer {
    /// The offset of a record, or an end of the log.
    pub offset: Offset,
    /// The record's timestamp; none for an end of the log.
    pub timestamp: TimestampMs,
    /// The leader epoch of the record's batch.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl Log {
    /// Finds an offset by time. `None` if no record answers the query.
    ///
    /// Reads, and if need be decompresses, batches of one segment. Segments are chosen by their largest timestamp,
    /// or by the file's time if their records have none, so that the answer can lie behind records with later
    /// timestamps in earlier segments, as in Kafka.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`], [`LogError::Io`], [`LogError::Poisoned`].
    pub fn offset_for_timestamp(&self, query: TimestampQuery) -> Result<Option<TimestampAnswer>, LogError> {
        self.health.check()?;
        match query {
            TimestampQuery::Latest => Ok(Some(self.end_answer(self.log_end))),
            TimestampQuery::Earliest | TimestampQuery::EarliestLocal => Ok(Some(self.end_answer(self.log_start))),
            TimestampQuery::MaxTimestamp => self.find_max_timestamp(),
            TimestampQuery::At(target) => self.find_timestamp(target),
        }
    }

    /// An end of the log, with the epoch of the record there or of the newest leader.
    fn end_answer(&self, offset: Offset) -> TimestampAnswer {
        let leader_epoch = match offset == self.log_end {
            true => self.epochs.latest().map(|latest| latest.epoch),
            false => self.epochs.epoch_of(offset),
        };
        TimestampAnswer { offset, timestamp: TimestampMs::NONE, leader_epoch }
    }

    fn find_max_timestamp(&self) -> Result<Option<TimestampAnswer>, LogError> {
        let mut newest: Option<(&Segment, TimestampMs)> = None;
        for segment in self.segments.iter() {
            let (timestamp, _) = segment.max_timestamp()?;
            if timestamp.is_some() && newest.is_none_or(|(_, largest)| largest < timestamp) {
                newest = Some((segment, timestamp));
            }
        }
        let Some((segment, _)) = newest else { return Ok(None) };
        Ok(segment.find_max_timestamp_record()?.map(TimestampAnswer::from))
    }

    fn find_timestamp(&self, target: TimestampMs) -> Result<Option<TimestampAnswer>, LogError> {
        for segment in self.segments.iter() {
            if target <= segment.largest_timestamp(&*self.place.disk)? {
                return Ok(segment.find_timestamp(target, self.log_start)?.map(TimestampAnswer::from));
            }
        }
        Ok(None)
    }
}

impl From<crate::segment::FoundRecord> for TimestampAnswer {
    fn from(found: crate::segment::FoundRecord) -> Self {
        Self { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch }
    }
}
