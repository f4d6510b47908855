//! A file that may lose its descriptor.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::RwLock;

use super::Shared;
use super::names::{Directory, split};
use super::room::Reservation;
use crate::disk::{DiskFile, FileHandle, OpenMode};

/// A file of a [`CachedDisk`](super::CachedDisk).
#[derive(Debug)]
pub(super) struct CachedFile {
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    /// Locked for reading during each use, so that a file in use is not closed.
    slot: RwLock<Option<Arc<Descriptor>>>,
    flags: AtomicU8,
    mode: OpenMode,
}

/// Used since the clock's hand has passed.
const REFERENCED: u8 = 1;
/// Written since the last sync: must be synced before it is closed.
const WRITTEN: u8 = 2;
/// Not known to be synced. Set at first, as another process may have written the file.
const UNSYNCED: u8 = 4;
/// Known to the clock.
const ON_CLOCK: u8 = 8;
/// Without a name, so that it could not be opened again.
const DETACHED: u8 = 16;
/// A sync failed that nobody had asked for.
const FAILED: u8 = 32;

/// What became of a file that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// It is closed.
    Closed,
    /// It was closed already.
    Absent,
    /// It is in use, pinned, or was used lately.
    Kept,
    /// It has to be synced first.
    Written,
}

impl CachedFile {
    pub(super) fn open(shared: &Arc<Shared>, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let (parent, name) = split(path)?;
        let reservation = shared.room.reserve();
        let file = shared.names.with_directory(parent, |directory, files| {
            let descriptor = Arc::new(Descriptor { file: shared.inner.open(path, mode)?, _place: reservation });
            let file = Arc::new(Self {
                shared: Arc::clone(shared),
                directory: Arc::clone(directory),
                slot: RwLock::new(Some(descriptor)),
                flags: AtomicU8::new(REFERENCED | UNSYNCED | ON_CLOCK),
                mode: if mode == OpenMode::Create { OpenMode::ReadWrite } else { mode },
            });
            files.add(name, &file);
            Ok::<_, io::Error>(file)
        })?;
        shared.room.watch(Arc::downgrade(&file));
        Ok(FileHandle::from_arc(file))
    }

    /// Runs `operation` with an open descriptor.
    fn with<R>(&self, operation: impl FnOnce(&Arc<Descriptor>) -> io::Result<R>) -> io::Result<R> {
        if self.has(FAILED) {
            return Err(io::Error::other("an earlier sync of this file failed"));
        }
        loop {
            let slot = self.slot.read();
            if let Some(descriptor) = &*slot {
                self.set(REFERENCED);
                return operation(descriptor);
            }
            drop(slot);
            self.reopen()?;
        }
    }

    fn reopen(&self) -> io::Result<()> {
        // May close other files, so before any lock.
        let reservation = self.shared.room.reserve();
        let files = self.directory.0.read();
        let mut slot = self.slot.write();
        if slot.is_some() {
            return Ok(());
        }
        let (path, handle) = files.find(self).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let file = self.shared.inner.open(&path, self.mode)?;
        *slot = Some(Arc::new(Descriptor { file, _place: reservation }));
        self.set(REFERENCED);
        let is_known = self.flags.fetch_or(ON_CLOCK, Ordering::Relaxed) & ON_CLOCK != 0;
        drop((slot, files));
        if !is_known {
            self.shared.room.watch(handle);
        }
        Ok(())
    }

    /// Opens the file for good: its name at `path` is going to be lost. The caller holds its directory's lock.
    pub(super) fn detach(&self, path: &Path) -> io::Result<()> {
        let mut slot = self.slot.write();
        if slot.is_none() {
            let file = self.shared.inner.open(path, self.mode)?;
            // Nothing can be closed under the directory's lock.
            *slot = Some(Arc::new(Descriptor { file, _place: self.shared.room.reserve_beyond() }));
        }
        self.set(DETACHED);
        Ok(())
    }

