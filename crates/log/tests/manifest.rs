//! Opening a directory by its manifest: what is not looked at, and what makes everything be looked at.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::{Path, PathBuf};

use highwater_log::{
    AppendOrigin, CachedDisk, CheckedLogConfig, CleanupPolicy, CrashLoss, DirOptions, Disk, Log, LogCheckpoint,
    LogConfig, LogDir, LogState, MemDisk, OpenCounts, OpenMode, OpenedDir, ReadBound,
};
use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, ProducerStamp};
use highwater_types::{PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition, Uuid};
use support::*;

const PATH: &str = "/logs";
const MANIFEST: &str = "highwater-manifest";
const SEGMENT: u32 = 2_000;

fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 300, ..small_segments(SEGMENT) }
}

fn partition(index: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("t").unwrap(), PartitionIndex::new(index))
}

fn file(index: u32, name: &str) -> PathBuf {
    Path::new(PATH).join(partition(index).to_string()).join(name)
}

fn topic_id(index: u32) -> Option<TopicId> {
    (index > 0).then_some(TopicId(Uuid::METADATA_TOPIC))
}

/// A directory on a disk in memory whose clock is ours.
struct World {
    disk: MemDisk,
    now: TimestampMs,
    dir: Option<LogDir>,
    logs: Vec<Log>,
}

impl World {
    /// Three logs of 2, 20 and 40 records, the last ones in several segments.
    fn filled() -> Self {
        let mut world = Self { disk: MemDisk::new(), now: NOW, dir: None, logs: Vec::new() };
        world.disk.set_time_step(1);
        world.tick();
        world.open();
        for index in 0..3 {
            let config = config().checked().unwrap();
            let log = world.dir().create_log(&partition(index), topic_id(index), config, NOW).unwrap();
            world.logs.push(log);
        }
        for (index, batches) in [(0, 1), (1, 10), (2, 20)] {
            world.append(index, batches);
        }
        assert_eq!(world.logs[2].segment_count(), 2);
        world
    }

    fn dir(&self) -> &LogDir {
        self.dir.as_ref().unwrap()
    }

    fn append(&mut self, index: usize, batches: usize) {
        for _ in 0..batches {
            append(&mut self.logs[index], &batch(2, 40)).unwrap();
            let log = &mut self.logs[index];
            log.advance_high_watermark(log.log_end());
        }
    }

    /// Lets time pass on the disk.
    fn tick(&mut self) {
        self.now = self.now.plus_ms(1_000);
        self.disk.set_time(self.now);
    }

    fn checkpoints(&self) -> Vec<LogCheckpoint> {
        self.logs.iter().map(Log::checkpoint).collect()
    }

    fn write_checkpoints(&mut self) {
        self.tick();
        self.dir().write_checkpoints(&self.checkpoints()).unwrap();
        self.tick();
    }

    /// What housekeeping does for idle logs.
    fn anchor(&mut self) {
        let sync = self.dir().sync();
        for log in &mut self.logs {
            let tasks: Vec<_> = log.anchor_task().unwrap().into_iter().collect();
            for done in sync.run(tasks).unwrap() {
                log.complete_flush(done);
            }
        }
        self.write_checkpoints();
        self.write_checkpoints();
    }

    fn close(&mut self) {
        self.tick();
        self.dir.take().unwrap().close_clean(std::mem::take(&mut self.logs), None, NOW).unwrap();
        self.tick();
    }

    /// Ends the process.
    fn kill(&mut self) {
        self.dir = None;
        self.logs.clear();
        self.disk.crash(CrashLoss::Nothing);
        self.tick();
    }

    fn open(&mut self) -> OpenCounts {
        let opened = open(&self.disk.shared()).unwrap();
        let counts = opened.dir.open_counts();
        for found in &opened.logs {
            assert_eq!(found.topic_id, topic_id(found.topic_partition.partition.value()));
        }
        self.logs = opened.logs.into_iter().map(|found| found.log).collect();
        self.dir = Some(opened.dir);
        counts
    }

    /// Opens a copy without a manifest, which therefore goes by the files alone.
    fn by_the_files(&self) -> Vec<LogState> {
        let copy = copy(&self.disk);
        copy.remove_file(&Path::new(PATH).join(MANIFEST)).ok();
        let opened = open(&copy.shared()).unwrap();
        assert_eq!(opened.dir.open_counts().loaded, opened.logs.len() as u64);
        opened.logs.iter().map(|found| essence(&found.log)).collect()
    }

