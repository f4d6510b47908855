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
        self.check_open()?;
        let closed = self.close_files(now);
        self.health.watch(closed)
    }

    fn close_files(&mut self, now: TimestampMs) -> Result<(), LogError> {
        tracing::debug!(dir = %self.place.dir.display(), %now, log_end = %self.log_end, "closing");
        self.snapshots.take(&self.place, &mut self.producers)?;
        self.segments.active_mut().seal()?;
        if let Some(task) = self.flush_task() {
            let done = task.run()?;
            self.complete_flush(done);
        }
        // The task leaves out the active segment's indexes, and everything if no record is new.
        for (file, path) in self.segments.active().handles() {
            file.sync_data().map_err(LogError::io("sync", &path))?;
        }
        self.segments.active().sync_txn_index()?;
        self.place.disk.sync_dir(&self.place.dir).map_err(LogError::io("sync", &self.place.dir))?;
        self.is_closed = true;
        Ok(())
    }
}
