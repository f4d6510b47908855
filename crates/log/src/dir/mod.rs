//! A directory of logs: `log.dir`.

mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::{BrokerEpoch, TimestampMs, TopicId, TopicPartition, Uuid};
use parking_lot::Mutex;

pub(crate) use open::OTHER_DIRECTORIES;
pub use open::{DirOptions, LockedDir, OpenedDir, OpenedLog};

use crate::config::CheckedLogConfig;
use crate::disk::{Disk, DiskLock};
use crate::error::LogError;
use crate::files::{CleanMarker, MetaProperties, OffsetCheckpoint, PartitionMetadata, PartitionOffsets};
use crate::health::DirHealth;
use crate::log::{DeleteTask, DeletionQueue, Log, LogCheckpoint, OpenOptions};
use crate::names::{Suffix, set_aside_name};

/// A log directory: one lock, three checkpoint files, and a directory for each partition's log.
///
/// It hands its logs out by value and does not keep them: their owner decides how they are shared, gives their
/// [checkpoints](Log::checkpoint) back from time to time, and the logs themselves at the end. All of it shares
/// one fate: a failed write or sync in any log takes the whole directory [offline](Self::is_offline), as its
/// disk is not to be trusted any more.
///
/// Dropping it releases the lock and leaves no clean marker, which is what a crash does.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    meta: Option<MetaProperties>,
    clean_marker: Option<CleanMarker>,
    health: DirHealth,
    deletions: DeletionQueue,
    /// What `cleaner-offset-checkpoint` holds. Locked while any checkpoint is written, as two writers would share a
    /// temporary file.
    cleaned: Mutex<PartitionOffsets>,
    _lock: Box<dyn DiskLock>,
}

impl LogDir {
    /// Makes a directory ready for use: creates it and writes `meta.properties`.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    pub fn format(disk: &dyn Disk, path: &Path, meta: &MetaProperties) -> Result<(), LogError> {
        disk.create_dir_all(path).map_err(LogError::io("create", path))?;
        meta.write(disk, path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whom it belongs to; `None` if it has not been [formatted](Self::format).
    #[must_use]
    pub fn meta(&self) -> Option<&MetaProperties> {
        self.meta.as_ref()
    }

    /// Whether all logs had been closed in order.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.clean_marker.is_some()
    }

    /// Epoch of the broker that closed the directory in order.
    #[must_use]
    pub fn previous_broker_epoch(&self) -> Option<BrokerEpoch> {
        self.clean_marker?.broker_epoch
    }

