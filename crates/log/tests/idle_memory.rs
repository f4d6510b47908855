//! What a log costs that nobody uses.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{CachedDisk, DirOptions, Log, LogDir, OpenedDir, RealDisk};
use highwater_testsupport::heap::{MeasuringAllocator, bytes_in_use};
use highwater_types::{PartitionIndex, TopicName, TopicPartition};
use support::*;

#[global_allocator]
static ALLOCATOR: MeasuringAllocator = MeasuringAllocator;

/// The only test of this file: others would allocate meanwhile.
#[test]
fn an_idle_log_takes_two_kibibytes_and_no_descriptor() {
    const COUNT: usize = 200;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("data/highwater/kafka-logs");
    let config = small_segments(1 << 20).checked().unwrap();
    let open = |disk: &CachedDisk, path: &Path| {
        let options = DirOptions { recovery_threads: 1, now: NOW };
        LogDir::open(disk.shared(), path, options, &|_| config.clone()).unwrap()
    };
    let disk = CachedDisk::new(RealDisk::shared(), 100);
    let OpenedDir { dir, .. } = open(&disk, &path);
    let logs = (0..COUNT).map(|index| {
        let topic = TopicName::new("a-topic-with-a-name-of-some-length").unwrap();
        let partition = TopicPartition::new(topic, PartitionIndex::new(u32::try_from(index).unwrap()));
        let mut log = dir.create_log(&partition, None, config.clone(), NOW).unwrap();
        append_in(&mut log, &batch(3, 100), 5).unwrap();
        log
    });
    let logs: Vec<Log> = logs.collect();
    dir.close_clean(logs, None, NOW).unwrap();

    // Those that were closed last may have been written in the instant of the manifest, and take another round.
    for _ in 0..20 {
        let OpenedDir { dir, logs } = open(&CachedDisk::new(RealDisk::shared(), 100), &path);
        let remembered = dir.open_counts().remembered;
        dir.close_clean(logs.into_iter().map(|found| found.log).collect(), None, NOW).unwrap();
        if remembered >= COUNT as u64 * 9 / 10 {
            break;
        }
    }
    let disk = CachedDisk::new(RealDisk::shared(), 100);
    let before = bytes_in_use();
    let opened = open(&disk, &path);
    let used = (bytes_in_use() - before) / COUNT;
    let remembered = opened.dir.open_counts().remembered;
    assert!(remembered >= COUNT as u64 * 9 / 10, "{:?}", opened.dir.open_counts());
    assert!(used <= 2_048, "{used} bytes for each log, {} of them in the struct itself", size_of::<Log>());
    assert!(disk.stats().open <= 3 * (COUNT as u64 - remembered), "{:?}", disk.stats());
}
