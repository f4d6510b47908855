//! Writing down what the next start goes by: checkpoints, manifest, clean marker.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use highwater_types::{BrokerEpoch, Offset, TimestampMs, TopicPartition};

use super::LogDir;
use super::manifest::{FileStamp, Manifest, Remembered};
use super::stale::Stale;
use crate::disk::OpenMode;
use crate::error::LogError;
use crate::files::{CleanMarker, OffsetCheckpoint, PartitionOffsets, replace_file};
use crate::log::{Log, LogCheckpoint};
use crate::names::with_suffix;

/// What was written last, so that it is not written again.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// A digest of the logs' checkpoints, unless some of them could not go into the manifest yet.
    pub(super) logs: Option<u64>,
    recovery_points: Option<u64>,
    log_starts: Option<u64>,
    high_watermarks: Option<u64>,
    cleaned: Option<u64>,
    /// Whom the files speak of who is gone.
    pub(super) stale: Stale,
    /// What the file system gives as its time, from before any of the checkpoints to write were taken. Files with
    /// earlier times have been as they are for a while.
    as_of: Option<TimestampMs>,
}

impl Written {
    /// Takes note of what the checkpoint of compaction holds, which is not written while it stays so.
    pub(super) fn note_cleaned(&mut self, offsets: &PartitionOffsets) {
        self.cleaned = Some(digest(offsets));
    }

    /// The checkpoint files, each with the digest of what it holds.
    pub(super) fn files(&mut self) -> [(&'static str, &mut Option<u64>); 4] {
        [
            (OffsetCheckpoint::RECOVERY_POINT, &mut self.recovery_points),
            (OffsetCheckpoint::LOG_START, &mut self.log_starts),
            (OffsetCheckpoint::REPLICATION, &mut self.high_watermarks),
            (OffsetCheckpoint::CLEANER, &mut self.cleaned),
        ]
    }
}

impl LogDir {
    /// Brings the checkpoint files and the manifest up to date with these logs, which must be all of the directory.
    ///
    /// Syncs up to ten times, and asks for the times of a few files for each log; does nothing if nothing has changed.
    /// Do it from time to time, not per append, and after a log has been compacted. Kafka writes high watermarks every 5
    /// seconds and the others every minute.
    ///
    /// The manifest has the logs that are [anchored](Log::anchor_task) and whose files have not changed since the call
    /// before.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn write_checkpoints(&self, logs: &[LogCheckpoint]) -> Result<(), LogError> {
        self.check_online()?;
        let mut written = self.written.lock();
        let digest = digest(logs);
        if written.logs == Some(digest) {
            return Ok(());
        }
        written.logs = None;
        let checkpoints = self.replace_checkpoints(&mut written, logs);
        self.health.watch(checkpoints)?;
        written.stale.clear();
        let is_complete = self.replace_manifest(&written, logs);
        if self.health.watch(is_complete)? {
            written.logs = Some(digest);
        }
        drop(written);
        self.note_time()
    }

    fn replace_checkpoints(&self, written: &mut Written, logs: &[LogCheckpoint]) -> Result<(), LogError> {
        let mut recovery_points = PartitionOffsets::new();
        let mut log_starts = PartitionOffsets::new();
        let mut high_watermarks = PartitionOffsets::new();
        let mut cleaned = PartitionOffsets::new();
        for log in logs {
            let partition = self.partition_of(&log.path)?;
            recovery_points.insert(partition.clone(), log.recovery_point);
            if log.first_base < log.log_start {
                log_starts.insert(partition.clone(), log.log_start);
            }
            if let Some(first_dirty) = log.clean_checkpoint {
                cleaned.insert(partition.clone(), first_dirty);
            }
            high_watermarks.insert(partition, log.high_watermark);
        }
        self.replace_checkpoint(&mut written.recovery_points, OffsetCheckpoint::RECOVERY_POINT, &recovery_points)?;
        self.replace_checkpoint(&mut written.log_starts, OffsetCheckpoint::LOG_START, &log_starts)?;
        self.replace_checkpoint(&mut written.high_watermarks, OffsetCheckpoint::REPLICATION, &high_watermarks)?;
        self.replace_checkpoint(&mut written.cleaned, OffsetCheckpoint::CLEANER, &cleaned)
    }

