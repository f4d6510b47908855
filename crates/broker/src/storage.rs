//! Opening the log directories at start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::Sender;
use highwater_log::{
    CachedDisk, CheckedLogConfig, DirOptions, Disk, LockedDir, LogDir, LogError, MetaProperties, OpenedDir,
};
use highwater_types::{BrokerEpoch, DirectoryId, NodeId, TimestampMs, TopicPartition};

use crate::config::BrokerConfig;
use crate::descriptors;
use crate::format::is_own_cluster;
use crate::lifecycle::Event;
use crate::partition::{Directories, Directory};
use crate::quorum::{MetadataLog, MetadataLogError};
use crate::random::random_uuid;
use crate::replica::FoundLog;

/// The log directories, locked, with their logs still closed.
pub(crate) struct LockedStorage {
    disk: Arc<dyn Disk>,
    node: NodeId,
    cluster_id: String,
    locked: Vec<LockedDir>,
    /// The directory of the metadata log, if it is no log directory.
    apart: Option<LockedDir>,
    metadata_dir: PathBuf,
    /// The ids of the directories that are formatted.
    ids: BTreeMap<PathBuf, DirectoryId>,
}

/// The log directories with their logs.
pub(crate) struct Storage {
    pub(crate) directories: Directories,
    pub(crate) found: Vec<FoundLog>,
    /// The directory of the metadata log, if it is no log directory; holds its lock.
    pub(crate) apart: Option<LogDir>,
    /// The registration under which the broker last ended, if every directory was closed cleanly then.
    pub(crate) previous_epoch: Option<BrokerEpoch>,
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
    /// The configured cluster id cannot be one.
    #[error("{id:?} is no cluster id: it has to be 1 to {CLUSTER_ID_BYTES_MAX} letters, digits, `-`, `_` and `.`")]
    ClusterId {
        /// The id.
        id: String,
    },
    /// A directory belongs to another cluster than the configured one or that of another directory.
    #[error("{} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Id in its `meta.properties`.
        found: String,
        /// The configured id, or else that of a directory before it.
        expected: String,
    },
    /// Two directories hold a log of the same partition, as after a copy by hand; only one can be right.
    #[error("{partition} is both in {} and in {}: move the one away that is not wanted", first.display(), second.display())]
    Twice {
        /// The partition.
        partition: TopicPartition,
        /// One directory.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A new node of a cluster does not know which cluster that is.
    #[error(
        "{} is new and belongs to no cluster: format it with the id of the cluster (`highwater format`), or set CLUSTER_ID",
        path.display()
    )]
    NoCluster {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of the metadata log is not that of the voter that this node is to be.
    #[error("{} has the directory id {}, and this node's voter {}", path.display(), found.0, expected.0)]
    OtherDirectory {
        /// The directory.
        path: PathBuf,
        /// Id in its `meta.properties`.
        found: DirectoryId,
        /// Id of the voter.
        expected: DirectoryId,
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

impl LockedStorage {
    /// Locks every directory and checks that all belong to this node and to one cluster.
    pub(crate) fn lock(disk: Arc<dyn Disk>, config: &BrokerConfig) -> Result<Self, StorageError> {
        let BrokerConfig { log_dirs, metadata_log_dir: metadata_dir, node_id: node, .. } = config;
        check_cluster_id(config.cluster_id.as_deref())?;
        if log_dirs.is_empty() {
            return Err(StorageError::NoDirectory);
        }
        let disk = CachedDisk::new(disk, descriptors::log_files_max()).shared();
        let lock = |path: &Path| LogDir::lock(Arc::clone(&disk), path);
        let locked = log_dirs.iter().map(|path| lock(path)).collect::<Result<Vec<_>, _>>()?;
        let is_log_dir = log_dirs.contains(metadata_dir);
        let apart = if is_log_dir { None } else { Some(lock(metadata_dir)?) };
        let all = || locked.iter().chain(&apart);
        // A node on its own may begin a cluster; one of several would begin another than the rest.
        let may_begin = match config.controllers.as_slice() {
            [] => is_own_cluster(config),
            controllers => controllers.iter().all(|(id, _)| id == node),
        };
        let cluster_id = match agree_on_cluster(config.cluster_id.clone(), all())? {
            Some(id) => id,
            None if may_begin => random_uuid().to_string(),
            None => return Err(StorageError::NoCluster { path: log_dirs[0].clone() }),
        };
        check_node(all(), *node)?;
        let ids = BTreeMap::new();
        Ok(Self { node: *node, cluster_id, locked, apart, metadata_dir: metadata_dir.clone(), ids, disk })
    }

    /// Formats the directories that are new, and returns which. That of the metadata log gets or has the id `wanted`, if
    /// there is one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] if a directory cannot be written, or that of the metadata log has another id.
    pub(crate) fn format_new(&mut self, wanted: Option<DirectoryId>) -> Result<Vec<PathBuf>, StorageError> {
        let mut new = Vec::new();
        for dir in self.locked.iter().chain(&self.apart) {
            let path = dir.path().to_owned();
            let wanted = wanted.filter(|_| path == self.metadata_dir);
            let id = match (dir.meta().and_then(|meta| meta.directory_id), wanted) {
                (Some(found), Some(expected)) if found != expected => {
                    return Err(StorageError::OtherDirectory { path, found, expected });
                }
                (Some(id), _) => id,
                (None, wanted) => {
                    let id = wanted.unwrap_or_else(|| DirectoryId(random_uuid()));
                    write_meta(&*self.disk, dir, self.node, &self.cluster_id, id)?;
                    new.push(path.clone());
                    id
                }
            };
            self.ids.insert(path, id);
        }
        Ok(new)
    }

    /// Whether the directory of the metadata log was never formatted, so that no node was started on it.
    pub(crate) fn is_metadata_new(&self) -> bool {
        let mut dirs = self.locked.iter().chain(&self.apart);
        dirs.any(|dir| dir.path() == self.metadata_dir && dir.meta().is_none())
    }

    /// The log directory with the metadata log.
    pub(crate) fn metadata_dir(&self) -> &Path {
        &self.metadata_dir
    }

    /// Id of the directory of the metadata log.
    ///
    /// # Panics
    ///
    /// If [`format_new`](Self::format_new) was not called.
    pub(crate) fn metadata_directory_id(&self) -> DirectoryId {
        *self.ids.get(&self.metadata_dir).expect("the directories were formatted")
    }

    pub(crate) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Opens the metadata log.
    pub(crate) fn open_metadata(&self, now: TimestampMs) -> Result<MetadataLog, MetadataLogError> {
        let directory = self.locked.iter().chain(&self.apart).find(|locked| locked.path() == self.metadata_dir);
        let directory = directory.expect("the metadata directory is a log directory or was locked apart from them");
        MetadataLog::open(directory, &self.cluster_id, now)
    }

    /// Opens the logs of the partitions.
    pub(crate) fn load(
        self,
        options: DirOptions,
        config_of: &(dyn Fn(&TopicPartition) -> CheckedLogConfig + Sync),
        events: &Sender<Event>,
    ) -> Result<Storage, StorageError> {
        let Self { locked, apart, ids, .. } = self;
        let load = |locked: LockedDir| -> Result<(OpenedDir, DirectoryId), LogError> {
            let id = *ids.get(locked.path()).expect("the directories were formatted");
            Ok((locked.load(options, config_of)?, id))
        };
        let mut directories = Vec::with_capacity(locked.len());
        let mut found = Vec::new();
        let mut previous = BTreeSet::new();
        for locked in locked {
            let (OpenedDir { dir, logs }, id) = load(locked)?;
            previous.insert(dir.previous_broker_epoch().filter(|_| dir.was_clean()));
            let directory = Arc::new(Directory::new(dir, id, logs.len(), events.clone()));
            found.extend(logs.into_iter().map(|log| FoundLog {
                partition: log.topic_partition,
                topic_id: log.topic_id,
                directory: Arc::clone(&directory),
                log: log.log,
            }));
            directories.push(directory);
        }
        check_once(&found)?;
        let apart = apart.map(load).transpose()?.map(|(opened, _)| opened.dir);
        let previous_epoch = if previous.len() == 1 { previous.pop_first().flatten() } else { None };
        Ok(Storage { directories: Directories::new(directories), found, apart, previous_epoch })
    }
}

/// Whichever of two logs were served, the records of the other would seem lost.
fn check_once(found: &[FoundLog]) -> Result<(), StorageError> {
    let mut directories = HashMap::new();
    for log in found {
        if let Some(first) = directories.insert(&log.partition, log.directory.path()) {
            let (partition, second) = (log.partition.clone(), log.directory.path().to_owned());
            return Err(StorageError::Twice { partition, first: first.to_owned(), second });
        }
    }
    Ok(())
}

/// An id is written into a properties file and into JSON, which both take these characters as they are.
fn check_cluster_id(id: Option<&str>) -> Result<(), StorageError> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match id {
        Some(id) if !(1..=CLUSTER_ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(is_usual) => {
            Err(StorageError::ClusterId { id: id.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The cluster that is configured and that all directories name, if there is one.
fn agree_on_cluster<'d>(
    configured: Option<String>,
    dirs: impl Iterator<Item = &'d LockedDir>,
) -> Result<Option<String>, StorageError> {
    let mut agreed = configured;
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
    Ok(agreed)
}

fn check_node<'d>(mut dirs: impl Iterator<Item = &'d LockedDir>, expected: NodeId) -> Result<(), StorageError> {
    let other = dirs.find_map(|dir| {
        let found = dir.meta()?.node_id;
        (found != expected).then(|| StorageError::OtherNode { path: dir.path().to_owned(), found, expected })
    });
    other.map_or(Ok(()), Err)
}

/// Writes `meta.properties`.
fn write_meta(
    disk: &dyn Disk,
    dir: &LockedDir,
    node: NodeId,
    cluster_id: &str,
    id: DirectoryId,
) -> Result<(), LogError> {
    let meta = MetaProperties { cluster_id: Some(cluster_id.to_owned()), node_id: node, directory_id: Some(id) };
    LogDir::format(disk, dir.path(), &meta)?;
    Ok(())
}

/// Kafka's own ids have 22 bytes.
const CLUSTER_ID_BYTES_MAX: usize = 64;
