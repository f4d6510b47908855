//! Which transactions a reader has to leave out (storage format, sections 5 and 11).

use highwater_types::Offset;

use super::{Log, ReadSlice};
use crate::error::LogError;
use crate::index::AbortedTxn;

impl Log {
    /// The aborted transactions that have records in `slice`, which a read from `start` on has given.
    ///
    /// A reader of committed transactions leaves their records out. The list may name more than the slice needs:
    /// where it ends is looked up in the offset index, which knows only some batches. Ordered by abort marker.
    ///
    /// Reads the transaction indexes from the slice's segment on, until one rules out that others follow. Where no
    /// segment has an aborted transaction, nothing is read. Allocates only for what it finds.
    ///
    /// # Errors
    ///
    /// - [`LogError::OutOfRange`] if the slice's segment has been removed meanwhile; read again.
    /// - [`LogError::Corrupt`], [`LogError::Io`], [`LogError::Poisoned`].
    pub fn aborted_transactions(&self, start: Offset, slice: &ReadSlice) -> Result<Vec<AbortedTxn>, LogError> {
        self.health.check()?;
        if slice.length == 0 {
            return Ok(Vec::new());
        }
        let index = self.segments.floor(slice.segment_base);
        let segment = self.segments.get(index);
        if segment.base() != slice.segment_base {
            return Err(LogError::OutOfRange { requested: start, start: self.log_start, end: self.log_end });
        }
        if self.segments.from(index).iter().all(|segment| segment.txn_index().file().is_none()) {
            return Ok(Vec::new());
        }
        let indexed = segment.offset_index().offset_behind(slice.position + u64::from(slice.length))?;
        let upper = indexed.or(self.segments.next_base(index)).unwrap_or(self.log_end);
        self.collect_aborted(index, start, upper)
    }

    /// The aborted transactions that have a record or their marker at or above `start`, and records below `upper`, by
    /// the segments from the one with `start` on.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`], [`LogError::Io`], [`LogError::Poisoned`].
    pub fn aborted_between(&self, start: Offset, upper: Offset) -> Result<Vec<AbortedTxn>, LogError> {
        self.health.check()?;
        self.collect_aborted(self.segments.floor(start), start, upper)
    }

    fn collect_aborted(&self, first: usize, start: Offset, upper: Offset) -> Result<Vec<AbortedTxn>, LogError> {
        let mut found = Vec::new();
        for segment in self.segments.from(first) {
            // The marker of a transaction can be several segments behind its records.
            if segment.txn_index().collect(start, upper, &mut found)? {
                break;
            }
        }
        Ok(found)
    }
}
