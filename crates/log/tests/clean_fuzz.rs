//! Random logs, cleaned at random times, against what a table of all their records says.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use highwater_log::{
    Cleaner, CleanerConfig, CleanupPolicy, Disk, Log, LogConfig, LogReader, MemDisk, OpenOptions, ProducerSummary,
    ReadBound, Severity, VerifyOptions, verify_log,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec, Compression, ProducerStamp, RecordSet};
use highwater_types::TimestampMs;
use support::clean::clean;
use support::txn::{mark, marker};
use support::{DIR, NOW, Random, append, files, for_seeds, new_log, offset, open, path, read_all};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    key: String,
    value: Option<String>,
    timestamp: i64,
    /// Whether the record's transaction was aborted; `None` while it is open.
    aborted: Option<bool>,
}

#[derive(Debug, Default)]
struct Producer {
    next_sequence: i32,
    /// Offsets of the open transaction.
    open: Vec<u64>,
}

struct World {
    random: Random,
    disk: MemDisk,
    config: LogConfig,
    log: Log,
    cleaner: Cleaner,
    now: TimestampMs,
    /// Every record that was ever written, by offset.
    written: BTreeMap<u64, Written>,
    producers: [Producer; 3],
    /// When a tombstone may be gone at the earliest: the end of the retention that began with its first pass.
    horizons: HashMap<u64, i64>,
}

