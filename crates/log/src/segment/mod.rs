//! One segment: a log file with its indexes.

mod cleaned;
mod lookup;
mod recover;
mod remembered;
mod scan;
mod tail;
mod transactions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use highwater_types::{Offset, TimestampMs};

pub(crate) use lookup::FoundRecord;
pub(crate) use recover::Recovery;
pub(crate) use scan::{EntryScan, Stop, WholeEntries};
pub(crate) use tail::Located;

use crate::config::CheckedLogConfig;
use crate::disk::{Disk, FileHandle};
use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::index::{IndexPlace, OffsetIndex, TimeIndex, TxnIndex};
use crate::names::{FileKind, file_path, with_suffix};
use tail::Tail;

/// Where segments live and how they are made.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) config: CheckedLogConfig,
    /// Appended to the names of files, while they are not part of the log yet.
    pub(crate) suffix: &'static str,
}

impl Place {
    pub(crate) fn file(&self, base: Offset, kind: FileKind) -> PathBuf {
        let path = file_path(&self.dir, base, kind);
        if self.suffix.is_empty() { path } else { with_suffix(&path, self.suffix) }
    }

    /// The same place, for files with `suffix`.
    pub(crate) fn with_suffix(&self, suffix: &'static str) -> Self {
        Self { suffix, ..self.clone() }
    }

    /// Makes names in the log's directory durable.
    pub(crate) fn sync_dir(&self) -> Result<(), LogError> {
        self.disk.sync_dir(&self.dir).map_err(LogError::io("sync", &self.dir))
    }

    fn index(&self, base: Offset, kind: FileKind) -> IndexPlace {
        IndexPlace { path: self.file(base, kind), base, bytes_max: self.config.segment_index_bytes_max }
    }
}

/// A log file, its indexes, and what is remembered of its content.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    path: Arc<Path>,
    log: FileHandle,
    /// Bytes of the file that count; a preallocated file is longer.
    size: u64,
    offset_index: OffsetIndex,
    time_index: TimeIndex,
    tail: Tail,
    /// Empty until [`open_txn_index`](Self::open_txn_index) where there is a file.
    txn_index: TxnIndex,
    /// The largest timestamp and the last offset of the first batch that has it.
    max_timestamp: OnceLock<(TimestampMs, Offset)>,
    /// Largest timestamp of the first batch, once there is one and it was asked for.
    first_timestamp: OnceLock<TimestampMs>,
    bytes_since_index_entry: u64,
    created: TimestampMs,
    jitter_ms: u64,
    /// End of the disk space reserved for the file.
    reserved: u64,
}

impl Segment {
    /// Creates the files of an empty, active segment.
    pub(crate) fn create(place: &Place, base: Offset, now: TimestampMs) -> Result<Self, LogError> {
        let mut segment = Self::open_files(place, base, now)?;
        segment.log.set_len(0).map_err(LogError::io("truncate", &segment.path))?;
        segment.size = 0;
        segment.clear_indexes();
        segment.grow(place)?;
        if place.config.preallocate {
            let length = u64::from(place.config.segment_bytes_max);
            segment.log.set_len(length).map_err(LogError::io("extend", &segment.path))?;
        }
        Ok(segment)
    }

    /// Takes existing files. Asks for nothing but their sizes, and opens each when it is first used.
    pub(crate) fn open(place: &Place, base: Offset, now: TimestampMs) -> Result<Self, LogError> {
        Self::open_files(place, base, now)
    }

    fn open_files(place: &Place, base: Offset, now: TimestampMs) -> Result<Self, LogError> {
        let path = Arc::from(place.file(base, FileKind::Log));
        let (log, size) = FileHandle::find_or_create(&place.disk, &path).map_err(LogError::io("open", &path))?;
        if size > i32::MAX as u64 {
            return Err(LogError::corrupt("segment larger than 2^31-1 bytes", &path, size));
        }
        Ok(Self {
            base,
            path,
            log,
            size,
            offset_index: OffsetIndex::open(&place.disk, place.index(base, FileKind::OffsetIndex))?,
            time_index: TimeIndex::open(&place.disk, place.index(base, FileKind::TimeIndex))?,
            tail: Tail::default(),
            txn_index: TxnIndex::default(),
            max_timestamp: OnceLock::new(),
            first_timestamp: OnceLock::new(),
            bytes_since_index_entry: 0,
            created: now,
            jitter_ms: jitter_ms(&place.config, base),
            reserved: 0,
        })
    }

    /// As [`max_timestamp`](Self::max_timestamp), if it is known without reading.
    pub(crate) fn known_max_timestamp(&self) -> Option<(TimestampMs, Offset)> {
        self.max_timestamp.get().copied()
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn shared_path(&self) -> &Arc<Path> {
        &self.path
    }

    /// Bytes of entries.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn log(&self) -> &FileHandle {
        &self.log
    }

