//! Compaction, as far as it is the log's part: choosing what to clean, and putting the result in place.

use std::ops::ControlFlow;

use highwater_types::{Offset, TimestampMs};

use super::Log;
use crate::clean::{
    CleanInput, CleanStep, CleanTask, Cleanable, Cleaned, Cleaner, LastBatches, Ready, Source, commit, complete,
    sync_dir,
};
use crate::error::LogError;
use crate::segment::Segment;

impl Log {
    /// Measures what a pass would clean now.
    ///
    /// Reads the end of the time index, or the file's time, of segments that have not been cleaned, and their first
    /// batch, if the settings make those count.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Corrupt`], [`LogError::Poisoned`].
    pub fn cleanable(&self, now: TimestampMs) -> Result<Cleanable, LogError> {
        self.health.check()?;
        let config = &self.place.config;
        let active = self.segments.len() - 1;
        // A checkpoint outside the log is of another log, or of one that a crash has cut: everything is dirty.
        let is_inside = |at: &Offset| self.log_start <= *at && *at <= self.log_end;
        let first_dirty = self.clean_checkpoint.filter(is_inside).unwrap_or(self.log_start);
        let floor = self.segments.floor(first_dirty).min(active);
        let dirty = &self.segments.from(floor)[..active - floor];

        let mut limit = self.last_stable().min(self.segments.active().base());
        if config.compaction_lag_ms_min > 0
            && let Some(young) = self.first_younger(dirty, config.compaction_lag_ms_min, now)?
        {
            limit = limit.min(young);
        }
        let is_overdue = match config.compaction_lag_ms_max {
            Some(lag) => is_any_older(dirty, lag, now)?,
            None => false,
        };
        // Segments are cleaned whole.
        let first_uncleanable = self.segments.get(self.segments.floor(limit.max(first_dirty)).min(active)).base();
        Ok(Cleanable {
            first_dirty,
            first_uncleanable,
            clean_bytes: self.bytes_between(Offset::ZERO, first_dirty),
            cleanable_bytes: self.bytes_between(first_dirty.min(first_uncleanable), first_uncleanable),
            is_overdue,
            ratio_min: config.dirty_ratio_min,
            is_compacted: config.cleanup.compact,
        })
    }

    /// The base of the first of `segments` that has a record written less than `lag_ms` ago, by its timestamp.
    fn first_younger(&self, segments: &[Segment], lag_ms: u64, now: TimestampMs) -> Result<Option<Offset>, LogError> {
        for segment in segments {
            let age = now.ms_since(segment.largest_timestamp(&*self.place.disk)?);
            if !u64::try_from(age).is_ok_and(|age| lag_ms <= age) {
                return Ok(Some(segment.base()));
            }
        }
        Ok(None)
    }

    /// Bytes of the segments from the one with `from` up to the one that begins at or above `to`.
    fn bytes_between(&self, from: Offset, to: Offset) -> u64 {
        let segments = self.segments.from(self.segments.floor(from)).iter();
        segments.take_while(|segment| segment.base() < to).map(Segment::size).sum()
    }

    /// The offset below which the log has been cleaned, for the owner to keep and to [set](Self::set_clean_checkpoint)
    /// at the next start; `None` if it never was. A [`LogDir`](crate::LogDir) does so for all its logs.
    #[must_use]
    pub fn clean_checkpoint(&self) -> Option<Offset> {
        self.clean_checkpoint
    }

    /// Tells a log that has just been opened how far it had been cleaned.
    pub fn set_clean_checkpoint(&mut self, first_dirty: Option<Offset>) {
        self.clean_checkpoint = first_dirty;
    }

