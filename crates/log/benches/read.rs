//! Reading: finding a slice and copying it, beside a bare `pread` of as many bytes, in the same run.
//!
//! `cargo bench -p highwater-log --bench read`.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{AppendOrigin, AppendSet, Log, LogConfig, OpenOptions, ReadBound, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const LOG_BYTES: u64 = 128 << 20;

fn filled(dir: &std::path::Path, batch_bytes: usize) -> Log {
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

fn reads(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let raw_path = dir.path().join("raw");
    std::fs::write(&raw_path, vec![b'x'; 32 << 20]).expect("a file");
    let raw = File::open(&raw_path).expect("the file");
    for (name, size) in [("1KiB", 1_usize << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)] {
        let log = filled(&dir.path().join(name), size.min(64 << 10));
        let end = log.log_end().value();
        let limit = u32::try_from(size).expect("a small read");
        let mut buffer = vec![0; size];
        let mut bench = criterion.benchmark_group(format!("read/{name}"));
        bench.throughput(Throughput::Bytes(size as u64));
        let mut position = 0;
        bench.bench_function(BenchmarkId::from_parameter("raw"), |b| {
            b.iter(|| {
                position = (position + 7_919 * 4_096) % ((32 << 20) - size as u64);
                black_box(raw.read_at(&mut buffer, position).expect("bytes of the file"))
            });
        });
        let mut next = 0;
        bench.bench_function(BenchmarkId::from_parameter("find"), |b| {
            b.iter(|| {
                next = (next + 7_919) % end;
                log.read(Offset::new(next), limit, true, ReadBound::LogEnd).expect("a slice").length
            });
        });
        bench.bench_function(BenchmarkId::from_parameter("find-and-pread"), |b| {
            b.iter(|| {
                next = (next + 7_919) % end;
                let slice = log.read(Offset::new(next), limit, true, ReadBound::LogEnd).expect("a slice");
                let file = slice.file.expect("a slice with bytes");
                file.read_at(&mut buffer[..slice.length as usize], slice.position).expect("bytes of the slice")
            });
        });
        bench.finish();
    }
}

criterion_group!(benches, reads);
criterion_main!(benches);
