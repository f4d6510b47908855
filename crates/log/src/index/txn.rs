//! The transaction index: aborted transactions, by the segment that holds their marker (storage format, section 5).

use std::path::{Path, PathBuf};

use highwater_types::{Offset, ProducerId};

use crate::disk::{Disk, FileHandle, OpenMode};
use crate::error::LogError;

/// An aborted transaction that wrote records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer whose transaction it was.
    pub producer: ProducerId,
    /// Offset of its first record.
    pub first: Offset,
    /// Offset of the abort marker.
    pub last: Offset,
    /// First offset of the oldest transaction that was open when the marker was appended, or the offset after the
    /// marker: no transaction that ends later has records below.
    pub last_stable: Offset,
}

/// `.txnindex` of one segment.
///
/// Most segments have none: the file is created with the first entry, and without it this is one null pointer.
/// Entries are written as they come and read from the file when they are asked for, [`BLOCK`] of them at once.
#[derive(Debug, Default)]
pub(crate) struct TxnIndex(Option<Box<TxnFile>>);

#[derive(Debug)]
struct TxnFile {
    path: PathBuf,
    file: FileHandle,
    /// Whole entries in the file.
    len: u64,
    /// [`last`](AbortedTxn::last) of the last one.
    last: Option<Offset>,
}

const VERSION: i16 = 0;
pub(crate) const ENTRY_SIZE: usize = 34;
/// Entries read at once.
const BLOCK: usize = 64;

