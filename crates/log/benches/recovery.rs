//! Recovery: opening a log that was not closed, beside a bare loop of `pread` and checksum over the same file, in the
//! same run.
//!
//! `cargo bench -p highwater-log --bench recovery`. Times are CPU times of the thread; the file is in the page cache.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{AppendOrigin, AppendSet, Log, LogConfig, OpenOptions, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions, BatchView, EntryHead, ProducerStamp};
use highwater_types::{LeaderEpoch, TimestampMs};
use nix::libc;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const LOG_BYTES: u64 = 64 << 20;
const CHUNK: usize = 256 << 10;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert!(failed == 0, "every Linux has the thread clock");
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).expect("below a second"))
}

/// Fills a log with batches of an idempotent producer and leaves it as a crash would.
fn fill(dir: &Path, batch_bytes: usize) {
    let mut log = open(dir);
    let value = vec![b'x'; (batch_bytes - 90).min(1_000)];
    let mut sequence = 0;
    while log.size_bytes() < LOG_BYTES {
        let producer = ProducerStamp { producer_id: 7, producer_epoch: 0, base_sequence: sequence };
        let mut builder = BatchBuilder::new(BatchOptions { producer, ..BatchOptions::default() });
        for _ in 0..(batch_bytes / 1_024).max(1) {
            builder.append(NOW.value(), None, Some(&value), &[]).expect("a small batch");
            sequence += 1;
        }
        let mut batch = builder.finish().expect("a batch with records");
        let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
        log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).expect("a working disk");
        sets[0].take_result().expect("a valid batch");
    }
}

fn open(dir: &Path) -> Log {
    let config = LogConfig::default().checked().expect("a valid config");
    Log::open(RealDisk::shared(), dir, config, OpenOptions::unclean(NOW)).expect("a log")
}

/// Reads the file in large pieces and checks each batch's checksum: the floor.
fn raw(file: &File) -> usize {
    let size = file.metadata().expect("the file").len();
    let mut buffer = vec![0; CHUNK];
    let (mut position, mut batches, mut kept) = (0, 0, 0);
    while position + (kept as u64) < size {
        let read = file.read_at(&mut buffer[kept..], position + kept as u64).expect("bytes of the file");
        let filled = kept + read;
        let mut start = 0;
        while let Ok(Some(head)) = EntryHead::peek(&buffer[start..filled]) {
            let end = start + head.size() as usize;
            if filled < end {
                break;
            }
            BatchView::parse(&buffer[start..end]).and_then(|batch| batch.check_crc()).expect("a valid batch");
            batches += 1;
            start = end;
        }
        position += start as u64;
        buffer.copy_within(start..filled, 0);
        kept = filled - start;
    }
    batches
}

fn recoveries(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, batch_bytes) in [("1KiB", 1 << 10), ("16KiB", 16 << 10), ("64KiB", 64 << 10)] {
        let log = dir.path().join(name);
        fill(&log, batch_bytes);
        let file = File::open(log.join("00000000000000000000.log")).expect("the segment");
        let mut bench = criterion.benchmark_group(format!("recovery/{name}"));
        bench.throughput(Throughput::Bytes(file.metadata().expect("the file").len())).sample_size(20);
        bench.bench_function(BenchmarkId::from_parameter("raw"), |b| {
            b.iter_custom(|rounds| {
                let start = cpu_time();
                for _ in 0..rounds {
                    black_box(raw(&file));
                }
                cpu_time() - start
            });
        });
        bench.bench_function(BenchmarkId::from_parameter("log"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    // The snapshot of the last recovery would spare the next one the producers.
                    remove_snapshots(&log);
                    let start = cpu_time();
                    black_box(open(&log).log_end());
                    spent += cpu_time() - start;
                }
                spent
            });
        });
        bench.finish();
    }
}

fn remove_snapshots(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("the log's directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "snapshot") {
            std::fs::remove_file(path).expect("a snapshot");
        }
    }
}

criterion_group!(benches, recoveries);
criterion_main!(benches);
