//! What of a batch is kept (storage format, section 19.3).

use std::collections::HashMap;

use highwater_records::{BatchView, RecordView};
use highwater_types::{Offset, TimestampMs};

use super::offset_map::OffsetMap;
use super::txns::{CleanedTxns, MarkerUse};
use crate::index::AbortedTxn;
use crate::producer::ProducerSummary;

/// The last batch of each producer that the log knows. Its header stays even without records, because producer state
/// is rebuilt from it.
#[derive(Debug, Default)]
pub(crate) struct LastBatches(HashMap<i64, LastBatch>);

#[derive(Debug)]
enum LastBatch {
    /// The batch that ends here.
    Data(Offset),
    /// No data is known: the marker that brought the producer this epoch.
    Marker { epoch: i16 },
}

impl LastBatches {
    pub(crate) fn of(producers: impl Iterator<Item = ProducerSummary>) -> Self {
        let last = |producer: &ProducerSummary| match producer.last_offset {
            Some(offset) => LastBatch::Data(offset),
            None => LastBatch::Marker { epoch: producer.epoch.to_wire() },
        };
        Self(producers.map(|producer| (producer.producer_id.to_wire(), last(&producer))).collect())
    }

    fn contains(&self, batch: &BatchView<'_>) -> bool {
        match self.0.get(&batch.producer_id()) {
            Some(LastBatch::Data(offset)) => batch.last_offset() == offset.to_wire(),
            Some(LastBatch::Marker { epoch }) => batch.is_control() && batch.producer_epoch() == *epoch,
            None => false,
        }
    }
}

/// The rules of one pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention<'a> {
    pub(super) map: &'a OffsetMap,
    pub(super) last_batches: &'a LastBatches,
    pub(super) first_uncleanable: Offset,
    pub(super) now: TimestampMs,
    pub(super) delete_retention_ms: u64,
}

/// What the rules say of a batch before its records are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchRule {
    /// All records go.
    pub(super) discards: bool,
    /// If no record is left, the header stays.
    pub(super) keeps_header: bool,
    /// It is a marker that may go once its horizon has passed, so it needs one.
    pub(super) idle_marker: bool,
    /// The entry that the transaction index needs for it.
    pub(super) aborts: Option<AbortedTxn>,
}

impl Retention<'_> {
    /// When tombstones and markers may go that could go now for the first time.
    pub(super) fn new_horizon(&self) -> i64 {
        let delay = i64::try_from(self.delete_retention_ms).unwrap_or(i64::MAX);
        self.now.value().saturating_add(delay)
    }

    /// Judges a batch, and takes note of its transaction: each batch once, in order.
    pub(super) fn judge(&self, batch: &BatchView<'_>, txns: &mut CleanedTxns) -> BatchRule {
        let (discards, idle_marker, aborts) = if batch.is_control() {
            let has_passed = batch.delete_horizon().is_some_and(|horizon| horizon <= self.now.value());
            match txns.on_control_batch(batch) {
                MarkerUse::Idle => (has_passed, true, None),
                MarkerUse::Needed => (false, false, None),
                MarkerUse::Aborts(txn) => (false, false, Some(txn)),
            }
        } else {
            (txns.on_batch(batch), false, None)
        };
        // The last batch of a pass stays so that the log is known to reach up to there.
        let keeps_header = self.last_batches.contains(batch) || batch.next_offset() == self.first_uncleanable.to_wire();
        BatchRule { discards, keeps_header, idle_marker, aborts }
    }

    /// Whether a record of a batch stays that is not discarded and has no markers.
    ///
    /// `keeps_tombstones` says whether the batch's tombstones are still needed, see
    /// [`keeps_tombstones`](Self::keeps_tombstones).
    pub(super) fn keeps(&self, record: &RecordView<'_>, keeps_tombstones: bool) -> bool {
        if self.map.latest().is_none_or(|latest| latest.to_wire() < record.offset) {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_last = self.map.last_offset_of(key).is_none_or(|last| last.to_wire() <= record.offset);
        is_last && (record.value.is_some() || keeps_tombstones)
    }

    /// Whether the tombstones of a v2 batch are still needed.
    pub(super) fn keeps_tombstones(&self, batch: &BatchView<'_>) -> bool {
        batch.delete_horizon().is_none_or(|horizon| self.now.value() < horizon)
    }
}