    /// Opens and checks that everything is as the files say. Returns how the logs were opened.
    fn open_and_compare(&mut self) -> (u64, u64, u64) {
        let expected = self.by_the_files();
        let OpenCounts { remembered, resumed, loaded } = self.open();
        let found: Vec<LogState> = self.logs.iter().map(essence).collect();
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected);
        }
        // Of a log that was closed in order, loading does not check what somebody did to its indexes.
        for log in self.logs.iter().filter(|_| loaded == 0) {
            check_indexes(log);
        }
        (remembered, resumed, loaded)
    }
}

fn open(disk: &std::sync::Arc<dyn Disk>) -> Result<OpenedDir, highwater_log::LogError> {
    let options = DirOptions { recovery_threads: 1, now: NOW };
    let config: CheckedLogConfig = config().checked().unwrap();
    LogDir::open(disk.clone(), Path::new(PATH), options, &|_| config.clone())
}

fn copy(disk: &MemDisk) -> MemDisk {
    fn copy_dir(from: &MemDisk, to: &MemDisk, path: &Path) {
        to.create_dir_all(path).unwrap();
        for entry in from.list(path).unwrap() {
            let path = path.join(entry.name);
            if entry.is_dir {
                copy_dir(from, to, &path);
            } else {
                to.write(&path, &from.read(&path).unwrap());
            }
        }
    }
    let to = MemDisk::new();
    copy_dir(disk, &to, Path::new(PATH));
    to
}

/// All that does not depend on when index entries were due.
fn essence(log: &Log) -> LogState {
    let mut state = log.describe().unwrap();
    for segment in &mut state.segments {
        segment.offset_index.clear();
        segment.time_index.clear();
        (segment.offset_index_file_size, segment.time_index_file_size) = (0, 0);
    }
    state
}

/// Every index entry stands for a batch that is there.
fn check_indexes(log: &Log) {
    for segment in log.describe().unwrap().segments {
        assert!(segment.offset_index.is_sorted_by(|a, b| a < b));
        for (offset, position) in segment.offset_index {
            let batch = segment.batches.iter().find(|batch| batch.position == u64::from(position)).unwrap();
            assert_eq!(batch.last_offset, offset);
        }
        for (timestamp, offset) in segment.time_index {
            let batch = segment.batches.iter().find(|batch| batch.last_offset == offset).unwrap();
            assert_eq!(batch.max_timestamp, timestamp);
        }
    }
}

#[test]
fn after_closing_in_order_nothing_is_opened_and_everything_is_known() {
    let mut world = World::filled();
    world.close();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    world.close();
    let cached = CachedDisk::new(world.disk.shared(), 1_000);
    let opened = open(&cached.shared()).unwrap();
    assert_eq!(opened.dir.open_counts(), OpenCounts { remembered: 3, resumed: 0, loaded: 0 });
    // meta.properties, the marker, four checkpoints, the manifest, and a file to ask the time.
    assert!(cached.stats().opened <= 8, "{:?}", cached.stats());
    assert_eq!(cached.stats().open, 0);
    drop(opened);
    world.tick();
    // Nothing was written, so even without the marker all is known.
    assert_eq!(world.open_and_compare(), (3, 0, 0));
}

#[test]
fn remembered_logs_can_be_used_and_closed_again() {
    let mut world = World::filled();
    world.close();
    assert_eq!(world.open(), OpenCounts { remembered: 3, resumed: 0, loaded: 0 });
    for index in 0..3 {
        world.append(index, 4);
        world.logs[index].flush_indexes().unwrap();
        let active = world.logs[index].describe().unwrap().segments.pop().unwrap();
        assert_eq!(active.offset_index_file_size, 1_200, "as of any active segment");
        world.append(index, 10);
        world.logs[index].flush_indexes().unwrap();
        check_indexes(&world.logs[index]);
    }
    assert!(world.logs.iter().all(|log| log.segment_count() > 1));
    world.close();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    for index in 0..3 {
        world.append(index, 3);
    }
    world.anchor();
    world.close();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
}

#[test]
fn after_a_kill_anchored_logs_are_not_looked_at() {
    let mut world = World::filled();
    world.anchor();
    world.kill();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    // What is known is kept by the next process, which has done nothing.
    world.write_checkpoints();
    world.kill();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
}

