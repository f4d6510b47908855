//! A crash at every step of putting cleaned segments in place, and at every step of the start after it.
//!
//! Changes of names that have not been synced may be lost in any order: at each step the directory is rebuilt with all
//! of them, with none, and with random choices of them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use highwater_log::{
    CleanStep, Cleaner, CleanupPolicy, DirEntry, Disk, DiskLock, FileFacts, FileHandle, Log, LogConfig, MemDisk,
    OpenMode, OpenOptions,
};
use highwater_records::{BatchBuilder, BatchOptions, RecordSet};
use highwater_types::TimestampMs;
use support::{DIR, NOW, Random, append, offset, read_all};

/// Names in the log's directory and what the files hold.
type Files = BTreeMap<String, Vec<u8>>;

/// A file whatever it is called.
type Node = usize;

/// A change of names.
#[derive(Clone, Debug)]
enum Change {
    Create(String, Node),
    Rename(String, String),
    Remove(String),
}

/// A disk in memory that takes an image for every state that a crash could leave of the directory.
#[derive(Clone, Debug)]
struct CrashDisk {
    inner: MemDisk,
    state: Arc<Mutex<Recorded>>,
}

#[derive(Debug)]
struct Recorded {
    random: Random,
    nodes: Vec<FileHandle>,
    names: BTreeMap<String, Node>,
    /// The names as of the last sync, and what has been done to them since.
    synced: BTreeMap<String, Node>,
    changes: Vec<Change>,
    images: BTreeSet<Files>,
    is_recording: bool,
}

impl CrashDisk {
    fn new(files: &Files, seed: u64) -> Self {
        let inner = MemDisk::new();
        inner.set_time(NOW);
        inner.create_dir_all(Path::new(DIR)).unwrap();
        let mut recorded = Recorded {
            random: Random(seed),
            nodes: Vec::new(),
            names: BTreeMap::new(),
            synced: BTreeMap::new(),
            changes: Vec::new(),
            images: BTreeSet::new(),
            is_recording: false,
        };
        for (name, bytes) in files {
            let path = Path::new(DIR).join(name);
            inner.write(&path, bytes);
            recorded.names.insert(name.clone(), recorded.nodes.len());
            recorded.nodes.push(inner.open(&path, OpenMode::Read).unwrap());
        }
        Self { inner, state: Arc::new(Mutex::new(recorded)) }
    }

    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    fn record(&self) {
        let mut state = self.state.lock().unwrap();
        state.synced = state.names.clone();
        state.changes.clear();
        state.is_recording = true;
    }

    /// The images taken since `record`.
    fn images(&self) -> BTreeSet<Files> {
        let mut state = self.state.lock().unwrap();
        state.is_recording = false;
        std::mem::take(&mut state.images)
    }

    fn changed(&self, change: Change) {
        let mut state = self.state.lock().unwrap();
        apply(&mut state.names, &change);
        if !state.is_recording {
            return;
        }
        state.changes.push(change);
        let names = state.names.clone();
        state.take_image(&names);
        for _ in 0..12 {
            let chance = 1 + state.random.below(15);
            let mut names = state.synced.clone();
            for change in state.changes.clone() {
                if state.random.below(16) < chance {
                    apply(&mut names, &change);
                }
            }
            state.take_image(&names);
        }
    }
}

impl Recorded {
    fn take_image(&mut self, names: &BTreeMap<String, Node>) {
        let content = |node: Node| {
            let file = &self.nodes[node];
            let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        let image = names.iter().map(|(name, node)| (name.clone(), content(*node))).collect();
        self.images.insert(image);
    }
}

fn apply(names: &mut BTreeMap<String, Node>, change: &Change) {
    match change {
        Change::Create(name, node) => {
            names.insert(name.clone(), *node);
        }
        Change::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Disk for CrashDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<FileHandle> {
        let is_new = self.inner.metadata(path).is_err();
        let file = self.inner.open(path, mode)?;
        if is_new {
            let node = {
                let mut state = self.state.lock().unwrap();
                state.nodes.push(file.clone());
                state.nodes.len() - 1
            };
            self.changed(Change::Create(name(path), node));
        }
        Ok(file)
    }

    fn metadata(&self, path: &Path) -> io::Result<FileFacts> {
        self.inner.metadata(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }

    fn set_modified(&self, path: &Path, modified: TimestampMs) -> io::Result<()> {
        self.inner.set_modified(path, modified)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)?;
        self.changed(Change::Rename(name(from), name(to)));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)?;
        self.changed(Change::Remove(name(path)));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)?;
        let mut state = self.state.lock().unwrap();
        state.synced = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock(path)
    }
}

fn config() -> LogConfig {
    LogConfig {
        cleanup: CleanupPolicy { delete: false, compact: true },
        index_interval_bytes: 0,
        // Every image has these files.
        segment_index_bytes_max: 240,
        ..LogConfig::default()
    }
}

fn put(log: &mut Log, records: &[(&str, &str)]) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for (key, value) in records {
        builder.append(NOW.value(), Some(key.as_bytes()), Some(value.as_bytes()), &[]).unwrap();
    }
    append(log, &builder.finish().unwrap()).unwrap();
}

