//! Reading: finding a slice and copying it, beside a bare `pread` of the very same bytes, in the same run.
//!
//! `tail` reads the batch that was appended last, as consumers and followers do that keep up; `sequential` goes on where
//! the read before ended, as those do that catch up; `random` jumps. `cargo bench -p highwater-log
//! --bench read`.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{AppendOrigin, AppendSet, Log, LogConfig, OpenOptions, ReadBound, ReadSlice, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const LOG_BYTES: u64 = 128 << 20;
/// Prime, so that jumps of this many offsets come by every one.
const STRIDE: u64 = 7_919;

/// A log of single records in batches of `batch_bytes`.
fn filled(dir: &Path, batch_bytes: usize) -> Log {
    let config = LogConfig { segment_bytes_max: 32 << 20, ..LogConfig::default() }.checked().expect("a valid config");
    let mut log = Log::open(RealDisk::shared(), dir, config, OpenOptions::unclean(NOW)).expect("a new log");
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW.value(), None, Some(&vec![b'x'; batch_bytes - 90]), &[]).expect("a small batch");
    let batch = builder.finish().expect("a batch with records");
    while log.size_bytes() < LOG_BYTES {
        let mut batches = vec![batch.clone(); 16];
        let mut sets: Vec<AppendSet<'_>> =
            batches.iter_mut().map(|batch| AppendSet::new(batch, AppendOrigin::Client)).collect();
        log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).expect("a working disk");
    }
    log
}

fn find(log: &Log, offset: u64, limit: u32) -> ReadSlice {
    log.read(Offset::new(offset), limit, true, ReadBound::LogEnd).expect("a slice")
}

fn copy(slice: &ReadSlice, buffer: &mut [u8]) -> usize {
    let file = slice.file.as_ref().expect("a slice with bytes");
    file.read_at(&mut buffer[..slice.length as usize], slice.position).expect("bytes of the slice")
}

fn reads(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, size) in [("1KiB", 1_usize << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)] {
        let log = filled(&dir.path().join(name), size.min(64 << 10));
        let end = log.log_end().value();
        let limit = u32::try_from(size).expect("a small read");
        let batches = (size / size.min(64 << 10)) as u64;
        let mut buffer = vec![0; size];
        let last = log.log_end().value() - batches;
        for (order, step) in [("tail", 0), ("sequential", batches), ("random", STRIDE)] {
            let mut next = 0;
            let mut offset = move || {
                next = (next + step) % (end - batches);
                if step == 0 { last } else { next }
            };
            let mut bench = criterion.benchmark_group(format!("read {order}/{name}"));
            bench.throughput(Throughput::Bytes(size as u64));
            // Where each read of the log goes to, found beforehand.
            let slices: Vec<ReadSlice> = (0..end).map(|offset| find(&log, offset, limit)).collect();
            bench.bench_function(BenchmarkId::from_parameter("raw"), |b| {
                b.iter(|| copy(&slices[usize::try_from(offset()).expect("a small log")], black_box(&mut buffer)));
            });
            bench.bench_function(BenchmarkId::from_parameter("find"), |b| {
                b.iter(|| find(&log, offset(), limit).length);
            });
            bench.bench_function(BenchmarkId::from_parameter("log"), |b| {
                b.iter(|| copy(&find(&log, offset(), limit), black_box(&mut buffer)));
            });
            bench.finish();
        }
    }
}

criterion_group!(benches, reads);
criterion_main!(benches);