#[test]
fn after_a_power_loss_anchored_logs_are_whole() {
    let mut world = World::filled();
    world.anchor();
    world.append(1, 2);
    world.dir = None;
    world.logs.clear();
    world.disk.crash(CrashLoss::Tail { per_256: 128 });
    world.tick();
    assert_eq!(world.open_and_compare(), (2, 1, 0));
    assert_eq!(world.logs[1].log_end(), offset(22));
}

#[test]
fn logs_that_are_not_anchored_are_recovered() {
    let mut world = World::filled();
    world.write_checkpoints();
    world.write_checkpoints();
    world.kill();
    assert_eq!(world.open_and_compare(), (0, 0, 3));
}

#[test]
fn a_log_that_has_grown_is_read_from_its_anchored_end() {
    let mut world = World::filled();
    world.anchor();
    world.append(0, 3);
    world.append(1, 2);
    world.append(2, 1);
    world.kill();
    // Even the index entries fall where they would if everything were read.
    let rebuilt = copy(&world.disk);
    rebuilt.remove_file(&Path::new(PATH).join(MANIFEST)).unwrap();
    let rebuilt = open(&rebuilt.shared()).unwrap();
    assert_eq!(world.open_and_compare(), (0, 3, 0));
    assert_eq!(world.logs[0].log_end(), offset(8));
    for (log, rebuilt) in world.logs.iter().zip(&rebuilt.logs) {
        assert_eq!(log.describe().unwrap(), rebuilt.log.describe().unwrap());
    }

    // The checked bytes of the prefix may be damaged without anybody noticing: they are not read.
    let mut world = World::filled();
    world.anchor();
    world.append(1, 2);
    world.kill();
    let path = file(1, "00000000000000000000.log");
    let mut bytes = world.disk.read(&path).unwrap();
    bytes[100] ^= 1;
    let handle = world.disk.open(&path, OpenMode::ReadWrite).unwrap();
    handle.write_all_at(&bytes[100..101], 100).unwrap();
    assert_eq!(world.open(), OpenCounts { remembered: 2, resumed: 1, loaded: 0 });
    assert_eq!(world.logs[1].log_end(), offset(24));
}

#[test]
fn a_torn_tail_behind_the_anchored_end_is_cut() {
    for kept in 1..100 {
        let mut world = World::filled();
        world.anchor();
        let anchored = world.logs[1].size_bytes();
        world.append(1, 1);
        let whole = world.logs[1].size_bytes() - anchored;
        world.kill();
        let path = file(1, "00000000000000000000.log");
        world.disk.open(&path, OpenMode::ReadWrite).unwrap().set_len(anchored + kept % whole).unwrap();
        // Nothing valid follows, so that all of it is checked.
        let expected = if kept % whole == 0 { (2, 1, 0) } else { (2, 0, 1) };
        assert_eq!(world.open_and_compare(), expected, "{kept} bytes kept");
        assert_eq!(world.logs[1].log_end(), offset(20));
    }
}

#[test]
fn a_log_that_was_cut_and_grew_again_is_read_from_the_start() {
    let mut world = World::filled();
    // The first time, cutting leaves a producer snapshot, which alone would show in the directory.
    for end in [22, 24] {
        world.anchor();
        world.logs[1].truncate_to(offset(10), NOW).unwrap();
        // Records of the same size, beyond where the log had been anchored.
        while world.logs[1].log_end() < offset(end) {
            world.append(1, 1);
        }
    }
    world.kill();
    assert_eq!(world.open_and_compare(), (2, 0, 1));
}

#[test]
fn a_change_in_the_instant_of_the_manifest_is_not_trusted() {
    let mut world = World::filled();
    world.disk.set_time_step(0);
    // Time stands still: what happens after the manifest would look like what happened before.
    for index in 0..3 {
        world.append(index, 1);
    }
    let sync = world.dir().sync();
    for log in &mut world.logs {
        let task = log.anchor_task().unwrap().unwrap();
        for done in sync.run(vec![task]).unwrap() {
            log.complete_flush(done);
        }
    }
    for _ in 0..3 {
        world.dir().write_checkpoints(&world.checkpoints()).unwrap();
    }
    world.kill();
    assert_eq!(world.open_and_compare(), (0, 0, 3));
}

/// What somebody else does to the directory of a partition or of the logs.
type Meddling = fn(&World);

