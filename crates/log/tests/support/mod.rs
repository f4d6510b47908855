//! Batches and logs for tests.

#![allow(dead_code, reason = "each test file uses its part of this module")]
#![allow(clippy::allow_attributes, reason = "whether a part is unused differs from test file to test file")]

pub(crate) mod clean;
pub(crate) mod gate;
pub(crate) mod names;
pub(crate) mod txn;

use std::path::Path;

use highwater_log::{
    AppendError, AppendInfo, AppendOrigin, AppendSet, Log, LogConfig, MemDisk, OpenOptions, ReadBound,
};
use highwater_records::{BatchBuilder, BatchOptions, ProducerStamp};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

pub(crate) const DIR: &str = "/logs/topic-0";
pub(crate) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A batch of `records` records with values of `value_size` bytes, as a producer sends it.
pub(crate) fn batch(records: usize, value_size: usize) -> Vec<u8> {
    batch_at(NOW, records, value_size, ProducerStamp::NONE)
}

pub(crate) fn batch_at(timestamp: TimestampMs, records: usize, value_size: usize, producer: ProducerStamp) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
    let value = vec![7; value_size];
    for _ in 0..records {
        builder.append(timestamp.value(), Some(b"key"), Some(&value), &[]).unwrap();
    }
    builder.finish().unwrap()
}

/// A batch of an idempotent producer.
pub(crate) fn produced(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: usize) -> Vec<u8> {
    batch_at(NOW, records, 10, ProducerStamp { producer_id, producer_epoch, base_sequence })
}

pub(crate) fn offset(value: u64) -> Offset {
    Offset::new(value)
}

pub(crate) fn open(disk: &MemDisk, config: LogConfig, options: OpenOptions) -> Log {
    Log::open(disk.shared(), Path::new(DIR), config.checked().unwrap(), options).unwrap()
}

/// A new log on a disk in memory.
pub(crate) fn new_log(config: LogConfig) -> (MemDisk, Log) {
    let disk = MemDisk::new();
    disk.set_time(NOW);
    let log = open(&disk, config, OpenOptions::unclean(NOW));
    (disk, log)
}

pub(crate) fn small_segments(segment_bytes_max: u32) -> LogConfig {
    LogConfig { segment_bytes_max, segment_index_bytes_max: 1_200, index_interval_bytes: 256, ..LogConfig::default() }
}

pub(crate) fn append(log: &mut Log, bytes: &[u8]) -> Result<AppendInfo, AppendError> {
    append_in(log, bytes, 0)
}

/// Appends one set in a leader epoch.
pub(crate) fn append_in(log: &mut Log, bytes: &[u8], epoch: u32) -> Result<AppendInfo, AppendError> {
    append_from(log, bytes, epoch, AppendOrigin::Client)
}

pub(crate) fn append_from(
    log: &mut Log,
    bytes: &[u8],
    epoch: u32,
    origin: AppendOrigin,
) -> Result<AppendInfo, AppendError> {
    let mut bytes = bytes.to_vec();
    let mut sets = [AppendSet::new(&mut bytes, origin)];
    log.append_as_leader(&mut sets, LeaderEpoch::new(epoch), NOW)?;
    sets[0].take_result()
}

/// Everything from `start` to the log end, over all segments.
pub(crate) fn read_all(log: &Log, start: Offset) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = start;
    while next < log.log_end() {
        let slice = log.read(next, u32::MAX, true, ReadBound::LogEnd).unwrap();
        if slice.length == 0 {
            break;
        }
        let piece = slice.read_to_vec().unwrap();
        for entry in highwater_records::RecordSet::new(&piece).entries() {
            next = offset(u64::try_from(entry.unwrap().next_offset()).unwrap());
        }
        bytes.extend(piece);
    }
    bytes
}

/// Base and last offset of each batch in `bytes`.
pub(crate) fn ranges(bytes: &[u8]) -> Vec<(i64, i64)> {
    let entries = highwater_records::RecordSet::new(bytes).entries();
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.base_offset(Default::default()).unwrap(), entry.last_offset()))
        .collect()
}

/// The names in the log's directory, sorted.
pub(crate) fn files(disk: &MemDisk) -> Vec<String> {
    use highwater_log::Disk;
    let mut names: Vec<String> = disk.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

/// The path of a file of the log.
pub(crate) fn path(name: &str) -> std::path::PathBuf {
    Path::new(DIR).join(name)
}

/// Runs `body` for the seeds of `range`, for as many as `SEEDS` says, or the one in `SEED`, and names the seed of a
/// failure.
pub(crate) fn for_seeds(test: &str, range: std::ops::Range<u64>, body: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let fixed: Option<u64> = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let count: Option<u64> = std::env::var("SEEDS").ok().map(|count| count.parse().unwrap());
    let range = range.start..count.unwrap_or(range.end);
    for seed in fixed.map_or(range, |seed| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| body(seed));
        assert!(run.is_ok(), "failed; replay with SEED={seed} cargo test -p highwater-log {test}");
    }
}

/// SplitMix64: small, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
