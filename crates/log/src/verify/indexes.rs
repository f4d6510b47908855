//! Indexes held against the batches of their log file, as these come by.

use highwater_types::{Offset, TimestampMs};

use super::Check;
use super::cursor::Cursor;
use crate::disk::Disk;
use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::names::{FileKind, file_path};
use std::path::Path;

/// The indexes of one segment.
pub(super) struct IndexChecks {
    base: Offset,
    offsets: Option<Cursor<OffsetEntry>>,
    /// Relative offset and position of the offset index entry before.
    last_offset: Option<(u32, u32)>,
    /// Offsets whose entries have been met at their batches, and which a batch still has to end with: before 4.0 an
    /// entry held the last offset of a whole append, and the position of its first batch.
    awaited: Option<(Offset, u64)>,
    times: Option<Cursor<TimeEntry>>,
    last_time: Option<(i64, u32)>,
    max_timestamp: TimestampMs,
}

impl IndexChecks {
    pub(super) fn open(check: &mut Check<'_>, disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Self, LogError> {
        let offsets = Cursor::open(disk, file_path(dir, base, FileKind::OffsetIndex))?;
        let times = Cursor::open(disk, file_path(dir, base, FileKind::TimeIndex))?;
        if offsets.is_none() {
            check.note(
                &file_path(dir, base, FileKind::OffsetIndex),
                None,
                "missing; the segment is recovered at the next start",
            );
        }
        if times.is_none() {
            check.note(
                &file_path(dir, base, FileKind::TimeIndex),
                None,
                "missing; an empty one is made at the next start",
            );
        }
        Ok(Self {
            base,
            offsets,
            last_offset: None,
            awaited: None,
            times,
            last_time: None,
            max_timestamp: TimestampMs::NONE,
        })
    }

    /// Compares what the indexes say of the batch at `position`.
    pub(super) fn batch(&mut self, check: &mut Check<'_>, position: u64, info: &EntryInfo) -> Result<(), LogError> {
        self.batch_offset(check, position, info)?;
        self.batch_time(check, info)
    }

    fn batch_offset(&mut self, check: &mut Check<'_>, position: u64, info: &EntryInfo) -> Result<(), LogError> {
        let Some(cursor) = &mut self.offsets else { return Ok(()) };
        while let Some(entry) = cursor.peek()? {
            if position < u64::from(entry.position) {
                break;
            }
            let at = cursor.position();
            check.done.index_entries += 1;
            if u64::from(entry.position) < position {
                let what = format!("entry points to byte {} of the log, where no batch starts", entry.position);
                check.damage(cursor.path(), at, what);
            } else if self
                .last_offset
                .is_some_and(|(offset, place)| entry.relative <= offset || entry.position <= place)
            {
                check.damage(cursor.path(), at, "entry is not above the one before");
            } else {
                match self.base.checked_plus(u64::from(entry.relative)) {
                    Some(offset) if info.last <= offset => self.awaited = Some((offset, at)),
                    _ => check.damage(
                        cursor.path(),
                        at,
                        format!("entry lies below its batch, which ends with {}", info.last),
                    ),
                }
            }
            self.last_offset = Some((entry.relative, entry.position));
            cursor.advance();
        }
        if let Some((offset, at)) = self.awaited
            && offset <= info.last
        {
            if offset != info.last {
                check.damage(cursor.path(), at, format!("no batch ends with offset {offset}"));
            }
            self.awaited = None;
        }
        Ok(())
    }

    fn batch_time(&mut self, check: &mut Check<'_>, info: &EntryInfo) -> Result<(), LogError> {
        self.max_timestamp = self.max_timestamp.max(info.max_timestamp);
        let Some(cursor) = &mut self.times else { return Ok(()) };
        while let Some(entry) = cursor.peek()? {
            let offset = self.base.checked_plus(u64::from(entry.relative)).unwrap_or(Offset::MAX);
            if info.last < offset {
                break;
            }
            let at = cursor.position();
            check.done.index_entries += 1;
            if self.last_time.is_some_and(|(time, relative)| entry.timestamp <= time || entry.relative < relative) {
                check.damage(cursor.path(), at, "entry is not above the one before");
            } else if entry.timestamp != self.max_timestamp.value() {
                // Anything else sends a search by time to the wrong place.
                let what = format!(
                    "entry says {} up to offset {offset}, where the largest timestamp is {}",
                    entry.timestamp, self.max_timestamp
                );
                check.damage(cursor.path(), at, what);
            }
            self.last_time = Some((entry.timestamp, entry.relative));
            cursor.advance();
        }
        Ok(())
    }

    /// What is left of the indexes when the log has come to its end.
    pub(super) fn finish(mut self, check: &mut Check<'_>, is_last: bool) -> Result<(), LogError> {
        if let Some(cursor) = &mut self.offsets {
            if let Some((offset, at)) = self.awaited {
                check.damage(cursor.path(), at, format!("no batch ends with offset {offset}"));
            }
            finish_file(check, cursor, is_last)?;
        }
        match &mut self.times {
            Some(cursor) => finish_file(check, cursor, is_last),
            None => Ok(()),
        }
    }
}

/// What is left of an index file when the log has come to its end.
pub(super) fn finish_file<E: IndexEntry>(
    check: &mut Check<'_>,
    cursor: &mut Cursor<E>,
    is_last: bool,
) -> Result<(), LogError> {
    let mut behind = 0u64;
    let first = cursor.position();
    while cursor.peek()?.is_some() {
        behind += 1;
        cursor.advance();
    }
    if behind > 0 {
        // The log's own bytes may have been lost in a crash that the index survived.
        check.unfinished(is_last, cursor.path(), first, format!("{behind} entries point behind the end of the log"));
    }
    if cursor.is_preallocated() {
        check.unfinished(is_last, cursor.path(), cursor.position(), "ends with zeros: the segment has not been closed");
    }
    if cursor.fragment() > 0 {
        check.unfinished(is_last, cursor.path(), None, format!("ends with {} bytes of an entry", cursor.fragment()));
    }
    Ok(())
}
