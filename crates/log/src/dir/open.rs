//! Opening a directory with all its logs.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use highwater_types::{Offset, TimestampMs, TopicId, TopicPartition};
use parking_lot::Mutex;

use super::manifest::{FileStamp, Manifest};
use super::stale::Stale;
use super::{LogDir, Written};
use crate::config::CheckedLogConfig;
use crate::disk::Disk;
use crate::error::LogError;
use crate::files::{CleanMarker, MetaProperties, OffsetCheckpoint, PartitionMetadata, PartitionOffsets, create_dir};
use crate::health::DirHealth;
use crate::log::{DeletionQueue, Log, LogCheckpoint, OpenOptions, Trust};
use crate::names::DirName;

/// Directories that are neither partitions nor mistakes.
pub(crate) const OTHER_DIRECTORIES: [&str; 2] = ["remote-log-index-cache", "lost+found"];

/// How to open a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirOptions {
    /// `num.recovery.threads.per.data.dir`: threads that open logs at the same time; they end before
    /// [`LogDir::open`] returns. Kafka's default is 2 (1 before 4.0).
    pub recovery_threads: usize,
    /// The time.
    pub now: TimestampMs,
}

/// An opened directory and its logs.
#[derive(Debug)]
pub struct OpenedDir {
    /// The directory.
    pub dir: LogDir,
    /// Its logs, in the order of their directories' names.
    pub logs: Vec<OpenedLog>,
}

/// How the logs of a directory were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenCounts {
    /// By the manifest alone: nothing has changed since it was written.
    pub remembered: u64,
    /// Checked only behind the end that the manifest knows.
    pub resumed: u64,
    /// By reading their directories and files.
    pub loaded: u64,
}

/// One log of an opened directory.
#[derive(Debug)]
pub struct OpenedLog {
    /// Which partition it is of.
    pub topic_partition: TopicPartition,
    /// Which topic that name meant when the log was created; `None` if it was created without an id.
    pub topic_id: Option<TopicId>,
    /// The log.
    pub log: Log,
}

impl LogDir {
    /// Opens a directory, creating it if it is missing, and all logs in it.
    ///
    /// Takes the lock, removes the clean marker, reads the checkpoints, and opens several logs at a time. Logs that the
    /// manifest knows, and whose files and directories still have the sizes and times it says, are not looked at any
    /// closer. Of the others, without a clean marker, each is checked from its recovery point on, which reads its last
    /// segment or more; where the file has only grown, what has been added. `config_of` says how each partition is
    /// stored.
    ///
    /// The `__cluster_metadata` log is not opened: its owner opens it as a [`Log`] of its own.
    ///
    /// # Errors
    ///
    /// - [`LogError::Locked`] if another handle or process, an Apache Kafka broker included, has it open.
    /// - [`LogError::UnknownDirectory`] for directories whose names are not of partitions.
    /// - [`LogError::Io`], [`LogError::Corrupt`], [`LogError::Malformed`]: the first failure of any log.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: DirOptions,
        config_of: &(dyn Fn(&TopicPartition) -> CheckedLogConfig + Sync),
    ) -> Result<OpenedDir, LogError> {
        Self::lock(disk, path)?.load(options, config_of)
    }

    /// The first half of [`open`](Self::open), for owners who need something of the directory before they know how
    /// its partitions are stored: takes the lock, reads whom the directory belongs to, and takes the clean marker.
    ///
    /// # Errors
    ///
    /// [`LogError::Locked`], [`LogError::Malformed`], [`LogError::Io`].
    pub fn lock(disk: Arc<dyn Disk>, path: &Path) -> Result<LockedDir, LogError> {
        create_dir(&*disk, path)?;
        let lock_path = path.join(".lock");
        let lock = disk.lock(&lock_path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => LogError::Locked { path: lock_path.clone() },
            _ => LogError::io("lock", &lock_path)(error),
        })?;
        let volume = disk.volume(path).map_err(LogError::io("open", path))?;
        let dir = Self {
            meta: MetaProperties::read(&*disk, path)?,
            clean_marker: CleanMarker::take(&*disk, path)?,
            disk,
            path: path.to_owned(),
            health: DirHealth::default(),
            deletions: DeletionQueue::default(),
            written: Mutex::new(Written::default()),
            volume,
            counts: OpenCounts::default(),
            _lock: lock,
        };
        Ok(LockedDir { dir })
    }
}

/// A directory that is locked but whose logs are not opened yet: what [`LogDir::lock`] gives.
#[derive(Debug)]
pub struct LockedDir {
    dir: LogDir,
}

