//! A disk that remembers which names would survive a loss of power.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use highwater_log::{DirEntry, Disk, DiskLock, FileFacts, FileHandle, MemDisk, OpenMode};
use highwater_types::TimestampMs;

/// A [`MemDisk`] that notes the names in a directory when it is synced.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamesDisk {
    files: MemDisk,
    durable: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl NamesDisk {
    pub(crate) fn is_durable(&self, path: &Path) -> bool {
        self.durable.lock().unwrap().contains(path)
    }
}

impl Disk for NamesDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        self.files.open(path, mode)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.files.metadata(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.files.list(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir_all(path)
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.files.set_modified(path, modified)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let names = self.files.list(path)?;
        *self.durable.lock().unwrap() = names.into_iter().map(|entry| path.join(entry.name)).collect();
        self.files.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.files.lock(path)
    }
}
