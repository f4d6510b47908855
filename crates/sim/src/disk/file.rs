//! An open file of the disk.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;

use highwater_log::DiskFile;

use super::content::Content;
use super::fault::{Call, DirtyPages, ENOSPC, Verdict};
use super::names::Inode;
use super::{SimDisk, State, not_found};

#[derive(Debug)]
pub(super) struct SimFile {
    disk: SimDisk,
    inode: Inode,
    /// Its name when it was opened.
    path: PathBuf,
    process: u64,
    is_writable: bool,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, inode: Inode, path: PathBuf, process: u64, is_writable: bool) -> Self {
        Self { disk, inode, path, process, is_writable }
    }

    /// Runs `body` on the disk, unless the process that opened the file has ended.
    fn with<T>(&self, body: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.0.lock();
        if state.process != self.process {
            return Err(io::Error::other("a file handle of a process that has ended"));
        }
        body(&mut state)
    }

    /// Runs a change, and has it noted.
    fn change<T: fmt::Debug>(&self, name: &str, body: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.with(|state| {
            if !self.is_writable {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            state.stats.writes += 1;
            let changed = body(state);
            state.note(|| format!("{name} {}", self.path.display()), changed)
        })
    }
}

impl State {
    fn content(&mut self, inode: Inode) -> io::Result<&mut Content> {
        self.files.get_mut(&inode).ok_or_else(not_found)
    }

    /// How far a file may grow towards `end`; taken from the space that is left.
    fn take_space(&mut self, inode: Inode, end: usize) -> io::Result<usize> {
        let size = self.content(inode)?.bytes().len();
        let Some(left) = self.space_left else { return Ok(end) };
        let growth = end.saturating_sub(size);
        let granted = growth.min(usize::try_from(left).unwrap_or(usize::MAX));
        self.space_left = Some(left - granted as u64);
        if granted == growth {
            return Ok(end);
        }
        self.faults.note();
        Ok(size + granted)
    }

    fn write(&mut self, inode: Inode, at: usize, bytes: Vec<u8>) -> io::Result<()> {
        let now = self.now;
        let content = self.content(inode)?;
        content.write(at, bytes);
        content.modified = now;
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|state| {
            state.stats.reads += 1;
            state.check(Call::Read)?;
            let count = state.content(self.inode)?.read(buffer, position);
            state.stats.bytes_read += count as u64;
            Ok(count)
        })
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let at = usize::try_from(position).map_err(io::Error::other)?;
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let count = bytes.len();
        self.change(&format!("write {count} bytes at {at} of"), |state| {
            if let Verdict::Fail(error, pages) = state.faults.check(Call::Write) {
                if !state.faults.is_off() || pages == DirtyPages::Either {
                    bytes.truncate(state.random.index(bytes.len() + 1));
                    state.write(self.inode, at, bytes)?;
                }
                return Err(error);
            }
            let end = state.take_space(self.inode, at + bytes.len())?;
            if end < at + bytes.len() {
                bytes.truncate(end.saturating_sub(at));
                if bytes.is_empty() {
                    return Err(io::Error::from_raw_os_error(ENOSPC));
                }
            }
            let count = bytes.len();
            state.stats.bytes_written += count as u64;
            state.write(self.inode, at, bytes)?;
            Ok(count)
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.change(&format!("set length {length} of"), |state| {
            match state.faults.check(Call::Write) {
                Verdict::Go => {}
                Verdict::Fail(error, DirtyPages::Either) if state.random.chance(50) => {
                    state.content(self.inode)?.set_length(length);
                    return Err(error);
                }
                Verdict::Fail(error, _) => return Err(error),
            }
            // A file that is extended has holes: they take no space until they are written.
            let now = state.now;
            let content = state.content(self.inode)?;
            content.set_length(length);
            content.modified = now;
            Ok(())
        })
    }

    fn reserve(&self, _position: u64, _length: u64) -> io::Result<()> {
        self.change("reserve space for", |state| state.check(Call::Write))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|state| {
            state.stats.syncs += 1;
            let synced = match state.faults.check(Call::Sync) {
                Verdict::Go => {
                    state.content(self.inode)?.sync();
                    Ok(())
                }
                Verdict::Fail(error, pages) => {
                    let is_lucky = state.random.chance(50);
                    let content = state.content(self.inode)?;
                    match pages {
                        DirtyPages::Dropped => content.drop_dirty(),
                        DirtyPages::Either if is_lucky => content.sync(),
                        _ => {}
                    }
                    Err(error)
                }
            };
            state.note(|| format!("sync {}", self.path.display()), synced)
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|state| {
            state.stats.reads += 1;
            state.check(Call::Read)?;
            Ok(state.content(self.inode)?.bytes().len() as u64)
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.process == self.process {
            state.stats.open_files = state.stats.open_files.saturating_sub(1);
        }
    }
}
