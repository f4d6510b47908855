//! The log directories: what is created and deleted in them, and their failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::Sender;
use highwater_log::{CheckedLogConfig, DeleteTask, DirSync, Log, LogCheckpoint, LogDir, LogError};
use highwater_types::{BrokerEpoch, DirectoryId, Offset, TimestampMs, TopicId, TopicPartition, Uuid};
use parking_lot::Mutex;

use super::PartitionError;
use crate::lifecycle::Event;

/// One log directory.
pub(crate) struct Directory {
    path: PathBuf,
    id: DirectoryId,
    offline: AtomicBool,
    /// Whether the broker is stopping.
    closing: AtomicBool,
    /// Partitions in it, to spread new ones.
    partition_count: AtomicUsize,
    /// `None` once closed.
    files: Mutex<Option<LogDir>>,
    sync: DirSync,
    events: Sender<Event>,
}

impl Directory {
    pub(crate) fn new(files: LogDir, id: DirectoryId, partition_count: usize, events: Sender<Event>) -> Self {
        Self {
            path: files.path().to_owned(),
            id,
            offline: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            partition_count: AtomicUsize::new(partition_count),
            sync: files.sync(),
            files: Mutex::new(Some(files)),
            events,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn id(&self) -> DirectoryId {
        self.id
    }

    /// Whether a write or sync failed here. Nothing in the directory is served any more.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Relaxed)
    }

    /// Takes the directory offline after the host failed, and says so once.
    pub(crate) fn fail(self: &Arc<Self>, error: &LogError) {
        if self.offline.swap(true, Ordering::SeqCst) {
            return;
        }
        tracing::error!(
            directory = %self.path.display(),
            "log directory is offline, its partitions answer KAFKA_STORAGE_ERROR until the broker is restarted: {error}"
        );
        // If the channel is full or closed, the broker is about to end anyway.
        let _ = self.events.try_send(Event::DirectoryFailed(Arc::clone(self)));
    }

    /// Says that the broker is stopping: no more logs need be created, since the next start creates what is missing.
    pub(crate) fn begin_close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the broker is stopping.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Creates the log of a new partition.
    pub(crate) fn create_log(
        self: &Arc<Self>,
        partition: &TopicPartition,
        topic_id: TopicId,
        config: CheckedLogConfig,
        now: TimestampMs,
    ) -> Result<Log, PartitionError> {
        let log = self.with_files(|files| files.create_log(partition, Some(topic_id), config, now))?;
        self.partition_count.fetch_add(1, Ordering::Relaxed);
        Ok(log)
    }

    /// Sets the log of a deleted partition aside; its files go later, see [`due_deletions`](Self::due_deletions).
    pub(crate) fn delete_log(self: &Arc<Self>, log: Log, unique: Uuid, now: TimestampMs) -> Result<(), PartitionError> {
        self.partition_count.fetch_sub(1, Ordering::Relaxed);
        self.with_files(|files| files.delete_log(log, unique, now))
    }

    /// Writes down which topic a log belongs to that was found without a topic id.
    pub(crate) fn assign_topic(self: &Arc<Self>, log: &Log, topic_id: TopicId) -> Result<(), PartitionError> {
        self.with_files(|files| files.assign_topic(log, topic_id))
    }

    /// Sets a log aside that no topic of the cluster claims.
    pub(crate) fn mark_stray(self: &Arc<Self>, log: Log, unique: Uuid) -> Result<(), PartitionError> {
        self.partition_count.fetch_sub(1, Ordering::Relaxed);
        self.with_files(|files| files.mark_stray(log, unique))
    }

    /// The directories of deleted partitions whose time has come.
    pub(crate) fn due_deletions(&self, now: TimestampMs) -> Option<DeleteTask> {
        self.files.lock().as_mut()?.due_deletions(now)
    }

    /// Writes the file of high watermarks.
    pub(crate) fn write_high_watermarks(
        self: &Arc<Self>,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), PartitionError> {
        self.with_files(|files| files.write_high_watermarks(offsets))
    }

    /// The means to sync many of its logs together.
    pub(crate) fn sync(&self) -> &DirSync {
        &self.sync
    }

    /// Writes the checkpoint files and the manifest, unless they say the same already.
    pub(crate) fn write_checkpoints(self: &Arc<Self>, states: &[LogCheckpoint]) -> Result<(), PartitionError> {
        self.with_files(|files| files.write_checkpoints(states))
    }

    /// Flushes and closes every log and leaves the clean marker, unless the directory failed.
    pub(crate) fn close_clean(&self, logs: Vec<Log>, epoch: Option<BrokerEpoch>, now: TimestampMs) {
        let Some(files) = self.files.lock().take() else {
            return;
        };
        if self.is_offline() {
            return;
        }
        if let Err(error) = files.close_clean(logs, epoch, now) {
            tracing::error!(directory = %self.path.display(), "log directory was not closed cleanly: {error}");
        }
    }

    /// Lets go of every log, without a flush or the clean marker.
    pub(crate) fn abandon(&self, logs: Vec<Log>) {
        drop(self.files.lock().take());
        drop(logs);
    }

    fn with_files<R>(
        self: &Arc<Self>,
        operation: impl FnOnce(&mut LogDir) -> Result<R, LogError>,
    ) -> Result<R, PartitionError> {
        if self.is_offline() {
            return Err(PartitionError::Offline);
        }
        let result = match self.files.lock().as_mut() {
            Some(files) => operation(files),
            None => return Err(PartitionError::Offline),
        };
        result.map_err(|error| {
            if error.blame() == highwater_log::Blame::Host {
                self.fail(&error);
            }
            PartitionError::Log(error)
        })
    }
}

/// Every log directory of the broker, in the order of `log.dirs`.
#[derive(Clone)]
pub(crate) struct Directories(Arc<[Arc<Directory>]>);

impl Directories {
    pub(crate) fn new(list: Vec<Arc<Directory>>) -> Self {
        Self(list.into())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Directory>> {
        self.0.iter()
    }

    pub(crate) fn by_id(&self, id: DirectoryId) -> Option<&Arc<Directory>> {
        self.0.iter().find(|directory| directory.id == id)
    }

    /// The working directory with the fewest partitions.
    pub(crate) fn least_used(&self) -> Option<&Arc<Directory>> {
        self.0
            .iter()
            .filter(|directory| !directory.is_offline())
            .min_by_key(|directory| directory.partition_count.load(Ordering::Relaxed))
    }
}
