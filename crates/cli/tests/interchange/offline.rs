//! What the broker has no requests for yet, done with the library in the directory of a stopped one.

use std::path::Path;

use highwater_log::{
    AppendOrigin, AppendSet, Cleaner, CleanerConfig, CleanupPolicy, DirOptions, Log, LogConfig, LogDir, OpenedDir,
    RealDisk,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec, EndTxnMarker, HeaderView, ProducerStamp};
use highwater_types::{LeaderEpoch, TimestampMs, TopicPartition};

use crate::exchange::{HISTORY_RECORDS, setting};
use crate::records::{Recipe, Record};

/// Fills the topics `transactions` and `compacted` by the plans of `Histories.java`, compacts the latter, and closes
/// the directory in order.
pub(crate) fn write(data: &Path, recipe: &Recipe, now: TimestampMs) {
    let options = DirOptions { recovery_threads: 1, now };
    let config_of = |partition: &TopicPartition| {
        let is_compacted = partition.topic.as_str() == "compacted";
        let config = LogConfig {
            segment_ms_max: setting("log.roll.ms"),
            index_interval_bytes: setting("log.index.interval.bytes"),
            cleanup: CleanupPolicy { delete: false, compact: is_compacted },
            ..LogConfig::default()
        };
        config.checked().expect("the settings are valid")
    };
    let opened = LogDir::open(RealDisk::shared(), data, options, &config_of);
    let OpenedDir { dir, logs } = opened.expect("the broker closed it in order");
    let mut logs: Vec<Log> = logs.into_iter().map(|opened| opened.log).collect();
    let mut find = |name: &str| {
        let at = logs.iter().position(|log| log.path().ends_with(name)).expect("the topic was created");
        logs.swap_remove(at)
    };
    let (mut transactions, mut compacted) = (find("transactions-0"), find("compacted-0"));

    let records = recipe.stream(0, HISTORY_RECORDS);
    write_transactions(&mut Writer { log: &mut transactions, now }, &records);
    write_keyed(&mut Writer { log: &mut compacted, now }, &records);
    let mut cleaner = Cleaner::new(CleanerConfig::default()).expect("the settings are valid");
    let cleaned = compacted.clean(&mut cleaner, now).expect("the log is whole").expect("the log is dirty");
    assert!(cleaned.first_dirty.is_some(), "the pass is not complete: {cleaned:?}");

    logs.extend([transactions, compacted]);
    dir.close_clean(logs, None, now).expect("the directory is writable");
}

/// Pairs of transactions that overlap: the first of each is committed, the second aborted, but for the last, which
/// stays open.
fn write_transactions(writer: &mut Writer<'_>, records: &[Record]) {
    let mut committing = Producer { id: PRODUCER_ID, codec: Codec::Zstd, transactional: true, next_sequence: 0 };
    let mut aborting = Producer { id: PRODUCER_ID + 1, codec: Codec::None, transactional: true, next_sequence: 0 };
    let pairs = records.chunks(4 * TURN);
    let last = pairs.len() - 1;
    for (pair, records) in pairs.enumerate() {
        for (turn, records) in records.chunks(TURN).enumerate() {
            writer.send(if turn % 2 == 0 { &mut committing } else { &mut aborting }, records);
        }
        if pair != last {
            writer.end(&aborting, false);
        }
        writer.end(&committing, true);
    }
}

/// Few keys, each written often; tombstones; an aborted and a committed transaction in the middle.
fn write_keyed(writer: &mut Writer<'_>, records: &[Record]) {
    let keyed: Vec<Record> = records.iter().enumerate().map(|(index, record)| keyed(index, record)).collect();
    let (first, rest) = keyed.split_at(keyed.len() / 3);
    let (second, third) = rest.split_at(first.len());
    let mut plain = Producer { id: PRODUCER_ID + 2, codec: Codec::Lz4, transactional: false, next_sequence: 0 };
    let mut transactional = Producer { id: PRODUCER_ID + 3, codec: Codec::Gzip, transactional: true, next_sequence: 0 };
    writer.send(&mut plain, first);
    let reversed: Vec<Record> = first.iter().rev().cloned().collect();
    writer.send(&mut transactional, &reversed);
    writer.end(&transactional, false);
    writer.send(&mut transactional, second);
    writer.end(&transactional, true);
    writer.send(&mut plain, third);
}

fn keyed(index: usize, record: &Record) -> Record {
    let value = record.value.clone().unwrap_or_default();
    Record {
        key: Some(format!("key {}", index * 7 % KEYS).into_bytes()),
        value: (!index.is_multiple_of(11)).then_some(value),
        ..record.clone()
    }
}

/// A producer as the log knows it; its epoch stays 0.
struct Producer {
    id: i64,
    codec: Codec,
    transactional: bool,
    next_sequence: i32,
}

struct Writer<'a> {
    log: &'a mut Log,
    now: TimestampMs,
}

impl Writer<'_> {
    fn send(&mut self, producer: &mut Producer, records: &[Record]) {
        for records in records.chunks(BATCH_RECORDS) {
            let stamp =
                ProducerStamp { producer_id: producer.id, producer_epoch: 0, base_sequence: producer.next_sequence };
            let mut builder = BatchBuilder::new(BatchOptions {
                compression: producer.codec.into(),
                producer: stamp,
                transactional: producer.transactional,
                ..BatchOptions::default()
            });
            for record in records {
                let headers = record.headers.iter();
                let headers: Vec<HeaderView<'_>> =
                    headers.map(|(name, value)| HeaderView { key: name.as_bytes(), value: value.as_deref() }).collect();
                builder
                    .append(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers)
                    .expect("it fits a batch");
            }
            producer.next_sequence += i32::try_from(records.len()).expect("few records");
            self.append(builder.finish().expect("it fits a batch"), AppendOrigin::Client);
        }
    }

    fn end(&mut self, producer: &Producer, committed: bool) {
        let marker = EndTxnMarker { committed, coordinator_epoch: 0 };
        self.append(marker.to_batch(producer.id, 0, self.now.value()), AppendOrigin::Coordinator);
    }

    fn append(&mut self, mut batch: Vec<u8>, origin: AppendOrigin) {
        let mut sets = [AppendSet::new(&mut batch, origin)];
        // The epoch in which the broker led that made the topic.
        self.log.append_as_leader(&mut sets, LeaderEpoch::ZERO, self.now).expect("the disk is writable");
        sets[0].take_result().expect("the batch is valid");
        self.log.advance_high_watermark(self.log.log_end());
    }
}

/// The first of the ids used here, above all that a broker has given away.
const PRODUCER_ID: i64 = 1_000_000;
/// Records of a transaction before the other one has its turn; each has two turns.
const TURN: usize = 25;
const KEYS: usize = 40;
const BATCH_RECORDS: usize = 6;
