//! Syncing many logs of a directory together.

use std::path::PathBuf;
use std::sync::Arc;

use super::LogDir;
use crate::disk::Volume;
use crate::error::LogError;
use crate::health::DirHealth;
use crate::log::{FlushDone, FlushTask};

/// Runs [`FlushTask`]s of a directory's logs; many at once cost a single sync of the file system.
///
/// Cheap to clone, and independent of the [`LogDir`] it comes from, so that a sync holds nobody up.
#[derive(Clone, Debug)]
pub struct DirSync {
    volume: Option<Arc<dyn Volume>>,
    path: PathBuf,
    health: DirHealth,
}

impl DirSync {
    /// Runs all tasks: each by itself if they are few, otherwise with one `syncfs`, which also writes what others have
    /// in the page cache for this file system.
    ///
    /// The outcomes are in the order of the tasks, for [`Log::complete_flush`](crate::Log::complete_flush).
    ///
    /// # Errors
    ///
    /// [`LogError::Io`]; the directory is offline.
    pub fn run(&self, tasks: Vec<FlushTask>) -> Result<Vec<FlushDone>, LogError> {
        match &self.volume {
            Some(volume) if VOLUME_MIN <= tasks.len() => {
                self.sync(&**volume)?;
                Ok(tasks.into_iter().map(FlushTask::already_run).collect())
            }
            _ => tasks.into_iter().map(FlushTask::run).collect(),
        }
    }

    fn sync(&self, volume: &dyn Volume) -> Result<(), LogError> {
        self.health.watch(volume.sync().map_err(LogError::io("sync the file system of", &self.path)))
    }

    /// Syncs everything if there are `count` logs to sync and that is worth it. Returns whether it was done.
    pub(super) fn sync_for(&self, count: usize) -> Result<bool, LogError> {
        match &self.volume {
            Some(volume) if VOLUME_MIN <= count => self.sync(&**volume).map(|()| true),
            _ => Ok(false),
        }
    }
}

impl LogDir {
    /// The means to sync many of its logs together.
    #[must_use]
    pub fn sync(&self) -> DirSync {
        DirSync { volume: self.volume.clone(), path: self.path.clone(), health: self.health.clone() }
    }
}

/// Logs from which on one sync of the file system is cheaper than a few for each.
const VOLUME_MIN: usize = 32;
