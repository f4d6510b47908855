//! A file that is opened when it is first used.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::{Disk, DiskFile, FileHandle, OpenMode};

/// An existing file that may never be needed. Nothing is asked of the disk before it is.
#[derive(Debug)]
pub(super) struct LaterFile {
    disk: Arc<dyn Disk>,
    path: Arc<Path>,
    file: OnceLock<FileHandle>,
}

impl LaterFile {
    pub(super) fn new(disk: Arc<dyn Disk>, path: Arc<Path>) -> Self {
        Self { disk, path, file: OnceLock::new() }
    }

    fn file(&self) -> io::Result<&FileHandle> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        // If two threads open it, one of them closes it again.
        let file = self.disk.open(&self.path, OpenMode::ReadWrite)?;
        Ok(self.file.get_or_init(|| file))
    }
}

impl DiskFile for LaterFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file()?.0.read_at(buffer, position)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.file()?.0.write_vectored_at(slices, position)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)
    }

    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.file()?.reserve(position, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        match self.file.get() {
            Some(file) => file.size(),
            None => Ok(self.disk.metadata(&self.path)?.size),
        }
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.get()?.as_fd()
    }

    fn pin(&self) -> io::Result<Option<FileHandle>> {
        self.file()?.pin().map(Some)
    }
}
