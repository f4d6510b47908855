//! The segments that a pass writes, as `.cleaned` files (storage format, section 19.5).

use std::io;

use highwater_records::{DecompressLimit, Entry};
use highwater_types::{Offset, TimestampMs};

use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::index::{AbortedTxn, relative_offset};
use crate::names::{CLEANED, FileKind};
use crate::segment::{Place, Segment};

/// Writes batches into one new segment, or into more where one cannot hold them.
///
/// A segment cannot hold more than 2^31-1 bytes or offsets, nor more index entries than `segment.index.bytes` allows.
/// Compression may do worse the second time, and v2 needs more room than v0, so that several source segments that
/// together fit one segment may need two.
#[derive(Debug)]
pub(super) struct Output {
    place: Place,
    now: TimestampMs,
    segment: Segment,
    /// Bases of the segments, this one included.
    bases: Vec<Offset>,
    /// Batches that have been noted but not written.
    buffer: Vec<u8>,
    /// Where in the file `buffer` belongs.
    position: u64,
    buffer_max: usize,
    /// No offset below may be added.
    next: Offset,
    /// Bytes of the segments that are finished.
    finished_bytes: u64,
}

/// The files of finished `.cleaned` segments.
#[derive(Debug)]
pub(super) struct Finished {
    /// Their bases, ascending.
    pub(super) bases: Vec<Offset>,
    /// Bytes of batches in all of them.
    pub(super) bytes: u64,
}

impl Output {
    /// Begins the first segment, with the base of the first source.
    pub(super) fn create(place: &Place, base: Offset, buffer_max: usize, now: TimestampMs) -> Result<Self, LogError> {
        let place = place.with_suffix(CLEANED);
        remove_files(&place, base)?;
        let segment = Segment::create_plain(&place, base, now)?;
        Ok(Self {
            place,
            now,
            segment,
            bases: vec![base],
            buffer: Vec::new(),
            position: 0,
            buffer_max,
            next: base,
            finished_bytes: 0,
        })
    }

    /// The buffer to append a batch to, for [`accept`](Self::accept).
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Takes what has been appended to the buffer behind `start`: one batch, or nothing.
    ///
    /// Returns the number of bytes written to files, which is 0 as long as the buffer has room.
    pub(super) fn accept(
        &mut self,
        start: usize,
        aborts: Option<AbortedTxn>,
        modified: TimestampMs,
    ) -> Result<u64, LogError> {
        let mut written = 0;
        if start < self.buffer.len() {
            let corrupt = |what, output: &Self| LogError::corrupt(what, output.segment.path(), output.segment.size());
            let info = EntryInfo::parse(&self.buffer[start..]).map_err(|what| corrupt(what, self))?;
            let info = info.ok_or_else(|| corrupt("rewritten batch (cut)", self))?;
            if info.last < self.next {
                return Err(corrupt("order of offsets", self));
            }
            let is_in_reach = relative_offset(self.segment.base(), info.last).is_some();
            if !is_in_reach || self.segment.size() > 0 && !self.has_room_for(&info) {
                written += self.begin_next(&info, start, modified)?;
            }
            self.segment.note_appended(&info, self.place.config.index_interval_bytes)?;
            self.next = info.next_offset();
        }
        if let Some(txn) = aborts {
            self.segment.append_aborted(&self.place, txn)?;
        }
        if self.buffer_max <= self.buffer.len() {
            written += self.write(self.buffer.len())?;
        }
        Ok(written)
    }

    fn has_room_for(&self, info: &EntryInfo) -> bool {
        self.segment.size() + info.size <= i32::MAX as u64 && !self.segment.is_index_full()
    }

    /// Finishes the segment, and begins another with the batch behind `start` in the buffer.
    fn begin_next(&mut self, info: &EntryInfo, start: usize, modified: TimestampMs) -> Result<u64, LogError> {
        let written = self.write(start)?;
        let first = info.base.or_else(|| first_offset(&self.buffer)).unwrap_or(info.last);
        // Whatever a wrapper says its first offset is: the last one is in the index's reach.
        let lowest = Offset::new(info.last.value().saturating_sub(i32::MAX as u64));
        let base = first.max(lowest).max(self.next);
        remove_files(&self.place, base)?;
        let next = Segment::create_plain(&self.place, base, self.now)?;
        let mut finished = std::mem::replace(&mut self.segment, next);
        self.bases.push(base);
        self.finished_bytes += finished.size();
        self.position = 0;
        finished.finish_cleaned(&self.place, modified)?;
        Ok(written)
    }

    /// Writes the first `len` bytes of the buffer.
    fn write(&mut self, len: usize) -> Result<u64, LogError> {
        let written = self.segment.log().write_all_at(&self.buffer[..len], self.position);
        written.map_err(LogError::io("write", self.segment.path()))?;
        self.buffer.drain(..len);
        self.position += len as u64;
        Ok(len as u64)
    }

    /// Writes what is left, and makes all files durable; also their names. They get `modified` as the time of their
    /// last write.
    pub(super) fn finish(mut self, modified: TimestampMs) -> Result<Finished, LogError> {
        self.write(self.buffer.len())?;
        self.segment.finish_cleaned(&self.place, modified)?;
        self.place.disk.sync_dir(&self.place.dir).map_err(LogError::io("sync", &self.place.dir))?;
        Ok(Finished { bytes: self.finished_bytes + self.segment.size(), bases: self.bases })
    }

    /// Bases of the segments begun so far.
    pub(super) fn bases(&self) -> &[Offset] {
        &self.bases
    }
}

/// The offset of the first record in an entry, for which a v0 or v1 wrapper has to be decompressed.
fn first_offset(entry: &[u8]) -> Option<Offset> {
    let entry = Entry::parse(entry).ok()?;
    Offset::from_wire(entry.base_offset(DecompressLimit::default()).ok()?)
}

/// Removes the files of a segment in `place`, as far as there are any: of a pass that was given up, or is being. One that
/// stayed could be taken for the next pass's.
pub(super) fn remove_files(place: &Place, base: Offset) -> Result<(), LogError> {
    for kind in FileKind::SEGMENT {
        let path = place.file(base, kind);
        match place.disk.remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(LogError::io("remove", &path)(e)),
            _ => {}
        }
    }
    Ok(())
}
