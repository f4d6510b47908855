//! The segments that a pass reads.

use std::path::PathBuf;

use highwater_types::{Offset, TimestampMs};

use super::group::Extent;
use crate::disk::FileHandle;
use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::segment::{Segment, Stop, WholeEntries};

/// A closed segment, as it was when the pass began. It does not change, except that it may be deleted or replaced.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) extent: Extent,
    /// Time of the log file's last write.
    pub(super) modified: TimestampMs,
    log: FileHandle,
    path: PathBuf,
}

impl Source {
    /// `end` is the base of the next segment.
    pub(crate) fn of(segment: &Segment, end: Offset, modified: TimestampMs) -> Self {
        let (offset_index_bytes, time_index_bytes) = segment.index_sizes();
        let (base, bytes) = (segment.base(), segment.size());
        Self {
            extent: Extent { base, end, bytes, offset_index_bytes, time_index_bytes },
            modified,
            log: segment.log().clone(),
            path: segment.path().to_owned(),
        }
    }

    /// The entries from `position` on, in large pieces.
    pub(super) fn entries(&self, position: u64) -> SourceEntries<'_> {
        SourceEntries {
            source: self,
            entries: WholeEntries::new(&self.log, &self.path, position, self.extent.bytes),
            position,
            next: self.extent.base,
        }
    }

    pub(super) fn corrupt(&self, what: &'static str, position: u64) -> LogError {
        LogError::corrupt(what, &self.path, position)
    }
}

/// The entries of a source. Each is checked: what is damaged must neither be copied under a new checksum nor be the
/// reason to remove other records.
pub(super) struct SourceEntries<'a> {
    source: &'a Source,
    entries: WholeEntries<'a>,
    position: u64,
    /// No offset below may follow.
    next: Offset,
}

/// An entry and where it starts.
pub(super) struct SourceEntry<'a> {
    pub(super) position: u64,
    pub(super) info: EntryInfo,
    pub(super) bytes: &'a [u8],
}

impl SourceEntries<'_> {
    pub(super) fn next(&mut self) -> Result<Option<SourceEntry<'_>>, LogError> {
        let Self { source, entries, position, next } = self;
        let at = *position;
        let (info, bytes) = match entries.next_checked()? {
            Ok(entry) => entry,
            Err(Stop::Cut) if at == source.extent.bytes => return Ok(None),
            Err(Stop::Cut) => return Err(source.corrupt("entry (cut)", at)),
            Err(Stop::Invalid(what)) => return Err(source.corrupt(what, at)),
        };
        if info.last < *next || source.extent.end <= info.last {
            return Err(source.corrupt("order of offsets", at));
        }
        *position += info.size;
        *next = info.next_offset();
        Ok(Some(SourceEntry { position: at, info, bytes }))
    }
}
