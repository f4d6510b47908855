//! A flat file of fixed-size entries, sorted, appended at its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use highwater_types::Offset;
use parking_lot::Mutex;

use crate::disk::{Disk, FileHandle};
use crate::error::LogError;

/// An entry of an index file.
pub(crate) trait IndexEntry: Copy + Send + Sync {
    /// Bytes of one entry.
    const SIZE: usize;
    fn write(self, out: &mut Vec<u8>);
    /// `bytes` holds exactly [`SIZE`](Self::SIZE) bytes.
    fn read(bytes: &[u8]) -> Self;
}

/// Where an index file lies and how large it may become.
#[derive(Clone, Debug)]
pub(crate) struct IndexPlace {
    pub(crate) path: PathBuf,
    /// Base offset of the segment.
    pub(crate) base: Offset,
    /// `segment.index.bytes`.
    pub(crate) bytes_max: u32,
}

/// The entries of one index.
///
/// Entries that are not in the file yet are kept in memory and written together: the file of the newest segment
/// is rebuilt after a crash anyway. At most [`TAIL_MAX`] of them are kept, so that memory per log is bounded
/// whatever the segment's size. Of the file, every [`BLOCK`]th entry is kept once it has been searched (32 KiB for a
/// segment of 1 GiB), so that a search costs one `pread` of one block.
#[derive(Debug)]
pub(crate) struct IndexFile<E> {
    path: Arc<Path>,
    base: Offset,
    bytes_max: u32,
    /// Whether the file must get the size of an active segment's index before it is written.
    grows_late: bool,
    file: FileHandle,
    /// Entries in `file`.
    written: usize,
    /// Entries after them.
    tail: Vec<E>,
    /// What is kept of `file`, once it has been searched.
    searched: OnceLock<Box<Searched<E>>>,
    /// The last entry, once it is known.
    last: OnceLock<Option<E>>,
}

/// What is kept of a file so that it can be searched with one read.
#[derive(Debug)]
struct Searched<E> {
    /// Every [`BLOCK`]th entry of the file.
    fences: Vec<E>,
    /// The block searched last: a reader that goes on from where it was finds its next place there too.
    recent: Mutex<Recent<E>>,
}

/// Consecutive entries of an index file, from the entry number `start` on.
#[derive(Debug)]
struct Recent<E> {
    start: usize,
    entries: Vec<E>,
}

/// Entries that wait in memory, at most.
const TAIL_MAX: usize = 512;
/// Entries read at once while searching.
const BLOCK: usize = 64;
/// Entries read at once while collecting every [`BLOCK`]th; a multiple of it.
const FENCE_CHUNK: usize = 128 * BLOCK;
const ENTRY_SIZE_MAX: usize = 12;

impl<E: IndexEntry> IndexFile<E> {
    /// Takes the file, creating it if it is missing; every whole entry in it counts. Reads nothing but its size.
    pub(crate) fn open(disk: &Arc<dyn Disk>, place: IndexPlace) -> Result<Self, LogError> {
        let path = Arc::from(place.path);
        let (file, size) = FileHandle::find_or_create(disk, &path).map_err(LogError::io("open", &path))?;
        let entries = size / E::SIZE as u64;
        let written = usize::try_from(entries).map_err(|_| LogError::corrupt("index size", &path, size))?;
        Ok(Self::with_entries(file, path, place.base, place.bytes_max, written))
    }

    /// Takes an existing file of which the first `written` entries count, and asks nothing of the disk.
    ///
    /// If it `grows_late`, the first write [grows](Self::grow) it.
    pub(crate) fn remembered(disk: &Arc<dyn Disk>, place: IndexPlace, written: usize, grows_late: bool) -> Self {
        let path = Arc::from(place.path);
        let file = FileHandle::later(disk, &path);
        Self { grows_late, ..Self::with_entries(file, path, place.base, place.bytes_max, written) }
    }

    fn with_entries(file: FileHandle, path: Arc<Path>, base: Offset, bytes_max: u32, written: usize) -> Self {
        Self {
            path,
            base,
            bytes_max,
            grows_late: false,
            file,
            written,
            tail: Vec::new(),
            searched: OnceLock::new(),
            last: OnceLock::new(),
        }
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.written + self.tail.len()
    }

    /// Number of entries that `segment.index.bytes` allows.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes_max as usize / E::SIZE
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn handle(&self) -> &FileHandle {
        &self.file
    }