    /// Whether a write or sync has failed. Everything in the directory then refuses to work until it is opened
    /// again.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.health.is_offline()
    }

    /// Creates an empty log for a partition, or opens the one that is there.
    ///
    /// Writes and syncs `partition.metadata` before the log has its first byte.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`] if the directory is offline.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: Option<TopicId>,
        config: CheckedLogConfig,
        now: TimestampMs,
    ) -> Result<Log, LogError> {
        self.check_online()?;
        let path = self.path.join(partition.to_string());
        let created = self.create_partition_dir(&path, topic_id);
        self.health.watch(created)?;
        Log::open_in(Arc::clone(&self.disk), &path, config, OpenOptions::unclean(now), &self.health)
    }

    fn create_partition_dir(&self, path: &Path, topic_id: Option<TopicId>) -> Result<(), LogError> {
        self.disk.create_dir_all(path).map_err(LogError::io("create", path))?;
        if let Some(topic_id) = topic_id {
            PartitionMetadata { topic_id }.write(&*self.disk, path)?;
        }
        self.disk.sync_dir(&self.path).map_err(LogError::io("sync", &self.path))
    }

    /// Writes and syncs the `partition.metadata` of a log that was found without one, as a crash during
    /// [`create_log`](Self::create_log) leaves it. Kafka refuses to start on a log that has none.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`] if the directory is offline, and [`LogError::UnknownDirectory`] for a
    /// log that is not in this directory.
    pub fn assign_topic(&self, log: &Log, topic_id: TopicId) -> Result<(), LogError> {
        self.check_online()?;
        self.partition_of(log.path())?;
        self.health.watch(PartitionMetadata { topic_id }.write(&*self.disk, log.path()))
    }

    /// Sets a log aside for deletion: its directory is renamed at once and unlinked after the log's
    /// `file_delete_delay_ms`, see [`due_deletions`](Self::due_deletions).
    ///
    /// `unique` tells it from earlier logs of the same partition.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], and [`LogError::UnknownDirectory`] for a log that is not in this directory.
    pub fn delete_log(&mut self, log: Log, unique: Uuid, now: TimestampMs) -> Result<(), LogError> {
        let delay = i64::try_from(log.config().file_delete_delay_ms).unwrap_or(i64::MAX);
        let renamed = self.set_aside(log, unique, Suffix::DELETE)?;
        self.deletions.push(now.plus_ms(delay), renamed);
        Ok(())
    }

    /// Sets a log aside that belongs to no known partition. It is kept, for a human to look at.
    ///
    /// # Errors
    ///
    /// As [`delete_log`](Self::delete_log).
    pub fn mark_stray(&mut self, log: Log, unique: Uuid) -> Result<(), LogError> {
        self.set_aside(log, unique, Suffix::STRAY).map(drop)
    }

    fn set_aside(&self, log: Log, unique: Uuid, suffix: &str) -> Result<PathBuf, LogError> {
        let from = log.path().to_owned();
        let partition = self.partition_of(&from)?;
        let to = self.path.join(set_aside_name(&partition, unique, suffix));
        drop(log);
        let renamed = self.disk.rename(&from, &to).map_err(LogError::io("rename", &from));
        let synced = renamed.and_then(|()| self.disk.sync_dir(&self.path).map_err(LogError::io("sync", &self.path)));
        self.health.watch(synced)?;
        Ok(to)
    }

    fn partition_of(&self, path: &Path) -> Result<TopicPartition, LogError> {
        let name = path.strip_prefix(&self.path).ok().and_then(Path::to_str);
        let unknown = || LogError::UnknownDirectory { path: path.to_owned() };
        name.and_then(TopicPartition::from_dir_name).ok_or_else(unknown)
    }

    /// Deleted logs whose delay is over, to be unlinked where nobody waits for it.
    pub fn due_deletions(&mut self, now: TimestampMs) -> Option<DeleteTask> {
        self.deletions.take_due(&self.disk, now)
    }

    /// Replaces the checkpoint files by the offsets of these logs, which must be all of the directory.
    ///
    /// Syncs six times; do it from time to time, not per append. Kafka writes high watermarks every 5 seconds and
    /// the others every minute. How far logs have been compacted goes with it, where that has changed, and costs two
    /// syncs more: do it after a pass too.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn write_checkpoints(&self, logs: &[LogCheckpoint]) -> Result<(), LogError> {
        self.check_online()?;
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
        let mut cleaned_before = self.cleaned.lock();
        let write = |name, offsets| OffsetCheckpoint::new(self.path.join(name)).write(&*self.disk, offsets);
        let written = write(OffsetCheckpoint::RECOVERY_POINT, &recovery_points)
            .and_then(|()| write(OffsetCheckpoint::LOG_START, &log_starts))
            .and_then(|()| write(OffsetCheckpoint::REPLICATION, &high_watermarks))
            .and_then(|()| match cleaned == *cleaned_before {
                true => Ok(()),
                false => write(OffsetCheckpoint::CLEANER, &cleaned),
            });
        self.health.watch(written)?;
        *cleaned_before = cleaned;
        Ok(())
    }

    /// Closes all logs, which must be all of the directory, and leaves the clean marker.
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
        for log in &mut logs {
            log.close(now)?;
        }
        let checkpoints: Vec<LogCheckpoint> = logs.iter().map(Log::checkpoint).collect();
        self.write_checkpoints(&checkpoints)?;
        CleanMarker { broker_epoch }.leave(&*self.disk, &self.path)
    }

    fn check_online(&self) -> Result<(), LogError> {
        if self.is_offline() { Err(LogError::Poisoned) } else { Ok(()) }
    }
}