const RETENTION_MS: u64 = 1_000;

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let config = LogConfig {
            cleanup: CleanupPolicy { delete: false, compact: true },
            delete_retention_ms: RETENTION_MS,
            segment_bytes_max: 600 + u32::try_from(random.below(2_000)).unwrap(),
            segment_index_bytes_max: [48, 120, 1_200][random.below(3) as usize],
            index_interval_bytes: u32::try_from(random.below(400)).unwrap(),
            ..LogConfig::default()
        };
        let cleaner = Cleaner::new(CleanerConfig {
            dedupe_bytes_max: 24 * (4 + usize::try_from(random.below(60)).unwrap()),
            io_bytes_max: 1 + usize::try_from(random.below(3_000)).unwrap(),
            ..CleanerConfig::default()
        });
        let (disk, log) = new_log(config.clone());
        Self {
            random,
            disk,
            config,
            log,
            cleaner: cleaner.unwrap(),
            now: NOW,
            written: BTreeMap::new(),
            producers: Default::default(),
            horizons: HashMap::new(),
        }
    }

    fn step(&mut self) {
        self.now = self.now.plus_ms(i64::try_from(self.random.below(200)).unwrap());
        match self.random.below(20) {
            0 => self.log.roll(self.now).unwrap(),
            1 | 2 => self.clean(),
            3 if self.random.below(3) == 0 => self.reopen(),
            4..=6 => self.end_transaction(),
            7..=9 => self.write(Some(self.random.0 as usize % 3)),
            _ => self.write(None),
        }
        self.log.advance_high_watermark(self.log.log_end());
    }

    fn write(&mut self, producer: Option<usize>) {
        let random = &mut self.random;
        let stamp = match producer {
            Some(index) => ProducerStamp {
                producer_id: index as i64,
                producer_epoch: 0,
                base_sequence: self.producers[index].next_sequence,
            },
            None => ProducerStamp::NONE,
        };
        let codec = if random.below(2) == 0 { Codec::None } else { Codec::ALL[random.below(5) as usize] };
        let compression = Compression::new(codec);
        let options =
            BatchOptions { compression, producer: stamp, transactional: producer.is_some(), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        let base = self.log.log_end().value();
        for index in 0..1 + random.below(4) {
            let key = format!("key-{}", random.below(12));
            let value = (random.below(4) > 0).then(|| format!("{base}-{}", "x".repeat(random.below(60) as usize)));
            let timestamp = self.now.value() - i64::try_from(random.below(100)).unwrap();
            builder.append(timestamp, Some(key.as_bytes()), value.as_ref().map(String::as_bytes), &[]).unwrap();
            let aborted = if producer.is_some() { None } else { Some(false) };
            self.written.insert(base + index, Written { key, value, timestamp, aborted });
            if let Some(producer) = producer {
                self.producers[producer].next_sequence += 1;
                self.producers[producer].open.push(base + index);
            }
        }
        append(&mut self.log, &builder.finish().unwrap()).unwrap();
    }

    fn end_transaction(&mut self) {
        let index = self.random.below(3) as usize;
        let producer = &mut self.producers[index];
        if producer.open.is_empty() {
            return;
        }
        let aborted = self.random.below(2) == 0;
        for offset in producer.open.drain(..) {
            self.written.get_mut(&offset).unwrap().aborted = Some(aborted);
        }
        mark(&mut self.log, &marker(index as i64, 0, !aborted, 0)).unwrap();
    }

    fn clean(&mut self) {
        let cleanable = self.log.cleanable(self.now).unwrap();
        if cleanable.first_uncleanable <= cleanable.first_dirty {
            return;
        }
        let before = self.log.clean_checkpoint();
        let cleaned = clean(&mut self.log, &mut self.cleaner, self.now);
        assert!(before < cleaned.first_dirty, "a pass gets somewhere");
        assert!(cleaned.first_dirty <= Some(cleanable.first_uncleanable));
        self.check();
        // Batches get their horizon when their segment is rewritten, also where the map did not reach them.
        let seen = cleanable.first_uncleanable.value();
        for offset in self.stored().into_keys().filter(|offset| *offset < seen) {
            let horizon = self.now.value() + RETENTION_MS as i64;
            self.horizons.entry(offset).or_insert(horizon);
        }
    }

    /// The records in the log, control records left out, as a reader from `start` sees them.
    fn stored_from(&self, start: u64) -> BTreeMap<u64, (String, Option<String>, i64)> {
        let bytes = read_all(&self.log, offset(start));
        let mut found = BTreeMap::new();
        for entry in RecordSet::new(&bytes) {
            let entry = entry.unwrap();
            entry.check_crc().unwrap();
            if matches!(&entry, highwater_records::Entry::Batch(batch) if batch.is_control()) {
                continue;
            }
            let mut records = entry.records(Default::default()).unwrap();
            while let Some(record) = records.next_record().unwrap() {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let at = u64::try_from(record.offset).unwrap();
                found.insert(at, (text(record.key.unwrap()), record.value.map(text), record.timestamp));
            }
        }
        found
    }

    fn stored(&self) -> BTreeMap<u64, (String, Option<String>, i64)> {
        self.stored_from(0)
    }

    /// Judges the log from outside.
    fn check(&self) {
        let stored = self.stored();
        for (at, record) in &stored {
            let written = &self.written[at];
            assert_eq!(*record, (written.key.clone(), written.value.clone(), written.timestamp), "at {at}");
        }
        let clean_end = self.log.clean_checkpoint().map_or(0, highwater_types::Offset::value);
        self.check_clean_part(&stored, clean_end);
        for (at, written) in self.written.range(clean_end..) {
            assert!(stored.contains_key(at) || written.aborted == Some(true), "{at} is lost, above {clean_end}");
        }
        for start in [0, clean_end / 2, clean_end, (clean_end + self.log.log_end().value()) / 2] {
            let read: Vec<u64> = self.stored_from(start).into_keys().filter(|at| start <= *at).collect();
            assert_eq!(read, stored.keys().copied().filter(|at| start <= *at).collect::<Vec<_>>(), "from {start}");
        }
        assert_eq!(self.table_of_log(), self.table_of_written());
    }

    /// Below the checkpoint only the last committed record of each key is there, and if it is a tombstone maybe not.
    fn check_clean_part(&self, stored: &BTreeMap<u64, (String, Option<String>, i64)>, clean_end: u64) {
        let mut last: HashMap<&str, u64> = HashMap::new();
        for (at, written) in self.written.range(..clean_end) {
            match written.aborted.expect("an open transaction is not cleaned") {
                true => assert!(!stored.contains_key(at), "{at} was aborted"),
                false => {
                    last.insert(&written.key, *at);
                }
            }
        }
        for (at, written) in self.written.range(..clean_end).filter(|(_, written)| written.aborted == Some(false)) {
            let is_last = last[written.key.as_str()] == *at;
            if !is_last {
                assert!(!stored.contains_key(at), "{at} is superseded");
            } else if written.value.is_some() {
                assert!(stored.contains_key(at), "{at} is the last of {}", written.key);
            } else if self.horizons.get(at).is_none_or(|horizon| self.now.value() < *horizon) {
                assert!(stored.contains_key(at), "the tombstone at {at} is too young to go");
            }
        }
    }

    /// What a reader of committed records makes of the log: the last value of each key.
    fn table_of_log(&self) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        LogReader::new(offset(0), ReadBound::LastStable)
            .bytes_max(500)
            .for_each(&self.log, |record| {
                let key = text(record.key.unwrap());
                match record.value {
                    Some(value) => table.insert(key, text(value)),
                    None => table.remove(&key),
                };
            })
            .unwrap();
        table
    }

    fn table_of_written(&self) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        for (_, written) in self.written.range(..self.log.last_stable().value()) {
            match (&written.value, written.aborted) {
                (_, Some(true)) => None,
                (Some(value), _) => table.insert(written.key.clone(), value.clone()),
                (None, _) => table.remove(&written.key),
            };
        }
        table
    }

    /// Opens the log from its segments alone: nothing may depend on what was in memory or in snapshots.
    fn reopen(&mut self) {
        let essence = |log: &Log| -> Vec<_> { log.producers().map(|producer| essence_of(&producer)).collect() };
        let (end, checkpoint, producers) = (self.log.log_end(), self.log.clean_checkpoint(), essence(&self.log));
        let verified = verify_log(&self.disk, Path::new(DIR), VerifyOptions::default(), &mut |_| ()).unwrap();
        let damage: Vec<_> = verified.findings.iter().filter(|f| f.severity == Severity::Damage).collect();
        assert!(damage.is_empty(), "{damage:#?}");
        for name in files(&self.disk).iter().filter(|name| name.ends_with(".snapshot") || name.ends_with("index")) {
            self.disk.remove_file(&path(name)).unwrap();
        }
        self.log =
            open(&self.disk, self.config.clone(), OpenOptions { high_watermark: end, ..OpenOptions::unclean(NOW) });
        self.log.set_clean_checkpoint(checkpoint);
        assert_eq!(self.log.log_end(), end);
        assert_eq!(essence(&self.log), producers, "producers are rebuilt from what is kept of their batches");
        self.check();
    }
}

/// What of a producer's state a rebuild has to find again: which sequence is next, and whether a transaction is open.
fn essence_of(producer: &ProducerSummary) -> (u64, i16, Option<u32>, Option<u64>, Option<u64>) {
    (
        producer.producer_id.value(),
        producer.epoch.to_wire(),
        producer.sequences.map(|range| range.last.value()),
        producer.last_offset.map(highwater_types::Offset::value),
        producer.txn_first_offset.map(highwater_types::Offset::value),
    )
}

#[test]
fn any_log_cleaned_at_any_time_tells_the_same_table() {
    for_seeds("any_log_cleaned_at_any_time", 0..40, |seed| {
        let mut world = World::new(seed);
        for _ in 0..250 {
            world.step();
        }
        world.now = world.now.plus_ms(2 * RETENTION_MS as i64);
        world.log.roll(world.now).unwrap();
        for _ in 0..3 {
            world.clean();
        }
        world.reopen();
    });
}
