//! Deleting old segments (storage format, section 18).

use highwater_types::{Offset, TimestampMs};

use super::{DeleteTask, Log};
use crate::error::LogError;

/// Why segments are deleted.
#[derive(Clone, Copy, Debug)]
enum Reason {
    /// They lie below the log start.
    LogStart,
    /// The log is larger than `retention.bytes` by this much.
    Size { excess: u64 },
    /// Their records are older than `retention.ms`.
    Age { retention_ms: u64, now: TimestampMs },
}

impl Log {
    /// Deletes the segments at the front of the log that are too old, too much, or below the log start. Returns
    /// their number.
    ///
    /// Only committed records are deleted. Files are renamed here and unlinked by
    /// [`due_deletions`](Self::due_deletions) after `file_delete_delay_ms`; readers that hold a slice keep it.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn apply_retention(&mut self, now: TimestampMs) -> Result<u32, LogError> {
        self.check_open()?;
        let deleted = self.delete_old_segments(now);
        self.health.watch(deleted)
    }

    fn delete_old_segments(&mut self, now: TimestampMs) -> Result<u32, LogError> {
        let mut deleted = self.delete_for(Reason::LogStart, now)?;
        if !self.place.config.cleanup.delete {
            return Ok(deleted);
        }
        if let Some(limit) = self.place.config.retention_bytes
            && let Some(excess) = self.size_bytes().checked_sub(limit)
        {
            deleted += self.delete_for(Reason::Size { excess }, now)?;
        }
        if let Some(retention_ms) = self.place.config.retention_ms {
            deleted += self.delete_for(Reason::Age { retention_ms, now }, now)?;
        }
        Ok(deleted)
    }

    /// Deletes the longest prefix of segments that all qualify.
    fn delete_for(&mut self, reason: Reason, now: TimestampMs) -> Result<u32, LogError> {
        let count = self.count_deletable(reason)?;
        if count == 0 {
            return Ok(0);
        }
        if count == self.segments.len() {
            // There is always an active segment.
            self.roll_to(self.log_end, now)?;
        }
        self.delete_first(count, now)?;
        tracing::info!(path = %self.place.dir.display(), count, ?reason, "deleted segments");
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn count_deletable(&self, reason: Reason) -> Result<usize, LogError> {
        let mut count = 0;
        let mut freed = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let next_base = self.segments.next_base(index);
            let is_committed = next_base.unwrap_or(self.log_end) <= self.high_watermark;
            let is_empty_active = next_base.is_none() && segment.size() == 0;
            let qualifies = match reason {
                Reason::LogStart => next_base.is_some_and(|next| next <= self.log_start),
                Reason::Size { excess } => freed + segment.size() <= excess,
                Reason::Age { retention_ms, now } => {
                    let age = now.ms_since(segment.largest_timestamp(&*self.place.disk)?);
                    u64::try_from(age).is_ok_and(|age| retention_ms < age)
                }
            };
            if !qualifies || !is_committed || is_empty_active {
                break;
            }
            freed += segment.size();
            count += 1;
        }
        Ok(count)
    }

    fn delete_first(&mut self, count: usize, now: TimestampMs) -> Result<(), LogError> {
        // The log start moves before the files go, so that nobody finds a hole.
        self.raise_log_start(self.segments.get(count).base())?;
        let removed = self.segments.remove_first(count);
        self.unseal();
        self.deletions.remove_segments(&self.place, &mut self.snapshots, &removed, now)
    }

    /// Raises the log start to `before`, which must be committed (DeleteRecords). Returns the log start.
    ///
    /// Records below become unreadable at once; their bytes go when whole segments lie below. The new start is
    /// durable once a checkpoint holds it: until then a crash can bring the records back.
    ///
    /// # Errors
    ///
    /// - [`LogError::OutOfRange`] above the high watermark.
    /// - [`LogError::Io`], [`LogError::Poisoned`].
    pub fn delete_records(&mut self, before: Offset) -> Result<Offset, LogError> {
        self.check_open()?;
        if self.high_watermark < before {
            return Err(LogError::OutOfRange { requested: before, start: self.log_start, end: self.high_watermark });
        }
        let raised = self.raise_log_start(before);
        self.health.watch(raised)?;
        Ok(self.log_start)
    }

    /// Files of deleted segments whose delay is over, to be unlinked where nobody waits for it.
    pub fn due_deletions(&mut self, now: TimestampMs) -> Option<DeleteTask> {
        self.deletions.take_due(&self.place.disk, now)
    }
}
