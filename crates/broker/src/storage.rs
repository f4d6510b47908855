//! Opening the log directories at start.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;
use highwater_log::{
    CheckedLogConfig, DirOptions, Disk, LogConfig, LogDir, LogError, MetaProperties, OpenedDir, RealDisk,
};
use highwater_types::{DirectoryId, NodeId, TimestampMs};

use crate::lifecycle::Event;
use crate::partition::{Directories, Directory};
use crate::quorum::FoundLog;
use crate::random::random_uuid;

/// Where a broker keeps its data.
pub(crate) struct StoragePaths<'a> {
    pub(crate) log_dirs: &'a [PathBuf],
    pub(crate) metadata_dir: &'a Path,
    pub(crate) recovery_threads: usize,
}

/// The log directories, locked, formatted and loaded.
pub(crate) struct Storage {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cluster_id: String,
    pub(crate) directories: Directories,
    pub(crate) found: Vec<FoundLog>,
    /// Holds the lock of a metadata directory that is no log directory.
    pub(crate) metadata_lock: Option<LogDir>,
}

/// Why the log directories could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A directory could not be opened; the message names it.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is nowhere to store anything.
    #[error("no log directory is configured")]
    NoDirectory,
    /// Two directories belong to different clusters.
    #[error("{} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Id in its `meta.properties`.
        found: String,
        /// Id in that of a directory before it.
        expected: String,
    },
    /// A directory belongs to another node.
    #[error("{} belongs to node {found}, and this is node {expected}", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// Id in its `meta.properties`.
        found: NodeId,
        /// `node.id` of the configuration.
        expected: NodeId,
    },
}

impl Storage {
    /// Locks and loads every directory, and formats those that are new.
    pub(crate) fn open(
        paths: &StoragePaths<'_>,
        node: NodeId,
        events: &Sender<Event>,
        now: TimestampMs,
    ) -> Result<Self, StorageError> {
        if paths.log_dirs.is_empty() {
            return Err(StorageError::NoDirectory);
        }
        let disk = RealDisk::shared();
        let options = DirOptions { recovery_threads: paths.recovery_threads, now };
        // The topics' own settings are in the metadata, which is read once the directory is locked; until then the
        // defaults serve, since opening a log deletes and rolls nothing.
        let defaults = default_config();
        let open = |path: &Path| LogDir::open(Arc::clone(&disk), path, options, &|_| defaults.clone());
        let mut opened = paths.log_dirs.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
        let is_log_dir = paths.log_dirs.iter().any(|path| path == paths.metadata_dir);
        let metadata_lock = if is_log_dir { None } else { Some(open(paths.metadata_dir)?.dir) };
        let all = || opened.iter().map(|opened| &opened.dir).chain(&metadata_lock);
        let cluster_id = agree_on_cluster(all())?;
        check_node(all(), node)?;
        if let Some(dir) = &metadata_lock {
            format_if_new(&*disk, dir, node, &cluster_id)?;
        }
        let mut directories = Vec::with_capacity(opened.len());
        let mut found = Vec::new();
        for OpenedDir { dir, logs } in opened.drain(..) {
            let id = format_if_new(&*disk, &dir, node, &cluster_id)?;
            let directory = Arc::new(Directory::new(dir, id, logs.len(), events.clone()));
            found.extend(logs.into_iter().map(|log| FoundLog {
                partition: log.topic_partition,
                topic_id: log.topic_id,
                directory: Arc::clone(&directory),
                log: log.log,
            }));
            directories.push(directory);
        }
        Ok(Self { disk, cluster_id, directories: Directories::new(directories), found, metadata_lock })
    }
}

/// The cluster that all directories name; a new one if none of them does.
fn agree_on_cluster<'d>(dirs: impl Iterator<Item = &'d LogDir>) -> Result<String, StorageError> {
    let mut agreed: Option<String> = None;
    for dir in dirs {
        let Some(found) = dir.meta().and_then(|meta| meta.cluster_id.clone()) else { continue };
        match &agreed {
            Some(expected) if *expected != found => {
                let expected = expected.clone();
                return Err(StorageError::OtherCluster { path: dir.path().to_owned(), found, expected });
            }
            _ => agreed = Some(found),
        }
    }
    Ok(agreed.unwrap_or_else(|| random_uuid().to_string()))
}

fn check_node<'d>(mut dirs: impl Iterator<Item = &'d LogDir>, expected: NodeId) -> Result<(), StorageError> {
    let other = dirs.find_map(|dir| {
        let found = dir.meta()?.node_id;
        (found != expected).then(|| StorageError::OtherNode { path: dir.path().to_owned(), found, expected })
    });
    other.map_or(Ok(()), Err)
}

/// Writes `meta.properties` if it is missing or has no directory id. Returns the id.
fn format_if_new(disk: &dyn Disk, dir: &LogDir, node: NodeId, cluster_id: &str) -> Result<DirectoryId, LogError> {
    if let Some(id) = dir.meta().and_then(|meta| meta.directory_id) {
        return Ok(id);
    }
    let id = DirectoryId(random_uuid());
    let meta = MetaProperties { cluster_id: Some(cluster_id.to_owned()), node_id: node, directory_id: Some(id) };
    LogDir::format(disk, dir.path(), &meta)?;
    Ok(id)
}

fn default_config() -> CheckedLogConfig {
    LogConfig::default().checked().expect("Kafka's defaults are within Kafka's limits")
}
