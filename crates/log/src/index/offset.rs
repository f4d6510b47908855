//! The offset index: from an offset to a position in the log file.

use std::sync::Arc;

use highwater_types::Offset;

use super::{IndexEntry, IndexFile, IndexPlace};
use crate::disk::{Disk, FileHandle};
use crate::error::LogError;

/// Entry of an offset index, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    /// Last offset of a batch, relative to the segment's base.
    pub(crate) relative: u32,
    /// Where that batch starts in the log file.
    pub(crate) position: u32,
}

impl IndexEntry for OffsetEntry {
    const SIZE: usize = 8;

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { relative: word(0), position: word(4) }
    }
}

/// `.index` of one segment.
#[derive(Debug)]
pub(crate) struct OffsetIndex(IndexFile<OffsetEntry>);

impl OffsetIndex {
    pub(crate) fn open(disk: &Arc<dyn Disk>, place: IndexPlace) -> Result<Self, LogError> {
        IndexFile::open(disk, place).map(Self)
    }

    /// See [`IndexFile::remembered`].
    pub(crate) fn remembered(disk: &Arc<dyn Disk>, place: IndexPlace, entries: usize, is_active: bool) -> Self {
        Self(IndexFile::remembered(disk, place, entries, is_active))
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no entry may be added.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= self.0.capacity()
    }

    /// Adds an entry: the batch at `position` ends with `offset`, which must lie above all earlier ones.
    pub(crate) fn append(&mut self, offset: Offset, position: u32) -> Result<(), LogError> {
        let relative = self.relative(offset)?;
        let last = self.0.last()?;
        if self.is_full() || last.is_some_and(|last| relative <= last.relative) {
            let what = "offset index (full, or not below the offset to add)";
            return Err(LogError::corrupt(what, self.0.path(), self.0.len() as u64));
        }
        self.0.push(OffsetEntry { relative, position })
    }

    /// Where to start scanning for `target`: at a batch that is not behind the one with `target`.
    pub(crate) fn floor_position(&self, target: Offset) -> Result<u64, LogError> {
        let Some(relative) = self.0.base().records_until(target) else { return Ok(0) };
        let floor = self.0.last_where(|entry| u64::from(entry.relative) <= relative)?;
        Ok(floor.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The last offset of the first indexed batch that starts behind `position`: all that starts before is below.
    ///
    /// A batch that starts right there is passed over, although its offset would do, because Kafka's search may do so.
    pub(crate) fn offset_behind(&self, position: u64) -> Result<Option<Offset>, LogError> {
        let index = self.0.partition_point(|entry| u64::from(entry.position) <= position)?;
        if index == self.0.len() {
            return Ok(None);
        }
        self.0.get(index).map(|entry| Some(self.offset(entry)))
    }

    /// Drops the entries at and above `offset`.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        let relative = self.0.base().records_until(offset).unwrap_or(0);
        let kept = self.0.partition_point(|entry| u64::from(entry.relative) < relative)?;
        self.0.truncate(kept);
        Ok(())
    }

    /// The last entry: an offset and the position of the batch that ends with it.
    pub(crate) fn last(&self) -> Result<Option<(Offset, u64)>, LogError> {
        Ok(self.0.last()?.map(|entry| (self.offset(entry), u64::from(entry.position))))
    }

    /// Bytes of all entries.
    pub(crate) fn size(&self) -> u64 {
        (self.0.len() * OffsetEntry::SIZE) as u64
    }

    pub(crate) fn clear(&mut self) {
        self.0.truncate(0);
    }

    pub(crate) fn file(&mut self) -> &mut IndexFile<OffsetEntry> {
        &mut self.0
    }

    pub(crate) fn handle(&self) -> &FileHandle {
        self.0.handle()
    }

    pub(crate) fn entries(&self) -> Result<Vec<(Offset, u32)>, LogError> {
        let entry = |index| {
            let entry = self.0.get(index)?;
            Ok((self.offset(entry), entry.position))
        };
        (0..self.0.len()).map(entry).collect()
    }

    /// Damaged entries of logs near the last possible offset are held there.
    fn offset(&self, entry: OffsetEntry) -> Offset {
        self.0.base().checked_plus(u64::from(entry.relative)).unwrap_or(Offset::MAX)
    }

    fn relative(&self, offset: Offset) -> Result<u32, LogError> {
        relative_offset(self.0.base(), offset)
            .ok_or_else(|| LogError::corrupt("offset out of the index's reach", self.0.path(), offset.value()))
    }
}

/// `offset - base`, if an index entry can hold it.
pub(crate) fn relative_offset(base: Offset, offset: Offset) -> Option<u32> {
    u32::try_from(base.records_until(offset)?).ok().filter(|&relative| relative <= i32::MAX as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn index(disk: &MemDisk, bytes_max: u32) -> OffsetIndex {
        let place = IndexPlace { path: "/i".into(), base: Offset::new(1_000), bytes_max };
        OffsetIndex::open(&disk.shared(), place).unwrap()
    }

    #[test]
    fn floor_is_the_largest_entry_at_or_below_and_the_start_before_the_first() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 64);
        index.append(Offset::new(1_005), 10).unwrap();
        index.append(Offset::new(1_010), 4_200).unwrap();
        let floor = |offset| index.floor_position(Offset::new(offset)).unwrap();
        assert_eq!(
            [floor(0), floor(1_004), floor(1_005), floor(1_009), floor(1_010), floor(9_999)],
            [0, 0, 10, 10, 4_200, 4_200]
        );
    }

    #[test]
    fn the_offset_behind_a_position_is_that_of_the_next_indexed_batch() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 64);
        assert_eq!(index.offset_behind(0).unwrap(), None);
        index.append(Offset::new(1_005), 10).unwrap();
        index.append(Offset::new(1_010), 4_200).unwrap();
        let behind = |position| index.offset_behind(position).unwrap().map(Offset::value);
        assert_eq!(
            [behind(0), behind(9), behind(10), behind(4_199), behind(4_200)],
            [Some(1_005), Some(1_005), Some(1_010), Some(1_010), None]
        );
    }

    #[test]
    fn offsets_must_increase_and_fit_31_bits_and_the_capacity() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 23);
        index.append(Offset::new(1_005), 0).unwrap();
        assert!(index.append(Offset::new(1_005), 1).is_err());
        assert!(index.append(Offset::new(999), 1).is_err());
        assert!(index.append(Offset::new(1_000 + (1 << 31)), 1).is_err());
        assert!(!index.is_full());
        index.append(Offset::new(1_000 + (1 << 31) - 1), 1).unwrap();
        assert!(index.is_full());
        assert!(index.append(Offset::new(1_000 + (1 << 31)), 1).is_err());
    }

    #[test]
    fn truncation_drops_entries_at_the_target() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 80);
        for offset in [1_002, 1_004, 1_006] {
            index.append(Offset::new(offset), 7).unwrap();
        }
        index.truncate_to(Offset::new(1_004)).unwrap();
        assert_eq!(index.entries().unwrap(), [(Offset::new(1_002), 7)]);
        index.truncate_to(Offset::new(3)).unwrap();
        assert_eq!(index.entries().unwrap(), []);
    }
}
