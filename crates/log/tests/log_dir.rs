//! A directory of logs: lock, identity, checkpoints, clean and unclean starts, deletion.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{
    CheckedLogConfig, DirOptions, Disk, DiskCall, LogDir, LogError, MemDisk, MetaProperties, OpenOptions, OpenedDir,
    RealDisk,
};
use highwater_types::{BrokerEpoch, DirectoryId, NodeId, PartitionIndex, TopicId, TopicName, TopicPartition, Uuid};
use support::*;

const PATH: &str = "/logs";

fn partition(topic: &str, index: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), PartitionIndex::new(index))
}

fn open_dir(disk: &MemDisk) -> Result<OpenedDir, LogError> {
    let options = DirOptions { recovery_threads: 3, now: NOW };
    LogDir::open(disk.shared(), Path::new(PATH), options, &|_| CheckedLogConfig::default())
}

fn read(disk: &MemDisk, name: &str) -> Option<String> {
    disk.read(&Path::new(PATH).join(name)).map(|bytes| String::from_utf8(bytes).unwrap())
}

/// A directory with two logs of three and five records.
fn filled(disk: &MemDisk) -> (LogDir, Vec<highwater_log::Log>) {
    let OpenedDir { dir, logs } = open_dir(disk).unwrap();
    assert!(logs.is_empty());
    let config = CheckedLogConfig::default();
    let mut a = dir.create_log(&partition("a", 0), Some(TopicId(Uuid::METADATA_TOPIC)), config.clone(), NOW).unwrap();
    let mut b = dir.create_log(&partition("b.c", 7), None, config, NOW).unwrap();
    append(&mut a, &batch(3, 10)).unwrap();
    append(&mut b, &batch(5, 10)).unwrap();
    a.advance_high_watermark(offset(2));
    b.advance_high_watermark(offset(5));
    b.delete_records(offset(4)).unwrap();
    (dir, vec![a, b])
}

#[test]
fn a_clean_stop_is_found_once_and_gives_everything_back() {
    let disk = MemDisk::new();
    let (dir, logs) = filled(&disk);
    assert!(!dir.was_clean());
    dir.close_clean(logs, Some(BrokerEpoch(17)), NOW).unwrap();
    assert_eq!(read(&disk, "recovery-point-offset-checkpoint").unwrap(), "0\n2\na 0 3\nb.c 7 5\n");
    assert_eq!(read(&disk, "log-start-offset-checkpoint").unwrap(), "0\n1\nb.c 7 4\n");
    assert_eq!(read(&disk, "replication-offset-checkpoint").unwrap(), "0\n2\na 0 2\nb.c 7 5\n");

    let OpenedDir { dir, logs } = open_dir(&disk).unwrap();
    assert!(dir.was_clean());
    assert_eq!(dir.previous_broker_epoch(), Some(BrokerEpoch(17)));
    assert_eq!(read(&disk, ".kafka_cleanshutdown"), None, "a crash from here on is no clean stop");
    let [a, b] = <[_; 2]>::try_from(logs).unwrap();
    assert_eq!((a.topic_partition, a.topic_id), (partition("a", 0), Some(TopicId(Uuid::METADATA_TOPIC))));
    assert_eq!((a.log.log_end(), a.log.high_watermark()), (offset(3), offset(2)));
    assert_eq!((b.topic_partition, b.topic_id), (partition("b.c", 7), None));
    assert_eq!((b.log.log_start(), b.log.recovery_point()), (offset(4), offset(5)));
    drop(dir);
    assert!(!open_dir(&disk).unwrap().dir.was_clean());
}

#[test]
fn a_log_without_a_topic_id_can_be_given_one() {
    let disk = MemDisk::new();
    let (dir, logs) = filled(&disk);
    let topic_id = TopicId("nigi0dJNRASJVYh5eRn0Vg".parse().unwrap());
    dir.assign_topic(&logs[1], topic_id).unwrap();
    assert_eq!(read(&disk, "b.c-7/partition.metadata").unwrap(), "version: 0\ntopic_id: nigi0dJNRASJVYh5eRn0Vg");
    dir.close_clean(logs, None, NOW).unwrap();
    assert_eq!(open_dir(&disk).unwrap().logs[1].topic_id, Some(topic_id));
}

#[test]
fn without_a_clean_stop_logs_are_recovered_from_their_checkpoints() {
    let disk = MemDisk::new();
    let (dir, mut logs) = filled(&disk);
    logs[0].flush().unwrap();
    let checkpoints: Vec<_> = logs.iter().map(highwater_log::Log::checkpoint).collect();
    dir.write_checkpoints(&checkpoints).unwrap();
    drop((dir, logs));
    let opened = open_dir(&disk).unwrap();
    assert_eq!(opened.logs[0].log.recovery_point(), offset(3));
    assert_eq!(opened.logs[1].log.recovery_point(), offset(0), "what was raised with the log start was not synced");
    assert_eq!(opened.logs[1].log.log_end(), offset(5));
}

