//! Segments that compaction writes, and what it has to know of those it reads.

use highwater_types::{Offset, TimestampMs};

use super::{Place, Segment};
use crate::error::LogError;
use crate::names::FileKind;

impl Segment {
    /// Creates the files of an empty segment that is never going to be active: nothing is reserved for it.
    pub(crate) fn create_plain(place: &Place, base: Offset, now: TimestampMs) -> Result<Self, LogError> {
        let mut segment = Self::open_files(place, base, now)?;
        segment.log.set_len(0).map_err(LogError::io("truncate", &segment.path))?;
        segment.size = 0;
        segment.clear_indexes();
        Ok(segment)
    }

    /// Completes a segment that was created so: the files are cut to what they hold, get `modified` as the time of
    /// their last write, and are synced.
    pub(crate) fn finish_cleaned(&mut self, place: &Place, modified: TimestampMs) -> Result<(), LogError> {
        self.seal()?;
        for kind in [FileKind::Log, FileKind::OffsetIndex, FileKind::TimeIndex] {
            let path = place.file(self.base, kind);
            place.disk.set_modified(&path, modified).map_err(LogError::io("set the time of", &path))?;
        }
        for (file, path) in self.handles() {
            file.sync_data().map_err(LogError::io("sync", &path))?;
        }
        self.sync_txn_index()
    }

    /// Opens the files of an existing segment now, the transaction index included if there is one.
    pub(crate) fn open_now(&mut self, place: &Place) -> Result<(), LogError> {
        let path = place.file(self.base, FileKind::TxnIndex);
        if place.disk.metadata(&path).is_ok() && !self.open_txn_index(place)? {
            return Err(LogError::corrupt("transaction index", &path, 0));
        }
        self.touch()
    }

    /// Has the files open: a handle that is kept while they are renamed or removed must not be the first to open them.
    pub(crate) fn touch(&self) -> Result<(), LogError> {
        for (file, path) in self.handles() {
            file.read_at(&mut [0], 0).map_err(LogError::io("read", &path))?;
        }
        Ok(())
    }

    /// Bytes of the offset index and of the time index.
    pub(crate) fn index_sizes(&self) -> (u64, u64) {
        (self.offset_index.size(), self.time_index.size())
    }
}
