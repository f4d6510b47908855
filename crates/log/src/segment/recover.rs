//! Rebuilding a segment from its log file (storage format, section 16).

use highwater_types::Offset;

use super::scan::Stop;
use super::{Place, Segment, WholeEntries};
use crate::entry::EntryInfo;
use crate::error::LogError;
use crate::index::{AbortedTxn, relative_offset};

/// What recovery found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// Where the last valid entry ends.
    valid: u64,
    /// Where the log file ends.
    end: u64,
    /// The offset after the last valid entry.
    pub(crate) next_offset: Offset,
    /// An entry is valid but out of the index's reach. Nothing was cut, and the segment is to be split.
    pub(crate) is_overflowed: bool,
}

impl Recovery {
    /// Whether something behind the valid entries has to be cut off.
    pub(crate) fn loses_bytes(&self) -> bool {
        self.valid < self.end
    }
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

    /// Checks the entries up to `end` or to the first that is not valid, and completes the indexes. The files keep their
    /// length until [`finish_recovery`](Self::finish_recovery).
    ///
    /// Goes on from where [`begin_recovery`](Self::begin_recovery) or [`begin_behind`](Self::begin_behind) has left the segment.
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
                return Ok(Recovery { valid: end, end, next_offset, is_overflowed: true });
            }
            self.note_appended(&info, place.config.index_interval_bytes)?;
            next_offset = info.next_offset();
            if let Some(aborted) = visit(&info, bytes) {
                self.append_aborted(place, aborted)?;
            }
        };
        let recovery = Recovery { valid: self.size, end, next_offset, is_overflowed: false };
        if recovery.loses_bytes() {
            tracing::warn!(path = %path.display(), position = self.size, bytes = end - self.size, ?stop, "cutting a segment");
        }
        Ok(recovery)
    }

    /// Cuts the file behind its valid entries and trims all files, as those of a closed segment.
    pub(crate) fn finish_recovery(&mut self, recovery: &Recovery) -> Result<(), LogError> {
        if recovery.loses_bytes() {
            self.size = recovery.end;
            self.truncate_bytes(recovery.valid)?;
        }
        self.seal()?;
        // Counting starts anew with every opening.
        self.bytes_since_index_entry = 0;
        Ok(())
    }
}
