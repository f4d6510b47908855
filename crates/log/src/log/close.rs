//! Closing a log in order.

use highwater_types::TimestampMs;

use super::Log;
use crate::error::LogError;

impl Log {
    /// Closes the log: producer snapshot, last time index entry, files cut to their content, everything synced.
    ///
    /// Afterwards it can be read but not changed. Given back with `clean: true` at the next
    /// [`open`](Self::open), nothing needs to be checked.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`]; the log must then not be taken for cleanly closed.
    pub fn close(&mut self, now: TimestampMs) -> Result<(), LogError> {
        if self.close_unsynced(now)? {
            self.sync_to_close()?;
        }
        self.finish_close();
        Ok(())
    }

    /// The first part of [`close`](Self::close): leaves the syncing to the caller. Returns whether there is anything to
    /// sync, which is not so if nothing was done to the log since it was opened.
    pub(crate) fn close_unsynced(&mut self, now: TimestampMs) -> Result<bool, LogError> {
        self.check_open()?;
        if self.is_sealed() {
            return Ok(false);
        }
        tracing::debug!(dir = %self.place.dir.display(), %now, log_end = %self.log_end, "closing");
        let written = self.write_to_close();
        self.health.watch(written)?;
        Ok(true)
    }

    /// The last part of closing, once everything is synced.
    pub(crate) fn finish_close(&mut self) {
        self.synced_to = self.log_end;
        self.recovery_point = self.log_end;
        self.anchor = self.anchor_at_end(true);
        self.is_closed = true;
    }

    fn write_to_close(&mut self) -> Result<(), LogError> {
        self.snapshots.take(&self.place, &mut self.producers)?;
        self.segments.active_mut().seal()
    }

    /// The second part of closing: makes everything durable.
    pub(crate) fn sync_to_close(&mut self) -> Result<(), LogError> {
        let synced = self.sync_files();
        self.health.watch(synced)
    }

    fn sync_files(&mut self) -> Result<(), LogError> {
        if let Some(task) = self.flush_task() {
            let done = task.run()?;
            self.complete_flush(done);
        }
        // The task leaves out the active segment's indexes, and everything if no record is new.
        for (file, path) in self.segments.active().handles() {
            file.sync_data().map_err(LogError::io("sync", &path))?;
        }
        self.segments.active().sync_txn_index()?;
        self.snapshots.sync_newest(&self.place)?;
        self.place.disk.sync_dir(&self.place.dir).map_err(LogError::io("sync", &self.place.dir))
    }
}
