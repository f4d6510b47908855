//! Transactions for tests.

use highwater_log::{AbortedTxn, AppendError, AppendInfo, AppendOrigin, AppendSet, Log};
use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, ProducerStamp};
use highwater_types::{LeaderEpoch, ProducerId};

use super::{NOW, append, offset};

/// A batch of `records` records of a transaction.
pub(crate) fn in_txn(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: usize) -> Vec<u8> {
    let producer = ProducerStamp { producer_id, producer_epoch, base_sequence };
    let mut builder = BatchBuilder::new(BatchOptions { producer, transactional: true, ..BatchOptions::default() });
    for _ in 0..records {
        builder.append(NOW.value(), Some(b"key"), Some(b"value"), &[]).unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn marker(producer_id: i64, producer_epoch: i16, committed: bool, coordinator_epoch: i32) -> Vec<u8> {
    EndTxnMarker { committed, coordinator_epoch }.to_batch(producer_id, producer_epoch, NOW.value())
}

/// A control batch of a producer, with a record of any key.
pub(crate) fn control(producer_id: i64, producer_epoch: i16, key: &[u8]) -> Vec<u8> {
    let producer = ProducerStamp { producer_id, producer_epoch, base_sequence: -1 };
    let options = BatchOptions { producer, transactional: true, control: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(NOW.value(), Some(key), Some(&[0, 0, 0, 0, 0, 9]), &[]).unwrap();
    builder.finish().unwrap()
}

/// The batch as a leader that assigned it `base` would send it to a follower.
pub(crate) fn at(mut batch: Vec<u8>, base: u64) -> Vec<u8> {
    let base = i64::try_from(base).unwrap();
    highwater_records::validate::assign(&mut batch, offset(base.unsigned_abs()), LeaderEpoch::new(0)).unwrap();
    batch
}

/// Appends as a coordinator does for transactions of `version`.
pub(crate) fn mark_in(log: &mut Log, bytes: &[u8], version: u16) -> Result<AppendInfo, AppendError> {
    let mut bytes = bytes.to_vec();
    let mut sets = [AppendSet::new(&mut bytes, AppendOrigin::Coordinator).transaction_version(version)];
    log.append_as_leader(&mut sets, LeaderEpoch::new(0), NOW)?;
    sets[0].take_result()
}

/// Appends as a coordinator does.
pub(crate) fn mark(log: &mut Log, bytes: &[u8]) -> Result<AppendInfo, AppendError> {
    mark_in(log, bytes, 0)
}

/// Appends two records of a transaction and its end.
pub(crate) fn whole_txn(log: &mut Log, producer_id: i64, sequence: i32, committed: bool) {
    append(log, &in_txn(producer_id, 0, sequence, 2)).unwrap();
    mark(log, &marker(producer_id, 0, committed, 0)).unwrap();
}

pub(crate) fn aborted(producer: u64, first: u64, last: u64, last_stable: u64) -> AbortedTxn {
    let (first, last, last_stable) = (offset(first), offset(last), offset(last_stable));
    AbortedTxn { producer: ProducerId::new(producer), first, last, last_stable }
}

/// The transaction indexes of all segments, by base offset.
pub(crate) fn indexed(log: &Log) -> Vec<(u64, Vec<AbortedTxn>)> {
    let segments = log.describe().unwrap().segments;
    segments.into_iter().map(|segment| (segment.base.value(), segment.aborted)).collect()
}
