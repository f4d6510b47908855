//! Taking segments, or the front of one, as they are remembered.

use std::sync::{Arc, OnceLock};

use highwater_types::{Offset, TimestampMs};

use super::tail::Tail;
use super::{Place, Segment, WholeEntries, jitter_ms};
use crate::disk::FileHandle;
use crate::error::LogError;
use crate::index::{OffsetIndex, TimeIndex, TxnIndex};
use crate::log::SegmentFacts;
use crate::names::FileKind;

impl Segment {
    /// Takes files as they are remembered, and asks nothing of the disk but for a transaction index, which is read.
    ///
    /// `None` if that is not the one remembered. Entries at or behind `log_end` are cut off it: their markers were lost.
    pub(crate) fn remembered(
        place: &Place,
        facts: &SegmentFacts,
        is_active: bool,
        log_end: Offset,
        now: TimestampMs,
    ) -> Result<Option<Self>, LogError> {
        let SegmentFacts { base, size, offset_entries, time_entries, txn_entries, max_timestamp } = *facts;
        let path = Arc::from(place.file(base, FileKind::Log));
        let (disk, index) = (&place.disk, |kind| place.index(base, kind));
        let (offset_entries, time_entries) = (offset_entries as usize, time_entries as usize);
        let mut segment = Self {
            base,
            log: FileHandle::later(disk, &path),
            path,
            size: size.into(),
            offset_index: OffsetIndex::remembered(disk, index(FileKind::OffsetIndex), offset_entries, is_active),
            time_index: TimeIndex::remembered(disk, index(FileKind::TimeIndex), time_entries, is_active),
            tail: Tail::default(),
            txn_index: TxnIndex::default(),
            max_timestamp: max_timestamp.map_or_else(OnceLock::new, OnceLock::from),
            first_timestamp: OnceLock::new(),
            bytes_since_index_entry: 0,
            created: now,
            jitter_ms: jitter_ms(&place.config, base),
            reserved: 0,
        };
        if txn_entries > 0 {
            if !segment.open_txn_index(place)? {
                return Ok(None);
            }
            segment.txn_index.truncate_to(log_end)?;
        }
        Ok((segment.txn_index.len() == u64::from(txn_entries)).then_some(segment))
    }

    /// Takes remembered entries and index entries as they are, so that [`recover`](Self::recover) checks only what
    /// follows. Returns where that ends, or `None` if the files do not bear them out, or if nothing valid follows.
    pub(crate) fn begin_behind(&mut self, facts: &SegmentFacts, next_offset: Offset) -> Result<Option<u64>, LogError> {
        let end = self.size;
        let is_usable = match self.take_prefix(facts, next_offset, end) {
            Err(LogError::Corrupt { what, path, position }) => {
                tracing::warn!(path = %path.display(), what, position, "checking all of a segment that was anchored");
                false
            }
            other => other?,
        };
        if !is_usable {
            self.size = end;
        }
        Ok(is_usable.then_some(end))
    }

    fn take_prefix(&mut self, facts: &SegmentFacts, next_offset: Offset, end: u64) -> Result<bool, LogError> {
        let size = u64::from(facts.size);
        let counts = (facts.offset_entries as usize, facts.time_entries as usize);
        let Some(max_timestamp) = facts.max_timestamp.filter(|_| size <= end) else { return Ok(false) };
        if self.offset_index.len() < counts.0 || self.time_index.len() < counts.1 {
            return Ok(false);
        }
        self.offset_index.file().truncate(counts.0);
        self.time_index.file().truncate(counts.1);
        self.txn_index.truncate_to(next_offset)?;
        if self.txn_index.len() != u64::from(facts.txn_entries) {
            return Ok(false);
        }
        self.size = size;
        self.max_timestamp = OnceLock::from(max_timestamp);
        self.bytes_since_index_entry = size - self.offset_index.last()?.map_or(0, |(_, position)| position.min(size));
        let is_end = self.end()? == (next_offset, size);
        let is_max = self.time_index.last()?.0 <= max_timestamp.0;
        // What is not valid gets cut off with all that follows, so the prefix must be beyond doubt before.
        let is_continued = size == end || WholeEntries::new(&self.log, &self.path, size, end).next_checked()?.is_ok();
        Ok(is_end && is_max && is_continued)
    }
}