    /// Replaces one of the files unless it says the same, of which `known` is a digest.
    fn replace_checkpoint(
        &self,
        known: &mut Option<u64>,
        name: &str,
        offsets: &PartitionOffsets,
    ) -> Result<(), LogError> {
        let digest = digest(offsets);
        if *known != Some(digest) {
            *known = None;
            OffsetCheckpoint::new(self.path.join(name)).write(&*self.disk, offsets)?;
            *known = Some(digest);
        }
        Ok(())
    }

    /// Writes the manifest. Returns whether all logs are in it of which anything is known.
    fn replace_manifest(&self, written: &Written, logs: &[LogCheckpoint]) -> Result<bool, LogError> {
        let path = self.path.join(OffsetCheckpoint::RECOVERY_POINT);
        let checkpoint = FileStamp::of(&*self.disk, &path).map_err(LogError::io("inspect", &path))?;
        let mut manifest = Manifest { checkpoint, logs: HashMap::new() };
        let mut is_complete = true;
        for log in logs {
            let Some(facts) = &log.facts else { continue };
            let remembered =
                written.as_of.and_then(|as_of| Remembered::of(&*self.disk, &log.path, log.topic_id, facts, as_of));
            match remembered {
                Some(remembered) => {
                    manifest.logs.insert(self.partition_of(&log.path)?, remembered);
                }
                None => is_complete = false,
            }
        }
        if let Some(bytes) = manifest.format() {
            replace_file(&*self.disk, &Manifest::path(&self.path), &bytes)?;
        }
        Ok(is_complete)
    }

    /// Asks the file system for its time, by which it stamps files.
    pub(super) fn note_time(&self) -> Result<(), LogError> {
        let mut written = self.written.lock();
        let path = with_suffix(&Manifest::path(&self.path), ".tmp");
        let time = || {
            let file = self.disk.open(&path, OpenMode::Create)?;
            file.set_len(0)?;
            file.write_all_at(&[0], 0)?;
            drop(file);
            Ok(self.disk.metadata(&path)?.modified)
        };
        written.as_of = Some(self.health.watch(time().map_err(LogError::io("write", &path)))?);
        Ok(())
    }

    /// Brings the file of high watermarks up to date with these, which must be all of the directory.
    ///
    /// The part of [`write_checkpoints`](Self::write_checkpoints) that changes all the time. Syncs twice, or does
    /// nothing if nothing has changed.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn write_high_watermarks(&self, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<(), LogError> {
        self.check_online()?;
        let mut written = self.written.lock();
        let replaced = self.replace_checkpoint(&mut written.high_watermarks, OffsetCheckpoint::REPLICATION, offsets);
        self.health.watch(replaced)
    }

    /// Closes all logs, which must be all of the directory, and leaves the clean marker.
    ///
    /// Many logs are synced together, with one `syncfs`.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`]. There is then no marker, and the next start checks everything.
    pub fn close_clean(
        self,
        mut logs: Vec<Log>,
        broker_epoch: Option<BrokerEpoch>,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let mut changed = Vec::new();
        for log in &mut logs {
            if log.close_unsynced(now)? {
                changed.push(log);
            } else {
                log.finish_close();
            }
        }
        let are_synced = self.sync().sync_for(changed.len())?;
        for log in changed {
            if !are_synced {
                log.sync_to_close()?;
            }
            log.finish_close();
        }
        // Nobody changes anything any more, so the time may be taken just before the files' times.
        self.note_time()?;
        let checkpoints: Vec<LogCheckpoint> = logs.iter().map(Log::checkpoint).collect();
        drop(logs);
        self.write_checkpoints(&checkpoints)?;
        CleanMarker { broker_epoch }.leave(&*self.disk, &self.path)
    }
}

pub(super) fn digest(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