impl LockedDir {
    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whom it belongs to; `None` if it has not been [formatted](LogDir::format).
    #[must_use]
    pub fn meta(&self) -> Option<&MetaProperties> {
        self.dir.meta()
    }

    /// Whether all logs had been closed in order.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.dir.was_clean()
    }

    /// Opens one log ahead of the others, creating it if there is none: that of `__cluster_metadata`, which
    /// [`load`](Self::load) leaves out. It shares the directory's fate like any other.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open_log(
        &self,
        partition: &TopicPartition,
        config: CheckedLogConfig,
        options: OpenOptions,
    ) -> Result<Log, LogError> {
        let path = self.dir.path.join(partition.to_string());
        Log::open_in(Arc::clone(&self.dir.disk), &path, config, options, &self.dir.health, None)
    }

    /// Opens all logs but that of `__cluster_metadata`: the second half of [`LogDir::open`].
    ///
    /// # Errors
    ///
    /// As [`LogDir::open`].
    pub fn load(
        self,
        options: DirOptions,
        config_of: &(dyn Fn(&TopicPartition) -> CheckedLogConfig + Sync),
    ) -> Result<OpenedDir, LogError> {
        let mut dir = self.dir;
        // Whoever created or renamed what is there may not have lived to sync that.
        dir.disk.sync_dir(&dir.path).map_err(LogError::io("sync", &dir.path))?;
        let mut partitions = Vec::new();
        for (name, found) in list_directories(&*dir.disk, &dir.path)? {
            match found {
                DirName::Partition(partition) => partitions.push(partition),
                // Its delay was over when the process that renamed it ended.
                DirName::Deleted => dir.deletions.push(options.now, dir.path.join(name)),
                DirName::Stray | DirName::Future => {
                    tracing::warn!(directory = name, "leaving a directory alone that no partition uses");
                }
                DirName::Other => return Err(LogError::UnknownDirectory { path: dir.path.join(name) }),
            }
        }
        let checkpoints = Checkpoints::read(&*dir.disk, &dir.path)?;
        let written = dir.written.get_mut();
        written.note_cleaned(&checkpoints.cleaned);
        written.stale = Stale::of(checkpoints.files().into_iter(), &partitions);
        let manifest = read_manifest(&*dir.disk, &dir.path)?;
        let opener = Opener { dir: &dir, checkpoints, manifest, options, counts: Mutex::default() };
        let logs = opener.open_all(&partitions, config_of)?;
        let is_cut = logs.iter().any(|opened| opener.checkpoints.is_ahead_of(opened));
        let counts = opener.counts.into_inner();
        if !logs.is_empty() {
            let OpenCounts { remembered, resumed, loaded } = counts;
            let (path, clean) = (dir.path.display(), dir.was_clean());
            tracing::info!(%path, clean, remembered, resumed, loaded, "opened the logs of a directory");
        }
        dir.counts = counts;
        dir.note_time()?;
        if is_cut {
            // Before anything is appended where the file says that all is synced.
            let checkpoints: Vec<LogCheckpoint> = logs.iter().map(|opened| opened.log.checkpoint()).collect();
            dir.write_checkpoints(&checkpoints)?;
        }
        Ok(OpenedDir { dir, logs })
    }
}

/// Subdirectories that concern us and what their names say, sorted by name.
fn list_directories(disk: &dyn Disk, path: &Path) -> Result<Vec<(String, DirName)>, LogError> {
    let mut names: Vec<String> = disk
        .list(path)
        .map_err(LogError::io("list", path))?
        .into_iter()
        .filter(|entry| entry.is_dir && !OTHER_DIRECTORIES.contains(&entry.name.as_str()))
        .map(|entry| entry.name)
        .collect();
    names.sort_unstable();
    let is_metadata = |found: &DirName| matches!(found, DirName::Partition(p) if p.topic.as_str() == METADATA_TOPIC);
    let parsed = names.into_iter().map(|name| {
        let found = DirName::parse(&name);
        (name, found)
    });
    Ok(parsed.filter(|(_, found)| !is_metadata(found)).collect())
}

const METADATA_TOPIC: &str = "__cluster_metadata";

/// Reads the manifest. It counts only beside the checkpoint file that was written with it: another one means that
/// somebody else has been here, such as Kafka.
fn read_manifest(disk: &dyn Disk, dir: &Path) -> Result<Option<Manifest>, LogError> {
    let Some(manifest) = Manifest::read(disk, dir)? else { return Ok(None) };
    let stamp = FileStamp::of(disk, &dir.join(OffsetCheckpoint::RECOVERY_POINT));
    if stamp.is_ok_and(|stamp| stamp == manifest.checkpoint) {
        return Ok(Some(manifest));
    }
    tracing::info!(path = %dir.display(), "ignoring the manifest, as the checkpoints are not those written with it");
    Ok(None)
}