    pub(crate) fn offset_index(&self) -> &OffsetIndex {
        &self.offset_index
    }

    pub(crate) fn time_index(&self) -> &TimeIndex {
        &self.time_index
    }

    pub(crate) fn created(&self) -> TimestampMs {
        self.created
    }

    pub(crate) fn jitter_ms(&self) -> u64 {
        self.jitter_ms
    }

    /// Whether an index has no room for another entry.
    pub(crate) fn is_index_full(&self) -> bool {
        self.offset_index.is_full() || self.time_index.is_full()
    }

    /// The largest timestamp, and the last offset of the first batch that has it.
    pub(crate) fn max_timestamp(&self) -> Result<(TimestampMs, Offset), LogError> {
        if let Some(known) = self.max_timestamp.get() {
            return Ok(*known);
        }
        let last = self.time_index.last()?;
        Ok(*self.max_timestamp.get_or_init(|| last))
    }

    /// The largest timestamp, or the file's modification time if there is none.
    pub(crate) fn largest_timestamp(&self, disk: &dyn Disk) -> Result<TimestampMs, LogError> {
        let (timestamp, _) = self.max_timestamp()?;
        if timestamp.is_some() {
            return Ok(timestamp);
        }
        Ok(disk.metadata(&self.path).map_err(LogError::io("inspect", &self.path))?.modified)
    }

    /// Largest timestamp of the first batch; none while the segment is empty.
    pub(crate) fn first_timestamp(&self) -> Result<TimestampMs, LogError> {
        if let Some(known) = self.first_timestamp.get() {
            return Ok(*known);
        }
        match self.scan(0).next().transpose()? {
            Some((_, first)) => Ok(*self.first_timestamp.get_or_init(|| first.max_timestamp)),
            None => Ok(TimestampMs::NONE),
        }
    }