#[test]
fn whatever_somebody_else_changed_is_looked_at() {
    let meddlings: [(&str, Meddling, u64); 12] = [
        ("a batch was appended", |world| grow(world, &batch(2, 40)), 1),
        ("zeros were appended", |world| grow(world, &[0; 500]), 1),
        ("the file was cut", |world| set_len(world, "00000000000000000000.log", 300), 1),
        ("a byte was overwritten", |world| overwrite(world, "00000000000000000000.log"), 1),
        ("the offset index was written", |world| overwrite(world, "00000000000000000000.index"), 1),
        ("the offset index was cut", |world| set_len(world, "00000000000000000000.index", 8), 1),
        ("the time index was written", |world| overwrite(world, "00000000000000000000.timeindex"), 1),
        ("a segment was added", |world| world.disk.write(&file(1, "00000000000000000020.log"), &[]), 1),
        ("the manifest was damaged", |world| edit_manifest(world, |bytes| bytes[50] ^= 1), 3),
        ("the manifest is of a later version", |world| edit_manifest(world, |bytes| bytes[11] = 9), 3),
        ("the manifest was removed", |world| world.disk.remove_file(&Path::new(PATH).join(MANIFEST)).unwrap(), 3),
        ("the checkpoints were written", |world| touch(world, "recovery-point-offset-checkpoint"), 3),
    ];
    for (what, meddle, loaded) in meddlings {
        for is_clean in [true, false] {
            let mut world = World::filled();
            if is_clean {
                world.close();
            } else {
                world.anchor();
                world.kill();
            }
            world.tick();
            meddle(&world);
            let (remembered, resumed, found) = world.open_and_compare();
            assert_eq!((remembered, found + resumed), (3 - loaded, loaded), "{what}, clean: {is_clean}");
            assert!(resumed == 0 || (!is_clean && what.contains("batch")), "{what}, clean: {is_clean}");
        }
    }
}

fn grow(world: &World, bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    bytes[..8].copy_from_slice(&20u64.to_be_bytes());
    let path = file(1, "00000000000000000000.log");
    let end = world.disk.metadata(&path).unwrap().size;
    world.disk.open(&path, OpenMode::ReadWrite).unwrap().write_all_at(&bytes, end).unwrap();
}

fn set_len(world: &World, name: &str, length: u64) {
    world.disk.open(&file(1, name), OpenMode::ReadWrite).unwrap().set_len(length).unwrap();
}

/// Writes what is there already: only the time tells.
fn overwrite(world: &World, name: &str) {
    let path = file(1, name);
    let bytes = world.disk.read(&path).unwrap();
    world.disk.open(&path, OpenMode::ReadWrite).unwrap().write_all_at(&bytes[..4], 0).unwrap();
}

fn touch(world: &World, name: &str) {
    let path = Path::new(PATH).join(name);
    world.disk.write(&path, &world.disk.read(&path).unwrap());
}

fn edit_manifest(world: &World, edit: impl FnOnce(&mut Vec<u8>)) {
    let path = Path::new(PATH).join(MANIFEST);
    let mut bytes = world.disk.read(&path).unwrap();
    edit(&mut bytes);
    world.disk.write(&path, &bytes);
}

#[test]
fn partitions_come_and_go_beside_the_manifest() {
    let mut world = World::filled();
    world.close();
    world.disk.remove_dir_all(&Path::new(PATH).join("t-0")).unwrap();
    let log = Log::open(
        world.disk.shared(),
        &Path::new(PATH).join("t-7"),
        config().checked().unwrap(),
        highwater_log::OpenOptions::unclean(NOW),
    );
    let log = log.unwrap();
    drop(log);
    world.disk.write(&Path::new(PATH).join("t-7/partition.metadata"), &{
        world.disk.read(&file(1, "partition.metadata")).unwrap()
    });
    assert_eq!(world.open_and_compare(), (2, 0, 1));
    // Deleted and created again: another log of the same name.
    let log = world.logs.remove(0);
    let mut dir = world.dir.take().unwrap();
    dir.delete_log(log, Uuid::METADATA_TOPIC, NOW).unwrap();
    let log = dir.create_log(&partition(1), topic_id(1), config().checked().unwrap(), NOW).unwrap();
    world.logs.insert(0, log);
    world.dir = Some(dir);
    world.kill();
    let (_, _, loaded) = world.open_and_compare();
    assert!(loaded >= 1);
    assert_eq!(world.logs[0].log_end(), offset(0));
}