/// What the checkpoint files say.
struct Checkpoints {
    recovery_points: PartitionOffsets,
    log_starts: PartitionOffsets,
    high_watermarks: PartitionOffsets,
    cleaned: PartitionOffsets,
}

impl Checkpoints {
    fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let read = |name| match OffsetCheckpoint::new(dir.join(name)).read(disk) {
            Err(LogError::Malformed { path, reason }) => {
                // All are shortcuts: without them more is checked and cleaned, and the high watermark starts lower.
                tracing::warn!(path = %path.display(), reason, "ignoring a checkpoint file");
                Ok(PartitionOffsets::new())
            }
            other => other,
        };
        Ok(Self {
            recovery_points: read(OffsetCheckpoint::RECOVERY_POINT)?,
            log_starts: read(OffsetCheckpoint::LOG_START)?,
            high_watermarks: read(OffsetCheckpoint::REPLICATION)?,
            cleaned: read(OffsetCheckpoint::CLEANER)?,
        })
    }

    /// Whether the log has lost records that were said to be synced.
    fn is_ahead_of(&self, opened: &OpenedLog) -> bool {
        self.recovery_points.get(&opened.topic_partition).is_some_and(|saved| opened.log.log_end() < *saved)
    }

    fn files(&self) -> [&PartitionOffsets; 4] {
        [&self.recovery_points, &self.log_starts, &self.high_watermarks, &self.cleaned]
    }
}

/// Opens the logs of a directory, several at a time.
struct Opener<'a> {
    dir: &'a LogDir,
    checkpoints: Checkpoints,
    manifest: Option<Manifest>,
    options: DirOptions,
    counts: Mutex<OpenCounts>,
}

impl Opener<'_> {
    fn open_all(
        &self,
        partitions: &[TopicPartition],
        config_of: &(dyn Fn(&TopicPartition) -> CheckedLogConfig + Sync),
    ) -> Result<Vec<OpenedLog>, LogError> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut opened = Vec::new();
            while let Some(partition) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
                opened.push(self.open_log(partition, config_of(partition)));
            }
            opened
        };
        let threads = self.options.recovery_threads.clamp(1, partitions.len().max(1));
        let opened: Vec<Result<OpenedLog, LogError>> = thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut opened = work();
            for other in others {
                opened.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            opened
        });
        let mut logs = opened.into_iter().collect::<Result<Vec<_>, _>>()?;
        logs.sort_unstable_by(|a, b| a.topic_partition.cmp(&b.topic_partition));
        Ok(logs)
    }

    fn open_log(&self, partition: &TopicPartition, config: CheckedLogConfig) -> Result<OpenedLog, LogError> {
        let path = self.dir.path.join(partition.to_string());
        let remembered = self.manifest.as_ref().and_then(|manifest| manifest.logs.get(partition));
        let known = remembered.and_then(|known| Some((known.topic_id, known.trust(&*self.dir.disk, &path)?)));
        let trust = known.map(|(_, trust)| trust);
        let topic_id = match known {
            Some((topic_id, _)) => topic_id,
            None => PartitionMetadata::read(&*self.dir.disk, &path)?.map(|metadata| metadata.topic_id),
        };
        let find = |offsets: &PartitionOffsets| offsets.get(partition).copied().unwrap_or(Offset::ZERO);
        let options = OpenOptions {
            clean: self.dir.was_clean(),
            recovery_point: find(&self.checkpoints.recovery_points),
            log_start: find(&self.checkpoints.log_starts),
            high_watermark: find(&self.checkpoints.high_watermarks),
            now: self.options.now,
        };
        let mut log = Log::open_in(Arc::clone(&self.dir.disk), &path, config, options, &self.dir.health, trust)?;
        log.note_topic(topic_id);
        log.set_clean_checkpoint(self.checkpoints.cleaned.get(partition).copied());
        let counts = &mut *self.counts.lock();
        match trust {
            Some(Trust::Whole(_)) if log.is_resumed() => counts.remembered += 1,
            Some(Trust::Prefix(_)) if log.is_resumed() => counts.resumed += 1,
            _ => counts.loaded += 1,
        }
        Ok(OpenedLog { topic_partition: partition.clone(), topic_id, log })
    }
}
