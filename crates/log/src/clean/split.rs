//! Splitting a segment whose offsets are out of the index's reach (storage format, sections 16 and 19.5).

use highwater_types::{Offset, TimestampMs};

use super::output::{Finished, Output};
use super::swap;
use crate::error::LogError;
use crate::segment::{Place, Segment, WholeEntries};

/// Bytes written at once.
const BUFFER: usize = 512 << 10;

/// What a segment has become.
#[derive(Debug)]
pub(crate) struct Split {
    /// Bases of the segments to replace it.
    pub(crate) bases: Vec<Offset>,
    /// Bytes behind the last valid entry, which are in none of them.
    pub(crate) bytes_cut: u64,
}

/// Writes the segment's entries to as many segments as are needed, and makes these certain to replace it.
///
/// Only releases before 1.0 wrote such segments. The caller renames the segment's files and calls
/// [`swap::complete`].
pub(crate) fn split_overflowed(place: &Place, segment: &Segment, now: TimestampMs) -> Result<Split, LogError> {
    let path = segment.path();
    let modified = place.disk.metadata(path).map_err(LogError::io("inspect", path))?.modified;
    let mut entries = WholeEntries::new(segment.log(), path, 0, segment.size());
    let mut output = Output::create(place, segment.base(), BUFFER, now)?;
    let mut next = segment.base();
    let mut copied = 0;
    while let Ok((info, bytes)) = entries.next_checked()? {
        if info.last < next {
            break;
        }
        let start = output.buffer().len();
        output.buffer().extend_from_slice(bytes);
        output.accept(start, None, modified)?;
        next = info.next_offset();
        copied += info.size;
    }
    let Finished { bases, .. } = output.finish(modified)?;
    swap::commit(place, &bases)?;
    Ok(Split { bases, bytes_cut: segment.size() - copied })
}
