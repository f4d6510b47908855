//! The operating system's disk, with syncs that can be held up and directories that can fail.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use highwater_log::{DirEntry, Disk, DiskFile, DiskLock, FileFacts, FileHandle, OpenMode, RealDisk};
use highwater_types::TimestampMs;

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Log files whose path holds this wait in their syncs.
    held: Option<String>,
    /// Everything fails whose path holds this.
    failing: Option<String>,
    /// Syncs of log files that are held up.
    waiting: usize,
    /// Syncs of log files that ended well, by path.
    synced: Vec<PathBuf>,
}

/// Longer than any of these tests takes on a busy machine: a test that would hang fails instead.
const PATIENCE: Duration = Duration::from_secs(60);

impl FaultyDisk {
    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Holds up the syncs of log files whose path holds `part`.
    pub(crate) fn hold_syncs(&self, part: &str) {
        self.state().held = Some(part.to_owned());
    }

    /// Waits until `count` syncs are held up.
    pub(crate) fn wait_for_held(&self, count: usize) {
        let waiting = |state: &mut State| state.waiting < count;
        let (state, timeout) = self.0.changed.wait_timeout_while(self.state(), PATIENCE, waiting).unwrap();
        assert!(!timeout.timed_out(), "{} syncs came", state.waiting);
    }

    pub(crate) fn release_syncs(&self) {
        self.state().held = None;
        self.0.changed.notify_all();
    }

    /// Fails every change and sync below paths that hold `part`, among them the syncs that are held up.
    pub(crate) fn fail(&self, part: &str) {
        self.state().failing = Some(part.to_owned());
        self.release_syncs();
    }

    pub(crate) fn heal(&self) {
        self.state().failing = None;
    }

    /// How many syncs of log files whose path holds `part` have ended well.
    pub(crate) fn syncs(&self, part: &str) -> usize {
        self.state().synced.iter().filter(|path| has(path, part)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        match &self.state().failing {
            Some(part) if has(path, part) => Err(io::Error::other("injected failure")),
            _ => Ok(()),
        }
    }

    fn before_sync(&self, path: &Path) -> io::Result<()> {
        let is_held = |state: &State| state.held.as_ref().is_some_and(|part| has(path, part)) && is_log(path);
        let mut state = self.state();
        if is_held(&state) {
            state.waiting += 1;
            self.0.changed.notify_all();
            let (mut after, timeout) =
                self.0.changed.wait_timeout_while(state, PATIENCE, |state| is_held(state)).unwrap();
            after.waiting -= 1;
            assert!(!timeout.timed_out(), "a sync was never released");
        } else {
            drop(state);
        }
        self.check(path)
    }
}

fn has(path: &Path, part: &str) -> bool {
    path.to_str().is_some_and(|path| path.contains(part))
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        self.check(path)?;
        let inner = RealDisk.open(path, mode)?;
        Ok(FileHandle::new(FaultyFile { disk: self.clone(), path: path.to_owned(), inner }))
    }
    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.check(path)?;
        RealDisk.metadata(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.check(path)?;
        RealDisk.list(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        RealDisk.create_dir_all(path)
    }
    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.check(path)?;
        RealDisk.set_modified(path, modified)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(from)?;
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        RealDisk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        RealDisk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(path)?;
        RealDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.check(path)?;
        RealDisk.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    path: PathBuf,
    inner: FileHandle,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.disk.check(&self.path)?;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.inner.write_all_at(&bytes, position)?;
        Ok(bytes.len())
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.check(&self.path)?;
        self.inner.set_len(length)
    }
    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.inner.reserve(position, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.before_sync(&self.path)?;
        self.inner.sync_data()?;
        if is_log(&self.path) {
            self.disk.state().synced.push(self.path.clone());
        }
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }
}
