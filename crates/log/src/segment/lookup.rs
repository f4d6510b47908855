//! Finding offsets and timestamps in a segment (storage format, sections 11 and 12).

use highwater_records::{DecompressLimit, Entry};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::{Located, Segment, WholeEntries};
use crate::entry::EntryInfo;
use crate::error::LogError;

/// An entry and where it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) info: EntryInfo,
}

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundRecord {
    pub(crate) offset: Offset,
    pub(crate) timestamp: TimestampMs,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
}

/// Decompressed bytes of one batch that a timestamp look-up goes through, at most.
const LOOKUP_BYTES_MAX: usize = 1 << 30;

impl Segment {
    /// The first entry that ends at or after `target`.
    pub(crate) fn find(&self, target: Offset) -> Result<Option<Found>, LogError> {
        for entry in self.scan(self.floor_position(target)?) {
            let (position, info) = entry?;
            if target <= info.last {
                return Ok(Some(Found { position, info }));
            }
        }
        Ok(None)
    }

    /// The same, for whoever needs only to begin reading there.
    pub(crate) fn locate(&self, target: Offset) -> Result<Option<Located>, LogError> {
        if let Some(located) = self.tail.find(target) {
            return Ok(Some(located));
        }
        Ok(self.find(target)?.map(|found| Located::new(&found.info, found.position)))
    }

    /// The offset of the first record in an entry. Decompresses a v0 or v1 wrapper; one that cannot be decompressed counts
    /// from its last record, as its reader is who has to be told.
    pub(crate) fn first_offset(&self, located: &Located) -> Result<Offset, LogError> {
        if !located.is_legacy {
            return Ok(located.offset);
        }
        let mut whole = WholeEntries::new(&self.log, &self.path, located.position, self.size);
        let Some((_, bytes)) = whole.next_unchecked()? else { return Ok(located.offset) };
        let first = Entry::parse(bytes).and_then(|entry| entry.base_offset(DecompressLimit::default()));
        Ok(first.ok().and_then(Offset::from_wire).unwrap_or(located.offset))
    }

    /// The first record with a timestamp of at least `target` and an offset of at least `from`.
    pub(crate) fn find_timestamp(&self, target: TimestampMs, from: Offset) -> Result<Option<FoundRecord>, LogError> {
        let (_, floor) = self.time_index.floor(target)?;
        let position = self.floor_position(floor.max(from))?;
        self.find_record(
            position,
            |info| target <= info.max_timestamp,
            |found| target <= found.timestamp && from <= found.offset,
        )
    }

    /// The first record that has the segment's largest timestamp.
    pub(crate) fn find_max_timestamp_record(&self) -> Result<Option<FoundRecord>, LogError> {
        let (target, offset) = self.max_timestamp()?;
        let position = self.floor_position(offset)?;
        self.find_record(position, |info| target == info.max_timestamp, |found| target == found.timestamp)
    }

    /// Where to start scanning for `target`.
    pub(crate) fn floor_position(&self, target: Offset) -> Result<u64, LogError> {
        let position = self.offset_index.floor_position(target)?;
        if position <= self.size {
            return Ok(position);
        }
        Err(LogError::corrupt("offset index (position behind the end of the log file)", self.path(), position))
    }

    fn find_record(
        &self,
        position: u64,
        in_entry: impl Fn(&EntryInfo) -> bool,
        is_wanted: impl Fn(&FoundRecord) -> bool,
    ) -> Result<Option<FoundRecord>, LogError> {
        for entry in self.scan(position) {
            let (position, info) = entry?;
            if !in_entry(&info) {
                continue;
            }
            let mut whole = WholeEntries::new(&self.log, &self.path, position, self.size);
            let Some((_, bytes)) = whole.next_unchecked()? else { return Ok(None) };
            let corrupt = |_| LogError::corrupt("records", &self.path, position);
            let limit = DecompressLimit::new(LOOKUP_BYTES_MAX);
            let mut records = Entry::parse(bytes).and_then(|entry| entry.records(limit)).map_err(corrupt)?;
            while let Some(record) = records.next_record().map_err(corrupt)? {
                let Some(offset) = Offset::from_wire(record.offset) else { continue };
                let timestamp = TimestampMs(record.timestamp);
                let found = FoundRecord { offset, timestamp, leader_epoch: info.leader_epoch };
                if is_wanted(&found) {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}
