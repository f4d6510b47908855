//! Compaction for tests.

use std::ops::ControlFlow;

use highwater_log::{AppendOrigin, CleanStep, CleanTask, Cleaned, Cleaner, CleanupPolicy, Log, LogConfig};
use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, Entry, ProducerStamp, RecordSet};
use highwater_types::TimestampMs;

use super::{NOW, append, append_from, read_all};

/// Every segment holds what is appended between two rolls.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy { delete: false, compact: true },
        delete_retention_ms: 1_000,
        index_interval_bytes: 100,
        ..LogConfig::default()
    }
}

/// A record: key and value, `-` for none.
pub(crate) type Pair<'a> = (&'a str, &'a str);

pub(crate) fn field(text: &str) -> Option<&[u8]> {
    (text != "-").then_some(text.as_bytes())
}

pub(crate) fn batch_of(records: &[Pair<'_>], options: BatchOptions) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for (index, (key, value)) in records.iter().enumerate() {
        builder.append(NOW.value() + index as i64, field(key), field(value), &[]).unwrap();
    }
    builder.finish().unwrap()
}

pub(crate) fn put(log: &mut Log, records: &[Pair<'_>]) {
    append(log, &batch_of(records, BatchOptions::default())).unwrap();
}

pub(crate) fn producer(producer_id: i64, base_sequence: i32) -> ProducerStamp {
    ProducerStamp { producer_id, producer_epoch: 0, base_sequence }
}

pub(crate) fn put_transactional(log: &mut Log, producer_id: i64, base_sequence: i32, records: &[Pair<'_>]) {
    let options =
        BatchOptions { producer: producer(producer_id, base_sequence), transactional: true, ..BatchOptions::default() };
    append(log, &batch_of(records, options)).unwrap();
}

pub(crate) fn end_transaction(log: &mut Log, producer_id: i64, committed: bool) {
    let marker = EndTxnMarker { committed, coordinator_epoch: 0 }.to_batch(producer_id, 0, NOW.value());
    append_from(log, &marker, 0, AppendOrigin::Coordinator).unwrap();
}

/// Closes the segment and commits everything.
pub(crate) fn roll(log: &mut Log) {
    log.roll(NOW).unwrap();
    log.advance_high_watermark(log.log_end());
}

pub(crate) fn at(ms: i64) -> TimestampMs {
    NOW.plus_ms(ms)
}

/// Forgets what has been cleaned and cleans all of it.
pub(crate) fn clean_all(log: &mut Log, now: TimestampMs) -> Cleaned {
    log.set_clean_checkpoint(None);
    clean(log, &mut Cleaner::default(), now)
}

pub(crate) fn clean(log: &mut Log, cleaner: &mut Cleaner, now: TimestampMs) -> Cleaned {
    let cleanable = log.cleanable(now).unwrap();
    let mut task = log.clean_task(&cleanable, now).unwrap().unwrap();
    while run(&mut task, cleaner) == CleanStep::GroupReady {
        assert!(log.complete_clean(&mut task, now).unwrap());
    }
    log.finish_clean(task)
}

pub(crate) fn run(task: &mut CleanTask, cleaner: &mut Cleaner) -> CleanStep {
    task.run(cleaner, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The records in the log, as `offset key=value`, and batches without records as `base..last`.
pub(crate) fn records(log: &Log) -> Vec<String> {
    let bytes = read_all(log, log.log_start());
    let mut found = Vec::new();
    for entry in RecordSet::new(&bytes) {
        let entry = entry.unwrap();
        entry.check_crc().unwrap();
        let mut records = entry.records(Default::default()).unwrap();
        let mut is_empty = true;
        while let Some(record) = records.next_record().unwrap() {
            is_empty = false;
            let text = |bytes: Option<&[u8]>| bytes.map_or("-".to_owned(), |b| String::from_utf8_lossy(b).into_owned());
            let is_control = matches!(&entry, Entry::Batch(batch) if batch.is_control());
            found.push(match is_control {
                true => format!("{} marker", record.offset),
                false => format!("{} {}={}", record.offset, text(record.key), text(record.value)),
            });
        }
        if is_empty {
            let base = entry.base_offset(Default::default()).unwrap();
            found.push(format!("{base}..{}", entry.last_offset()));
        }
    }
    found
}

pub(crate) fn bases(log: &Log) -> Vec<u64> {
    log.describe().unwrap().segments.iter().map(|segment| segment.base.value()).collect()
}

/// The headers of the v2 batches from `start` on.
pub(crate) fn with_batches(log: &Log, mut visit: impl FnMut(&highwater_records::BatchView<'_>)) {
    let bytes = read_all(log, log.log_start());
    for entry in RecordSet::new(&bytes) {
        if let Entry::Batch(batch) = entry.unwrap() {
            visit(&batch);
        }
    }
}
