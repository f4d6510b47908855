//! A directory of logs: `log.dir`.

mod checkpoints;
mod manifest;
mod open;
mod stale;
mod sync;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::{BrokerEpoch, TimestampMs, TopicId, TopicPartition, Uuid};
use parking_lot::Mutex;

use checkpoints::Written;
pub(crate) use manifest::Manifest;
pub(crate) use open::OTHER_DIRECTORIES;
pub use open::{DirOptions, LockedDir, OpenCounts, OpenedDir, OpenedLog};
pub use sync::DirSync;

use crate::config::CheckedLogConfig;
use crate::disk::{Disk, DiskLock, Volume};
use crate::error::LogError;
use crate::files::{CleanMarker, MetaProperties, PartitionMetadata, create_dir};
use crate::health::DirHealth;
use crate::log::{DeleteTask, DeletionQueue, Log, OpenOptions};
use crate::names::{Suffix, set_aside_name};

/// A log directory: one lock, three checkpoint files, a manifest, and a directory for each partition's log.
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
    /// What was written last. Held while checkpoints are written, as two writers would share a temporary file.
    written: Mutex<Written>,
    /// The file system, held since the directory was locked, so that it reports all errors since.
    volume: Option<Arc<dyn Volume>>,
    counts: OpenCounts,
    _lock: Box<dyn DiskLock>,
}

impl LogDir {
    /// Makes a directory ready for use: creates it and writes `meta.properties`.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`].
    pub fn format(disk: &dyn Disk, path: &Path, meta: &MetaProperties) -> Result<(), LogError> {
        create_dir(disk, path)?;
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

    /// How the logs were opened.
    #[must_use]
    pub fn open_counts(&self) -> OpenCounts {
        self.counts
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
        self.health.watch(self.forget_earlier(partition))?;
        let path = self.path.join(partition.to_string());
        let created = self.create_partition_dir(&path, topic_id);
        self.health.watch(created)?;
        let options = OpenOptions::unclean(now);
        let log = Log::open_in(Arc::clone(&self.disk), &path, config, options, &self.health, None)?;
        log.note_topic(topic_id);
        Ok(log)
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
        self.health.watch(PartitionMetadata { topic_id }.write(&*self.disk, log.path()))?;
        log.note_topic(Some(topic_id));
        Ok(())
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
        self.written.lock().stale.add(partition);
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

    fn check_online(&self) -> Result<(), LogError> {
        if self.is_offline() { Err(LogError::Poisoned) } else { Ok(()) }
    }
}
