//! Compaction: bytes read per second and CPU per GB for each codec, beside copying the same bytes; and what an append
//! beside it has to wait.
//!
//! `cargo bench -p highwater-log --bench clean`. Times of passes are CPU times of the thread, those of appends are wall
//! clock times.

use std::fs::File;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{
    AppendOrigin, AppendSet, CleanStep, Cleaner, CleanupPolicy, Log, LogConfig, OpenOptions, RealDisk,
};
use highwater_records::{BatchBuilder, BatchOptions, Codec};
use highwater_types::{LeaderEpoch, TimestampMs};
use nix::libc;
use parking_lot::Mutex;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
/// Uncompressed bytes of values in a log, in segments of a quarter.
const VALUE_BYTES: usize = 64 << 20;
const RECORD_BYTES: usize = 200;
const BATCH_RECORDS: usize = 80;
/// Every key comes about twenty times.
const KEYS: u64 = (VALUE_BYTES / RECORD_BYTES / 20) as u64;

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec, which the call fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    assert!(failed == 0, "every Linux has the thread clock");
    Duration::new(now.tv_sec.cast_unsigned(), u32::try_from(now.tv_nsec).expect("below a second"))
}

/// The batches of a log whose keys repeat, the same for each seed.
fn batches(codec: Codec) -> Vec<Vec<u8>> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    (0..VALUE_BYTES / RECORD_BYTES / BATCH_RECORDS)
        .map(|_| {
            let mut builder = BatchBuilder::new(BatchOptions { compression: codec.into(), ..BatchOptions::default() });
            for _ in 0..BATCH_RECORDS {
                let key = format!("user-{:08}", random() % KEYS);
                let mut value = format!("{{\"id\":{},\"name\":\"{:x}\",\"tags\":[", random() % 1_000, random());
                while value.len() < RECORD_BYTES {
                    value.push_str("\"tag\",");
                }
                builder.append(NOW.value(), Some(key.as_bytes()), Some(value.as_bytes()), &[]).expect("it fits");
            }
            builder.finish().expect("a batch with records")
        })
        .collect()
}

fn filled(dir: &Path, batches: &[Vec<u8>]) -> Log {
    let _ = std::fs::remove_dir_all(dir);
    let bytes: usize = batches.iter().map(Vec::len).sum();
    let config = LogConfig {
        segment_bytes_max: u32::try_from(bytes / 4).expect("a small log"),
        cleanup: CleanupPolicy { delete: false, compact: true },
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let config = config.checked().expect("a valid config");
    let mut log = Log::open(RealDisk::shared(), dir, config, OpenOptions::unclean(NOW)).expect("a new log");
    for batch in batches {
        append(&mut log, &mut batch.clone());
    }
    log.roll(NOW).expect("a working disk");
    log.advance_high_watermark(log.log_end());
    log
}

fn append(log: &mut Log, batch: &mut [u8]) {
    let mut batch = batch.to_vec();
    let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
    log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).expect("a working disk");
    sets[0].take_result().expect("a valid batch");
}

/// Reads a file and writes it elsewhere, in pieces of 512 KiB: what a pass that keeps everything has to do.
fn copy(from: &Path, to: &Path) {
    let (mut from, mut to) = (File::open(from).expect("the file"), File::create(to).expect("a file"));
    let mut buffer = vec![0; 512 << 10];
    loop {
        let read = from.read(&mut buffer).expect("bytes of the file");
        if read == 0 {
            return;
        }
        to.write_all(&buffer[..read]).expect("a working disk");
    }
}

fn passes(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for codec in Codec::ALL {
        let batches = batches(codec);
        let bytes: usize = batches.iter().map(Vec::len).sum();
        let mut bench = criterion.benchmark_group(format!("clean/{codec}"));
        bench.throughput(Throughput::Bytes(bytes as u64)).sample_size(10);
        let raw = dir.path().join("raw");
        std::fs::write(&raw, batches.concat()).expect("a file");
        bench.bench_function(BenchmarkId::from_parameter("copy"), |b| {
            b.iter_custom(|rounds| {
                let start = cpu_time();
                (0..rounds).for_each(|_| copy(&raw, &dir.path().join("copy")));
                cpu_time() - start
            });
        });
        let mut cleaner = Cleaner::default();
        bench.bench_function(BenchmarkId::from_parameter("log"), |b| {
            b.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let mut log = filled(&dir.path().join("topic-0"), &batches);
                    let start = cpu_time();
                    let cleaned = log.clean(&mut cleaner, NOW).expect("a working disk").expect("a dirty log");
                    spent += cpu_time() - start;
                    assert_eq!(cleaned.first_dirty, Some(log.log_end()), "the pass is complete");
                    assert!(cleaned.stats.records_written <= KEYS, "of each key one record is kept");
                }
                spent
            });
        });
        bench.finish();
    }
}

/// Appends of 1 KiB while a pass is under way, and without.
fn appends_beside(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let batches = batches(Codec::Lz4);
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW.value(), Some(b"key"), Some(&[b'x'; 900]), &[]).expect("it fits");
    let batch = builder.finish().expect("a batch with records");
    let mut bench = criterion.benchmark_group("append 1 KiB beside a pass");
    for is_cleaning in [false, true] {
        let log = Mutex::new(filled(&dir.path().join("topic-0"), &batches));
        let stop = AtomicBool::new(false);
        let name = if is_cleaning { "cleaning" } else { "alone" };
        let mut waits = Vec::new();
        thread::scope(|scope| {
            if is_cleaning {
                scope.spawn(|| clean_until(&log, &stop));
            }
            bench.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter_custom(|rounds| {
                    let begin = Instant::now();
                    for _ in 0..rounds {
                        let start = Instant::now();
                        append(&mut log.lock(), &mut batch.clone());
                        waits.push(start.elapsed());
                    }
                    begin.elapsed()
                });
            });
            stop.store(true, Ordering::Relaxed);
        });
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        #[expect(clippy::print_stdout, reason = "criterion prints means only")]
        {
            println!("append 1 KiB, {name}: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
        }
    }
    bench.finish();
}

/// Passes over the whole log, again and again.
fn clean_until(log: &Mutex<Log>, stop: &AtomicBool) {
    let mut cleaner = Cleaner::default();
    while !stop.load(Ordering::Relaxed) {
        let task = {
            let mut log = log.lock();
            log.roll(NOW).expect("a working disk");
            let end = log.log_end();
            log.advance_high_watermark(end);
            log.set_clean_checkpoint(None);
            let cleanable = log.cleanable(NOW).expect("a working disk");
            log.clean_task(&cleanable, NOW).expect("a working disk")
        };
        let Some(mut task) = task else { continue };
        let mut step = |_| match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        while task.run(&mut cleaner, &mut step).expect("a working disk") == CleanStep::GroupReady {
            log.lock().complete_clean(&mut task, NOW).expect("a working disk");
        }
        let mut log = log.lock();
        log.finish_clean(task);
        if let Some(task) = log.due_deletions(NOW) {
            task.run().expect("a working disk");
        }
    }
}

criterion_group!(benches, passes, appends_beside);
criterion_main!(benches);
