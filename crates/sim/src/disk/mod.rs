//! A file system in memory that forgets what was not synced, and fails on demand.

mod content;
mod crash;
mod fault;
mod file;
mod names;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_log::{DirEntry, Disk, DiskLock, FileFacts, FileHandle, OpenMode};
use highwater_types::TimestampMs;
use parking_lot::Mutex;

pub use crash::{DataLoss, NameLoss};
pub use fault::{Call, EIO, EMFILE, ENOSPC, Effect, Fault};

use crate::random::Random;
use content::Content;
use fault::{DirtyPages, Faults, Verdict};
use file::SimFile;
use names::{Inode, Names};

/// A disk that keeps exactly what it promised to keep.
///
/// - Bytes and the size of a file are durable when `sync_data` returns, names when `sync_dir` of their directory does.
///   Nothing else makes anything durable: syncing a new file does not save its name.
/// - [`crash`](Self::crash) takes the power away and leaves of the rest whatever a real disk may leave, see [`DataLoss`]
///   and [`NameLoss`]; [`kill`](Self::kill) ends the process only.
/// - [`inject`](Self::inject) makes a call fail, or takes the power away in the middle of it.
/// - [`limit_space`](Self::limit_space) and [`limit_descriptors`](Self::limit_descriptors) make it run out of them.
/// - Locks and open files end with the process: using an old handle afterwards fails.
/// - The time of a file's last write after a crash is that of its last sync or any later one that it had; that of a
///   directory goes with its names.
///
/// Clones share the same files. All chance comes from one seed, so that the same calls have the same outcome.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<State>>);

/// What has been asked of a disk since it was made. Failed calls count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Files opened or created.
    pub opens: u64,
    /// Reads, of bytes, facts and directories.
    pub reads: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Writes and changes of size.
    pub writes: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
    /// Directories created, renames and removals.
    pub name_changes: u64,
    /// Files open now.
    pub open_files: u64,
}

#[derive(Debug)]
struct State {
    names: Names,
    files: BTreeMap<Inode, Content>,
    locks: BTreeMap<PathBuf, u64>,
    faults: Faults,
    stats: DiskStats,
    random: Random,
    now: TimestampMs,
    /// Counts processes, so that the handles of an earlier one are told from those of this one.
    process: u64,
    space_left: Option<u64>,
    descriptors_max: Option<u64>,
    /// Calls that change something, if anybody wants to know.
    calls: Option<Vec<String>>,
}

impl SimDisk {
    /// An empty disk whose chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            names: Names::default(),
            files: BTreeMap::new(),
            locks: BTreeMap::new(),
            faults: Faults::default(),
            stats: DiskStats::default(),
            random: Random::new(seed),
            now: TimestampMs(0),
            process: 0,
            space_left: None,
            descriptors_max: None,
            calls: None,
        })))
    }

    /// This disk in the form in which logs take it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Sets the time that written files get.
    pub fn set_time(&self, now: TimestampMs) {
        let mut state = self.0.lock();
        state.now = now;
        state.names.now = now;
    }

    /// Has a call go wrong. Replaces what was injected before and has not happened.
    pub fn inject(&self, fault: Fault) {
        self.0.lock().faults.inject(fault);
    }

    /// Lets files grow by so many bytes in all, then writes are cut short and fail with [`ENOSPC`]; `None` for any.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.0.lock().space_left = bytes;
    }

    /// Lets so many files be open at the same time, then opening fails with [`EMFILE`]; `None` for any.
    pub fn limit_descriptors(&self, count: Option<u64>) {
        self.0.lock().descriptors_max = count;
    }

    /// Ends all faults and limits. The power stays as it is.
    pub fn heal(&self) {
        let mut state = self.0.lock();
        state.faults.heal();
        state.space_left = None;
        state.descriptors_max = None;
    }

    /// How often a fault or limit has struck since the last [`heal`](Self::heal).
    #[must_use]
    pub fn faults_hit(&self) -> u64 {
        self.0.lock().faults.hits()
    }

    /// Whether the power has failed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.lock().faults.is_off()
    }

    /// What has been asked of the disk.
    #[must_use]
    pub fn stats(&self) -> DiskStats {
        self.0.lock().stats
    }

    /// Ends the process: locks are free, handles are dead, and files are as they were seen, but for what a failed sync
    /// dropped.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.end_process();
        state.files.values_mut().for_each(Content::forget_dropped);
    }

    /// Takes the power away and brings it back: what was not synced survives as chance has it.
    pub fn crash(&self) {
        let loss = NameLoss::draw(&mut self.0.lock().random);
        self.crash_with(loss, None);
    }

    /// As [`crash`](Self::crash), with the kind of loss given; `None` draws one for each file.
    pub fn crash_with(&self, names: NameLoss, data: Option<DataLoss>) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.end_process();
        state.faults.power_on();
        let named = state.names.crash(names, &mut state.random);
        state.files.retain(|inode, _| named.contains(inode));
        for content in state.files.values_mut() {
            let loss = data.unwrap_or_else(|| DataLoss::draw(&mut state.random));
            content.crash(loss, &mut state.random);
        }
    }

    /// Remembers from now on which calls changed something, until they are [taken](Self::take_calls).
    pub fn record_calls(&self) {
        self.0.lock().calls.get_or_insert_default();
    }

    /// The calls since the last time, in order; each says whether it failed.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        self.0.lock().calls.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The content of a file as the process sees it, if there is one.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = state.names.find(path)?;
        state.files.get(&inode).map(|content| content.bytes().to_vec())
    }

    /// The time of a file's last write, if there is one.
    #[must_use]
    pub fn modified(&self, path: &Path) -> Option<TimestampMs> {
        let state = self.0.lock();
        let inode = state.names.find(path)?;
        state.files.get(&inode).map(|content| content.modified)
    }

    /// What of a file is certain to survive, if it has a name: its content as of the last sync.
    #[must_use]
    pub fn read_durable(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let inode = state.names.find(path)?;
        state.files.get(&inode).map(|content| content.durable().to_vec())
    }
}

