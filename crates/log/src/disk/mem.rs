//! Files in memory, with faults on demand.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::TimestampMs;
use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock, Entry, FileFacts, FileHandle, OpenMode, Volume};

/// A file system in memory, for tests.
///
/// Clones share the same files. It remembers what was synced, so that [`crash`](Self::crash) can lose the rest,
/// and it can fail a chosen call ([`fail_after`](Self::fail_after)). Names are durable at once; losing them is
/// left to heavier simulators.
#[derive(Clone, Debug, Default)]
pub struct MemDisk(Arc<Mutex<State>>);

/// A kind of call that [`MemDisk::fail_after`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// A write or a change of a file's size.
    Write,
    /// A sync of a file or directory.
    Sync,
}

/// What [`MemDisk::crash`] does to bytes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashLoss {
    /// Keeps them all, as when only the process dies.
    Nothing,
    /// Keeps `per_256 / 256` of what was appended since the last sync, counted from its start, and puts back
    /// synced bytes that were overwritten.
    Tail {
        /// Kept share.
        per_256: u8,
    },
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Content>>>,
    /// With the time when names in them changed last.
    directories: BTreeMap<PathBuf, i64>,
    locks: BTreeMap<PathBuf, ()>,
    failure: Option<(DiskCall, u64)>,
    now: i64,
    /// How much later each change happens than the one before.
    step: i64,
}

impl State {
    /// The time of a change that happens now.
    fn pass_time(&mut self) -> i64 {
        self.now += self.step;
        self.now
    }