#[test]
fn damaged_checkpoints_cost_time_and_no_more() {
    let disk = MemDisk::new();
    drop(filled(&disk));
    for name in ["recovery-point", "log-start", "replication"] {
        disk.write(&Path::new(PATH).join(format!("{name}-offset-checkpoint")), b"0\n7\nnonsense");
    }
    let opened = open_dir(&disk).unwrap();
    assert_eq!(opened.logs[0].log.log_end(), offset(3));
}

#[test]
fn a_directory_is_opened_once_at_a_time() {
    let disk = MemDisk::new();
    let held = open_dir(&disk).unwrap();
    assert!(matches!(open_dir(&disk), Err(LogError::Locked { .. })));
    drop(held);
    open_dir(&disk).unwrap();
}

#[test]
fn the_metadata_log_is_opened_ahead_and_shares_the_fate_of_the_others() {
    let disk = MemDisk::new();
    let (dir, logs) = filled(&disk);
    dir.close_clean(logs, None, NOW).unwrap();
    let locked = LogDir::lock(disk.shared(), Path::new(PATH)).unwrap();
    assert!(matches!(open_dir(&disk), Err(LogError::Locked { .. })));
    assert!(locked.was_clean());
    let metadata = partition("__cluster_metadata", 0);
    let mut log = locked.open_log(&metadata, CheckedLogConfig::default(), OpenOptions::unclean(NOW)).unwrap();
    append(&mut log, &batch(1, 10)).unwrap();
    let options = DirOptions { recovery_threads: 1, now: NOW };
    let opened = locked.load(options, &|_| CheckedLogConfig::default()).unwrap();
    assert_eq!(opened.logs.len(), 2, "the metadata log is not among them");
    disk.fail_after(DiskCall::Sync, 0);
    log.flush().unwrap_err();
    assert!(opened.dir.is_offline());
}

#[test]
fn other_directories_are_errors_or_left_alone() {
    let disk = MemDisk::new();
    let make = |name: &str| disk.create_dir_all(&Path::new(PATH).join(name)).unwrap();
    for name in ["remote-log-index-cache", "__cluster_metadata-0", "t-0.0123456789abcdef0123456789abcdef-stray"] {
        make(name);
    }
    assert!(open_dir(&disk).unwrap().logs.is_empty());
    make("what-is-this");
    assert!(matches!(open_dir(&disk), Err(LogError::UnknownDirectory { .. })));
}

#[test]
fn a_deleted_log_is_renamed_at_once_and_removed_after_its_delay() {
    let disk = MemDisk::new();
    let (mut dir, mut logs) = filled(&disk);
    dir.delete_log(logs.remove(0), Uuid::METADATA_TOPIC, NOW).unwrap();
    let renamed = Path::new(PATH).join("a-0.00000000000000000000000000000001-delete");
    assert!(disk.metadata(&renamed).unwrap().is_dir);
    assert!(disk.metadata(&Path::new(PATH).join("a-0")).is_err());
    assert!(dir.due_deletions(NOW.plus_ms(59_999)).is_none());
    dir.due_deletions(NOW.plus_ms(60_000)).unwrap().run().unwrap();
    assert!(disk.metadata(&renamed).is_err());
    let config = CheckedLogConfig::default();
    assert_eq!(dir.create_log(&partition("a", 0), None, config, NOW).unwrap().log_end(), offset(0));
}

#[test]
fn a_deletion_that_a_crash_interrupted_is_finished() {
    let disk = MemDisk::new();
    let (mut dir, mut logs) = filled(&disk);
    dir.delete_log(logs.remove(0), Uuid::METADATA_TOPIC, NOW).unwrap();
    dir.mark_stray(logs.remove(0), Uuid::METADATA_TOPIC).unwrap();
    drop(dir);
    let mut opened = open_dir(&disk).unwrap();
    assert!(opened.logs.is_empty());
    let task = opened.dir.due_deletions(NOW).unwrap();
    assert_eq!(task.paths(), [Path::new(PATH).join("a-0.00000000000000000000000000000001-delete")]);
    task.run().unwrap();
    let left: Vec<String> =
        disk.list(Path::new(PATH)).unwrap().into_iter().filter(|e| e.is_dir).map(|e| e.name).collect();
    assert_eq!(left, ["b.c-7.00000000000000000000000000000001-stray"]);
}

