//! A disk whose writes and syncs of log files can be counted, held up and failed.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use highwater_log::{DirEntry, Disk, DiskCall, DiskFile, DiskLock, FileFacts, FileHandle, MemDisk, OpenMode};
use highwater_types::TimestampMs;
use parking_lot::{Condvar, Mutex};

/// A disk in memory with a gate that calls on `.log` files pass one by one, if it is shut.
#[derive(Clone, Debug, Default)]
pub(crate) struct GateDisk {
    pub(crate) inner: MemDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The kind of call that is held up.
    held: Option<DiskCall>,
    /// Calls that have been held up, and of these the ones that have been let go.
    arrived: u64,
    released: u64,
    /// Fails the calls that are let go.
    fails: bool,
    syncs: u64,
}

/// Longer than any of these tests takes on a busy machine: a test that would hang fails instead.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl GateDisk {
    pub(crate) fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// From now on calls of this kind wait at the gate; `None` lets new ones pass.
    pub(crate) fn hold(&self, kind: Option<DiskCall>) {
        self.gate.state.lock().held = kind;
    }

    /// Waits until `count` calls have come to the gate since the beginning.
    pub(crate) fn wait_for_arrivals(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.gate.state.lock();
        while state.arrived < count {
            assert!(!self.gate.changed.wait_until(&mut state, deadline).timed_out(), "only {} came", state.arrived);
        }
    }

    /// Lets the next of those that wait pass.
    pub(crate) fn release_one(&self) {
        self.gate.state.lock().released += 1;
        self.gate.changed.notify_all();
    }

    /// Opens the gate for all.
    pub(crate) fn open(&self) {
        let mut state = self.gate.state.lock();
        state.held = None;
        state.released = state.arrived;
        drop(state);
        self.gate.changed.notify_all();
    }

    /// Opens the gate, and fails whatever waited there and all syncs to come.
    pub(crate) fn open_failing(&self) {
        self.gate.state.lock().fails = true;
        self.open();
    }

    /// Syncs of log files that have begun.
    pub(crate) fn syncs(&self) -> u64 {
        self.gate.state.lock().syncs
    }
}

impl Gate {
    fn pass(&self, kind: DiskCall) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        if kind == DiskCall::Sync {
            state.syncs += 1;
        }
        if state.held == Some(kind) {
            let ticket = state.arrived;
            state.arrived += 1;
            self.changed.notify_all();
            while state.released <= ticket {
                if self.changed.wait_until(&mut state, deadline).timed_out() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
        if state.fails && kind == DiskCall::Sync { Err(io::Error::other("injected failure")) } else { Ok(()) }
    }
}

impl Disk for GateDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let inner = self.inner.open(path, mode)?;
        let gate = path.extension().is_some_and(|e| e == "log").then(|| Arc::clone(&self.gate));
        Ok(FileHandle::new(GateFile { inner, gate }))
    }
    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.inner.metadata(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.inner.set_modified(path, modified)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock(path)
    }
}

struct GateFile {
    inner: FileHandle,
    /// Of a log file.
    gate: Option<Arc<Gate>>,
}

impl GateFile {
    fn pass(&self, kind: DiskCall) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate.pass(kind))
    }
}

impl fmt::Debug for GateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl DiskFile for GateFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.pass(DiskCall::Write)?;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.inner.write_all_at(&bytes, position)?;
        Ok(bytes.len())
    }
    fn set_len(&self, length: u64) -> io::Result<()> {
        self.inner.set_len(length)
    }
    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.inner.reserve(position, length)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.pass(DiskCall::Sync)?;
        self.inner.sync_data()
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
}
