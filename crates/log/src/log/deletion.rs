//! Removing files: renamed at once, unlinked later (storage format, section 18).

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::{Offset, TimestampMs};

use super::snapshots::Snapshots;
use crate::disk::Disk;
use crate::error::LogError;
use crate::names::{DELETED, FileKind, with_suffix};
use crate::segment::{Place, Segment};

/// Files and directories that wait to be unlinked.
#[derive(Debug, Default)]
pub(crate) struct DeletionQueue {
    waiting: VecDeque<(TimestampMs, PathBuf)>,
}

impl DeletionQueue {
    pub(crate) fn push(&mut self, due: TimestampMs, path: PathBuf) {
        self.waiting.push_back((due, path));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What is due by `now`.
    pub(crate) fn take_due(&mut self, disk: &Arc<dyn Disk>, now: TimestampMs) -> Option<DeleteTask> {
        let mut paths = Vec::new();
        self.waiting.retain(|(due, path)| {
            if now < *due {
                return true;
            }
            paths.push(path.clone());
            false
        });
        (!paths.is_empty()).then(|| DeleteTask { disk: Arc::clone(disk), paths })
    }

    /// Renames the files of removed segments and their snapshots to `.deleted` and queues them.
    pub(crate) fn remove_segments(
        &mut self,
        place: &Place,
        snapshots: &mut Snapshots,
        segments: &[Segment],
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let bases: Vec<Offset> = segments.iter().map(Segment::base).collect();
        self.remove_files(place, snapshots, &bases, now)
    }

    /// The same from the last segment to the first, and durably: what is truncated must not come back behind records
    /// that are appended later, nor leave a hole before what is still there.
    pub(crate) fn remove_segments_for_good(
        &mut self,
        place: &Place,
        snapshots: &mut Snapshots,
        segments: &[Segment],
        now: TimestampMs,
    ) -> Result<(), LogError> {
        if segments.is_empty() {
            return Ok(());
        }
        let bases: Vec<Offset> = segments.iter().rev().map(Segment::base).collect();
        self.remove_files(place, snapshots, &bases, now)?;
        place.sync_dir()
    }

    /// The same for the segments with these bases.
    fn remove_files(
        &mut self,
        place: &Place,
        snapshots: &mut Snapshots,
        bases: &[Offset],
        now: TimestampMs,
    ) -> Result<(), LogError> {
        for &base in bases {
            let has_snapshot = snapshots.forget(base);
            for path in files_of(place, base, has_snapshot) {
                self.remove_file(place, &path, now)?;
            }
        }
        Ok(())
    }

    /// Renames the files of segments that others have taken the place of. The snapshots of bases in `kept` stay.
    pub(crate) fn remove_replaced(
        &mut self,
        place: &Place,
        snapshots: &mut Snapshots,
        bases: &[Offset],
        kept: &[Offset],
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let (replaced, gone): (Vec<Offset>, Vec<Offset>) = bases.iter().partition(|base| kept.contains(base));
        self.remove_files(place, snapshots, &gone, now)?;
        for path in replaced.iter().flat_map(|&base| files_of(place, base, false)) {
            self.remove_file(place, &path, now)?;
        }
        Ok(())
    }

    fn remove_file(&mut self, place: &Place, path: &Path, now: TimestampMs) -> Result<(), LogError> {
        let due = now.plus_ms(i64::try_from(place.config.file_delete_delay_ms).unwrap_or(i64::MAX));
        if rename_deleted(&*place.disk, path)? {
            self.push(due, with_suffix(path, DELETED));
        }
        Ok(())
    }
}

fn files_of(place: &Place, base: Offset, has_snapshot: bool) -> impl Iterator<Item = PathBuf> {
    let snapshot = has_snapshot.then_some(FileKind::Snapshot);
    FileKind::SEGMENT.into_iter().chain(snapshot).map(move |kind| place.file(base, kind))
}

/// Renames a file to `.deleted`; false if there is none.
pub(crate) fn rename_deleted(disk: &dyn Disk, path: &Path) -> Result<bool, LogError> {
    match disk.rename(path, &with_suffix(path, DELETED)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(LogError::io("rename", path)(e)),
    }
}

/// Files and directories to unlink. Unlinking a large file can take milliseconds: run this where nobody waits.
#[derive(Debug)]
#[must_use = "the files stay until the task is run"]
pub struct DeleteTask {
    disk: Arc<dyn Disk>,
    paths: Vec<PathBuf>,
}

impl DeleteTask {
    /// What is going to be removed.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Removes everything. What is gone already is no error.
    ///
    /// # Errors
    ///
    /// The first failure, after trying the rest too.
    pub fn run(self) -> io::Result<()> {
        let mut result = Ok(());
        for path in &self.paths {
            let removed = match self.disk.metadata(path) {
                Ok(facts) if facts.is_dir => self.disk.remove_dir_all(path),
                Ok(_) => self.disk.remove_file(path),
                Err(e) => Err(e),
            };
            match removed {
                Err(e) if e.kind() != io::ErrorKind::NotFound => result = result.and(Err(e)),
                _ => {}
            }
        }
        result
    }
}