    /// Begins a pass over the log: see [`CleanTask`]. `None` if there is nothing to clean, or while another pass is under
    /// way.
    ///
    /// `cleanable` is what [`cleanable`](Self::cleanable) has just said. Inspects every segment's file, and syncs
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Corrupt`], [`LogError::Poisoned`].
    pub fn clean_task(&mut self, cleanable: &Cleanable, now: TimestampMs) -> Result<Option<CleanTask>, LogError> {
        self.check_open()?;
        let Cleanable { first_dirty, first_uncleanable, .. } = *cleanable;
        if first_uncleanable <= first_dirty {
            return Ok(None);
        }
        let mut sources = Vec::new();
        let mut scan_start = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let Some(end) = self.segments.next_base(index).filter(|end| *end <= first_uncleanable) else { break };
            if segment.base() <= first_dirty && first_dirty < end {
                scan_start = segment.floor_position(first_dirty)?;
            }
            segment.touch()?;
            let facts = self.place.disk.metadata(segment.path()).map_err(LogError::io("inspect", segment.path()))?;
            sources.push(Source::of(segment, end, facts.modified));
        }
        let aborted = self.aborted_between(self.segments.first().base(), first_uncleanable)?;
        let Some(cleaning) = self.cleaning.begin(first_uncleanable) else { return Ok(None) };
        let last_batches = LastBatches::of(self.producers.summaries());
        let input = CleanInput {
            place: self.place.clone(),
            cleaning,
            health: self.health.clone(),
            first_dirty,
            first_uncleanable,
            scan_start,
            aborted,
            now,
        };
        Ok(Some(CleanTask::new(input, sources, last_batches)))
    }

    /// Puts the group of segments that `task` has ready in the place of those it was made of. Returns whether it did.
    ///
    /// Renames some files and syncs the directory three times. The old files are unlinked by
    /// [`due_deletions`](Self::due_deletions) after `file_delete_delay_ms`; readers that hold a slice keep it.
    ///
    /// The group is discarded, and nothing changes, if any of the old segments has been deleted meanwhile, or the log
    /// truncated below what the pass is about.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn complete_clean(&mut self, task: &mut CleanTask, now: TimestampMs) -> Result<bool, LogError> {
        self.check_open()?;
        let Some(ready) = task.take_ready() else { return Ok(false) };
        if !self.cleaning.is_current(task.cleaning()) || !self.has_sources(&ready) {
            task.on_discarded();
            return Ok(false);
        }
        let swapped = self.swap(&ready, now);
        // Whatever has become of the files, they are not the task's any more.
        task.on_swapped();
        self.health.watch(swapped)?;
        Ok(true)
    }

    /// Ends a pass. If it is complete, everything below what it has seen counts as clean from now on.
    pub fn finish_clean(&mut self, task: CleanTask) -> Cleaned {
        let is_current = self.cleaning.is_current(task.cleaning());
        let mut cleaned = task.into_cleaned();
        cleaned.first_dirty = cleaned.first_dirty.filter(|_| is_current);
        self.clean_checkpoint = cleaned.first_dirty.or(self.clean_checkpoint);
        cleaned
    }

    /// Cleans the log if that is [due](Cleanable::is_due), and waits for it. `None` if it is not.
    ///
    /// For owners who have no readers or writers that would have to wait; see [`CleanTask`] otherwise.
    ///
    /// # Errors
    ///
    /// As [`CleanTask::run`] and [`complete_clean`](Self::complete_clean).
    pub fn clean(&mut self, cleaner: &mut Cleaner, now: TimestampMs) -> Result<Option<Cleaned>, LogError> {
        let cleanable = self.cleanable(now)?;
        if !cleanable.is_due() {
            return Ok(None);
        }
        let Some(mut task) = self.clean_task(&cleanable, now)? else { return Ok(None) };
        while task.run(cleaner, &mut |_| ControlFlow::Continue(()))? == CleanStep::GroupReady {
            self.complete_clean(&mut task, now)?;
        }
        Ok(Some(self.finish_clean(task)))
    }

    /// Whether all the segments that a group was made of are still there. They do not change otherwise.
    fn has_sources(&self, ready: &Ready) -> bool {
        let is_there = |extent: &crate::clean::Extent| {
            let index = self.segments.position(extent.base);
            index.is_some_and(|index| self.segments.next_base(index) == Some(extent.end))
        };
        ready.sources.iter().all(is_there)
    }

    fn swap(&mut self, ready: &Ready, now: TimestampMs) -> Result<(), LogError> {
        let old: Vec<Offset> = ready.sources.iter().map(|extent| extent.base).collect();
        let first = self.segments.floor(old[0]);
        commit(&self.place, &ready.bases)?;
        self.deletions.remove_replaced(&self.place, &mut self.snapshots, &old, &ready.bases, now)?;
        sync_dir(&*self.place.disk, &self.place.dir)?;
        complete(&self.place, &ready.bases)?;
        let open = |&base: &Offset| {
            let mut segment = Segment::open(&self.place, base, now)?;
            segment.open_now(&self.place)?;
            Ok(segment)
        };
        let new = ready.bases.iter().map(open).collect::<Result<_, LogError>>()?;
        self.segments.replace(first..first + old.len(), new);
        Ok(())
    }
}

/// Whether the first batch of any of these segments was written more than `lag_ms` ago, by its timestamp.
fn is_any_older(segments: &[Segment], lag_ms: u64, now: TimestampMs) -> Result<bool, LogError> {
    for segment in segments {
        let first = segment.first_timestamp()?;
        let age = now.ms_since(first);
        if 0 < first.value() && u64::try_from(age).is_ok_and(|age| lag_ms < age) {
            return Ok(true);
        }
    }
    Ok(false)
}
