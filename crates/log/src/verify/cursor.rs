//! Reading an index file from front to back, a piece at a time.

use std::path::{Path, PathBuf};

use crate::disk::{Disk, FileHandle, OpenMode};
use crate::error::LogError;
use crate::index::IndexEntry;

/// Entries read at once.
const CHUNK: usize = 4_096;

/// The entries of one index file, with the zeros of a preallocated one left out.
pub(super) struct Cursor<E> {
    path: PathBuf,
    file: FileHandle,
    /// Whole entries in the file that have not been read.
    left: u64,
    /// Number of the entry at the front.
    index: u64,
    chunk: Vec<E>,
    /// Entries of `chunk` that have been taken.
    taken: usize,
    /// Bytes behind the last whole entry.
    fragment: u64,
    /// Whether the rest of the file is zeros, as in an index whose segment was not closed.
    is_preallocated: bool,
}

impl<E: IndexEntry> Cursor<E> {
    /// Opens the file; `None` if there is none.
    pub(super) fn open(disk: &dyn Disk, path: PathBuf) -> Result<Option<Self>, LogError> {
        let file = match disk.open(&path, OpenMode::Read) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(LogError::io("open", &path))?,
        };
        let size = file.size().map_err(LogError::io("inspect", &path))?;
        let left = size / E::SIZE as u64;
        let fragment = size % E::SIZE as u64;
        let is_preallocated = false;
        Ok(Some(Self { path, file, left, index: 0, chunk: Vec::new(), taken: 0, fragment, is_preallocated }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes behind the last whole entry.
    pub(super) fn fragment(&self) -> u64 {
        self.fragment
    }

    /// Whether the entries ended with zeros.
    pub(super) fn is_preallocated(&self) -> bool {
        self.is_preallocated
    }

    /// Byte at which the entry at the front starts.
    pub(super) fn position(&self) -> u64 {
        self.index * E::SIZE as u64
    }

    /// The entry at the front.
    pub(super) fn peek(&mut self) -> Result<Option<E>, LogError> {
        if self.taken == self.chunk.len() && !self.refill()? {
            return Ok(None);
        }
        Ok(Some(self.chunk[self.taken]))
    }

    /// Goes on behind the entry at the front.
    pub(super) fn advance(&mut self) {
        self.taken += 1;
        self.index += 1;
    }

    fn refill(&mut self) -> Result<bool, LogError> {
        self.chunk.clear();
        self.taken = 0;
        let count = self.left.min(CHUNK as u64);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(CHUNK) * E::SIZE];
        let read = self.file.read_at(&mut bytes, self.position()).map_err(LogError::io("read", &self.path))?;
        self.left -= count;
        let entries = bytes[..read].chunks_exact(E::SIZE);
        // No entry of zeros can follow another entry, and the first batch of a segment has none.
        let zeros = entries.clone().take_while(|entry| entry.iter().any(|&byte| byte != 0)).count();
        let is_lone = self.index == 0 && count == 1;
        if zeros < entries.len() && !is_lone {
            self.is_preallocated = bytes[zeros * E::SIZE..read].iter().all(|&byte| byte == 0);
        }
        let kept = if self.is_preallocated { zeros } else { entries.len() };
        if self.is_preallocated {
            self.left = 0;
        }
        self.chunk.extend(entries.take(kept).map(E::read));
        Ok(!self.chunk.is_empty())
    }
}
