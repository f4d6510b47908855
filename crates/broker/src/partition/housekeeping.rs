//! What has to be done from time to time: retention, checkpoints, syncs, deletions, expiry.

use std::sync::Arc;

use highwater_log::{DeleteTask, FlushDone, Log, LogCheckpoint, LogError};
use highwater_types::TimestampMs;
use parking_lot::Mutex;

use super::{Directories, Directory, LockedPartition, Partition, PartitionError, SyncThreads};
use crate::view::{View, ViewCell};

/// How often each duty is due, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// `log.retention.check.interval.ms`.
    pub(crate) retention_ms: i64,
    /// `replica.high.watermark.checkpoint.interval.ms`; unchanged high watermarks are not written again.
    pub(crate) high_watermark_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`: between two looks at recovery points, log starts and idle logs.
    pub(crate) checkpoint_ms: i64,
    /// Between two looks at logs with `flush.ms` set.
    pub(crate) flush_ms: i64,
    /// Between two expiries of idle idempotent producers.
    pub(crate) producers_ms: i64,
}

/// Does the periodic work on all partitions.
///
/// Call [`run`](Self::run) at or after [`next_due`](Self::next_due), on a thread that may block; it takes a
/// partition's lock only for work in memory, except where retention rolls or renames files.
pub(crate) struct Housekeeper {
    view: Arc<ViewCell>,
    directories: Directories,
    syncs: Arc<SyncThreads>,
    intervals: Intervals,
    retention_due: TimestampMs,
    high_watermark_due: TimestampMs,
    checkpoint_due: TimestampMs,
    flush_due: TimestampMs,
    producers_due: TimestampMs,
    deleting: Deleting,
}

/// Partitions with renamed segments that wait for their unlinking, once for each time that segments were renamed.
pub(crate) type Deleting = Arc<Mutex<Vec<Arc<Partition>>>>;

impl Housekeeper {
    pub(crate) fn new(
        view: Arc<ViewCell>,
        directories: Directories,
        syncs: Arc<SyncThreads>,
        intervals: Intervals,
        now: TimestampMs,
    ) -> Self {
        Self {
            view,
            directories,
            syncs,
            intervals,
            // Kafka also waits half a minute before the first retention, so that a restart is not slowed by it.
            retention_due: now.plus_ms(intervals.retention_ms.min(FIRST_RETENTION_MS)),
            high_watermark_due: now.plus_ms(intervals.high_watermark_ms),
            checkpoint_due: now.plus_ms(intervals.checkpoint_ms),
            flush_due: now.plus_ms(intervals.flush_ms),
            producers_due: now.plus_ms(intervals.producers_ms),
            deleting: Deleting::default(),
        }
    }

    /// Where others say which partitions have files to unlink.
    pub(crate) fn deleting(&self) -> Deleting {
        Arc::clone(&self.deleting)
    }

    /// When [`run`](Self::run) has something to do.
    pub(crate) fn next_due(&self) -> TimestampMs {
        let checkpoints = self.high_watermark_due.min(self.checkpoint_due);
        self.retention_due.min(checkpoints).min(self.flush_due).min(self.producers_due)
    }

    /// Does what is due.
    pub(crate) fn run(&mut self, now: TimestampMs) {
        if self.flush_due <= now {
            let wanted = self.flush_by_time(now);
            // Looking at every partition each second costs too much where none of them wants it.
            self.flush_due =
                now.plus_ms(if wanted { self.intervals.flush_ms } else { self.intervals.high_watermark_ms });
        }
        if self.retention_due <= now {
            self.retention_due = now.plus_ms(self.intervals.retention_ms);
            apply_retention(&self.view, &self.deleting, now);
        }
        if self.producers_due <= now {
            self.producers_due = now.plus_ms(self.intervals.producers_ms);
            self.each(|mut partition| {
                partition.with_log(|log| {
                    log.expire_producers(now);
                    Ok(())
                })
            });
        }
        if self.high_watermark_due <= now {
            self.high_watermark_due = now.plus_ms(self.intervals.high_watermark_ms);
            self.delete_files(now);
            self.write_high_watermarks();
        }
        if self.checkpoint_due <= now {
            self.checkpoint_due = now.plus_ms(self.intervals.checkpoint_ms);
            self.anchor();
            self.write_checkpoints();
        }
    }

    fn write_high_watermarks(&self) {
        let view = self.view.load();
        for directory in self.directories.iter().filter(|directory| !directory.is_offline()) {
            let ends = partitions_in(&view, directory)
                .filter_map(|partition| Some((partition.name().clone(), partition.lock().ok()?.log().high_watermark())))
                .collect();
            // A failure takes the directory offline, which says so.
            let _ = directory.write_high_watermarks(&ends);
        }
    }

    /// Makes logs that have become idle known to the next start, many with one sync.
    fn anchor(&self) {
        let view = self.view.load();
        for directory in self.directories.iter().filter(|directory| !directory.is_offline()) {
            let mut partitions = partitions_in(&view, directory).peekable();
            while partitions.peek().is_some() {
                let tasks = partitions.by_ref().take(ANCHORED_AT_ONCE_MAX).filter_map(|partition| {
                    let task = partition.lock().and_then(|mut locked| locked.anchor_task());
                    Some((partition, task.inspect_err(|error| report(partition, error)).ok()??))
                });
                let (anchoring, tasks): (Vec<_>, Vec<_>) = tasks.unzip();
                match directory.sync().run(tasks) {
                    Ok(done) => anchoring.into_iter().zip(done).for_each(|(partition, done)| complete(partition, done)),
                    Err(error) => directory.fail(&error),
                }
            }
        }
    }

    /// Writes the checkpoint files and the manifests.
    fn write_checkpoints(&self) {
        let view = self.view.load();
        for directory in self.directories.iter().filter(|directory| !directory.is_offline()) {
            let states: Vec<LogCheckpoint> = partitions_in(&view, directory)
                .filter_map(|partition| Some(partition.lock().ok()?.checkpoint()))
                .collect();
            // A failure takes the directory offline, which says so.
            let _ = directory.write_checkpoints(&states);
        }
    }

    /// Begins to sync the logs whose `flush.ms` has passed. Returns whether any log has that setting.
    fn flush_by_time(&self, now: TimestampMs) -> bool {
        let mut wanted = false;
        let view = self.view.load();
        for partition in view.topics.partitions() {
            let Ok(mut locked) = partition.lock() else { continue };
            let Some(flush_ms) = locked.log().config().flush_ms else { continue };
            wanted = true;
            let due = locked.flushed_at().plus_ms(i64::try_from(flush_ms).unwrap_or(i64::MAX));
            if now < due || locked.log().recovery_point() == locked.log().log_end() {
                continue;
            }
            // If another flush is under way, this one is due next time.
            let Some(task) = locked.begin_flush(Log::flush_task) else { continue };
            *locked.flushed_at() = now;
            drop(locked);
            self.syncs.submit(partition, task);
        }
        wanted
    }

    fn delete_files(&mut self, now: TimestampMs) {
        for directory in self.directories.iter() {
            if let Some(task) = directory.due_deletions(now) {
                unlink(task);
            }
        }
        let mut deleting = std::mem::take(&mut *self.deleting.lock());
        deleting.retain(|partition| {
            let Ok(mut locked) = partition.lock() else { return false };
            let task = locked.with_log(|log| Ok(log.due_deletions(now))).ok().flatten();
            drop(locked);
            match task {
                Some(task) => {
                    unlink(task);
                    false
                }
                None => true,
            }
        });
        self.deleting.lock().append(&mut deleting);
    }

    fn each(&self, work: impl Fn(LockedPartition<'_>) -> Result<(), PartitionError>) {
        let view = self.view.load();
        for partition in view.topics.partitions() {
            if let Ok(locked) = partition.lock()
                && let Err(error) = work(locked)
            {
                report(partition, &error);
            }
        }
    }
}

/// Removes what retention says from every partition.
pub(crate) fn apply_retention(view: &ViewCell, deleting: &Deleting, now: TimestampMs) {
    let view = view.load();
    for partition in view.topics.partitions() {
        let Ok(mut locked) = partition.lock() else { continue };
        match locked.with_log(|log| log.apply_retention(now)) {
            Ok(0) => {}
            Ok(segments) => {
                tracing::info!(partition = %partition.name(), segments, "retention removed segments");
                deleting.lock().push(Arc::clone(partition));
            }
            Err(error) => report(partition, &error),
        }
    }
}

fn complete(partition: &Partition, done: FlushDone) {
    if let Ok(mut locked) = partition.lock() {
        locked.anchored(done);
    }
}

fn partitions_in<'v>(view: &'v View, directory: &Arc<Directory>) -> impl Iterator<Item = &'v Arc<Partition>> {
    view.topics.partitions().filter(move |partition| Arc::ptr_eq(partition.directory(), directory))
}

fn unlink(task: DeleteTask) {
    if let Err(error) = task.run() {
        // The names end in .deleted or -delete: the next start removes what is left.
        tracing::warn!("files of deleted data were not removed: {error}");
    }
}

fn report(partition: &Partition, error: &PartitionError) {
    match error {
        // Said once, by the directory.
        PartitionError::Offline | PartitionError::Log(LogError::Io { .. } | LogError::Poisoned) => {}
        error => tracing::error!(partition = %partition.name(), "housekeeping was refused: {error}"),
    }
}

const FIRST_RETENTION_MS: i64 = 30_000;
/// Logs that are anchored with one sync; what is gathered of each takes about half a kilobyte.
const ANCHORED_AT_ONCE_MAX: usize = 4096;
