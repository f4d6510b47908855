//! A bounded number of descriptors for any number of files.

mod file;
mod names;
mod room;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use highwater_types::TimestampMs;

use super::{Disk, DiskLock, Entry, FileFacts, FileHandle, OpenMode, Volume};
use file::CachedFile;
use names::Names;
use room::Room;

/// Another disk whose files may lose their descriptors while nobody uses them, so that any number of logs shares a
/// bounded number of descriptors.
///
/// A file is open once [`open`](Disk::open) returns. When the limit is reached, files that have not been used for
/// longest (by the clock algorithm) are closed, and opened again at their next use. A handle without a descriptor
/// costs about 120 bytes. Handles follow their file when it is renamed, or its directory, and outlive its removal, as
/// the descriptors of the system do; all renames and removals have to go through this disk for that.
///
/// # What does not get lost
///
/// A file that has been written is synced before it is closed: an error in writing it back would otherwise be reported
/// to nobody. Files that need no sync are closed first; where too few are, many are synced with one call
/// ([`Volume::sync`]) if their file system has been asked for with [`volume`](Disk::volume), which a log directory does.
/// A file whose sync failed stays open and refuses everything from then on, so that its log is poisoned when it is next
/// used, and no [`Volume`] of this disk reports success any more.
///
/// # The limit
///
/// Counts files opened through this disk, not locks, directories or what is open for the length of one call. Files that
/// are [pinned](FileHandle::pin), that are just being read or written, or that have been removed while in use cannot be
/// closed. If all are, the limit is exceeded rather than work refused.
#[derive(Clone, Debug)]
pub struct CachedDisk(Arc<Shared>);

/// What a [`CachedDisk`] has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Descriptors that are open now.
    pub open: u64,
    /// Files opened, the first time or again.
    pub opened: u64,
    /// Files closed to make room.
    pub closed: u64,
    /// Syncs that had to come before: of single files, or of whole file systems.
    pub synced: u64,
}

/// What all files of one cache share.
#[derive(Debug)]
struct Shared {
    inner: Arc<dyn Disk>,
    names: Names,
    room: Room,
}

impl CachedDisk {
    /// Keeps at most `descriptors_max` files of `inner` open, at least 8.
    #[must_use]
    pub fn new(inner: Arc<dyn Disk>, descriptors_max: usize) -> Self {
        Self(Arc::new(Shared { inner, names: Names::default(), room: Room::new(descriptors_max.max(LIMIT_MIN)) }))
    }

    /// This disk in the form in which logs take it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.0.room.stats()
    }
}

impl Disk for CachedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        CachedFile::open(&self.0, path, mode)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.0.inner.metadata(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.inner.list(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.inner.create_dir_all(path)
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.0.inner.set_modified(path, modified)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.names.rename(from, to, || self.0.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.names.remove_file(path, || self.0.inner.remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.names.remove_dir_all(path, || self.0.inner.remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.0.inner.lock(path)
    }

    fn volume(&self, path: &Path) -> io::Result<Option<Arc<dyn Volume>>> {
        let Some(inner) = self.0.inner.volume(path)? else { return Ok(None) };
        self.0.room.add_volume(path, &inner);
        Ok(Some(Arc::new(CachedVolume { shared: Arc::clone(&self.0), inner })))
    }
}

/// A file system of the inner disk, which also knows of syncs that failed while making room.
#[derive(Debug)]
struct CachedVolume {
    shared: Arc<Shared>,
    inner: Arc<dyn Volume>,
}

impl Volume for CachedVolume {
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()?;
        self.shared.room.check()
    }
}

/// Fewer would have a single log close its own files.
const LIMIT_MIN: usize = 8;
