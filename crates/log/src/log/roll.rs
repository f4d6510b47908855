//! Closing the active segment and starting another (storage format, section 15).

use highwater_types::{Offset, TimestampMs};

use super::Log;
use crate::error::LogError;
use crate::index::relative_offset;
use crate::segment::Segment;

/// What an append is going to add, as far as rolling depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) bytes: u64,
    pub(super) max_timestamp: TimestampMs,
    /// First offset, unknown for v0 and v1.
    pub(super) first: Option<Offset>,
    pub(super) last: Offset,
}

impl Incoming {
    /// Base of a segment that begins with this append.
    pub(super) fn segment_base(&self, log_end: Offset) -> Offset {
        // Without a first offset, the lowest base that the last one can be indexed from.
        let lowest = self.last.value().saturating_sub(i32::MAX as u64);
        self.first.unwrap_or(Offset::new(lowest)).max(log_end)
    }
}

impl Log {
    /// Closes the active segment and begins another at the log end, which does nothing to an empty one.
    ///
    /// Creates three files. What it closes is synced when [`due_flush`](Self::due_flush) is run.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn roll(&mut self, now: TimestampMs) -> Result<(), LogError> {
        self.check_open()?;
        let cut = self.cut_torn_tail();
        self.health.watch(cut)?;
        if self.segments.active().size() == 0 && self.segments.active().base() == self.log_end {
            return Ok(());
        }
        let rolled = self.roll_to(self.log_end, now);
        self.health.watch(rolled)
    }

    /// Whether the active segment must be closed before this append.
    pub(super) fn must_roll(&self, incoming: &Incoming, now: TimestampMs) -> Result<bool, LogError> {
        let active = self.segments.active();
        let limit = u64::from(self.place.config.segment_bytes_max);
        if limit < active.size() + incoming.bytes {
            return Ok(active.size() > 0 || active.base() < incoming.segment_base(self.log_end));
        }
        if active.is_index_full() || relative_offset(active.base(), incoming.last).is_none() {
            return Ok(true);
        }
        Ok(active.size() > 0 && self.is_span_exceeded(incoming, now)?)
    }

    /// Whether the active segment would span more time than `segment.ms` allows, in record time.
    fn is_span_exceeded(&self, incoming: &Incoming, now: TimestampMs) -> Result<bool, LogError> {
        let config = &self.place.config;
        let active = self.segments.active();
        let lag = config.compaction_lag_ms_max.filter(|_| config.cleanup.compact);
        let span_max = config.segment_ms_max.min(lag.unwrap_or(u64::MAX)).saturating_sub(active.jitter_ms());
        let first = active.first_timestamp()?;
        let waited = match first.is_some() {
            true => incoming.max_timestamp.ms_since(first),
            false => now.ms_since(active.created()),
        };
        Ok(u64::try_from(waited).is_ok_and(|waited| span_max < waited))
    }

    /// Closes the active segment and begins another at `base`.
    pub(super) fn roll_to(&mut self, base: Offset, now: TimestampMs) -> Result<(), LogError> {
        self.cut_torn_tail()?;
        let active = self.segments.active_mut();
        assert!(active.base() <= base, "a segment begins behind those before it");
        if active.base() == base {
            // Empty, but its indexes are full: they are made anew.
            assert!(active.size() == 0, "only an empty segment is replaced by one of the same base");
            let fresh = Segment::create(&self.place, base, now)?;
            *self.segments.active_mut() = fresh;
            return Ok(());
        }
        active.seal()?;
        if self.recovery_point == base {
            // All records are synced, so no flush comes back to this segment, and recovery would begin behind it: it
            // would trust the indexes and, where space had been allocated ahead, zeros behind the last record.
            active.sync_files()?;
            if active.txn_index().file().is_some() {
                self.place.sync_dir()?;
            }
        }
        let fresh = Segment::create(&self.place, base, now)?;
        self.segments.push(fresh);
        self.producers.set_end(base);
        self.snapshots.take(&self.place, &mut self.producers)?;
        self.flush_due = true;
        Ok(())
    }
}
