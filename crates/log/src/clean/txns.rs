//! Which transactions were aborted, and which have nothing left but their marker (storage format, section 19.3).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use highwater_records::{BatchView, ControlType};
use highwater_types::Offset;

use crate::index::AbortedTxn;

/// The transactions that a pass over the log, in order of offsets, has come upon.
#[derive(Debug, Default)]
pub(super) struct CleanedTxns {
    /// Aborted transactions that lie ahead, the first of them on top.
    ahead: BinaryHeap<Reverse<ByFirst>>,
    /// Aborted transactions between their first record and their marker, by producer id.
    aborted: HashMap<i64, Aborted>,
    /// Producers with records since their last marker, of a transaction that was not aborted.
    committed: HashSet<i64>,
}

#[derive(Debug)]
struct Aborted {
    txn: AbortedTxn,
    has_data: bool,
}

/// What is to be done about a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MarkerUse {
    /// It ends nothing that is still there: it may go once its delete horizon has passed.
    Idle,
    /// It is needed, or is of a kind that compaction leaves alone.
    Needed,
    /// It ends an aborted transaction with records that this pass removes or has removed; readers may have seen them.
    Aborts(AbortedTxn),
}

impl CleanedTxns {
    /// Adds aborted transactions that have records or their marker ahead of where the pass is. One that was added
    /// before does no harm.
    pub(super) fn add(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(aborted.into_iter().map(|txn| Reverse(ByFirst(txn))));
    }

    /// Takes note of a batch of records. Returns whether they were aborted.
    pub(super) fn on_batch(&mut self, batch: &BatchView<'_>) -> bool {
        self.begin_up_to(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&batch.producer_id()) {
            Some(aborted) => {
                aborted.has_data = true;
                true
            }
            None => {
                self.committed.insert(batch.producer_id());
                false
            }
        }
    }

    /// Takes note of a control batch.
    pub(super) fn on_control_batch(&mut self, batch: &BatchView<'_>) -> MarkerUse {
        self.begin_up_to(batch.last_offset());
        let record = batch.records_in_place().ok().flatten().and_then(|mut records| records.next());
        let Some(record) = record else {
            // Its marker has been removed before; compressed ones, which nobody writes, are left alone.
            return if batch.count() == 0 { MarkerUse::Idle } else { MarkerUse::Needed };
        };
        let key = record.ok().and_then(|record| record.key);
        match key.and_then(ControlType::from_key) {
            Some(ControlType::Abort) => match self.aborted.remove(&batch.producer_id()) {
                Some(Aborted { txn, has_data: true }) => MarkerUse::Aborts(txn),
                _ => MarkerUse::Idle,
            },
            Some(ControlType::Commit) if !self.committed.remove(&batch.producer_id()) => MarkerUse::Idle,
            _ => MarkerUse::Needed,
        }
    }

    /// Moves the transactions that begin at or below `offset` to those that records are matched with.
    fn begin_up_to(&mut self, offset: i64) {
        while self.ahead.peek().is_some_and(|Reverse(next)| next.0.first.to_wire() <= offset) {
            let Some(Reverse(ByFirst(txn))) = self.ahead.pop() else { return };
            self.aborted.entry(txn.producer.to_wire()).or_insert(Aborted { txn, has_data: false });
        }
    }
}

/// Ordered by first offset.
#[derive(Debug)]
struct ByFirst(AbortedTxn);

impl ByFirst {
    fn key(&self) -> (Offset, Offset) {
        (self.0.first, self.0.last)
    }
}

impl PartialEq for ByFirst {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByFirst {}

impl PartialOrd for ByFirst {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByFirst {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use highwater_records::{BatchBuilder, BatchMut, BatchOptions, EndTxnMarker, ProducerStamp};
    use highwater_types::ProducerId;

    use super::*;

    fn aborted(producer: u64, first: u64, last: u64) -> AbortedTxn {
        let producer = ProducerId::new(producer);
        AbortedTxn { producer, first: Offset::new(first), last: Offset::new(last), last_stable: Offset::new(last + 1) }
    }

    fn data(producer_id: i64, offset: i64) -> Vec<u8> {
        let producer = ProducerStamp { producer_id, producer_epoch: 0, base_sequence: 0 };
        let options = BatchOptions { base_offset: offset, producer, transactional: true, ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.append(1, Some(b"k"), Some(b"v"), &[]).unwrap();
        builder.finish().unwrap()
    }

    fn marker(producer_id: i64, offset: i64, committed: bool) -> Vec<u8> {
        let mut bytes = EndTxnMarker { committed, coordinator_epoch: 0 }.to_batch(producer_id, 0, 1);
        BatchMut::parse(&mut bytes).unwrap().set_base_offset(offset);
        bytes
    }

    fn on_batch(txns: &mut CleanedTxns, bytes: &[u8]) -> bool {
        txns.on_batch(&BatchView::parse(bytes).unwrap())
    }

    fn on_control(txns: &mut CleanedTxns, bytes: &[u8]) -> MarkerUse {
        txns.on_control_batch(&BatchView::parse(bytes).unwrap())
    }

    #[test]
    fn data_between_first_offset_and_marker_is_aborted_and_its_marker_needed() {
        let mut txns = CleanedTxns::default();
        txns.add([aborted(1, 5, 9), aborted(1, 5, 9)]);
        assert!(!on_batch(&mut txns, &data(1, 4)), "before the transaction");
        assert!(on_batch(&mut txns, &data(1, 5)));
        assert!(!on_batch(&mut txns, &data(2, 6)), "another producer");
        assert!(on_batch(&mut txns, &data(1, 7)));
        assert_eq!(on_control(&mut txns, &marker(1, 9, false)), MarkerUse::Aborts(aborted(1, 5, 9)));
        assert!(!on_batch(&mut txns, &data(1, 10)), "after the transaction");
    }

    #[test]
    fn markers_without_data_are_idle_and_with_data_needed() {
        let mut txns = CleanedTxns::default();
        txns.add([aborted(1, 5, 9)]);
        assert_eq!(on_control(&mut txns, &marker(1, 9, false)), MarkerUse::Idle);
        assert_eq!(on_control(&mut txns, &marker(2, 10, true)), MarkerUse::Idle);
        assert!(!on_batch(&mut txns, &data(2, 11)));
        assert_eq!(on_control(&mut txns, &marker(2, 12, true)), MarkerUse::Needed);
        assert_eq!(on_control(&mut txns, &marker(2, 13, true)), MarkerUse::Idle);
    }

    #[test]
    fn other_control_records_are_needed_and_empty_batches_idle() {
        let mut txns = CleanedTxns::default();
        let options = BatchOptions { control: true, ..BatchOptions::default() };
        for kind in [ControlType::LeaderChange, ControlType::Unknown(99)] {
            let mut builder = BatchBuilder::new(options);
            builder.append(1, Some(&kind.to_key()), Some(b""), &[]).unwrap();
            assert_eq!(on_control(&mut txns, &builder.finish().unwrap()), MarkerUse::Needed, "{kind:?}");
        }
        let empty = highwater_records::retained_empty(&BatchView::parse(&marker(1, 3, true)).unwrap());
        assert_eq!(on_control(&mut txns, &empty), MarkerUse::Idle);
    }
}
