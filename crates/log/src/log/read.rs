//! Reading (storage format, section 11).

use std::io;

use highwater_types::Offset;

use super::Log;
use crate::disk::FileHandle;
use crate::error::LogError;
use crate::segment::Located;

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBound {
    /// Everything: replicas.
    LogEnd,
    /// What is committed: consumers.
    HighWatermark,
    /// What is committed and belongs to no open transaction: consumers that read committed transactions.
    LastStable,
}

/// A piece of one segment's file.
///
/// Starts at a batch, the one with the offset asked for, and may end inside one. The file stays readable even if
/// its segment is deleted meanwhile; if it is truncated, reading it comes up short.
#[derive(Clone, Debug)]
pub struct ReadSlice {
    /// The file; `None` exactly if `length` is 0.
    pub file: Option<FileHandle>,
    /// Where in the file the slice begins.
    pub position: u64,
    /// Length in bytes.
    pub length: u32,
    /// Base offset of the first batch, or the offset asked for if there is nothing to read yet.
    pub offset: Offset,
    /// Base offset of the segment.
    pub segment_base: Offset,
    /// Whether the slice ends inside its first batch.
    pub first_entry_incomplete: bool,
    /// The high watermark at the time of reading.
    pub high_watermark: Offset,
    /// The last stable offset at the time of reading.
    pub last_stable: Offset,
    /// The log start at the time of reading.
    pub log_start: Offset,
    /// The log end at the time of reading.
    pub log_end: Offset,
}

impl ReadSlice {
    /// Copies the slice's bytes, with one `pread`.
    ///
    /// # Errors
    ///
    /// What the system says, and [`io::ErrorKind::UnexpectedEof`] if the file has been truncated meanwhile.
    pub fn read_to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length as usize];
        if let Some(file) = &self.file {
            file.read_exact_at(&mut bytes, self.position)?;
        }
        Ok(bytes)
    }
}

/// A place in the log: an offset with the segment and position where it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: Offset,
    segment: usize,
    position: u64,
}

impl Log {
    /// Finds what a reader gets from offset `start` on: at most `max_bytes` of one segment, below `bound`.
    ///
    /// With `min_one` the first batch is given whole even if it is larger. Nothing is copied: the result is a piece
    /// of a file to send or to read. Costs a search in the index and one or two small reads; waits for the disk
    /// if those pages are not in memory.
    ///
    /// # Errors
    ///
    /// - [`LogError::OutOfRange`] below the log start or above the log end.
    /// - [`LogError::Corrupt`] if the segment's index or headers contradict each other.
    /// - [`LogError::Io`], [`LogError::Poisoned`].
    pub fn read(&self, start: Offset, max_bytes: u32, min_one: bool, bound: ReadBound) -> Result<ReadSlice, LogError> {
        self.health.check()?;
        let end = self.written_end().offset;
        if start < self.log_start || end < start {
            return Err(LogError::OutOfRange { requested: start, start: self.log_start, end });
        }
        let bound = match bound {
            ReadBound::LogEnd => end,
            ReadBound::HighWatermark => self.high_watermark,
            ReadBound::LastStable => self.last_stable(),
        };
        if bound <= start {
            return Ok(self.empty_slice(self.locate(start)?));
        }
        let Some((mut place, first)) = self.find_from(start)? else {
            return Ok(self.empty_slice(self.end_place()));
        };
        let first_size = first.size;
        place.offset = self.segments.get(place.segment).first_offset(&first)?;
        let limit = if min_one { u64::from(max_bytes).max(first_size) } else { u64::from(max_bytes) };
        let end = self.end_of_readable(place.segment, bound)?;
        let length = limit.min(end.saturating_sub(place.position));
        if length == 0 {
            return Ok(self.empty_slice(place));
        }
        let segment = self.segments.get(place.segment);
        Ok(ReadSlice {
            file: Some(segment.log().pin().map_err(LogError::io("open", segment.path()))?),
            length: u32::try_from(length).unwrap_or(u32::MAX),
            first_entry_incomplete: limit < first_size,
            ..self.empty_slice(place)
        })
    }

    /// How far into a segment a reader may see who is bound by `bound`.
    fn end_of_readable(&self, segment: usize, bound: Offset) -> Result<u64, LogError> {
        let bound = self.locate(bound)?;
        Ok(match segment.cmp(&bound.segment) {
            std::cmp::Ordering::Less => self.segments.get(segment).size(),
            std::cmp::Ordering::Equal => bound.position,
            std::cmp::Ordering::Greater => 0,
        })
    }

    /// The place of the batch with `offset`, or of the next one, or the end of the log.
    fn locate(&self, offset: Offset) -> Result<Place, LogError> {
        if offset == self.written_end().offset {
            return Ok(self.end_place());
        }
        Ok(self.find_from(offset)?.map_or_else(|| self.end_place(), |(place, _)| place))
    }

    fn end_place(&self) -> Place {
        let end = self.written_end();
        Place { offset: end.offset, segment: self.segments.len() - 1, position: end.position }
    }

    /// The first batch that ends at or after `start`.
    fn find_from(&self, start: Offset) -> Result<Option<(Place, Located)>, LogError> {
        let floor = self.segments.floor(start);
        for (index, segment) in self.segments.from(floor).iter().enumerate() {
            if let Some(found) = segment.locate(start)? {
                let place = Place { offset: found.offset, segment: floor + index, position: found.position };
                return Ok(Some((place, found)));
            }
        }
        Ok(None)
    }

    fn empty_slice(&self, place: Place) -> ReadSlice {
        ReadSlice {
            file: None,
            position: place.position,
            length: 0,
            offset: place.offset,
            segment_base: self.segments.get(place.segment).base(),
            first_entry_incomplete: false,
            high_watermark: self.high_watermark,
            last_stable: self.last_stable(),
            log_start: self.log_start,
            log_end: self.written_end().offset,
        }
    }
}