#[test]
fn producers_and_epochs_are_remembered() {
    let mut world = World::filled();
    append_in(&mut world.logs[0], &produced(9, 0, 0, 2), 4).unwrap();
    append_in(&mut world.logs[1], &produced(9, 0, 0, 2), 5).unwrap();
    append_in(&mut world.logs[1], &produced(10, 3, 0, 2), 6).unwrap();
    world.anchor();
    append_in(&mut world.logs[1], &produced(9, 0, 2, 2), 6).unwrap();
    world.kill();
    assert_eq!(world.open_and_compare(), (2, 1, 0));
    assert_eq!(world.logs[0].producers().count(), 1);
    assert_eq!(world.logs[1].producers().count(), 2);
    assert_eq!(world.logs[1].epochs().entries().len(), 3);
    world.close();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    append_in(&mut world.logs[1], &produced(9, 0, 4, 1), 6).unwrap();
}

#[test]
fn anchoring_again_and_again_leaves_one_snapshot() {
    let mut world = World::filled();
    for round in 0..5 {
        append(&mut world.logs[0], &produced(9, 0, round, 1)).unwrap();
        world.anchor();
    }
    let names = world.disk.list(&Path::new(PATH).join("t-0")).unwrap();
    assert_eq!(names.iter().filter(|entry| entry.name.ends_with(".snapshot")).count(), 1);
}

#[test]
fn idle_directories_are_not_written() {
    let mut world = World::filled();
    world.anchor();
    world.write_checkpoints();
    let modified = |name: &str| world.disk.metadata(&Path::new(PATH).join(name)).unwrap().modified;
    let names = [MANIFEST, "recovery-point-offset-checkpoint", "replication-offset-checkpoint"];
    let before = names.map(modified);
    world.disk.set_time(world.now.plus_ms(9_000));
    world.dir().write_checkpoints(&world.checkpoints()).unwrap();
    assert_eq!(names.map(modified), before);
}

/// Random histories: however the logs are opened, they are what the files say.
#[test]
fn opening_by_the_manifest_is_opening_by_the_files() {
    let mut seen = [0; 3];
    for seed in 0..150u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut world = World::filled();
        for _ in 0..60 {
            if draw(3) > 0 {
                world.tick();
            }
            let index = usize::try_from(draw(3)).unwrap();
            let log = &mut world.logs[index];
            let end = log.log_end().value();
            match draw(12) {
                0..=3 => {
                    append_in(log, &batch(1 + usize::try_from(draw(3)).unwrap(), 40), 1).unwrap();
                    log.advance_high_watermark(log.log_end());
                }
                // Not down to the log start: recovery finds the epochs of what lies below, which a log forgets.
                4 => {
                    let to = end.saturating_sub(draw(6)).max(log.log_start().value() + 1);
                    log.truncate_to(offset(to), NOW).unwrap();
                    // Or the recovery point on disk would claim what is appended now to be synced.
                    world.write_checkpoints();
                }
                5 => log.roll(NOW).unwrap(),
                6 => {
                    // Checkpointed at once: the epochs are cut with it, and recovery finds those of records that return.
                    log.delete_records(log.log_start().max(offset(end / 3)).min(log.high_watermark())).unwrap();
                    world.write_checkpoints();
                }
                7 => drop(log.apply_retention(NOW.plus_ms(i64::try_from(draw(2)).unwrap())).unwrap()),
                8 => world.anchor(),
                9 => world.write_checkpoints(),
                10 => {
                    if draw(2) == 0 {
                        world.close();
                    } else {
                        let loss = match draw(2) {
                            0 => CrashLoss::Nothing,
                            _ => CrashLoss::Tail { per_256: u8::try_from(draw(256)).unwrap() },
                        };
                        (world.dir, world.logs) = (None, Vec::new());
                        world.disk.crash(loss);
                    }
                    let (remembered, resumed, loaded) = world.open_and_compare();
                    seen = [seen[0] + remembered, seen[1] + resumed, seen[2] + loaded];
                }
                _ => log.flush().unwrap(),
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 20), "the histories leave something out: {seen:?}");
}

/// So many logs that closing syncs their file system instead of each file.
fn many_logs(disk: &MemDisk) -> (LogDir, Vec<Log>) {
    let opened = open(&disk.shared()).unwrap();
    let create = |index| {
        let mut log = opened.dir.create_log(&partition(index), None, config().checked().unwrap(), NOW).unwrap();
        append(&mut log, &batch(2, 40)).unwrap();
        log
    };
    let logs = (0..40).map(create).collect();
    (opened.dir, logs)
}