    /// Changes `segment.index.bytes`; the file follows at the next [`grow`](Self::grow).
    pub(crate) fn set_bytes_max(&mut self, bytes_max: u32) {
        self.bytes_max = bytes_max;
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Result<Option<E>, LogError> {
        if let Some(last) = self.last.get() {
            return Ok(*last);
        }
        let last = match self.len().checked_sub(1) {
            Some(index) => Some(self.get(index)?),
            None => None,
        };
        Ok(*self.last.get_or_init(|| last))
    }

    /// The entry at `index`, which must be below [`len`](Self::len).
    pub(crate) fn get(&self, index: usize) -> Result<E, LogError> {
        if let Some(in_tail) = index.checked_sub(self.written) {
            return Ok(self.tail[in_tail]);
        }
        let mut bytes = [0; ENTRY_SIZE_MAX];
        let bytes = &mut bytes[..E::SIZE];
        self.read_entries(bytes, index)?;
        Ok(E::read(bytes))
    }

    /// Adds an entry at the end.
    pub(crate) fn push(&mut self, entry: E) -> Result<(), LogError> {
        self.tail.push(entry);
        self.last = OnceLock::from(Some(entry));
        if self.tail.len() >= TAIL_MAX { self.write_tail() } else { Ok(()) }
    }

    /// Brings the file up to date.
    pub(crate) fn write_tail(&mut self) -> Result<(), LogError> {
        if self.tail.is_empty() {
            return Ok(());
        }
        if self.grows_late {
            self.grow()?;
        }
        self.write_entries()
    }

    fn write_entries(&mut self) -> Result<(), LogError> {
        if self.tail.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.tail.len() * E::SIZE);
        for entry in &self.tail {
            entry.write(&mut bytes);
        }
        let position = (self.written * E::SIZE) as u64;
        self.file.write_all_at(&bytes, position).map_err(LogError::io("write", &self.path))?;
        if let Some(searched) = self.searched.get_mut() {
            let first = self.written.next_multiple_of(BLOCK) - self.written;
            searched.fences.extend(self.tail.iter().skip(first).step_by(BLOCK));
        }
        self.written += self.tail.len();
        self.tail.clear();
        Ok(())
    }

    /// Number of leading entries for which `before` holds; it must hold for a prefix.
    pub(crate) fn partition_point(&self, before: impl Fn(&E) -> bool) -> Result<usize, LogError> {
        Ok(self.search(before)?.0)
    }

    /// The last of the leading entries for which `before` holds; it must hold for a prefix.
    pub(crate) fn last_where(&self, before: impl Fn(&E) -> bool) -> Result<Option<E>, LogError> {
        Ok(self.search(before)?.1)
    }

    fn search(&self, before: impl Fn(&E) -> bool) -> Result<(usize, Option<E>), LogError> {
        if self.tail.first().is_some_and(&before) {
            let count = self.tail.partition_point(before);
            return Ok((self.written + count, count.checked_sub(1).map(|last| self.tail[last])));
        }
        let searched = self.searched()?;
        let Some(block) = searched.fences.partition_point(&before).checked_sub(1) else { return Ok((0, None)) };
        let start = block * BLOCK;
        let len = (self.written - start).min(BLOCK);
        let mut recent = searched.recent.lock();
        if recent.start != start || recent.entries.len() != len {
            let mut buffer = [0; BLOCK * ENTRY_SIZE_MAX];
            let bytes = &mut buffer[..len * E::SIZE];
            recent.entries.clear();
            self.read_entries(bytes, start)?;
            recent.start = start;
            recent.entries.extend(bytes.chunks_exact(E::SIZE).map(E::read));
        }
        let count = recent.entries.partition_point(before);
        Ok((start + count, count.checked_sub(1).map(|last| recent.entries[last])))
    }

    /// What is kept of the file, read from it the first time.
    fn searched(&self) -> Result<&Searched<E>, LogError> {
        if let Some(searched) = self.searched.get() {
            return Ok(searched);
        }
        let mut fences = Vec::with_capacity(self.written.div_ceil(BLOCK));
        let mut chunk = vec![0; (self.written * E::SIZE).min(FENCE_CHUNK * E::SIZE)];
        for start in (0..self.written).step_by(FENCE_CHUNK) {
            let chunk = &mut chunk[..(self.written - start).min(FENCE_CHUNK) * E::SIZE];
            self.read_entries(chunk, start)?;
            fences.extend(chunk.chunks(BLOCK * E::SIZE).map(|block| E::read(&block[..E::SIZE])));
        }
        let recent = Mutex::new(Recent { start: 0, entries: Vec::new() });
        Ok(self.searched.get_or_init(|| Box::new(Searched { fences, recent })))
    }

