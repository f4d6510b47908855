//! The operating system's files.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use highwater_types::TimestampMs;
use nix::fcntl::{FallocateFlags, FcntlArg, fallocate, fcntl};
use nix::libc;
use nix::sys::uio::pwritev;

use super::{Disk, DiskFile, DiskLock, Entry, FileFacts, FileHandle, OpenMode, Volume};

/// The operating system's file system.
///
/// Appends with `pwritev`, reads with `pread`, syncs with `fdatasync` and locks with an open-file-description
/// lock, which excludes both other handles in this process and the `fcntl` locks that Java takes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    /// A shared handle, the form in which logs take their disk.
    #[must_use]
    pub fn shared() -> Arc<dyn Disk> {
        Arc::new(Self)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let file = match mode {
            OpenMode::Read => File::open(path)?,
            OpenMode::ReadWrite => File::options().read(true).write(true).open(path)?,
            OpenMode::Create => File::options().read(true).write(true).create(true).truncate(false).open(path)?,
        };
        Ok(FileHandle::new(RealFile(file)))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        let facts = fs::metadata(path)?;
        let modified = match facts.modified()?.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Ok(FileFacts { is_dir: facts.is_dir(), size: facts.len(), modified: TimestampMs(modified) })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let is_dir = entry.file_type()?.is_dir();
                entries.push(Entry { name, is_dir });
            }
        }
        Ok(entries)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        let distance = Duration::from_millis(modified.value().unsigned_abs());
        let time =
            if modified.value() < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        let time = time.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        File::options().write(true).open(path)?.set_modified(time)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        #[expect(clippy::cast_possible_truncation, reason = "the constants are 0 and 1")]
        let whole_file = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file)) {
            Ok(_) => Ok(Box::new(RealLock { _file: file })),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
            Err(other) => Err(other.into()),
        }
    }

    fn volume(&self, path: &Path) -> io::Result<Option<Arc<dyn Volume>>> {
        Ok(Some(Arc::new(RealVolume(File::open(path)?))))
    }
}

/// `syncfs` reports write-back errors since its descriptor was opened (Linux 5.8).
#[derive(Debug)]
struct RealVolume(File);

impl Volume for RealVolume {
    fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::syncfs(&self.0)?)
    }
}

/// The lock lives as long as the open file description.
#[derive(Debug)]
struct RealLock {
    _file: File,
}

impl DiskLock for RealLock {}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        // Linux takes at most IOV_MAX slices a call.
        let slices = &slices[..slices.len().min(libc::UIO_MAXIOV as usize)];
        Ok(pwritev(&self.0, slices, file_offset(position)?)?)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        let range = (file_offset(position)?, file_offset(length)?);
        match fallocate(&self.0, FallocateFlags::FALLOC_FL_KEEP_SIZE, range.0, range.1) {
            // Not every file system can, and the log does not depend on it.
            Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}

fn file_offset(position: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(position).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = RealDisk.lock(&path).unwrap();
        assert_eq!(RealDisk.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        RealDisk.lock(&path).unwrap();
    }

    #[test]
    fn vectored_writes_longer_than_iov_max_are_completed() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        let bytes: Vec<u8> = (0..3_000u32).map(|i| i.to_le_bytes()[0]).collect();
        let mut slices: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        file.write_all_vectored_at(&mut slices, 5).unwrap();
        let mut back = vec![0; 3_005];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(back[..5], [0; 5]);
        assert_eq!(back[5..], bytes);
    }

    #[test]
    fn reserving_space_does_not_change_the_size() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealDisk.open(&dir.path().join("f"), OpenMode::Create).unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        file.reserve(0, 1 << 20).unwrap();
        assert_eq!(file.size().unwrap(), 3);
    }

    #[test]
    fn the_time_of_the_last_write_can_be_set_before_and_after_1970() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        RealDisk.open(&path, OpenMode::Create).unwrap();
        for modified in [-86_400_000, 0, 1_700_000_000_123] {
            RealDisk.set_modified(&path, TimestampMs(modified)).unwrap();
            assert_eq!(RealDisk.metadata(&path).unwrap().modified, TimestampMs(modified));
        }
    }
}