#[test]
fn many_logs_closed_in_order_survive_a_power_loss() {
    let disk = MemDisk::new();
    disk.set_time_step(1);
    let (dir, logs) = many_logs(&disk);
    dir.close_clean(logs, None, NOW).unwrap();
    disk.crash(CrashLoss::Tail { per_256: 0 });
    let opened = open(&disk.shared()).unwrap();
    assert!(opened.dir.was_clean());
    assert_eq!(opened.dir.open_counts().remembered, 40);
    for found in &opened.logs {
        assert_eq!(found.log.log_end(), offset(2));
        assert_eq!(found.log.read(offset(0), 1_000, true, ReadBound::LogEnd).unwrap().length, 161);
    }
}

#[test]
fn a_sync_of_the_file_system_that_fails_leaves_no_marker_and_anchors_nothing() {
    let disk = MemDisk::new();
    let (dir, mut logs) = many_logs(&disk);
    let tasks: Vec<_> = logs.iter_mut().filter_map(|log| log.anchor_task().unwrap()).collect();
    disk.fail_after(highwater_log::DiskCall::Sync, 0);
    dir.sync().run(tasks).unwrap_err();
    assert!(dir.is_offline());
    drop((dir, logs));

    let disk = MemDisk::new();
    let (dir, logs) = many_logs(&disk);
    disk.fail_after(highwater_log::DiskCall::Sync, 0);
    dir.close_clean(logs, None, NOW).unwrap_err();
    disk.heal();
    assert!(disk.read(&Path::new(PATH).join(".kafka_cleanshutdown")).is_none());
    assert!(disk.read(&Path::new(PATH).join(MANIFEST)).is_none());
}

#[test]
fn anchoring_many_logs_makes_them_durable() {
    let disk = MemDisk::new();
    disk.set_time_step(1);
    let (dir, mut logs) = many_logs(&disk);
    let tasks: Vec<_> = logs.iter_mut().filter_map(|log| log.anchor_task().unwrap()).collect();
    for (log, done) in logs.iter_mut().zip(dir.sync().run(tasks).unwrap()) {
        log.complete_flush(done);
    }
    for _ in 0..2 {
        dir.write_checkpoints(&logs.iter().map(Log::checkpoint).collect::<Vec<_>>()).unwrap();
    }
    drop((dir, logs));
    disk.crash(CrashLoss::Tail { per_256: 0 });
    let opened = open(&disk.shared()).unwrap();
    assert_eq!(opened.dir.open_counts().remembered, 40);
    assert!(opened.logs.iter().all(|found| found.log.recovery_point() == offset(2)));
}