    /// A name in the directory of `path` has changed.
    fn touch_parent(&mut self, path: &Path) {
        let now = self.pass_time();
        if let Some(modified) = path.parent().and_then(|parent| self.directories.get_mut(parent)) {
            *modified = now;
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    modified: i64,
}

impl MemDisk {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This file system in the form in which logs take it.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Lets `calls` more calls of this kind succeed; the next one and all after it fail.
    pub fn fail_after(&self, kind: DiskCall, calls: u64) {
        self.0.lock().failure = Some((kind, calls));
    }

    /// Ends the failures of [`fail_after`](Self::fail_after).
    pub fn heal(&self) {
        self.0.lock().failure = None;
    }

    /// Sets the time that written files and changed directories get.
    pub fn set_time(&self, now: TimestampMs) {
        self.0.lock().now = now.value();
    }

    /// Lets `step_ms` pass with each change of a file's content or of a name. None by default.
    pub fn set_time_step(&self, step_ms: i64) {
        self.0.lock().step = step_ms;
    }

    /// Forgets unsynced bytes and every lock, as after a power loss. Open handles must not be used any more.
    pub fn crash(&self, loss: CrashLoss) {
        let mut state = self.0.lock();
        state.locks.clear();
        let CrashLoss::Tail { per_256 } = loss else { return };
        for file in state.files.values() {
            let mut content = file.lock();
            let synced = content.durable.len().min(content.bytes.len());
            let kept = synced + (content.bytes.len() - synced) * usize::from(per_256) / 256;
            let mut after = content.durable.clone();
            after.truncate(synced);
            after.extend_from_slice(&content.bytes[synced..kept]);
            content.durable.clone_from(&after);
            content.bytes = after;
        }
    }

    /// The content of a file, if there is one.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.lock().files.get(path).map(|file| file.lock().bytes.clone())
    }

    /// Creates or replaces a file, durably.
    pub fn write(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.lock();
        let content = Content { bytes: bytes.to_vec(), durable: bytes.to_vec(), modified: state.now };
        if state.files.insert(path.to_owned(), Arc::new(Mutex::new(content))).is_none() {
            state.touch_parent(path);
        }
    }

    fn check(&self, kind: DiskCall) -> io::Result<()> {
        match &mut self.0.lock().failure {
            Some((failing, left)) if *failing == kind => match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Err(io::Error::other("injected failure")),
            },
            _ => {}
        }
        Ok(())
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let mut state = self.0.lock();
        if !state.files.contains_key(path) {
            if mode != OpenMode::Create {
                return Err(io::ErrorKind::NotFound.into());
            }
            let content = Content { modified: state.now, ..Content::default() };
            state.files.insert(path.to_owned(), Arc::new(Mutex::new(content)));
            state.touch_parent(path);
        }
        let content = Arc::clone(&state.files[path]);
        Ok(FileHandle::new(MemFile { disk: self.clone(), content }))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        let state = self.0.lock();
        if let Some(file) = state.files.get(path) {
            let content = file.lock();
            let size = content.bytes.len() as u64;
            return Ok(FileFacts { is_dir: false, size, modified: TimestampMs(content.modified) });
        }
        if let Some(&modified) = state.directories.get(path) {
            return Ok(FileFacts { is_dir: true, size: 0, modified: TimestampMs(modified) });
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.0.lock();
        if !state.directories.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name_in = |full: &PathBuf| {
            let name = full.file_name()?.to_str()?;
            (full.parent() == Some(path)).then(|| name.to_owned())
        };
        let directories = state.directories.keys().filter_map(name_in).map(|name| Entry { name, is_dir: true });
        let files = state.files.keys().filter_map(name_in).map(|name| Entry { name, is_dir: false });
        Ok(directories.chain(files).collect())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        for directory in path.ancestors() {
            if !state.directories.contains_key(directory) {
                let now = state.now;
                state.directories.insert(directory.to_owned(), now);
                state.touch_parent(directory);
            }
        }
        Ok(())
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.check(DiskCall::Write)?;
        let state = self.0.lock();
        let file = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        file.lock().modified = modified.value();
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if let Some(file) = state.files.remove(from) {
            state.files.insert(to.to_owned(), file);
            state.touch_parent(from);
            state.touch_parent(to);
            return Ok(());
        }
        let Some(modified) = state.directories.remove(from) else { return Err(io::ErrorKind::NotFound.into()) };
        state.directories.insert(to.to_owned(), modified);
        state.touch_parent(from);
        state.touch_parent(to);
        let moved: Vec<PathBuf> = state.files.keys().filter(|path| path.starts_with(from)).cloned().collect();
        for old in moved {
            let (Some(file), Ok(rest)) = (state.files.remove(&old), old.strip_prefix(from)) else { continue };
            state.files.insert(to.join(rest), file);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        match state.files.remove(path) {
            Some(_) => {
                state.touch_parent(path);
                Ok(())
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.files.retain(|file, _| !file.starts_with(path));
        state.directories.retain(|directory, _| !directory.starts_with(path));
        state.touch_parent(path);
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        self.check(DiskCall::Sync)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.0.lock();
        if state.locks.insert(path.to_owned(), ()).is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn volume(&self, _path: &Path) -> io::Result<Option<Arc<dyn Volume>>> {
        Ok(Some(Arc::new(MemVolume(self.clone()))))
    }
}

#[derive(Debug)]
struct MemVolume(MemDisk);

impl Volume for MemVolume {
    fn sync(&self) -> io::Result<()> {
        self.0.check(DiskCall::Sync)?;
        for file in self.0.0.lock().files.values() {
            let mut content = file.lock();
            content.durable = content.bytes.clone();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct MemLock {
    disk: MemDisk,
    path: PathBuf,
}

impl DiskLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemFile {
    disk: MemDisk,
    content: Arc<Mutex<Content>>,
}

impl MemFile {
    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.disk.check(DiskCall::Write)?;
        let now = self.disk.0.lock().pass_time();
        let mut content = self.content.lock();
        change(&mut content.bytes);
        content.modified = now;
        Ok(())
    }
}

impl DiskFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let content = self.content.lock();
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(content.bytes.len());
        let count = buffer.len().min(content.bytes.len() - start);
        buffer[..count].copy_from_slice(&content.bytes[start..start + count]);
        Ok(count)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut at = usize::try_from(position).map_err(io::Error::other)?;
        let start = at;
        self.change(|bytes| {
            for slice in slices {
                let end = at + slice.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[at..end].copy_from_slice(slice);
                at = end;
            }
        })?;
        Ok(at - start)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(|bytes| bytes.resize(length, 0))
    }

    fn reserve(&self, _position: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.check(DiskCall::Sync)?;
        let mut content = self.content.lock();
        content.durable = content.bytes.clone();
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_synced_bytes_and_the_asked_share_of_the_rest() {
        let disk = MemDisk::new();
        let file = disk.open(Path::new("/f"), OpenMode::Create).unwrap();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(b"unsynced", 6).unwrap();
        disk.crash(CrashLoss::Tail { per_256: 128 });
        assert_eq!(disk.read(Path::new("/f")).unwrap(), b"syncedunsy");
    }

    #[test]
    fn a_directory_has_the_time_of_its_last_change_of_names() {
        let disk = MemDisk::new();
        let modified = |path: &str| disk.metadata(Path::new(path)).unwrap().modified.value();
        disk.create_dir_all(Path::new("/d/e")).unwrap();
        disk.set_time(TimestampMs(1));
        let file = disk.open(Path::new("/d/f"), OpenMode::Create).unwrap();
        disk.set_time(TimestampMs(2));
        file.write_all_at(b"x", 0).unwrap();
        disk.open(Path::new("/d/f"), OpenMode::Create).unwrap();
        assert_eq!([modified("/d"), modified("/d/e"), modified("/d/f")], [1, 0, 2]);
        disk.rename(Path::new("/d/f"), Path::new("/d/e/g")).unwrap();
        assert_eq!([modified("/d"), modified("/d/e"), modified("/d/e/g")], [2, 2, 2]);
        disk.set_time(TimestampMs(3));
        disk.remove_file(Path::new("/d/e/g")).unwrap();
        assert_eq!([modified("/d"), modified("/d/e")], [2, 3]);
    }

    #[test]
    fn the_nth_write_fails_and_all_after_it() {
        let disk = MemDisk::new();
        let file = disk.open(Path::new("/f"), OpenMode::Create).unwrap();
        disk.fail_after(DiskCall::Write, 1);
        file.write_all_at(b"a", 0).unwrap();
        file.write_all_at(b"b", 1).unwrap_err();
        file.write_all_at(b"b", 1).unwrap_err();
        file.sync_data().unwrap();
        disk.heal();
        file.write_all_at(b"b", 1).unwrap();
    }
}
