//! Readers of committed transactions against a model, for random histories.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use highwater_log::{AbortedTxn, Log, LogConfig, MemDisk, OpenOptions, ReadBound};
use highwater_records::{BatchView, ControlType, DecompressLimit, RecordSet};

use support::txn::{in_txn, indexed, mark, marker};
use support::{NOW, Random, append, batch, for_seeds, new_log, offset, open, small_segments};

const PRODUCERS: u64 = 4;

/// What the log should say, kept the simple way.
#[derive(Default)]
struct Model {
    /// First and last offset of each data batch, and the transaction it belongs to.
    batches: Vec<(u64, u64, Option<usize>)>,
    txns: Vec<Txn>,
    high_watermark: u64,
}

struct Txn {
    producer: u64,
    first: u64,
    /// Offset of the marker, and whether it aborts.
    end: Option<(u64, bool)>,
}

impl Model {
    fn open_of(&self, producer: u64) -> Option<usize> {
        self.txns.iter().position(|txn| txn.producer == producer && txn.end.is_none())
    }

    fn last_stable(&self) -> u64 {
        let unstable = self.txns.iter().filter(|txn| txn.end.is_none_or(|(marker, _)| self.high_watermark <= marker));
        unstable.map(|txn| txn.first).chain([self.high_watermark]).min().unwrap()
    }

    /// First offsets of the batches that a reader gets who begins at `start`.
    fn visible(&self, start: u64) -> Vec<u64> {
        let end = self.last_stable();
        let is_aborted = |txn: usize| self.txns[txn].end.is_some_and(|(_, abort)| abort);
        let batches = self.batches.iter().filter(|(_, last, txn)| start <= *last && !txn.is_some_and(is_aborted));
        batches.map(|(first, _, _)| *first).filter(|first| *first < end).collect()
    }

    fn truncate(&mut self, to: u64) {
        self.batches.retain(|(_, last, _)| *last < to);
        for txn in &mut self.txns {
            txn.end = txn.end.filter(|(marker, _)| *marker < to);
        }
        // What has lost all its batches has never begun.
        let begun: BTreeSet<usize> = self.batches.iter().filter_map(|(_, _, txn)| *txn).collect();
        for (index, txn) in self.txns.iter_mut().enumerate() {
            if !begun.contains(&index) {
                (txn.producer, txn.end) = (u64::MAX, Some((0, false)));
            }
        }
        self.high_watermark = self.high_watermark.min(to);
    }
}

/// A consumer: leaves out what the lists of aborted transactions tell it to.
fn consume(log: &Log, start: u64, bytes_max: u32) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut next = start;
    loop {
        let slice = log.read(offset(next), bytes_max, true, ReadBound::LastStable).unwrap();
        if slice.length == 0 {
            return seen;
        }
        let aborted = log.aborted_transactions(offset(next), &slice).unwrap();
        let bytes = slice.read_to_vec().unwrap();
        next = consume_slice(&bytes, next, aborted, &mut seen);
    }
}

/// As Kafka's consumer does it. Returns the offset after the last whole batch.
fn consume_slice(bytes: &[u8], start: u64, mut aborted: Vec<AbortedTxn>, seen: &mut Vec<u64>) -> u64 {
    aborted.sort_by_key(|txn| txn.first);
    let mut coming = aborted.into_iter().peekable();
    let mut leaving_out = BTreeSet::new();
    let mut next = start;
    for entry in RecordSet::new(bytes).entries() {
        let Ok(entry) = entry else { break };
        let last = u64::try_from(entry.last_offset()).unwrap();
        let first = u64::try_from(entry.base_offset(DecompressLimit::default()).unwrap()).unwrap();
        let highwater_records::Entry::Batch(batch) = entry else { panic!("only batches were written") };
        next = last + 1;
        while let Some(txn) = coming.next_if(|txn| txn.first.value() <= last) {
            leaving_out.insert(txn.producer.value());
        }
        let producer = u64::try_from(batch.header().producer_id()).ok();
        if batch.header().is_control() {
            if control_type(&batch) == ControlType::Abort {
                leaving_out.remove(&producer.unwrap());
            }
        } else if start <= last
            && !(batch.header().is_transactional() && producer.is_some_and(|id| leaving_out.contains(&id)))
        {
            seen.push(first);
        }
    }
    next
}

fn control_type(batch: &BatchView<'_>) -> ControlType {
    let record = batch.records_in_place().unwrap().unwrap().next().unwrap().unwrap();
    ControlType::from_key(record.key.unwrap()).unwrap()
}

fn config(random: &mut Random) -> LogConfig {
    let segment_bytes = 300 + u32::try_from(random.below(1_500)).unwrap();
    LogConfig { index_interval_bytes: u32::try_from(random.below(600)).unwrap(), ..small_segments(segment_bytes) }
}

