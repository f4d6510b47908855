//! The one seam between the log and the operating system.

mod cached;
mod later;
mod mem;
mod real;

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use highwater_types::TimestampMs;

pub use cached::{CacheStats, CachedDisk};
pub use mem::{CrashLoss, DiskCall, MemDisk};
pub use real::RealDisk;

/// Everything the log asks of a file system.
///
/// [`RealDisk`] is the operating system's; [`CachedDisk`] bounds how many files of another are open; [`MemDisk`] keeps files in memory, can fail at a chosen call and can
/// lose what was not synced, for tests. All methods may block. Paths are absolute or relative to the working
/// directory, as for [`std::fs`].
///
/// What the log assumes of an implementation:
///
/// - a rename replaces its target atomically;
/// - bytes survive a crash once [`DiskFile::sync_data`] returned, and names once [`Disk::sync_dir`] of their
///   directory returned; before that they may be lost, in any order, and a write may be torn;
/// - after a failed write or sync the state of the file is unknown (the log never retries on the same handle).
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle>;
    /// Facts about a file or directory; [`io::ErrorKind::NotFound`] if there is none.
    fn metadata(&self, path: &Path) -> io::Result<FileFacts>;
    /// Names in a directory, in no particular order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Creates a directory and its parents; not an error if it exists.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Sets the time of a file's last write, by which records without timestamps age.
    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()>;
    /// Renames a file or directory, replacing a file of the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with everything in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on the file `path`, creating it, without waiting.
    ///
    /// Held until the returned value is dropped. [`io::ErrorKind::WouldBlock`] if another holds it; that
    /// includes an Apache Kafka broker on the same directory.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
    /// The file system that `path`, a directory, lies on, if it can be synced whole; `None`, the default, if files
    /// have to be synced one by one.
    fn volume(&self, path: &Path) -> io::Result<Option<Arc<dyn Volume>>> {
        let _ = path;
        Ok(None)
    }
}

/// A whole file system.
///
/// Reports every failure since it was [asked for](Disk::volume), so it is to be held from before the first write.
pub trait Volume: Send + Sync + fmt::Debug {
    /// Makes everything durable that has been written: content, sizes and names of all files.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases the lock.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// An open file of a [`Disk`].
///
/// Positions are given with each call, so that readers and the appender share one handle.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads at `position`; short at the end of the file, 0 past it.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes the slices at `position` in one call; may write less than given.
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize>;
    /// Cuts or zero-extends the file.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Reserves space for `length` bytes from `position` without changing the file's size. A hint: an
    /// implementation may do nothing.
    fn reserve(&self, position: u64, length: u64) -> io::Result<()>;
    /// Makes content and size durable (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;
    /// The file's size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// The descriptor to hand to `sendfile`, if there is one.
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// The file in a form whose descriptor stays open, if this one's might not.
    fn pin(&self) -> io::Result<Option<FileHandle>> {
        Ok(None)
    }
}

/// How [`Disk::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// For reading and writing; created if missing, kept as it is otherwise.
    Create,
}

/// Facts about a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last write, in milliseconds.
    pub modified: TimestampMs,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file name, without its directory. Names that are not UTF-8 are not listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A shared handle of an open file.
///
/// Cheap to clone. The file stays readable while any clone lives, even after it is renamed or removed.
#[derive(Clone, Debug)]
pub struct FileHandle(Arc<dyn DiskFile>);

impl FileHandle {
    /// Wraps an implementation's file.
    pub fn new(file: impl DiskFile + 'static) -> Self {
        Self(Arc::new(file))
    }

    /// An existing file that is opened when it is first used.
    ///
    /// Its path must not change before; the owner sees to that.
    pub(crate) fn later(disk: &Arc<dyn Disk>, path: &Arc<Path>) -> Self {
        Self::new(later::LaterFile::new(Arc::clone(disk), Arc::clone(path)))
    }

    /// The file at `path` with its size, opened when it is first used; created if there is none.
    pub(crate) fn find_or_create(disk: &Arc<dyn Disk>, path: &Arc<Path>) -> io::Result<(Self, u64)> {
        match disk.metadata(path) {
            Ok(facts) if !facts.is_dir => Ok((Self::later(disk, path), facts.size)),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                let file = disk.open(path, OpenMode::Create)?;
                let size = file.size()?;
                Ok((file, size))
            }
        }
    }

    fn from_arc(file: Arc<dyn DiskFile>) -> Self {
        Self(file)
    }

    /// The same file with a descriptor that stays open as long as this handle lives, for reading and sending.
    ///
    /// Costs nothing where files are never closed anyway; see [`CachedDisk`] where they are.
    pub fn pin(&self) -> io::Result<Self> {
        Ok(self.0.pin()?.unwrap_or_else(|| self.clone()))
    }

    /// Reads at `position` until `buffer` is full or the file ends; returns the bytes read.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = position.saturating_add(filled as u64);
            match self.0.read_at(&mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// Fills `buffer` from `position`; [`io::ErrorKind::UnexpectedEof`] if the file is too short.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        if self.read_at(buffer, position)? == buffer.len() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside the range asked for"))
    }

    /// Writes all of `bytes` at `position`.
    pub fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.write_all_vectored_at(&mut [IoSlice::new(bytes)], position)
    }

    /// Writes all slices one after the other from `position`, in one call where the system takes them whole.
    pub fn write_all_vectored_at(&self, slices: &mut [IoSlice<'_>], mut position: u64) -> io::Result<()> {
        let mut rest = slices;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match self.0.write_vectored_at(rest, position) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::WriteZero, "the file took no bytes")),
                Ok(n) => {
                    position += n as u64;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Cuts or zero-extends the file.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    /// See [`DiskFile::reserve`].
    pub fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.0.reserve(position, length)
    }

    /// Makes content and size durable.
    pub fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// The file's size in bytes.
    pub fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    /// The descriptor to hand to `sendfile`; `None` for files that are not the operating system's, and for those whose
    /// descriptor might be closed meanwhile: [`pin`](Self::pin) them.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }

    /// Reads the whole file, which must not be larger than `limit` bytes.
    pub(crate) fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        let size = self.size()?;
        if size > limit {
            let text = format!("{size} bytes where at most {limit} are expected");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        let read = self.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}