#[test]
fn many_logs_on_a_real_disk_survive_a_clean_and_an_unclean_start() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("logs");
    let meta = MetaProperties {
        cluster_id: Some("cluster".to_owned()),
        node_id: NodeId::new(3),
        directory_id: Some(DirectoryId(Uuid::METADATA_TOPIC)),
    };
    LogDir::format(&RealDisk, &path, &meta).unwrap();
    let options = DirOptions { recovery_threads: 4, now: NOW };
    let open = || LogDir::open(RealDisk::shared(), &path, options, &|_| CheckedLogConfig::default()).unwrap();
    let opened = open();
    assert_eq!(opened.dir.meta(), Some(&meta));
    let mut logs: Vec<_> = (0..20)
        .map(|i| opened.dir.create_log(&partition("t", i), None, CheckedLogConfig::default(), NOW).unwrap())
        .collect();
    for (i, log) in logs.iter_mut().enumerate() {
        append(log, &batch(i + 1, 20)).unwrap();
    }
    let ends: Vec<u64> = (1..=20).collect();
    opened.dir.close_clean(logs, None, NOW).unwrap();
    for was_clean in [true, false] {
        let opened = open();
        assert_eq!(opened.dir.was_clean(), was_clean);
        let found: Vec<u64> = {
            let mut found: Vec<_> =
                opened.logs.iter().map(|log| (log.topic_partition.clone(), log.log.log_end())).collect();
            found.sort();
            found.into_iter().map(|(_, end)| end.value()).collect()
        };
        assert_eq!(found, ends);
    }
}

#[test]
fn how_far_logs_are_compacted_is_kept_lowered_by_truncation_and_removed_with_the_log() {
    let disk = MemDisk::new();
    let (mut dir, mut logs) = filled(&disk);
    let write = |dir: &LogDir, logs: &[highwater_log::Log]| {
        dir.write_checkpoints(&logs.iter().map(highwater_log::Log::checkpoint).collect::<Vec<_>>()).unwrap();
    };
    write(&dir, &logs);
    assert_eq!(read(&disk, "cleaner-offset-checkpoint"), None, "nothing has been compacted");
    logs[0].roll(NOW).unwrap();
    logs[0].advance_high_watermark(offset(3));
    append(&mut logs[0], &batch(2, 10)).unwrap();
    let cleanable = logs[0].cleanable(NOW).unwrap();
    let mut task = logs[0].clean_task(&cleanable, NOW).unwrap().unwrap();
    let mut cleaner = highwater_log::Cleaner::default();
    let mut go_on = |_| std::ops::ControlFlow::Continue(());
    while task.run(&mut cleaner, &mut go_on).unwrap() == highwater_log::CleanStep::GroupReady {
        logs[0].complete_clean(&mut task, NOW).unwrap();
    }
    assert_eq!(logs[0].finish_clean(task).first_dirty, Some(offset(3)));
    logs[1].set_clean_checkpoint(Some(offset(4)));
    write(&dir, &logs);
    assert_eq!(read(&disk, "cleaner-offset-checkpoint").unwrap(), "0\n2\na 0 3\nb.c 7 4\n");
    drop((dir, logs));
    disk.crash(highwater_log::CrashLoss::Nothing);

    let opened = open_dir(&disk).unwrap();
    (dir, logs) = (opened.dir, opened.logs.into_iter().map(|opened| opened.log).collect());
    assert_eq!(logs[0].clean_checkpoint(), Some(offset(3)));
    // Cut inside the first segment: its base is where dirt may begin.
    logs[0].truncate_to(offset(2), NOW).unwrap();
    assert_eq!(logs[0].clean_checkpoint(), Some(offset(0)));
    logs[0].set_clean_checkpoint(Some(offset(2)));
    logs[0].truncate_fully_and_start_at(offset(1), None, NOW).unwrap();
    assert_eq!(logs[0].clean_checkpoint(), Some(offset(1)));
    dir.delete_log(logs.pop().unwrap(), Uuid::METADATA_TOPIC, NOW).unwrap();
    write(&dir, &logs);
    assert_eq!(read(&disk, "cleaner-offset-checkpoint").unwrap(), "0\n1\na 0 1\n");
}

#[test]
fn a_checkpoint_does_not_stay_ahead_of_a_log_that_has_lost_records() {
    let disk = MemDisk::new();
    let (dir, mut logs) = filled(&disk);
    for log in &mut logs {
        append(log, &batch(2, 10)).unwrap();
        log.flush().unwrap();
    }
    dir.write_checkpoints(&logs.iter().map(highwater_log::Log::checkpoint).collect::<Vec<_>>()).unwrap();
    drop((dir, logs));
    assert_eq!(read(&disk, "recovery-point-offset-checkpoint").unwrap(), "0\n2\na 0 5\nb.c 7 7\n");
    // A disk that has lied about its syncs.
    let log = Path::new(PATH).join("a-0/00000000000000000000.log");
    let bytes = disk.read(&log).unwrap();
    disk.write(&log, &bytes[..bytes.len() - 1]);
    let OpenedDir { logs, .. } = open_dir(&disk).unwrap();
    assert_eq!(logs[0].log.log_end(), offset(3));
    // What is appended at offset 3 now must be checked if this process is killed.
    assert_eq!(read(&disk, "recovery-point-offset-checkpoint").unwrap(), "0\n2\na 0 3\nb.c 7 7\n");
}