/// Appends a transaction of one record and aborts it.
fn abort_one(log: &mut Log, producer_id: i64, base_sequence: i32) {
    let producer = ProducerStamp { producer_id, producer_epoch: 0, base_sequence };
    let options = BatchOptions { producer, transactional: true, ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    builder.append(NOW.value(), None, Some(b"gone"), &[]).unwrap();
    append(log, &builder.finish().unwrap()).unwrap();
    let marker = EndTxnMarker { committed: false, coordinator_epoch: 0 }.to_batch(producer_id, 0, NOW.value());
    append_from(log, &marker, 0, AppendOrigin::Coordinator).unwrap();
    log.advance_high_watermark(log.log_end());
}

/// Aborted transactions, as offsets of the first record and of the marker.
fn aborted(log: &Log) -> Vec<(u64, u64)> {
    let slice = log.read(offset(0), 10_000, true, ReadBound::LogEnd).unwrap();
    let aborted = log.aborted_transactions(offset(0), &slice).unwrap();
    aborted.iter().map(|txn| (txn.first.value(), txn.last.value())).collect()
}

#[test]
fn aborted_transactions_are_remembered_and_what_a_crash_leaves_of_later_ones_is_not() {
    let mut world = World::filled();
    abort_one(&mut world.logs[0], 5, 0);
    world.anchor();
    world.kill();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    assert_eq!(aborted(&world.logs[0]), [(2, 3)]);

    abort_one(&mut world.logs[0], 5, 1);
    world.kill();
    assert_eq!(world.open_and_compare(), (2, 1, 0));
    assert_eq!(aborted(&world.logs[0]), [(2, 3), (4, 5)]);
    world.anchor();

    // The log loses the marker in a power loss, and the transaction index does not lose its entry: the file's time is
    // put back, as a power loss may do.
    let log_path = file(0, "00000000000000000000.log");
    let before = world.disk.metadata(&log_path).unwrap();
    abort_one(&mut world.logs[0], 5, 2);
    let grown = world.disk.read(&file(0, "00000000000000000000.txnindex")).unwrap();
    world.kill();
    world.disk.open(&log_path, OpenMode::ReadWrite).unwrap().set_len(before.size).unwrap();
    world.disk.set_modified(&log_path, before.modified).unwrap();
    assert_eq!(world.disk.read(&file(0, "00000000000000000000.txnindex")).unwrap(), grown);
    let OpenCounts { remembered, .. } = world.open();
    assert_eq!((remembered, aborted(&world.logs[0])), (3, vec![(2, 3), (4, 5)]));
    assert_eq!(world.logs[0].describe().unwrap().segments[0].aborted.len(), 2);
    world.close();
    assert_eq!(world.open_and_compare(), (3, 0, 0));

    // Another entry fewer is not what is remembered.
    world.kill();
    let txn_index = file(0, "00000000000000000000.txnindex");
    world.disk.open(&txn_index, OpenMode::ReadWrite).unwrap().set_len(34).unwrap();
    assert_eq!(world.open_and_compare(), (2, 0, 1));
    assert_eq!(aborted(&world.logs[0]), [(2, 3), (4, 5)]);
}

#[test]
fn logs_with_files_to_unlink_are_looked_at() {
    let mut world = World::filled();
    world.logs[2].delete_records(offset(30)).unwrap();
    assert_eq!(world.logs[2].apply_retention(NOW).unwrap(), 1);
    world.close();
    assert_eq!(world.open_and_compare(), (2, 0, 1));
    let names = world.disk.list(&Path::new(PATH).join("t-2")).unwrap();
    assert!(names.iter().all(|entry| !entry.name.ends_with(".deleted")), "{names:?}");
}

#[test]
fn compacted_logs_are_remembered_with_the_segments_they_have_then() {
    let mut world = World::filled();
    let compacted = LogConfig { cleanup: CleanupPolicy { delete: false, compact: true }, ..config() };
    let log = &mut world.logs[2];
    log.set_config(compacted.checked().unwrap());
    let before = log.size_bytes();
    clean::clean_all(log, NOW);
    assert!(log.size_bytes() < before);
    let checkpoint = log.clean_checkpoint();
    assert!(checkpoint.is_some());
    world.anchor();
    world.kill();
    // The old files are still there, to be removed at the next start.
    assert_eq!(world.open_and_compare(), (2, 0, 1));
    world.anchor();
    world.kill();
    assert_eq!(world.open_and_compare(), (3, 0, 0));
    assert_eq!(world.logs[2].clean_checkpoint(), checkpoint);
}

#[test]
fn a_batch_out_of_the_indexs_reach_behind_the_anchored_end_splits_the_segment() {
    let mut world = World::filled();
    world.anchor();
    world.kill();
    let far = 1 << 31;
    let mut bytes = batch(2, 40);
    bytes[..8].copy_from_slice(&20u64.to_be_bytes());
    grow(&world, &bytes);
    let mut bytes = batch(2, 40);
    bytes[..8].copy_from_slice(&u64::to_be_bytes(far));
    let path = file(1, "00000000000000000000.log");
    let end = world.disk.metadata(&path).unwrap().size;
    world.disk.open(&path, OpenMode::ReadWrite).unwrap().write_all_at(&bytes, end).unwrap();
    world.tick();
    assert_eq!(world.open_and_compare(), (2, 0, 1));
    assert_eq!(world.logs[1].log_end(), offset(far + 2));
    let bases: Vec<_> = world.logs[1].describe().unwrap().segments.iter().map(|segment| segment.base).collect();
    assert_eq!(bases, [offset(0), offset(far)]);
}

#[test]
fn the_transaction_index_of_an_anchored_log_survives_a_power_loss() {
    let mut world = World::filled();
    abort_one(&mut world.logs[0], 5, 0);
    world.anchor();
    (world.dir, world.logs) = (None, Vec::new());
    world.disk.crash(CrashLoss::Tail { per_256: 0 });
    world.tick();
    assert_eq!(world.open(), OpenCounts { remembered: 3, resumed: 0, loaded: 0 });
    assert_eq!(aborted(&world.logs[0]), [(2, 3)]);
}