/// Appends, commits, aborts and advances at random.
fn step(random: &mut Random, log: &mut Log, model: &mut Model, sequences: &mut BTreeMap<u64, i32>) {
    let producer = random.below(PRODUCERS);
    match random.below(10) {
        0 => {
            let info = append(log, &batch(1, 20)).unwrap();
            model.batches.push((info.base_offset.value(), info.last_offset.value(), None));
        }
        1..5 => {
            let records = 1 + usize::try_from(random.below(3)).unwrap();
            let sequence = sequences.entry(producer).or_insert(0);
            let wire_id = i64::try_from(producer).unwrap();
            let info = append(log, &in_txn(wire_id, 0, *sequence, records)).unwrap();
            *sequence += i32::try_from(records).unwrap();
            let (first, last) = (info.base_offset.value(), info.last_offset.value());
            let txn = model.open_of(producer).unwrap_or_else(|| {
                model.txns.push(Txn { producer, first, end: None });
                model.txns.len() - 1
            });
            model.batches.push((first, last, Some(txn)));
        }
        5..8 => {
            let abort = random.below(3) > 0;
            let info = mark(log, &marker(i64::try_from(producer).unwrap(), 0, !abort, 0)).unwrap();
            if let Some(txn) = model.open_of(producer) {
                model.txns[txn].end = Some((info.base_offset.value(), abort));
            }
        }
        _ => {
            let ahead = log.log_end().value() - model.high_watermark;
            model.high_watermark += random.below(ahead + 1);
            log.advance_high_watermark(offset(model.high_watermark));
        }
    }
}

fn check(random: &mut Random, log: &Log, model: &Model) {
    assert_eq!(log.last_stable().value(), model.last_stable());
    let mut expected: Vec<(u64, u64, u64)> = Vec::new();
    for txn in &model.txns {
        if let Some((marker, true)) = txn.end {
            expected.push((txn.producer, txn.first, marker));
        }
    }
    expected.sort_by_key(|(_, _, marker)| *marker);
    let entries = indexed(log).into_iter().flat_map(|(_, entries)| entries);
    let entries: Vec<_> = entries.map(|t| (t.producer.value(), t.first.value(), t.last.value())).collect();
    assert_eq!(entries, expected);
    for _ in 0..3 {
        let start = random.below(model.last_stable() + 1);
        let bytes_max = 1 + u32::try_from(random.below(900)).unwrap();
        assert_eq!(consume(log, start, bytes_max), model.visible(start), "from {start}, {bytes_max} bytes at once");
    }
}

/// Opens the log again, at random in order or after a kill.
///
/// All markers are committed before: which are not is kept in no file, by Kafka neither.
fn reopen(random: &mut Random, disk: &MemDisk, mut log: Log, config: &LogConfig, model: &mut Model) -> Log {
    model.high_watermark = log.advance_high_watermark(log.log_end()).value();
    let clean = random.below(2) == 0;
    let recovery_point = if clean { log.log_end() } else { offset(random.below(log.log_end().value() + 1)) };
    let high_watermark = offset(model.high_watermark);
    if clean {
        log.close(NOW).unwrap();
    }
    drop(log);
    open(disk, config.clone(), OpenOptions { clean, recovery_point, high_watermark, ..OpenOptions::unclean(NOW) })
}

#[test]
fn readers_see_exactly_what_is_committed() {
    for_seeds("readers_see_exactly_what_is_committed", 0..60, |seed| {
        let mut random = Random(seed);
        let config = config(&mut random);
        let (disk, mut log) = new_log(config.clone());
        let mut model = Model::default();
        let mut sequences = BTreeMap::new();
        for _ in 0..120 {
            step(&mut random, &mut log, &mut model, &mut sequences);
            if random.below(12) == 0 {
                check(&mut random, &log, &model);
            }
            if random.below(40) == 0 {
                log = reopen(&mut random, &disk, log, &config, &mut model);
                check(&mut random, &log, &model);
            }
            if random.below(40) == 0 {
                // At a batch's end, as followers do it; no further back than what is committed.
                let ends = model.batches.iter().map(|(_, last, _)| last + 1);
                let Some(to) = ends.filter(|end| model.high_watermark <= *end).min() else { continue };
                log.truncate_to(offset(to), NOW).unwrap();
                model.truncate(to);
                sequences.clear();
                for producer in log.producers() {
                    let last = producer.sequences.map_or(-1, |range| range.last.to_wire());
                    sequences.insert(producer.producer_id.value(), last + 1);
                }
                check(&mut random, &log, &model);
            }
        }
        check(&mut random, &log, &model);
    });
}
