//! What cleaning may change: section 19 of the storage format, as a relation between before and after.

use std::collections::BTreeMap;

use highwater_log::{AbortedTxn, LogConfig, LogState};

use super::Model;
use super::batch::{Batch, Record};
use super::segments::Segment;

/// What is known of a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass {
    /// Only what lies below may change.
    pub(crate) upto: u64,
    pub(crate) now: i64,
    /// What lies below may be gone for another reason: it was deleted.
    pub(crate) from: u64,
    /// What lies above may be gone for another reason: a crash.
    pub(crate) durable: u64,
}

impl Model {
    /// Whether `after` is this log, cleaned below `pass.upto`: each record is there unchanged, or may be gone.
    pub(crate) fn check_cleaned(&self, after: &[Batch], aborted: &[AbortedTxn], pass: &Pass) {
        let kept: BTreeMap<u64, &Record> = records(after).map(|(_, record)| (record.offset, record)).collect();
        let before: BTreeMap<u64, &Record> =
            records(&self.batches).map(|(_, record)| (record.offset, record)).collect();
        let end = after.last().map_or(0, |batch| batch.last + 1);
        let ended: Vec<AbortedTxn> = self.aborted.iter().filter(|txn| txn.last.value() < end).copied().collect();
        for (batch, record) in records(after).filter(|(batch, _)| batch.last < pass.upto) {
            let same = before.get(&record.offset) == Some(&record);
            assert!(same, "cleaning has made {record:?} of {:?}", before.get(&record.offset));
            let Some(stamp) = batch.producer.filter(|stamp| stamp.is_transactional && !batch.is_control) else {
                continue;
            };
            let is_aborted = |list: &[AbortedTxn]| list.iter().any(|txn| covers(txn, stamp.id, record.offset));
            // Where a crash has not taken the marker.
            let stays_so = !is_aborted(&ended) || is_aborted(aborted);
            assert!(stays_so, "the aborted record at {} looks committed after cleaning", record.offset);
        }
        let newest = self.newest_of_keys();
        for (batch, record) in records(&self.batches) {
            let at = record.offset;
            if pass.upto <= batch.last || kept.contains_key(&at) || at < pass.from || pass.durable <= batch.last {
                continue;
            }
            let is_over = batch.is_legacy || batch.delete_horizon.is_some_and(|horizon| horizon <= pass.now);
            let is_superseded =
                record.key.as_ref().is_none_or(|key| newest.get(key).is_some_and(|newest| at < *newest));
            let may_go = match batch.is_control {
                true => is_over,
                false => is_superseded || self.is_aborted(batch) || (record.value.is_none() && is_over),
            };
            assert!(may_go, "cleaning has lost the record at {at}: {record:?}");
        }
        self.check_last_batches(after, pass);
    }

    /// The last batch of each producer stays, if only as a header.
    fn check_last_batches(&self, after: &[Batch], pass: &Pass) {
        for (id, known) in &self.producers.known {
            let Some(last) = known.batches.back().map(|seen| seen.offsets.1) else { continue };
            let was_there = |batch: &&Batch| batch.last == last && batch.producer.is_some_and(|stamp| stamp.id == *id);
            let is_judged = pass.from <= last && last < pass.upto.min(pass.durable);
            if !is_judged || !self.batches.iter().any(|batch| was_there(&batch)) {
                continue;
            }
            let stays = after.iter().find(was_there).and_then(|batch| batch.producer);
            let sequences = known.batches.back().map(|seen| seen.sequences);
            let found = stays.map(|stamp| (stamp.epoch, stamp.sequences));
            assert_eq!(found, Some((known.epoch, sequences)), "last batch of producer {id}, which ends at {last}");
        }
    }

    /// The offset of the newest record of each key that counts.
    fn newest_of_keys(&self) -> BTreeMap<Vec<u8>, u64> {
        let mut newest = BTreeMap::new();
        for (batch, record) in records(&self.batches) {
            if !batch.is_control
                && !self.is_aborted(batch)
                && let Some(key) = &record.key
            {
                newest.insert(key.clone(), record.offset);
            }
        }
        newest
    }

    fn is_aborted(&self, batch: &Batch) -> bool {
        let stamp = batch.producer.filter(|stamp| stamp.is_transactional && !batch.is_control);
        stamp.is_some_and(|stamp| self.aborted.iter().any(|txn| covers(txn, stamp.id, batch.first)))
    }

    /// Puts what is left below `upto` in the place of what was there.
    pub(crate) fn take_cleaned(
        &mut self,
        below: Vec<Batch>,
        bases: &[u64],
        upto: u64,
        state: &LogState,
        config: &LogConfig,
    ) {
        self.is_cleaned = true;
        let base = bases[0];
        let old = std::mem::take(&mut self.batches);
        self.batches = old.iter().filter(|batch| batch.last < base).cloned().collect();
        self.batches.extend(below);
        self.batches.extend(old.iter().filter(|batch| upto <= batch.last).cloned());
        // Snapshots may still know them.
        let is_gone = |batch: &&Batch| !self.batches.iter().any(|other| other.last == batch.last);
        let gone: Vec<Batch> = old.iter().filter(is_gone).cloned().collect();
        self.deleted.extend(gone);
        let within = |batches: &[Batch], base: u64, end: u64| -> Vec<Batch> {
            batches.iter().filter(|batch| base <= batch.last && batch.last < end).cloned().collect()
        };
        let segments = std::mem::take(&mut self.segments);
        let ends = bases.iter().skip(1).copied().chain([u64::MAX]);
        self.segments = bases
            .iter()
            .zip(ends)
            .map(|(&base, end)| {
                let (batches, before) = (within(&self.batches, base, end), within(&old, base, end));
                let is_same = batches.iter().map(|batch| &batch.bytes).eq(before.iter().map(|batch| &batch.bytes));
                let size: u64 = batches.iter().map(Batch::size).sum();
                let kept = segments.iter().find(|segment| segment.base == base && segment.size == size);
                // One that is written again as it was gets the indexes that recovery would make.
                let kept =
                    kept.filter(|kept| is_same && state.segments.iter().any(|actual| kept.is_indexed_as(actual)));
                match kept {
                    Some(kept) => kept.clone(),
                    None => Segment::rebuilt(base, batches.iter(), config),
                }
            })
            .collect();
    }
}

fn covers(txn: &AbortedTxn, id: i64, offset: u64) -> bool {
    txn.producer.to_wire() == id && txn.first.value() <= offset && offset < txn.last.value()
}

fn records(batches: &[Batch]) -> impl Iterator<Item = (&Batch, &Record)> {
    batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)))
}