impl State {
    fn end_process(&mut self) {
        self.process += 1;
        self.locks.clear();
        self.stats.open_files = 0;
    }

    /// Lets a call pass, or fails it. A change of names that fails as the power does may have taken place.
    fn check(&mut self, call: Call) -> io::Result<()> {
        match self.faults.check(call) {
            Verdict::Go => Ok(()),
            Verdict::Fail(error, _) => Err(error),
        }
    }

    /// Checks a change of names and carries it out, which may happen although the power fails.
    fn change_names(&mut self, change: impl FnOnce(&mut Names) -> Option<()>) -> io::Result<()> {
        self.stats.name_changes += 1;
        match self.faults.check(Call::Name) {
            Verdict::Go => change(&mut self.names).ok_or_else(not_found),
            Verdict::Fail(error, pages) => {
                if pages == DirtyPages::Either && self.random.chance(50) {
                    change(&mut self.names);
                }
                Err(error)
            }
        }
    }

    /// Hands the result of a call on, and notes it if somebody wants to know.
    fn note<T>(&mut self, call: impl FnOnce() -> String, result: io::Result<T>) -> io::Result<T> {
        if let Some(calls) = &mut self.calls {
            let failure = result.as_ref().err().map_or(String::new(), |error| format!(": {error}"));
            calls.push(call() + &failure);
        }
        result
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        self.names.find(path).ok_or_else(not_found)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let mut state = self.0.lock();
        state.stats.opens += 1;
        state.check(Call::Open)?;
        if state.descriptors_max.is_some_and(|max| max <= state.stats.open_files) {
            state.faults.note();
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let inode = match state.names.find(path) {
            Some(inode) if state.names.is_dir(inode) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(inode) => inode,
            None if mode == OpenMode::Create => {
                let inode = state.names.create(path, false).ok_or_else(not_found)?;
                let content = Content::new(state.now);
                state.files.insert(inode, content);
                state.note(|| format!("create {}", path.display()), Ok(inode))?
            }
            None => return Err(not_found()),
        };
        state.stats.open_files += 1;
        let file = SimFile::new(self.clone(), inode, path.to_owned(), state.process, mode != OpenMode::Read);
        Ok(FileHandle::new(file))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        let mut state = self.0.lock();
        state.stats.reads += 1;
        state.check(Call::Read)?;
        let inode = state.inode(path)?;
        Ok(match state.files.get(&inode) {
            Some(content) => {
                FileFacts { is_dir: false, size: content.bytes().len() as u64, modified: content.modified }
            }
            None => {
                let modified = state.names.modified(inode).unwrap_or(state.now);
                FileFacts { is_dir: true, size: 0, modified }
            }
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut state = self.0.lock();
        state.stats.reads += 1;
        state.check(Call::Read)?;
        let inode = state.inode(path)?;
        let entries = state.names.entries(inode).ok_or(io::ErrorKind::NotADirectory)?;
        Ok(entries.map(|(name, inode)| DirEntry { name: name.clone(), is_dir: state.names.is_dir(inode) }).collect())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let missing: Vec<&Path> = path.ancestors().take_while(|above| state.names.find(above).is_none()).collect();
        for above in missing.into_iter().rev() {
            state.change_names(|names| names.create(above, true).map(drop))?;
        }
        let inode = state.inode(path)?;
        if state.names.is_dir(inode) { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        let mut state = self.0.lock();
        state.stats.writes += 1;
        state.check(Call::Write)?;
        let inode = state.inode(path)?;
        state.files.get_mut(&inode).ok_or_else(not_found)?.modified = modified;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let renamed = state.change_names(|names| names.rename(from, to));
        state.note(|| format!("rename {} to {}", from.display(), to.display()), renamed)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let removed = state.change_names(|names| names.remove(path));
        state.note(|| format!("remove {}", path.display()), removed)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let removed = state.change_names(|names| names.remove(path));
        state.note(|| format!("remove {}", path.display()), removed)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.stats.dir_syncs += 1;
        let inode = state.inode(path)?;
        let synced = match state.faults.check(Call::Sync) {
            Verdict::Go => {
                state.names.sync(inode);
                Ok(())
            }
            Verdict::Fail(error, pages) => {
                if pages == DirtyPages::Either && state.random.chance(50) {
                    state.names.sync(inode);
                }
                Err(error)
            }
        };
        state.note(|| format!("sync {}", path.display()), synced)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.0.lock();
        state.stats.opens += 1;
        state.check(Call::Open)?;
        if state.locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.names.find(path).is_none() {
            let inode = state.names.create(path, false).ok_or_else(not_found)?;
            let content = Content::new(state.now);
            state.files.insert(inode, content);
        }
        let process = state.process;
        state.locks.insert(path.to_owned(), process);
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned(), process }))
    }
}

/// A lock of one process. One that outlives its process has nothing to release.
#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    process: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.locks.get(&self.path) == Some(&self.process) {
            state.locks.remove(&self.path);
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}