impl TxnIndex {
    /// Takes an existing file, whose entries must be those of a segment that begins at `base`. Reads all of it.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] for an entry of an unknown version, below `base`, or out of order. Less than an entry at
    /// the end of the file is ignored.
    pub(crate) fn open(disk: &dyn Disk, path: PathBuf, base: Offset) -> Result<Self, LogError> {
        let file = disk.open(&path, OpenMode::ReadWrite).map_err(LogError::io("open", &path))?;
        let size = file.size().map_err(LogError::io("inspect", &path))?;
        let mut file = TxnFile { path, file, len: size / ENTRY_SIZE as u64, last: None };
        let mut last = None;
        for entry in file.entries_from(0) {
            let (position, entry) = entry?;
            if entry.last < base || Some(entry.last) <= last {
                return Err(LogError::corrupt("transaction index (order of offsets)", &file.path, position));
            }
            last = Some(entry.last);
        }
        file.last = last;
        Ok(Self(Some(Box::new(file))))
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |file| file.len)
    }

    /// An index whose file is there and empty.
    pub(crate) fn create(disk: &dyn Disk, path: &Path) -> Result<Self, LogError> {
        TxnFile::create(disk, path).map(|file| Self(Some(Box::new(file))))
    }

    /// Adds an entry, whose marker must lie behind all earlier ones. Creates the file at `path` with the first.
    pub(crate) fn append(&mut self, disk: &dyn Disk, path: &Path, txn: AbortedTxn) -> Result<(), LogError> {
        let file = match &mut self.0 {
            Some(file) => file,
            None => self.0.insert(Box::new(TxnFile::create(disk, path)?)),
        };
        let position = file.len * ENTRY_SIZE as u64;
        if Some(txn.last) <= file.last {
            return Err(LogError::corrupt("transaction index (not below the offset to add)", &file.path, position));
        }
        file.file.write_all_at(&encode(txn), position).map_err(LogError::io("write", &file.path))?;
        file.len += 1;
        file.last = Some(txn.last);
        Ok(())
    }

    /// All entries, in the order of their markers.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), where the file has changed since; [`LogError::Io`].
    pub(crate) fn entries(&self) -> Result<Vec<AbortedTxn>, LogError> {
        let entries = self.0.iter().flat_map(|file| file.entries_from(0));
        entries.map(|entry| entry.map(|(_, txn)| txn)).collect()
    }

    /// Adds to `found` the transactions that have a record or their marker at or above `start`, and records below
    /// `upper`. Returns whether no later segment can have more of them.
    pub(crate) fn collect(&self, start: Offset, upper: Offset, found: &mut Vec<AbortedTxn>) -> Result<bool, LogError> {
        let Some(file) = &self.0 else { return Ok(false) };
        for entry in file.entries_from(file.near(start)?) {
            let (_, txn) = entry?;
            if txn.last < start {
                // Most of these are not even read, so none of them may end the search.
                continue;
            }
            if txn.first < upper {
                found.push(txn);
            }
            if upper <= txn.last_stable {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Drops the entries whose marker is at or above `offset`.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let (mut kept, mut last) = match file.near(offset)? {
            0 => (0, None),
            near => (near, Some(file.get(near - 1)?.last)),
        };
        for entry in file.entries_from(kept) {
            let (_, txn) = entry?;
            if offset <= txn.last {
                break;
            }
            (kept, last) = (kept + 1, Some(txn.last));
        }
        file.cut(kept, last)
    }

    /// Drops all entries. A file that is there stays, empty.
    pub(crate) fn reset(&mut self) -> Result<(), LogError> {
        self.0.as_mut().map_or(Ok(()), |file| file.cut(0, None))
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<(&FileHandle, &Path)> {
        self.0.as_ref().map(|file| (&file.file, &*file.path))
    }
}

impl TxnFile {
    fn create(disk: &dyn Disk, path: &Path) -> Result<Self, LogError> {
        let file = disk.open(path, OpenMode::Create).map_err(LogError::io("create", path))?;
        // A file that the segment does not know of is not its own.
        file.set_len(0).map_err(LogError::io("truncate", path))?;
        Ok(Self { path: path.to_owned(), file, len: 0, last: None })
    }

    fn get(&self, index: u64) -> Result<AbortedTxn, LogError> {
        let mut bytes = [0; ENTRY_SIZE];
        self.read(&mut bytes, index)?;
        self.decode(&bytes, index)
    }

    /// At most [`BLOCK`] entries before the first one whose marker is at or above `offset`.
    fn near(&self, offset: Offset) -> Result<u64, LogError> {
        let (mut low, mut high) = (0, self.len);
        while BLOCK as u64 <= high - low {
            let middle = low + (high - low) / 2;
            if self.get(middle)?.last < offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    fn entries_from(&self, index: u64) -> Entries<'_> {
        Entries { file: self, next: index, block: [0; BLOCK * ENTRY_SIZE], block_start: 0, block_end: 0 }
    }

    fn cut(&mut self, len: u64, last: Option<Offset>) -> Result<(), LogError> {
        self.file.set_len(len * ENTRY_SIZE as u64).map_err(LogError::io("truncate", &self.path))?;
        (self.len, self.last) = (len, last);
        Ok(())
    }

    fn read(&self, out: &mut [u8], index: u64) -> Result<(), LogError> {
        let position = index * ENTRY_SIZE as u64;
        match self.file.read_exact_at(out, position) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(LogError::corrupt("transaction index shorter than when it was opened", &self.path, position))
            }
            other => other.map_err(LogError::io("read", &self.path)),
        }
    }

    fn decode(&self, bytes: &[u8; ENTRY_SIZE], index: u64) -> Result<AbortedTxn, LogError> {
        decode(bytes).map_err(|what| LogError::corrupt(what, &self.path, index * ENTRY_SIZE as u64))
    }
}

/// Entries of a file, each with its position. Ends after an error.
struct Entries<'a> {
    file: &'a TxnFile,
    next: u64,
    block: [u8; BLOCK * ENTRY_SIZE],
    /// The entries in `block`: from this one, up to but without that one.
    block_start: u64,
    block_end: u64,
}

impl Entries<'_> {
    fn step(&mut self) -> Result<(u64, AbortedTxn), LogError> {
        if self.next < self.block_start || self.block_end <= self.next {
            let count = (self.file.len - self.next).min(BLOCK as u64);
            (self.block_start, self.block_end) = (self.next, self.next + count);
            self.file.read(&mut self.block[..count as usize * ENTRY_SIZE], self.next)?;
        }
        let index = self.next;
        let in_block = (index - self.block_start) as usize;
        let (entries, _) = self.block.as_chunks::<ENTRY_SIZE>();
        let entry = self.file.decode(&entries[in_block], index)?;
        self.next += 1;
        Ok((index * ENTRY_SIZE as u64, entry))
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, AbortedTxn), LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.file.len <= self.next {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.next = self.file.len;
        }
        Some(step)
    }
}

fn encode(txn: AbortedTxn) -> [u8; ENTRY_SIZE] {
    let mut bytes = [0; ENTRY_SIZE];
    bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
    let fields = [txn.producer.to_wire(), txn.first.to_wire(), txn.last.to_wire(), txn.last_stable.to_wire()];
    let (words, _) = bytes[2..].as_chunks_mut::<8>();
    for (word, field) in words.iter_mut().zip(fields) {
        *word = field.to_be_bytes();
    }
    bytes
}

