//! Rebuilding a segment from its log file (storage format, section 16).

use highwater_types::Offset;

use super::scan::Stop;
use super::{Place, Segment, WholeEntries};
use crate::config::CheckedLogConfig;
use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::index::{AbortedTxn, relative_offset};

/// What recovery found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Bytes cut off the end of the log file.
    pub(crate) bytes_cut: u64,
    /// The offset after the last valid entry.
    pub(crate) next_offset: Offset,
    /// An entry is valid but out of the index's reach. Nothing was cut, and the segment is to be split.
    pub(crate) is_overflowed: bool,
}

/// Is shown every valid entry, in order, with its bytes. Returns the transaction that the entry aborts.
pub(crate) type RecoveryVisitor<'a> = dyn FnMut(&EntryInfo, &[u8]) -> Option<AbortedTxn> + 'a;

impl Segment {
    /// Forgets indexes and entries, so that [`recover`](Self::recover) checks everything. Returns where that ends.
    pub(crate) fn begin_recovery(&mut self) -> Result<u64, LogError> {
        self.clear_indexes();
        self.txn_index.reset()?;
        Ok(std::mem::take(&mut self.size))
    }

    /// Checks the entries up to `end`, completes the indexes, and cuts the file at the first entry that is not valid.
    ///
    /// Goes on from where [`begin_recovery`](Self::begin_recovery) or [`begin_behind`](Self::begin_behind) has left the segment.
    /// Leaves the files trimmed, as those of a closed segment.
    pub(crate) fn recover(
        &mut self,
        place: &Place,
        mut next_offset: Offset,
        end: u64,
        visit: &mut RecoveryVisitor<'_>,
    ) -> Result<Recovery, LogError> {
        // Another handle of the same file, so that the scan does not borrow what it updates.
        let (file, path) = (self.log.clone(), self.path.clone());
        let mut entries = WholeEntries::new(&file, &path, self.size, end);
        let stop = loop {
            let (info, bytes) = match entries.next_checked()? {
                Ok(entry) => entry,
                Err(stop) => break stop,
            };
            if info.last < next_offset {
                break Stop::Invalid("offsets");
            }
            if relative_offset(self.base, info.last).is_none() {
                self.size = end;
                return Ok(Recovery { bytes_cut: 0, next_offset, is_overflowed: true });
            }
            self.note_recovered(&info, &place.config)?;
            next_offset = info.next_offset();
            if let Some(aborted) = visit(&info, bytes) {
                self.append_aborted(place, aborted)?;
            }
        };
        let bytes_cut = end - self.size;
        if bytes_cut > 0 {
            tracing::warn!(path = %path.display(), position = self.size, bytes_cut, ?stop, "segment cut at recovery");
            let valid = std::mem::replace(&mut self.size, end);
            self.truncate_bytes(valid)?;
        }
        self.seal()?;
        Ok(Recovery { bytes_cut, next_offset, is_overflowed: false })
    }

    /// As for appended entries, but an index that is full is left so: it may have been made smaller since.
    fn note_recovered(&mut self, info: &EntryInfo, config: &CheckedLogConfig) -> Result<(), LogError> {
        let interval = if self.is_index_full() { u32::MAX } else { config.index_interval_bytes };
        self.note_appended(info, interval)
    }
}
