//! Truncation (storage format, section 17).

use highwater_types::{Offset, TimestampMs};

use super::Log;
use super::load::rebuild_producers;
use crate::error::LogError;
use crate::segment::Segment;

impl Log {
    /// Removes everything from offset `to` on. Returns whether the log end moved.
    ///
    /// Whole batches go: if `to` lies inside one, all of it is removed, and the log ends at `to` nevertheless.
    /// A `to` below the first segment empties the log. Cutting is synced.
    ///
    /// A [`checkpoint`](Self::checkpoint) that was kept before may now lie above what is synced: keep a new one before
    /// anything else is appended, or the next start trusts bytes that a crash has lost.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`], [`LogError::Corrupt`].
    pub fn truncate_to(&mut self, to: Offset, now: TimestampMs) -> Result<bool, LogError> {
        self.check_open()?;
        if self.log_end <= to {
            let truncated = self.truncate_epochs(self.log_end.min(to));
            self.health.watch(truncated)?;
            return Ok(false);
        }
        if to < self.segments.first().base() {
            self.truncate_fully_and_start_at(to, None, now)?;
            return Ok(true);
        }
        let truncated = self.truncate_inside(to, now);
        self.health.watch(truncated)?;
        self.assert_invariants();
        Ok(true)
    }

    fn truncate_inside(&mut self, to: Offset, now: TimestampMs) -> Result<(), LogError> {
        self.truncations += 1;
        // Whatever is cut, the last batch of a producer is another one then, and a pass must keep that.
        self.cleaning.on_truncated(if self.producers.is_empty() { to } else { Offset::ZERO });
        self.forget_anchor()?;
        self.cut_torn_tail()?;
        let kept = self.segments.floor(to) + 1;
        let removed = self.segments.split_off(kept);
        self.deletions.remove_segments_for_good(&self.place, &mut self.snapshots, &removed, now)?;
        self.segments.active_mut().truncate_to(to, &self.place)?;
        self.log_end = to;
        self.recovery_point = self.recovery_point.min(to);
        self.synced_to = self.synced_to.min(to);
        self.settled_to = self.settled_to.min(to);
        self.log_start = self.log_start.min(to);
        self.truncate_epochs(to)?;
        rebuild_producers(
            &self.place,
            self.segments.from(0),
            &mut self.producers,
            &mut self.snapshots,
            self.log_start,
            to,
            now,
        )?;
        self.high_watermark = self.high_watermark.min(to);
        // The rebuild has met markers that are committed already.
        self.producers.advance_high_watermark(self.high_watermark);
        self.lower_clean_checkpoint();
        Ok(())
    }

    /// Removes everything, and starts an empty log at `at` with log start `log_start`, by default `at` too.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn truncate_fully_and_start_at(
        &mut self,
        at: Offset,
        log_start: Option<Offset>,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        self.check_open()?;
        let restarted = self.restart_at(at, log_start.unwrap_or(at).min(at), now);
        self.health.watch(restarted)?;
        self.assert_invariants();
        Ok(())
    }

    fn restart_at(&mut self, at: Offset, log_start: Offset, now: TimestampMs) -> Result<(), LogError> {
        self.truncations += 1;
        self.cleaning.on_truncated(Offset::ZERO);
        self.forget_anchor()?;
        self.torn_at = None;
        // The old segments go first and durably. Beside the new one they would lie below the recovery point after a crash,
        // unchecked, or hold offsets above it. With none left, the log starts at its checkpoint.
        let removed = self.segments.from(0);
        self.deletions.remove_segments_for_good(&self.place, &mut self.snapshots, removed, now)?;
        let fresh = Segment::create(&self.place, at, now)?;
        self.segments.replace_all(fresh);
        self.snapshots.delete_all(&self.place)?;
        self.producers.reset(at);
        self.log_start = log_start;
        self.log_end = at;
        self.recovery_point = at;
        self.synced_to = at;
        self.settled_to = at;
        self.high_watermark = at;
        self.producers.advance_high_watermark(at);
        self.lower_clean_checkpoint();
        if self.epochs.clear() {
            self.epochs.write_lazily(&*self.place.disk, &self.place.dir)?;
        }
        Ok(())
    }

    /// What is appended from here on has not been cleaned, whatever was at these offsets before.
    fn lower_clean_checkpoint(&mut self) {
        let active = self.segments.active().base();
        self.clean_checkpoint = self.clean_checkpoint.map(|first_dirty| first_dirty.min(active));
    }

    fn truncate_epochs(&mut self, end: Offset) -> Result<(), LogError> {
        if self.epochs.truncate_from_end(end) {
            // Durably: an epoch that came back would claim what is appended at its offsets, of an older one, too.
            self.epochs.write(&*self.place.disk, &self.place.dir)?;
        }
        Ok(())
    }
}