/// Reads one entry.
pub(crate) fn decode(bytes: &[u8; ENTRY_SIZE]) -> Result<AbortedTxn, &'static str> {
    if i16::from_be_bytes([bytes[0], bytes[1]]) != VERSION {
        return Err("transaction index (version)");
    }
    let (words, _) = bytes[2..].as_chunks::<8>();
    let field = |index: usize| i64::from_be_bytes(words[index]);
    let offset = |index: usize| Offset::from_wire(field(index)).ok_or("transaction index (negative offset)");
    Ok(AbortedTxn {
        producer: ProducerId::from_wire(field(0)).ok_or("transaction index (producer)")?,
        first: offset(1)?,
        last: offset(2)?,
        last_stable: offset(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    const PATH: &str = "/00000000000000000100.txnindex";

    fn txn(first: u64, last: u64, last_stable: u64) -> AbortedTxn {
        let offset = Offset::new;
        AbortedTxn {
            producer: ProducerId::new(7),
            first: offset(first),
            last: offset(last),
            last_stable: offset(last_stable),
        }
    }

    fn append(index: &mut TxnIndex, disk: &MemDisk, txn: AbortedTxn) -> Result<(), LogError> {
        index.append(disk, Path::new(PATH), txn)
    }

    fn open(disk: &MemDisk) -> Result<TxnIndex, LogError> {
        TxnIndex::open(disk, PATH.into(), Offset::new(100))
    }

    /// `count` transactions, each of one record and a marker: 100 and 101, 102 and 103, and so on.
    fn filled(disk: &MemDisk, count: u64) -> TxnIndex {
        let mut index = TxnIndex::default();
        for first in (100..).step_by(2).take(usize::try_from(count).unwrap()) {
            append(&mut index, disk, txn(first, first + 1, first + 2)).unwrap();
        }
        index
    }

    fn position_of(error: LogError) -> (String, u64) {
        match error {
            LogError::Corrupt { what, path, position } => {
                assert_eq!(path, Path::new(PATH));
                (what.to_owned(), position)
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn without_an_entry_there_is_no_file_and_no_memory() {
        assert_eq!(size_of::<TxnIndex>(), size_of::<usize>());
        let disk = MemDisk::new();
        let mut index = TxnIndex::default();
        assert_eq!(index.entries().unwrap(), []);
        index.truncate_to(Offset::ZERO).unwrap();
        index.reset().unwrap();
        assert!(index.file().is_none());
        assert_eq!(disk.read(Path::new(PATH)), None);
    }

    #[test]
    fn an_entry_has_kafkas_34_bytes() {
        let disk = MemDisk::new();
        let mut index = TxnIndex::default();
        append(&mut index, &disk, txn(0x102, 0x203, 0x304)).unwrap();
        let bytes = disk.read(Path::new(PATH)).unwrap();
        let expected = "0000 0000000000000007 0000000000000102 0000000000000203 0000000000000304".replace(' ', "");
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), expected);
    }

    #[test]
    fn markers_must_increase_strictly_also_after_reopening() {
        let disk = MemDisk::new();
        let mut index = filled(&disk, 2);
        for last in [103, 102] {
            let (what, position) = position_of(append(&mut index, &disk, txn(100, last, 110)).unwrap_err());
            assert_eq!((what.as_str(), position), ("transaction index (not below the offset to add)", 68));
        }
        let mut index = open(&disk).unwrap();
        append(&mut index, &disk, txn(100, 103, 110)).unwrap_err();
        append(&mut index, &disk, txn(100, 104, 110)).unwrap();
        assert_eq!(index.entries().unwrap(), [txn(100, 101, 102), txn(102, 103, 104), txn(100, 104, 110)]);
    }

    #[test]
    fn a_fragment_at_the_end_is_ignored_and_overwritten() {
        let disk = MemDisk::new();
        filled(&disk, 1);
        let whole = disk.read(Path::new(PATH)).unwrap();
        for cut in 1..ENTRY_SIZE {
            disk.write(Path::new(PATH), &[&whole[..], &vec![0xff; cut]].concat());
            let mut index = open(&disk).unwrap();
            assert_eq!(index.entries().unwrap(), [txn(100, 101, 102)]);
            append(&mut index, &disk, txn(102, 103, 104)).unwrap();
            assert_eq!(open(&disk).unwrap().entries().unwrap().len(), 2);
        }
    }

    #[test]
    fn damaged_entries_are_named_by_file_and_position() {
        let cases: [(usize, u8, &str); 4] = [
            (35, 1, "transaction index (version)"),
            (36, 0x80, "transaction index (producer)"),
            (44, 0x80, "transaction index (negative offset)"),
            (52 + 7, 99, "transaction index (order of offsets)"),
        ];
        for (at, value, what) in cases {
            let disk = MemDisk::new();
            filled(&disk, 3);
            let mut bytes = disk.read(Path::new(PATH)).unwrap();
            bytes[at] = value;
            disk.write(Path::new(PATH), &bytes);
            assert_eq!(position_of(open(&disk).unwrap_err()), (what.to_owned(), 34), "byte {at}");
        }
    }

    #[test]
    fn an_index_that_shrinks_while_open_is_an_error() {
        let disk = MemDisk::new();
        let index = filled(&disk, 3);
        let file = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
        file.set_len(40).unwrap();
        let (what, position) = position_of(index.entries().unwrap_err());
        assert_eq!((what.as_str(), position), ("transaction index shorter than when it was opened", 0));
    }

    #[test]
    fn truncation_keeps_the_entries_below_the_target_whatever_the_size() {
        for count in [1, 63, 64, 65, 200] {
            for target in [0, 100, 101, 102, 150, 229, 230, 231, 499, 500, 501, 900] {
                let disk = MemDisk::new();
                let mut index = filled(&disk, count);
                index.truncate_to(Offset::new(target)).unwrap();
                let kept = (100..).step_by(2).take(count as usize).filter(|first| first + 1 < target);
                let kept: Vec<AbortedTxn> = kept.map(|first| txn(first, first + 1, first + 2)).collect();
                assert_eq!(index.entries().unwrap(), kept, "{count} cut at {target}");
                assert_eq!(disk.read(Path::new(PATH)).unwrap().len(), kept.len() * ENTRY_SIZE);
                append(&mut index, &disk, txn(900, target.max(900), 1_000)).unwrap();
                append(&mut index, &disk, txn(900, 10, 1_000)).unwrap_err();
                assert_eq!(open(&disk).unwrap().entries().unwrap().len(), kept.len() + 1);
            }
        }
    }

    #[test]
    fn a_search_finds_what_reading_everything_finds() {
        let disk = MemDisk::new();
        let mut index = TxnIndex::default();
        // Transactions that overlap: each fifth is long, and holds back the last stable offset of those inside.
        for i in 0..300u64 {
            let last = 101 + i * 2;
            let first = if i % 5 == 4 { last - 9 } else { last - 1 };
            let last_stable = if i % 5 == 4 { last + 1 } else { 101 + (i / 5 * 5 + 4) * 2 - 9 };
            append(&mut index, &disk, txn(first, last, last_stable)).unwrap();
        }
        let all = index.entries().unwrap();
        for start in (90..720).step_by(7) {
            for upper in (start + 1..740).step_by(13) {
                let (start, upper) = (Offset::new(start), Offset::new(upper));
                let mut found = Vec::new();
                let complete = index.collect(start, upper, &mut found).unwrap();
                let end = all.iter().position(|txn| upper <= txn.last_stable);
                let read = &all[..end.map_or(all.len(), |end| end + 1)];
                let expected: Vec<AbortedTxn> =
                    read.iter().filter(|txn| start <= txn.last && txn.first < upper).copied().collect();
                assert_eq!((found, complete), (expected, end.is_some()), "{start}..{upper}");
            }
        }
    }

    #[test]
    fn a_reset_empties_the_file_and_keeps_it() {
        let disk = MemDisk::new();
        let mut index = filled(&disk, 3);
        index.reset().unwrap();
        assert_eq!((index.entries().unwrap(), disk.read(Path::new(PATH))), (vec![], Some(vec![])));
        append(&mut index, &disk, txn(100, 101, 102)).unwrap();
        assert_eq!(open(&disk).unwrap().entries().unwrap(), [txn(100, 101, 102)]);
    }

    #[test]
    fn a_foreign_file_at_the_place_of_a_new_one_does_not_count() {
        let disk = MemDisk::new();
        filled(&disk, 3);
        let mut fresh = TxnIndex::default();
        append(&mut fresh, &disk, txn(100, 101, 102)).unwrap();
        assert_eq!(open(&disk).unwrap().entries().unwrap(), [txn(100, 101, 102)]);
    }
}
