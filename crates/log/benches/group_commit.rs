//! Appends that wait until they are durable: threads that share a log share its syncs. Beside a bare loop of write and
//! `fdatasync` for each append, in the same run.
//!
//! `cargo bench -p highwater-log --bench group_commit`. Times are wall clock times: waiting for the disk is what this is
//! about. Throughput is in appends of 1 KiB; after each case stands how many syncs an append took.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use highwater_log::{
    AppendOrigin, AppendSet, DirEntry, Disk, DiskFile, DiskLock, FileFacts, FileHandle, LogConfig, OpenMode,
    OpenOptions, RealDisk, SharedLog,
};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::{LeaderEpoch, TimestampMs};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// The real disk, with its file syncs counted.
#[derive(Clone, Debug, Default)]
struct CountingDisk(Arc<AtomicU64>);

#[derive(Debug)]
struct CountingFile {
    file: FileHandle,
    syncs: Arc<AtomicU64>,
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let file = RealDisk.open(path, mode)?;
        Ok(FileHandle::new(CountingFile { file, syncs: Arc::clone(&self.0) }))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        RealDisk.metadata(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        RealDisk.set_modified(path, modified)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        RealDisk.lock(path)
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_vectored_at(&self, slices: &[io::IoSlice<'_>], position: u64) -> io::Result<usize> {
        let mut written = 0;
        for slice in slices {
            self.file.write_all_at(slice, position + written as u64)?;
            written += slice.len();
        }
        Ok(written)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn reserve(&self, position: u64, length: u64) -> io::Result<()> {
        self.file.reserve(position, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW.value(), None, Some(&[b'x'; 934]), &[]).expect("a small batch");
    builder.finish().expect("a batch with a record")
}

/// Write and `fdatasync`, one after the other.
fn raw(dir: &Path, rounds: u64) -> Duration {
    let file = File::create(dir.join("raw")).expect("a file");
    let batch = batch();
    let start = Instant::now();
    for round in 0..rounds {
        file.write_all_at(&batch, round * batch.len() as u64).expect("a working disk");
        file.sync_data().expect("a working disk");
    }
    start.elapsed()
}

/// `appenders` threads on each of `logs`, which together make `rounds` durable appends.
fn durable(logs: &[SharedLog], appenders: u64, rounds: u64) -> Duration {
    let threads = appenders * logs.len() as u64;
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            let log = &logs[(thread % logs.len() as u64) as usize];
            let share = rounds / threads + u64::from(thread < rounds % threads);
            scope.spawn(move || (0..share).for_each(|_| append(log)));
        }
    });
    start.elapsed()
}

fn append(log: &SharedLog) {
    let mut batch = batch();
    let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
    log.append_durable(&mut sets, LeaderEpoch::ZERO, NOW).expect("a working disk");
    sets[0].take_result().expect("a valid batch");
}

fn group_commit(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut bench = criterion.benchmark_group("durable append");
    bench.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(3));
    bench.bench_function("raw", |b| b.iter_custom(|rounds| raw(dir.path(), rounds)));
    for (logs, appenders) in [(1, 1), (1, 4), (1, 16), (1, 64), (8, 1), (8, 8)] {
        let disk = CountingDisk::default();
        let open = |index: u64| {
            let path = dir.path().join(format!("{logs}-{appenders}-{index}"));
            let config = LogConfig::default().checked().expect("a valid config");
            SharedLog::open(Arc::new(disk.clone()), &path, config, OpenOptions::unclean(NOW)).expect("a new log")
        };
        let opened: Vec<SharedLog> = (0..logs).map(open).collect();
        disk.0.store(0, Ordering::Relaxed);
        let name = format!("{logs} log(s), {appenders} appender(s) each");
        bench.bench_function(BenchmarkId::from_parameter(&name), |b| {
            b.iter_custom(|rounds| durable(&opened, appenders, rounds));
        });
        let appends: u64 = opened.iter().map(|log| log.log_end().value()).sum();
        let syncs = disk.0.load(Ordering::Relaxed);
        #[expect(clippy::print_stdout, reason = "criterion prints times only")]
        if appends > 0 {
            println!("{name}: {:.3} syncs an append", syncs as f64 / appends as f64);
        }
    }
    bench.finish();
}

criterion_group!(benches, group_commit);
criterion_main!(benches);