    /// Closes the file unless something speaks against it. `is_urgent` disregards that it was used lately.
    pub(super) fn try_close(&self, is_urgent: bool) -> Closing {
        let Some(mut slot) = self.slot.try_write() else { return Closing::Kept };
        match &*slot {
            None => Closing::Absent,
            Some(descriptor) if Arc::strong_count(descriptor) > 1 || self.has(DETACHED | FAILED) => Closing::Kept,
            Some(_) if !is_urgent && self.has(REFERENCED) => {
                self.clear(REFERENCED);
                Closing::Kept
            }
            Some(_) if self.has(WRITTEN) => Closing::Written,
            Some(_) => {
                *slot = None;
                Closing::Closed
            }
        }
    }

    /// The clock has let go of it.
    pub(super) fn off_clock(&self) {
        self.clear(ON_CLOCK);
    }

    /// Notes that everything written so far is about to be synced with its whole file system. What is written from
    /// here on counts anew.
    pub(super) fn begin_sync(&self) {
        self.clear(WRITTEN);
    }

    /// Syncs the file so that it can be closed.
    pub(super) fn sync_to_close(&self) -> io::Result<()> {
        // Held during the sync, so that nobody closes the file before its outcome is known.
        let Some(descriptor) = self.slot.read().clone() else { return Ok(()) };
        self.begin_sync();
        descriptor.file.sync_data()
    }

    /// Makes the file refuse everything from here on.
    pub(super) fn fail(&self) {
        self.set(FAILED);
    }

    /// Whether the file lies in or below `directory`.
    pub(super) fn is_below(&self, directory: &Path) -> bool {
        self.directory.0.read().path.starts_with(directory)
    }

    fn has(&self, flags: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flags != 0
    }

    fn set(&self, flags: u8) {
        // Mostly set already, and then the cache line stays shared between the cores.
        if self.flags.load(Ordering::Relaxed) & flags != flags {
            self.flags.fetch_or(flags, Ordering::Relaxed);
        }
    }

    fn clear(&self, flags: u8) {
        self.flags.fetch_and(!flags, Ordering::Relaxed);
    }
}

impl DiskFile for CachedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.with(|descriptor| descriptor.file.0.read_at(buffer, position))
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.with(|descriptor| {
            let written = descriptor.file.0.write_vectored_at(slices, position);
            // After the write: a sync that clears it before has not seen these bytes. Under the slot's lock, so that
            // nobody closes the file in between.
            self.set(WRITTEN | UNSYNCED);
            written
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.with(|descriptor| {
            let changed = descriptor.file.set_len(length);
            // No bytes to write back, which is what closing would lose the errors of.
            self.set(UNSYNCED);
            changed
        })
    }

    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.with(|descriptor| descriptor.file.reserve(position, length))
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.slot.read().is_none() && !self.has(UNSYNCED | FAILED) {
            return Ok(());
        }
        self.with(|descriptor| {
            self.clear(WRITTEN | UNSYNCED);
            let synced = descriptor.file.sync_data();
            if synced.is_err() {
                self.set(WRITTEN | UNSYNCED);
            }
            synced
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|descriptor| descriptor.file.size())
    }

    fn pin(&self) -> io::Result<Option<FileHandle>> {
        self.with(|descriptor| Ok(Some(FileHandle::from_arc(Arc::clone(descriptor) as Arc<dyn DiskFile>))))
    }
}

impl Drop for CachedFile {
    fn drop(&mut self) {
        self.shared.names.forget(&self.directory, self);
    }
}

/// An open descriptor. As a pinned file it can be read and sent, but not changed: the cache would not learn of it.
#[derive(Debug)]
pub(super) struct Descriptor {
    file: FileHandle,
    _place: Reservation,
}

impl DiskFile for Descriptor {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.0.read_at(buffer, position)
    }

    fn write_vectored_at(&self, _slices: &[IoSlice<'_>], _position: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _position: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_fd()
    }
}