/// Offset, key and value of every record.
type Record = (i64, Vec<u8>, Vec<u8>);

fn records(log: &Log) -> Vec<Record> {
    records_from(log, log.log_start().value())
}

fn records_from(log: &Log, start: u64) -> Vec<Record> {
    let bytes = read_all(log, offset(start));
    let mut found = Vec::new();
    for entry in RecordSet::new(&bytes) {
        let entry = entry.unwrap();
        entry.check_crc().unwrap();
        let mut records = entry.records(Default::default()).unwrap();
        while let Some(record) = records.next_record().unwrap() {
            found.push((record.offset, record.key.unwrap().to_vec(), record.value.unwrap().to_vec()));
        }
    }
    found
}

fn reopen(disk: &CrashDisk, config: &LogConfig, recovery_point: u64) -> Log {
    let options = OpenOptions {
        recovery_point: offset(recovery_point),
        high_watermark: offset(recovery_point),
        ..OpenOptions::unclean(NOW)
    };
    Log::open(disk.shared(), Path::new(DIR), config.clone().checked().unwrap(), options).unwrap()
}

/// Writes segments of these records, cleans them under `config`, and checks every image that a crash could leave.
///
/// The log then has the old records or the new ones, and with `trailing` old ones behind the new. Returns how many
/// images there were.
fn check(config: &LogConfig, segments: &[&[(&str, &str)]], trailing: bool, seed: u64) -> usize {
    let disk = CrashDisk::new(&Files::new(), seed);
    let mut log = reopen(&disk, &self::config(), 0);
    for records in segments {
        for record in *records {
            put(&mut log, std::slice::from_ref(record));
        }
        log.roll(NOW).unwrap();
    }
    put(&mut log, &[("active", "1")]);
    log.flush().unwrap();
    log.advance_high_watermark(log.log_end());
    let recovery_point = log.log_end().value() - 1;
    let old = records(&log);
    log.set_config(config.clone().checked().unwrap());

    disk.record();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    let step = task.run(&mut Cleaner::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(step, CleanStep::GroupReady);
    assert!(log.complete_clean(&mut task, NOW).unwrap());
    drop(task);
    let new = records(&log);
    assert_ne!(old, new);
    let new_end = new.iter().rev().nth(1).map_or(0, |record| record.0);
    let mut checked = 0;
    let images = disk.images();
    for image in &images {
        let disk = CrashDisk::new(image, seed);
        disk.record();
        let log = reopen(&disk, config, recovery_point);
        let second = disk.images();
        let check = |log: &Log, image: &Files| {
            let found = records(log);
            let resurrected =
                trailing && found.iter().filter(|r| !new.contains(r)).all(|r| old.contains(r) && new_end < r.0);
            let is_whole = found == old || found == new || resurrected && new.iter().all(|r| found.contains(r));
            // Segments that should be gone hide behind those that a reader has come through.
            for start in 0..log.log_end().value() {
                let from: Vec<Record> = found.iter().filter(|r| start as i64 <= r.0).cloned().collect();
                let read: Vec<Record> = records_from(log, start).into_iter().filter(|r| start as i64 <= r.0).collect();
                assert_eq!(read, from, "seed {seed}: from {start}, of {:?}", image.keys());
            }
            assert!(is_whole, "seed {seed}: {found:?} is neither {old:?} nor {new:?}, of {:?}", image.keys());
        };
        check(&log, image);
        checked += 1;
        // The start may be interrupted as well.
        for image in second.iter().step_by(3) {
            check(&reopen(&CrashDisk::new(image, seed), config, recovery_point), image);
            checked += 1;
        }
    }
    checked
}

const SOURCES: [&[(&str, &str)]; 3] = [&[("a", "1"), ("b", "1")], &[("a", "2"), ("c", "1")], &[("b", "2"), ("c", "2")]];

#[test]
fn one_segment_made_of_three() {
    for seed in 0..3 {
        assert!(check(&config(), &SOURCES, false, seed) > 50);
    }
}

#[test]
fn several_segments_made_of_three() {
    // The time index has room for one entry, which is due with the second batch: two batches a segment.
    let tight = LogConfig { segment_index_bytes_max: 24, ..config() };
    let wide: [&[(&str, &str)]; 1] =
        [&[("a", "1"), ("a", "2"), ("b", "1"), ("c", "1"), ("d", "1"), ("b", "2"), ("e", "1"), ("f", "1"), ("g", "1")]];
    for seed in 0..2 {
        assert!(check(&tight, &wide, false, seed) > 100);
    }
}

#[test]
fn old_segments_behind_the_last_record_kept_may_come_back_whole() {
    let emptied: [&[(&str, &str)]; 3] =
        [&[("a", "1"), ("b", "1")], &[("a", "2"), ("b", "2")], &[("b", "3"), ("a", "3")]];
    // The key in the last source is superseded within the dirty part only if that goes on.
    let longer: Vec<&[(&str, &str)]> = emptied.into_iter().collect();
    for seed in 0..3 {
        assert!(check(&config(), &longer, true, seed) > 50);
    }
}
