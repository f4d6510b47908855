//! The time index: from a timestamp to an offset.

use std::sync::Arc;

use highwater_types::{Offset, TimestampMs};

use super::offset::relative_offset;
use super::{IndexEntry, IndexFile, IndexPlace};
use crate::disk::{Disk, FileHandle};
use crate::error::LogError;

/// Entry of a time index, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    /// The largest timestamp so far.
    pub(crate) timestamp: i64,
    /// Last offset of the first batch that reached it, relative to the segment's base.
    pub(crate) relative: u32,
}

impl IndexEntry for TimeEntry {
    const SIZE: usize = 12;

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        let (timestamp, relative) = bytes.split_at(8);
        Self {
            timestamp: i64::from_be_bytes(timestamp.try_into().expect("split at eight bytes")),
            relative: u32::from_be_bytes(relative.try_into().expect("four of twelve bytes are left")),
        }
    }
}

/// `.timeindex` of one segment.
#[derive(Debug)]
pub(crate) struct TimeIndex(IndexFile<TimeEntry>);

impl TimeIndex {
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

    /// Whether only the slot for the entry of closing or rolling is left.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() + 1 >= self.0.capacity()
    }

    /// Adds an entry unless `timestamp` is not above the last one's.
    ///
    /// Fails if the index is full, which includes its last slot unless this is the `closing` entry.
    pub(crate) fn append(&mut self, timestamp: TimestampMs, offset: Offset, closing: bool) -> Result<(), LogError> {
        let last = self.last()?;
        if timestamp <= last.0 {
            return Ok(());
        }
        let relative = relative_offset(self.0.base(), offset);
        let full = if closing { self.0.len() >= self.0.capacity() } else { self.is_full() };
        match relative {
            Some(relative) if !full && last.1 <= offset => {
                self.0.push(TimeEntry { timestamp: timestamp.value(), relative })
            }
            _ => {
                let what = "time index (full, or not below the offset to add)";
                Err(LogError::corrupt(what, self.0.path(), self.0.len() as u64))
            }
        }
    }

    /// The last entry; no timestamp and the base offset if there is none.
    pub(crate) fn last(&self) -> Result<(TimestampMs, Offset), LogError> {
        Ok(self.0.last()?.map_or((TimestampMs::NONE, self.0.base()), |entry| self.resolve(entry)))
    }

    /// The entry with the largest timestamp at or below `target`; as [`last`](Self::last) if there is none.
    pub(crate) fn floor(&self, target: TimestampMs) -> Result<(TimestampMs, Offset), LogError> {
        let floor = self.0.last_where(|entry| entry.timestamp <= target.value())?;
        Ok(floor.map_or((TimestampMs::NONE, self.0.base()), |entry| self.resolve(entry)))
    }

    /// Drops the entries at and above `offset`.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        let relative = self.0.base().records_until(offset).unwrap_or(0);
        let kept = self.0.partition_point(|entry| u64::from(entry.relative) < relative)?;
        self.0.truncate(kept);
        Ok(())
    }

    /// Bytes of all entries.
    pub(crate) fn size(&self) -> u64 {
        (self.0.len() * TimeEntry::SIZE) as u64
    }

    pub(crate) fn clear(&mut self) {
        self.0.truncate(0);
    }

    pub(crate) fn file(&mut self) -> &mut IndexFile<TimeEntry> {
        &mut self.0
    }

    pub(crate) fn handle(&self) -> &FileHandle {
        self.0.handle()
    }

    pub(crate) fn entries(&self) -> Result<Vec<(TimestampMs, Offset)>, LogError> {
        (0..self.0.len()).map(|index| Ok(self.resolve(self.0.get(index)?))).collect()
    }

    fn resolve(&self, entry: TimeEntry) -> (TimestampMs, Offset) {
        let offset = self.0.base().checked_plus(u64::from(entry.relative)).unwrap_or(Offset::MAX);
        (TimestampMs(entry.timestamp), offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemDisk;

    fn index(disk: &MemDisk, bytes_max: u32) -> TimeIndex {
        TimeIndex::open(&disk.shared(), IndexPlace { path: "/i".into(), base: Offset::new(100), bytes_max }).unwrap()
    }

    fn add(index: &mut TimeIndex, timestamp: i64, offset: u64) -> Result<(), LogError> {
        index.append(TimestampMs(timestamp), Offset::new(offset), false)
    }

    #[test]
    fn only_larger_timestamps_are_added() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 120);
        add(&mut index, -1, 100).unwrap();
        add(&mut index, 50, 105).unwrap();
        add(&mut index, 50, 110).unwrap();
        add(&mut index, 49, 111).unwrap();
        assert_eq!(index.entries().unwrap(), [(TimestampMs(50), Offset::new(105))]);
        assert!(add(&mut index, 60, 104).is_err(), "offsets must not go back");
        assert!(add(&mut index, 60, 99).is_err());
    }

    #[test]
    fn the_last_slot_is_kept_for_closing() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 24);
        assert!(!index.is_full());
        add(&mut index, 1, 101).unwrap();
        assert!(index.is_full());
        assert!(add(&mut index, 2, 102).is_err());
        index.append(TimestampMs(2), Offset::new(102), true).unwrap();
        assert!(index.append(TimestampMs(3), Offset::new(103), true).is_err());
    }

    #[test]
    fn floor_by_time_and_truncation_by_offset() {
        let disk = MemDisk::new();
        let mut index = index(&disk, 120);
        for (timestamp, offset) in [(10, 101), (20, 103), (30, 108)] {
            add(&mut index, timestamp, offset).unwrap();
        }
        let floor = |timestamp| index.floor(TimestampMs(timestamp)).unwrap().1.value();
        assert_eq!([floor(9), floor(10), floor(29), floor(99)], [100, 101, 103, 108]);
        index.truncate_to(Offset::new(103)).unwrap();
        assert_eq!(index.last().unwrap(), (TimestampMs(10), Offset::new(101)));
    }
}
