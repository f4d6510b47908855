//! Logs over a bounded number of descriptors.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{
    CachedDisk, CheckedLogConfig, DirOptions, Log, LogDir, MemDisk, OpenOptions, OpenedDir, ReadBound, RealDisk,
};
use highwater_types::{PartitionIndex, TopicName, TopicPartition};
use support::*;

const LIMIT: u64 = 48;

/// With small index files, as those of a disk in memory are not sparse.
fn config() -> CheckedLogConfig {
    small_segments(1 << 20).checked().unwrap()
}

fn open_dir(disk: &CachedDisk, path: &Path) -> OpenedDir {
    let options = DirOptions { recovery_threads: 2, now: NOW };
    LogDir::open(disk.shared(), path, options, &|_| config()).unwrap()
}

/// Descriptors of files in `path` that this process has open.
fn open_below(path: &Path) -> u64 {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    open.filter(|file| file.starts_with(path) && file.is_file()).count() as u64
}

#[test]
fn a_thousand_logs_used_at_random_stay_within_the_limit() {
    let disk = CachedDisk::new(MemDisk::new().shared(), usize::try_from(LIMIT).unwrap());
    use_at_random(&disk, Path::new("/logs"), 1_000, 5_000, &|| disk.stats().open);
    assert!(disk.stats().closed > 5_000, "{:?}", disk.stats());
}

#[test]
fn the_limit_is_that_of_the_operating_systems_descriptors() {
    let temp = tempfile::tempdir().unwrap();
    let disk = CachedDisk::new(RealDisk::shared(), usize::try_from(LIMIT).unwrap());
    let path = temp.path().join("logs");
    // The lock file is open too.
    use_at_random(&disk, &path, 40, 400, &|| open_below(&path).saturating_sub(1));
    assert!(disk.stats().closed > 100, "{:?}", disk.stats());
}

/// Creates logs, appends to and reads from them at random, closes and reopens them; counts what is open meanwhile.
fn use_at_random(disk: &CachedDisk, path: &Path, count: u32, rounds: u32, open: &dyn Fn() -> u64) {
    let OpenedDir { dir, .. } = open_dir(disk, path);
    let name = |i| TopicPartition::new(TopicName::new("t").unwrap(), PartitionIndex::new(i));
    let mut logs: Vec<Log> = (0..count).map(|i| dir.create_log(&name(i), None, config(), NOW).unwrap()).collect();
    let mut appended = vec![0; logs.len()];
    let mut state = 3u64;
    for _ in 0..rounds {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let i = usize::try_from(state >> 40).unwrap() % logs.len();
        append(&mut logs[i], &batch(1, 10)).unwrap();
        appended[i] += 1;
        let slice = logs[i].read(offset(appended[i] - 1), 1_000, true, ReadBound::LogEnd).unwrap();
        assert_eq!(slice.read_to_vec().unwrap().len(), batch(1, 10).len());
        assert!(open() <= LIMIT, "{} open, {:?}", open(), disk.stats());
    }
    dir.close_clean(logs, None, NOW).unwrap();
    assert!(open() <= LIMIT, "{} open, {:?}", open(), disk.stats());

    let OpenedDir { dir, logs } = open_dir(disk, path);
    assert!(dir.was_clean());
    for found in &logs {
        let expected = appended[usize::try_from(found.topic_partition.partition.value()).unwrap()];
        assert_eq!(found.log.log_end(), offset(expected));
    }
    assert!(open() <= LIMIT, "{} open, {:?}", open(), disk.stats());
}

#[test]
fn opening_a_closed_log_opens_no_files_but_those_of_the_active_segment() {
    let disk = MemDisk::new();
    let one = batch(1, 100);
    let config = small_segments(u32::try_from(one.len()).unwrap()).checked().unwrap();
    let path = Path::new("/t-0");
    let mut log = Log::open(disk.shared(), path, config.clone(), OpenOptions::unclean(NOW)).unwrap();
    for _ in 0..20 {
        append(&mut log, &one).unwrap();
    }
    assert_eq!(log.segment_count(), 20);
    log.close(NOW).unwrap();
    let cached = CachedDisk::new(disk.shared(), 100);
    let options = OpenOptions { clean: true, ..OpenOptions::unclean(NOW) };
    let log = Log::open(cached.shared(), path, config, options).unwrap();
    assert_eq!(log.segment_count(), 20);
    assert!(cached.stats().open <= 3, "{:?}", cached.stats());
    let slice = log.read(offset(7), 1_000, true, ReadBound::LogEnd).unwrap();
    assert_eq!(slice.read_to_vec().unwrap().len(), one.len());
    assert!((4..=6).contains(&cached.stats().open), "those of one more segment: {:?}", cached.stats());
}

#[test]
fn a_slice_outlives_its_descriptors_eviction_and_its_segments_removal() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("t-0");
    let disk = CachedDisk::new(RealDisk::shared(), 8);
    let one = batch(1, 100);
    let config = small_segments(u32::try_from(one.len()).unwrap()).checked().unwrap();
    let mut log = Log::open(disk.shared(), &path, config, OpenOptions::unclean(NOW)).unwrap();
    for _ in 0..12 {
        append(&mut log, &one).unwrap();
    }
    let slices: Vec<_> = (0..3).map(|i| log.read(offset(i), 1_000, true, ReadBound::LogEnd).unwrap()).collect();
    let expected: Vec<_> = slices.iter().map(|slice| slice.read_to_vec().unwrap()).collect();
    assert!(slices.iter().all(|slice| slice.file.as_ref().is_some_and(|file| file.as_fd().is_some())));
    // Reading all others takes the descriptors of these three, were they not pinned.
    for i in 3..12 {
        log.read(offset(i), 1_000, true, ReadBound::LogEnd).unwrap().read_to_vec().unwrap();
    }
    log.truncate_to(offset(0), NOW).unwrap();
    for _ in 0..12 {
        append(&mut log, &batch(1, 99)).unwrap();
    }
    // The first segment was cut and written anew; the others were removed.
    for (slice, bytes) in slices.iter().zip(&expected).skip(1) {
        assert_eq!(slice.read_to_vec().unwrap(), *bytes);
    }
    log.due_deletions(NOW.plus_ms(60_000)).unwrap().run().unwrap();
    for (slice, bytes) in slices.iter().zip(&expected).skip(1) {
        assert_eq!(slice.read_to_vec().unwrap(), *bytes);
    }
}
