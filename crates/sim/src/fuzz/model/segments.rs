//! Where entries lie and what the indexes hold: section 4 of the storage format, written down once more.

use highwater_log::{LogConfig, SegmentState};

use super::batch::Batch;

/// One segment's size and indexes.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) size: u64,
    /// Last offset of a batch, and its position.
    offsets: Vec<(u64, u64)>,
    /// Largest timestamp so far, and last offset of the first batch that has it.
    times: Vec<(i64, u64)>,
    largest: (i64, u64),
    bytes_since_entry: u64,
    /// It was deleted once, and its files may have any length.
    was_deleted: bool,
}

impl Segment {
    pub(crate) fn new(base: u64) -> Self {
        Self {
            base,
            size: 0,
            offsets: Vec::new(),
            times: Vec::new(),
            largest: (-1, base),
            bytes_since_entry: 0,
            was_deleted: false,
        }
    }

    /// As recovery makes it of its batches.
    pub(crate) fn rebuilt<'a>(base: u64, batches: impl Iterator<Item = &'a Batch>, config: &LogConfig) -> Self {
        let mut segment = Self::new(base);
        batches.for_each(|batch| segment.append(batch, config));
        segment.seal();
        segment.reopen();
        segment
    }

    /// As it is found. Its deletion was lost halfway, so that an index may be gone: what there is must be true.
    pub(crate) fn found(actual: &SegmentState, batches: &[Batch]) -> Self {
        let mut found = Self { was_deleted: true, ..Self::new(actual.base.value()) };
        let mut positions = std::collections::BTreeMap::new();
        for batch in batches {
            positions.insert(batch.last, found.size);
            found.size += batch.size();
        }
        (found.offsets, found.times) = entries_of(actual);
        for (last, position) in &found.offsets {
            assert_eq!(positions.get(last), Some(position), "offset index of segment {}", found.base);
        }
        for (time, last) in &found.times {
            let has = |batch: &Batch| batch.last == *last && batch.max_timestamp == *time;
            assert!(batches.iter().any(has), "time index of segment {}: {time} at {last}", found.base);
        }
        found.largest = found.times.last().copied().unwrap_or((-1, found.base));
        found
    }

    /// This one, rebuilt, or the one that was there, or anything between: what an index was when it was remembered, and what
    /// recovery has added.
    pub(crate) fn or_remembered(self, known: Option<&Self>, actual: &SegmentState, batches: &[Batch]) -> Self {
        if self.is_indexed_as(actual) {
            return self;
        }
        match known.filter(|known| known.is_indexed_as(actual) && known.size == self.size) {
            Some(known) => {
                let mut known = known.clone();
                known.reopen();
                known
            }
            None => Self { was_deleted: false, largest: self.largest, ..Self::found(actual, batches) },
        }
    }

    pub(crate) fn was_deleted(&self) -> bool {
        self.was_deleted
    }

    pub(crate) fn max_timestamp(&self) -> i64 {
        self.largest.0
    }

    pub(crate) fn append(&mut self, batch: &Batch, config: &LogConfig) {
        if self.largest.0 < batch.max_timestamp {
            self.largest = (batch.max_timestamp, batch.last);
        }
        let capacity = |size: u32| (config.segment_index_bytes_max / size) as usize;
        let is_full = capacity(8) <= self.offsets.len() || capacity(12) <= self.times.len() + 1;
        if u64::from(config.index_interval_bytes) < self.bytes_since_entry && !is_full {
            self.offsets.push((batch.last, self.size));
            self.index_time();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += batch.size();
        self.size += batch.size();
    }

    fn index_time(&mut self) {
        if self.times.last().map_or(-1, |last| last.0) < self.largest.0 {
            self.times.push(self.largest);
        }
    }

    /// No longer the active one: the time index gets its last entry.
    pub(crate) fn seal(&mut self) {
        self.index_time();
    }

    /// Opened again, as it was: counting starts anew.
    pub(crate) fn reopen(&mut self) {
        self.bytes_since_entry = 0;
    }

    /// Cut at `to`, with `left` still in it.
    pub(crate) fn truncate<'a>(&mut self, to: u64, left: impl Iterator<Item = &'a Batch>) {
        self.offsets.retain(|(offset, _)| *offset < to);
        self.times.retain(|(_, offset)| *offset < to);
        self.bytes_since_entry = 0;
        (self.size, self.largest) = (0, (-1, self.base));
        for batch in left {
            self.size += batch.size();
            if self.largest.0 < batch.max_timestamp {
                self.largest = (batch.max_timestamp, batch.last);
            }
        }
    }

    /// Whether that segment has these indexes.
    pub(crate) fn is_indexed_as(&self, actual: &SegmentState) -> bool {
        actual.base.value() == self.base && entries_of(actual) == (self.offsets.clone(), self.times.clone())
    }

    /// Compares the log's description of this segment.
    pub(crate) fn check(&self, actual: &SegmentState, is_active: bool) {
        let base = self.base;
        assert_eq!(actual.size, self.size, "size of segment {base}");
        let (offsets, times) = entries_of(actual);
        assert_eq!(offsets, self.offsets, "offset index of segment {base}");
        assert_eq!(times, self.times, "time index of segment {base}");
        assert_eq!(actual.max_timestamp.value(), self.largest.0, "largest timestamp of segment {base}");
        if !is_active && !self.was_deleted {
            let sizes = (actual.log_file_size, actual.offset_index_file_size, actual.time_index_file_size);
            let entries = (self.offsets.len() as u64, self.times.len() as u64);
            assert_eq!(sizes, (self.size, entries.0 * 8, entries.1 * 12), "file sizes of segment {base}");
        }
    }
}

/// The entries of the offset index and of the time index.
type Entries = (Vec<(u64, u64)>, Vec<(i64, u64)>);

fn entries_of(actual: &SegmentState) -> Entries {
    let offsets = actual.offset_index.iter().map(|(last, at)| (last.value(), u64::from(*at)));
    let times = actual.time_index.iter().map(|(time, last)| (time.value(), last.value()));
    (offsets.collect(), times.collect())
}
