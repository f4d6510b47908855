//! Making appends durable (storage format, section 15).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use highwater_types::Offset;

use super::Log;
use super::anchor::Anchor;
use crate::disk::{Disk, FileHandle};
use crate::error::LogError;
use crate::health::LogHealth;

/// Files to sync, to be run without holding up the log. Give the outcome to [`Log::complete_flush`].
#[derive(Debug)]
#[must_use = "nothing is synced until the task is run"]
pub struct FlushTask {
    pub(super) files: Vec<(FileHandle, PathBuf)>,
    /// Synced when files have been created since the last flush.
    pub(super) dir: Option<(Arc<dyn Disk>, PathBuf)>,
    pub(super) health: LogHealth,
    pub(super) done: FlushDone,
}

/// Proof that a [`FlushTask`] has been run.
#[derive(Clone, Copy, Debug)]
#[must_use = "the recovery point moves when Log::complete_flush gets this"]
pub struct FlushDone {
    pub(super) up_to: Offset,
    pub(super) truncations: u64,
    /// Base of the segment that was active, whose indexes are not synced, or not as they are once it is closed.
    pub(super) active: Offset,
    /// What is known afterwards, if index entries were synced too.
    pub(super) anchor: Option<Anchor>,
}

impl FlushTask {
    /// The offset below which everything will be durable.
    #[must_use]
    pub fn up_to(&self) -> Offset {
        self.done.up_to
    }

    /// Syncs the files: one `fdatasync` each, and one of the directory after a roll.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`]; the log is poisoned, since what had been written may be lost now.
    pub fn run(self) -> Result<FlushDone, LogError> {
        let sync = || {
            for (file, path) in &self.files {
                match file.sync_data() {
                    // Removed before it was ever opened: nothing of it is left to be durable.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    other => other.map_err(LogError::io("sync", path))?,
                }
            }
            match &self.dir {
                Some((disk, path)) => match disk.sync_dir(path) {
                    // Renamed since, because the log was deleted.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                    other => other.map_err(LogError::io("sync", path)),
                },
                None => Ok(()),
            }
        };
        self.health.watch(sync())?;
        Ok(self.done)
    }

    /// The outcome, where the whole file system was synced after the task was made.
    pub(crate) fn already_run(self) -> FlushDone {
        self.done
    }
}

impl Log {
    /// Makes everything appended so far durable, and waits for it.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn flush(&mut self) -> Result<(), LogError> {
        self.health.check()?;
        if let Some(task) = self.flush_task() {
            let done = task.run()?;
            self.complete_flush(done);
        }
        Ok(())
    }

    /// Everything below survives a crash of the machine.
    #[must_use]
    pub fn synced_to(&self) -> Offset {
        self.synced_to
    }

    /// Everything below may be acknowledged to producers and shown to consumers.
    ///
    /// That is the whole log, unless `flush_messages` is set: then fewer than so many records are settled without
    /// being synced, so that with 1 nothing is. What is above waits for [`due_flush`](Self::due_flush).
    #[must_use]
    pub fn settled_to(&self) -> Offset {
        self.settled_to
    }

    /// What to sync to make everything appended so far durable; `None` if it is.
    pub fn flush_task(&mut self) -> Option<FlushTask> {
        self.flush_due = false;
        self.task_up_to(self.written_end().offset)
    }

    /// What has to be synced by now: everything, where `flush_messages` has been reached, else what rolls have left.
    /// Cheap if there is nothing.
    ///
    /// What rolls have left is handed out once. For what `flush_messages` asks for, every call hands out a task until one
    /// is complete: run one at a time, and all appends made meanwhile share the next.
    pub fn due_flush(&mut self) -> Option<FlushTask> {
        if self.settled_to < self.log_end {
            return self.flush_task();
        }
        if !self.flush_due {
            return None;
        }
        self.flush_due = false;
        self.task_up_to(self.segments.active().base().min(self.log_end))
    }

    /// Takes note of a finished flush: the recovery point moves.
    ///
    /// A flush that began before a truncation counts for nothing. Otherwise more may be [settled](Self::settled_to), so
    /// that the high watermark can be raised and appends be acknowledged; and another flush may be due.
    pub fn complete_flush(&mut self, done: FlushDone) {
        if done.truncations == self.truncations {
            assert!(done.up_to <= self.log_end, "without a truncation the log end does not go back");
            let recoverable = self.recoverable_from(&done);
            self.synced_to = self.synced_to.max(recoverable);
            self.recovery_point = self.recovery_point.max(recoverable);
            self.anchor = done.anchor.or(self.anchor);
            self.settle();
        }
    }

    /// Where recovery may begin after a flush. If a roll has closed the active segment meanwhile, right where the flush
    /// ends, its indexes are not synced: recovery must still begin in it, and the next flush come back to it.
    fn recoverable_from(&self, done: &FlushDone) -> Offset {
        let next = self.segments.next_base(self.segments.floor(done.active));
        match next.and_then(|next| next.value().checked_sub(1)) {
            Some(last) => done.up_to.min(Offset::new(last)),
            None => done.up_to,
        }
    }

    /// Writes index entries that are still kept in memory to the index files.
    ///
    /// Nothing in the log depends on it: the indexes of the active segment are rebuilt after a crash.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn flush_indexes(&mut self) -> Result<(), LogError> {
        self.health.check()?;
        let written = self.segments.active_mut().write_indexes();
        self.health.watch(written)
    }

    /// Settles as much as `flush_messages` allows, after an append or a flush.
    pub(super) fn settle(&mut self) {
        let end = self.written_end().offset;
        let unsynced = self.synced_to.records_until(end).unwrap_or(0);
        let is_allowed = self.place.config.flush_messages.is_none_or(|messages| unsynced < messages);
        self.settled_to = if is_allowed { end } else { self.settled_to.max(self.synced_to) };
    }

    fn task_up_to(&self, up_to: Offset) -> Option<FlushTask> {
        if up_to <= self.synced_to {
            return None;
        }
        let mut files = Vec::new();
        let mut has_new_files = false;
        let from = self.segments.floor(self.synced_to);
        for (index, segment) in self.segments.from(from).iter().enumerate() {
            if up_to <= segment.base() {
                break;
            }
            has_new_files |= self.synced_to <= segment.base();
            // The active segment's indexes are rebuilt after a crash, whatever their state.
            let is_active = from + index + 1 == self.segments.len();
            files.extend(segment.handles().into_iter().take(if is_active { 1 } else { 3 }));
            if !is_active && let Some(txn_index) = segment.txn_handle() {
                files.push(txn_index);
                // Its name may be younger than the segment's others.
                has_new_files = true;
            }
        }
        let dir = has_new_files.then(|| (Arc::clone(&self.place.disk), self.place.dir.clone()));
        let active = self.segments.active().base();
        let done = FlushDone { up_to, truncations: self.truncations, active, anchor: None };
        Some(FlushTask { files, dir, health: self.health.clone(), done })
    }
}
