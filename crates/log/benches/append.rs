//! Appending: the log beside a bare loop of checksum and `pwritev` over the same bytes, in the same run.
//!
//! `cargo bench -p highwater-log --bench append`; the ratio of `log` to `raw` is the cost of everything that is not
//! the checksum and the write.
//!
//! Times are CPU times of the thread: wall clocks tell more about the neighbours and the disk.

use std::fs::File;
use std::hint::black_box;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{AppendOrigin, AppendSet, CachedDisk, Disk, Log, LogConfig, OpenOptions, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions, BatchView};
use highwater_types::{LeaderEpoch, Offset, TimestampMs};
use nix::libc;
use nix::sys::uio::pwritev;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Both sides begin anew after this many bytes, so that neither runs out of page cache.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert!(failed == 0, "every Linux has the thread clock");
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).expect("below a second"))
}

/// One batch of about `size` bytes in records of 1 KiB or less.
fn batch(size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let records = (size / 1_024).max(1);
    let value = vec![b'x'; size / records - 10 - 61 / records];
    for _ in 0..records {
        builder.append(NOW.value(), None, Some(&value), &[]).expect("a small batch");
    }
    builder.finish().expect("a batch with records")
}

/// Checksum and `pwritev`, nothing else: the floor.
fn raw(dir: &Path, batch: &[u8], group: usize, rounds: u64) -> Duration {
    let mut file = File::create(dir.join("raw")).expect("a file");
    let batches = vec![batch.to_vec(); group];
    let (mut position, mut spent) = (0, Duration::ZERO);
    for _ in 0..rounds {
        if FILE_BYTES_MAX < position {
            file = File::create(dir.join("raw")).expect("a file");
            position = 0;
        }
        let start = cpu_time();
        let slices: Vec<IoSlice<'_>> = batches
            .iter()
            .map(|batch| {
                BatchView::parse(batch).and_then(|view| view.check_crc()).expect("a valid batch");
                IoSlice::new(batch)
            })
            .collect();
        let offset = position.try_into().expect("a small file");
        position += pwritev(&file, &slices, offset).expect("a written batch") as u64;
        spent += cpu_time() - start;
    }
    spent
}

fn open(disk: &Arc<dyn Disk>, dir: &Path, config: &LogConfig) -> Log {
    let _ = disk.remove_dir_all(dir);
    let config = config.clone().checked().expect("a valid config");
    Log::open(Arc::clone(disk), dir, config, OpenOptions::unclean(NOW)).expect("a new log")
}

/// What a leader does with the same batches: validate, assign, index, producer state, write.
fn append(disk: &Arc<dyn Disk>, dir: &Path, config: &LogConfig, batch: &[u8], group: usize, rounds: u64) -> Duration {
    let dir = dir.join("topic-0");
    let mut log = open(disk, &dir, config);
    let mut batches = vec![batch.to_vec(); group];
    let mut spent = Duration::ZERO;
    for _ in 0..rounds {
        if FILE_BYTES_MAX < log.size_bytes() {
            log = open(disk, &dir, config);
        }
        for batch in &mut batches {
            // The offset of the round before would be refused.
            batch[..8].fill(0);
        }
        let start = cpu_time();
        let mut sets: Vec<AppendSet<'_>> =
            batches.iter_mut().map(|batch| AppendSet::new(batch, AppendOrigin::Client)).collect();
        log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).expect("a working disk");
        spent += cpu_time() - start;
        for set in &mut sets {
            let base: Offset = set.take_result().expect("a valid batch").base_offset;
            black_box(base);
        }
    }
    spent
}

fn appends(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let real = RealDisk::shared();
    let cached = CachedDisk::new(RealDisk::shared(), 1_000).shared();
    let plain = LogConfig::default();
    let reserving = LogConfig { allocation_step_bytes: Some(32 << 20), ..LogConfig::default() };
    for (name, size) in [("1KiB", 1 << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10), ("1MiB", 1 << 20)] {
        let batch = batch(size);
        for group in [1, 16] {
            let mut bench = criterion.benchmark_group(format!("append/{name}x{group}"));
            bench.throughput(Throughput::Bytes((batch.len() * group) as u64));
            bench.bench_function(BenchmarkId::from_parameter("raw"), |b| {
                b.iter_custom(|rounds| raw(dir.path(), &batch, group, rounds));
            });
            bench.bench_function(BenchmarkId::from_parameter("log"), |b| {
                b.iter_custom(|rounds| append(&real, dir.path(), &plain, &batch, group, rounds));
            });
            bench.bench_function(BenchmarkId::from_parameter("log-cached"), |b| {
                b.iter_custom(|rounds| append(&cached, dir.path(), &plain, &batch, group, rounds));
            });
            bench.bench_function(BenchmarkId::from_parameter("log-reserving"), |b| {
                b.iter_custom(|rounds| append(&real, dir.path(), &reserving, &batch, group, rounds));
            });
            bench.finish();
        }
    }
}

criterion_group!(benches, appends);
criterion_main!(benches);