    /// Entries from `position`, which must be the start of one.
    pub(crate) fn scan(&self, position: u64) -> EntryScan<'_> {
        EntryScan::new(&self.log, &self.path, position, self.size)
    }

    /// The offset after the last entry, and the position there.
    ///
    /// Trusts the index for where to begin, but notices if that and the entries do not belong together.
    pub(crate) fn end(&self) -> Result<(Offset, u64), LogError> {
        let indexed = self.offset_index.last()?;
        let (_, start) = indexed.unwrap_or((self.base, 0));
        let mut next = self.base;
        let mut scan = self.scan(start);
        for entry in scan.by_ref() {
            let (position, info) = entry?;
            if info.last < next {
                return Err(LogError::corrupt("order of offsets", &self.path, position));
            }
            next = info.next_offset();
        }
        if indexed.is_some_and(|(offset, _)| next <= offset) {
            return Err(LogError::corrupt("offset index (entry without a batch)", &self.path, start));
        }
        Ok((next, scan.position()))
    }

    /// Takes note of an entry at the end of the segment, adding index entries where they are due.
    ///
    /// An index that is full is left so: one append can bring more batches than it has room for, and it may have been
    /// made smaller since. Looking up then goes through more bytes, and the next append rolls.
    ///
    /// The caller writes its bytes at [`size`](Self::size) as it was before.
    pub(crate) fn note_appended(&mut self, info: &EntryInfo, interval: u32) -> Result<(), LogError> {
        let position = self.size;
        let (mut max, mut offset) = self.max_timestamp()?;
        if info.max_timestamp > max {
            (max, offset) = (info.max_timestamp, info.last);
            self.max_timestamp = OnceLock::from((max, offset));
        }
        if u64::from(interval) < self.bytes_since_index_entry && !self.is_index_full() {
            let position = u32::try_from(position)
                .map_err(|_| LogError::corrupt("segment larger than 2^31-1 bytes", &self.path, position))?;
            self.offset_index.append(info.last, position)?;
            self.time_index.append(max, offset, false)?;
            self.bytes_since_index_entry = 0;
        }
        if position == 0 {
            self.first_timestamp = OnceLock::from(info.max_timestamp);
        }
        self.tail.push(info, position);
        self.bytes_since_index_entry += info.size;
        self.size += info.size;
        Ok(())
    }

    /// Reserves disk space for `bytes` more, in steps.
    pub(crate) fn reserve(&mut self, bytes: u64, config: &CheckedLogConfig) -> Result<(), LogError> {
        let Some(step) = config.allocation_step_bytes.filter(|_| !config.preallocate) else { return Ok(()) };
        let end = self.size + bytes;
        if end <= self.reserved {
            return Ok(());
        }
        let wanted = end.next_multiple_of(u64::from(step.max(1))).min(u64::from(config.segment_bytes_max)).max(end);
        self.log.reserve(self.size, wanted - self.size).map_err(LogError::io("reserve space for", &self.path))?;
        self.reserved = wanted;
        Ok(())
    }

    /// Makes this the active segment: its index files get their full size.
    pub(crate) fn grow(&mut self, place: &Place) -> Result<(), LogError> {
        let bytes_max = place.config.segment_index_bytes_max;
        self.offset_index.file().set_bytes_max(bytes_max);
        self.time_index.file().set_bytes_max(bytes_max);
        self.offset_index.file().grow()?;
        self.time_index.file().grow()
    }

    /// Ends this segment's time as the active one: last time index entry, files cut to what they hold.
    pub(crate) fn seal(&mut self) -> Result<(), LogError> {
        let (timestamp, offset) = self.max_timestamp()?;
        self.time_index.append(timestamp, offset, true)?;
        self.tail.clear();
        self.offset_index.file().trim()?;
        self.time_index.file().trim()?;
        self.cut_file()
    }

    /// Cuts the log file to what counts, where that is shorter.
    fn cut_file(&mut self) -> Result<(), LogError> {
        let length = self.log.size().map_err(LogError::io("inspect", &self.path))?;
        if length != self.size || self.size < self.reserved {
            self.log.set_len(self.size).map_err(LogError::io("trim", &self.path))?;
            self.reserved = 0;
        }
        Ok(())
    }

    /// Brings the index files up to date with the entries kept in memory.
    pub(crate) fn write_indexes(&mut self) -> Result<(), LogError> {
        self.offset_index.file().write_tail()?;
        self.time_index.file().write_tail()
    }

    /// Makes all files durable, with their sizes.
    pub(crate) fn sync_files(&self) -> Result<(), LogError> {
        self.handles().iter().try_for_each(|(file, path)| file.sync_data().map_err(LogError::io("sync", path)))?;
        self.sync_txn_index()
    }

    /// The files to sync, the log first, without the transaction index.
    pub(crate) fn handles(&self) -> [(FileHandle, PathBuf); 3] {
        let index = self.path.with_extension("index");
        let time_index = self.path.with_extension("timeindex");
        [
            (self.log.clone(), self.path.to_path_buf()),
            (self.offset_index.handle().clone(), index),
            (self.time_index.handle().clone(), time_index),
        ]
    }

    /// Drops every entry from the one with `offset` on. Returns whether there were any.
    pub(crate) fn truncate_to(&mut self, offset: Offset, place: &Place) -> Result<bool, LogError> {
        let cut = self.find(offset)?.map_or(self.size, |found| found.position);
        self.offset_index.truncate_to(offset)?;
        self.time_index.truncate_to(offset)?;
        self.txn_index.truncate_to(offset)?;
        self.grow(place)?;
        let removed = cut < self.size;
        self.truncate_bytes(cut)?;
        self.tail.clear();
        self.bytes_since_index_entry = 0;
        if self.size == 0 {
            self.first_timestamp = OnceLock::new();
        }
        self.max_timestamp = OnceLock::from(self.time_index.last()?);
        self.find_max_timestamp()?;
        Ok(removed)
    }

    /// Cuts the log file at `size`, durably: bytes that come back after a crash would contradict later ones.
    pub(crate) fn truncate_bytes(&mut self, size: u64) -> Result<(), LogError> {
        assert!(size <= self.size, "cutting does not extend a file");
        if size == self.size {
            return Ok(());
        }
        self.log.set_len(size).map_err(LogError::io("truncate", &self.path))?;
        self.log.sync_data().map_err(LogError::io("sync", &self.path))?;
        self.size = size;
        self.reserved = 0;
        Ok(())
    }

    /// Finds the largest timestamp again where the time index does not reach to the end.
    fn find_max_timestamp(&mut self) -> Result<(), LogError> {
        let (mut max, mut offset) = self.time_index.last()?;
        let from = self.offset_index.floor_position(offset)?;
        for entry in self.scan(from.min(self.size)) {
            let (_, info) = entry?;
            if info.max_timestamp > max {
                (max, offset) = (info.max_timestamp, info.last);
            }
        }
        self.max_timestamp = OnceLock::from((max, offset));
        Ok(())
    }

    fn clear_indexes(&mut self) {
        self.offset_index.clear();
        self.time_index.clear();
        self.max_timestamp = OnceLock::new();
        self.first_timestamp = OnceLock::new();
        self.tail.clear();
        self.bytes_since_index_entry = 0;
    }
}

/// This segment's share of `segment.jitter.ms`, drawn from the log's seed and the base offset.
fn jitter_ms(config: &CheckedLogConfig, base: Offset) -> u64 {
    let limit = config.segment_jitter_ms_max.min(config.segment_ms_max);
    if limit == 0 {
        return 0;
    }
    // SplitMix64: one step is enough to spread neighbouring seeds and offsets.
    let mut z = config.jitter_seed.wrapping_add(base.value()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % limit
}