    /// Keeps the first `len` entries. The file keeps its size.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        self.tail.truncate(len.saturating_sub(self.written));
        self.written = self.written.min(len);
        if let Some(searched) = self.searched.get_mut() {
            searched.fences.truncate(self.written.div_ceil(BLOCK));
            searched.recent.get_mut().entries.clear();
        }
        self.last = OnceLock::new();
    }

    /// Cuts the file to its entries.
    pub(crate) fn trim(&mut self) -> Result<(), LogError> {
        self.write_entries()?;
        self.grows_late = false;
        self.file.set_len((self.written * E::SIZE) as u64).map_err(LogError::io("trim", &self.path))
    }

    /// Extends the file to the size an active segment's index has, with zeros.
    pub(crate) fn grow(&mut self) -> Result<(), LogError> {
        self.grows_late = false;
        let entries = self.capacity().max(self.len());
        self.file.set_len((entries * E::SIZE) as u64).map_err(LogError::io("extend", &self.path))
    }

    fn read_entries(&self, out: &mut [u8], index: usize) -> Result<(), LogError> {
        let position = (index * E::SIZE) as u64;
        match self.file.read_exact_at(out, position) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(LogError::corrupt("index shorter than when it was opened", &self.path, position))
            }
            other => other.map_err(LogError::io("read", &self.path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Number(u32);

    impl IndexEntry for Number {
        const SIZE: usize = 4;
        fn write(self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0.to_be_bytes());
        }
        fn read(bytes: &[u8]) -> Self {
            Self(u32::from_be_bytes(bytes.try_into().unwrap()))
        }
    }

    fn open(disk: &MemDisk) -> IndexFile<Number> {
        let place = IndexPlace { path: "/i".into(), base: Offset::ZERO, bytes_max: 10_003 };
        IndexFile::open(&disk.shared(), place).unwrap()
    }

    #[test]
    fn a_search_finds_the_same_place_whatever_is_in_file_and_tail() {
        for count in [0u32, 1, 5, 63, 64, 65, 511, 512, 513, 1_500, 2_000] {
            let disk = MemDisk::new();
            let mut index = open(&disk);
            for i in 0..count {
                index.push(Number(i * 2)).unwrap();
                // Searched on the way, so that what is kept of the file has to grow with it.
                assert_eq!(index.partition_point(|entry| entry.0 < i * 2).unwrap(), i as usize);
                assert_eq!(index.partition_point(|entry| entry.0 < 2).unwrap(), 1);
            }
            assert_eq!(index.len(), count as usize);
            for target in 0..count * 2 + 2 {
                let found = index.partition_point(|entry| entry.0 <= target).unwrap();
                assert_eq!(found, ((target / 2 + 1).min(count)) as usize, "{target} of {count}");
            }
            assert_eq!(index.last().unwrap(), count.checked_sub(1).map(|i| Number(i * 2)));
        }
    }

    #[test]
    fn the_file_is_full_size_while_active_and_exact_when_trimmed() {
        let disk = MemDisk::new();
        let mut index = open(&disk);
        index.grow().unwrap();
        index.push(Number(7)).unwrap();
        assert_eq!(disk.read(Path::new("/i")).unwrap(), vec![0; 10_000]);
        index.trim().unwrap();
        assert_eq!(disk.read(Path::new("/i")).unwrap(), [0, 0, 0, 7]);
        let reopened = open(&disk);
        assert_eq!((reopened.len(), reopened.last().unwrap()), (1, Some(Number(7))));
    }

    #[test]
    fn truncation_reaches_tail_and_file() {
        let disk = MemDisk::new();
        let mut index = open(&disk);
        for i in 0..600 {
            index.push(Number(i)).unwrap();
        }
        assert_eq!(index.partition_point(|entry| entry.0 < 400).unwrap(), 400);
        index.truncate(550);
        assert_eq!((index.len(), index.last().unwrap()), (550, Some(Number(549))));
        index.truncate(10);
        assert_eq!((index.len(), index.last().unwrap()), (10, Some(Number(9))));
        assert_eq!(index.partition_point(|entry| entry.0 < 400).unwrap(), 10);
        index.push(Number(99)).unwrap();
        assert_eq!(index.get(10).unwrap(), Number(99));
        index.trim().unwrap();
        assert_eq!(disk.read(Path::new("/i")).unwrap().len(), 44);
    }
}
