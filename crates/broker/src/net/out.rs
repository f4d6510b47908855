//! What one turn of a connection answers: bytes and slices of files, in order.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Bytes in memory at which an output is full.
pub(super) const OUT_BYTES_FULL: usize = 1 << 20;
/// Bytes with the file slices at which an output is full.
pub(super) const OUT_TOTAL_FULL: u64 = 8 << 20;
/// File slices at which an output is full.
pub(super) const OUT_SLICES_FULL: usize = 1024;

/// A file that slices of can be sent.
///
/// The bytes of a slice must be in the file when it is added to an [`Out`], and stay there: if the file turns out
/// shorter when the slice is sent, the connection is closed, since its length has been announced already.
pub trait SendFile: Send + Sync {
    /// The descriptor for `sendfile`; `None` when the bytes do not live in a file of the operating system.
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Reads bytes at `position` into `buf` and returns how many; 0 only at the end of the file.
    ///
    /// # Errors
    ///
    /// Whatever the read fails with; the connection is closed then.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
}

impl SendFile for std::fs::File {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(std::os::fd::AsFd::as_fd(self))
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, position)
    }
}

/// Collects the answers of one call of the service.
///
/// Backed by memory that the loop reuses: writing an answer allocates nothing once warm. Everything that one turn
/// collects leaves in one system call if it is small, and file slices of 64 KiB and more go from the page cache to the
/// socket without passing through user space.
#[derive(Default)]
pub struct Out {
    pub(super) bytes: Vec<u8>,
    pub(super) slices: Vec<FileSlice>,
    pub(super) slice_bytes: u64,
}

/// A slice of a file that is sent before byte `at` of the output's bytes.
pub(super) struct FileSlice {
    pub(super) at: usize,
    pub(super) file: Arc<dyn SendFile>,
    pub(super) position: u64,
    pub(super) length: u32,
}

impl Out {
    /// The bytes collected so far. Append only: earlier answers are in there too.
    pub fn buf(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a slice of a file after all bytes and slices so far.
    pub fn file(&mut self, file: Arc<dyn SendFile>, position: u64, length: u32) {
        self.file_at(self.bytes.len(), file, position, length);
    }

    /// Adds a slice of a file in front of byte `at` of [`buf`](Self::buf), which may have been written already.
    ///
    /// # Panics
    ///
    /// If `at` lies behind the bytes, or before the place of a slice added earlier.
    pub fn file_at(&mut self, at: usize, file: Arc<dyn SendFile>, position: u64, length: u32) {
        assert!(at <= self.bytes.len(), "slice at {at}, behind the {} bytes so far", self.bytes.len());
        assert!(self.slices.last().is_none_or(|last| last.at <= at), "file slices are added in order");
        if length == 0 {
            return;
        }
        self.slice_bytes += u64::from(length);
        self.slices.push(FileSlice { at, file, position, length });
    }

    /// Whether this much should be sent before more is collected: from 1 MiB of bytes, 8 MiB together with the file
    /// slices, or 1024 slices.
    #[must_use]
    pub fn is_full(&self) -> bool {
        OUT_BYTES_FULL <= self.bytes.len()
            || OUT_SLICES_FULL <= self.slices.len()
            || OUT_TOTAL_FULL <= self.slice_bytes + self.bytes.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.slices.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.slices.clear();
        self.slice_bytes = 0;
    }
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Out")
            .field("bytes", &self.bytes.len())
            .field("slices", &self.slices.len())
            .field("slice_bytes", &self.slice_bytes)
            .finish()
    }
}
