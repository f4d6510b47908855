//! After a failed write or sync nothing is acknowledged and nothing more is done.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;
use std::sync::Arc;

use highwater_log::{
    AppendError, AppendOrigin, AppendSet, CheckedLogConfig, DirOptions, Disk, DiskCall, LogConfig, LogDir, LogError,
    MemDisk, OpenOptions, ReadBound,
};
use highwater_types::{LeaderEpoch, PartitionIndex, TopicName, TopicPartition};
use support::*;

fn assert_poisoned(log: &mut highwater_log::Log) {
    assert!(log.is_poisoned());
    assert!(matches!(append(log, &batch(1, 10)), Err(AppendError::Log(LogError::Poisoned))));
    assert!(matches!(log.append_as_follower(&batch(1, 10), None, NOW), Err(AppendError::Log(LogError::Poisoned))));
    assert!(matches!(log.read(offset(0), 1, true, ReadBound::LogEnd), Err(LogError::Poisoned)));
    assert!(matches!(log.flush(), Err(LogError::Poisoned)));
    assert!(matches!(log.close(NOW), Err(LogError::Poisoned)));
    assert!(matches!(log.truncate_to(offset(0), NOW), Err(LogError::Poisoned)));
    assert!(matches!(log.apply_retention(NOW), Err(LogError::Poisoned)));
}

#[test]
fn a_failed_write_acknowledges_no_set_of_the_call() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    disk.fail_after(DiskCall::Write, 0);
    let (mut first, mut second) = (batch(1, 10), batch(2, 10));
    let mut sets =
        [AppendSet::new(&mut first, AppendOrigin::Client), AppendSet::new(&mut second, AppendOrigin::Client)];
    let error = log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).unwrap_err();
    assert!(matches!(error, LogError::Io { op: "append to", .. }), "{error}");
    for set in &mut sets {
        assert!(matches!(set.take_result(), Err(AppendError::Log(LogError::Poisoned))));
    }
    disk.heal();
    assert_poisoned(&mut log);
}

#[test]
fn a_failed_sync_does_not_move_the_recovery_point() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(3, 10)).unwrap();
    log.flush().unwrap();
    append(&mut log, &batch(3, 10)).unwrap();
    disk.fail_after(DiskCall::Sync, 0);
    assert!(matches!(log.flush(), Err(LogError::Io { op: "sync", .. })));
    assert_eq!(log.recovery_point(), offset(3));
    disk.heal();
    assert_poisoned(&mut log);
}

#[test]
fn a_failed_flush_task_poisons_the_log_it_came_from() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    let task = log.flush_task().unwrap();
    disk.fail_after(DiskCall::Sync, 0);
    task.run().unwrap_err();
    assert_poisoned(&mut log);
}

/// Whichever write or sync fails in a busy sequence, what was acknowledged as durable is there afterwards.
#[test]
fn at_every_point_of_failure_flushed_records_survive() {
    for kind in [DiskCall::Write, DiskCall::Sync] {
        let mut failed_somewhere = 0;
        for calls in 0..60 {
            let (disk, mut log) = new_log(small_segments(600));
            disk.fail_after(kind, calls);
            let mut durable = offset(0);
            let mut appended = 0;
            let outcome = (0..12).try_for_each(|i| {
                append(&mut log, &batch(2, 50)).map(|info| appended = info.last_offset.value() + 1)?;
                if i % 3 == 2 {
                    log.flush()?;
                    durable = log.recovery_point();
                }
                Ok::<(), AppendError>(())
            });
            failed_somewhere += usize::from(outcome.is_err());
            disk.heal();
            disk.crash(highwater_log::CrashLoss::Tail { per_256: 128 });
            let log = open(&disk, small_segments(600), OpenOptions::unclean(NOW));
            assert!(durable <= log.log_end(), "{kind:?} {calls}: lost flushed records");
            let expected: Vec<(i64, i64)> = (0..log.log_end().to_wire() / 2).map(|i| (i * 2, i * 2 + 1)).collect();
            assert_eq!(ranges(&read_all(&log, offset(0))), expected, "{kind:?} {calls}");
        }
        assert!(5 < failed_somewhere, "{kind:?} failures did not hit the sequence");
    }
}

#[test]
fn one_log_takes_its_directory_offline() {
    let disk = MemDisk::new();
    let shared: Arc<dyn Disk> = disk.shared();
    let options = DirOptions { recovery_threads: 2, now: NOW };
    let opened = LogDir::open(shared, Path::new("/logs"), options, &|_| CheckedLogConfig::default()).unwrap();
    let partition = |i| TopicPartition::new(TopicName::new("topic").unwrap(), PartitionIndex::new(i));
    let mut first = opened.dir.create_log(&partition(0), None, CheckedLogConfig::default(), NOW).unwrap();
    let mut second = opened.dir.create_log(&partition(1), None, CheckedLogConfig::default(), NOW).unwrap();
    append(&mut first, &batch(1, 1)).unwrap();
    disk.fail_after(DiskCall::Write, 0);
    append(&mut first, &batch(1, 1)).unwrap_err();
    disk.heal();
    assert!(opened.dir.is_offline());
    assert_poisoned(&mut first);
    assert_poisoned(&mut second);
    let create = opened.dir.create_log(&partition(2), None, CheckedLogConfig::default(), NOW);
    assert!(matches!(create, Err(LogError::Poisoned)));
    assert!(matches!(opened.dir.write_checkpoints(&[]), Err(LogError::Poisoned)));
    assert!(matches!(opened.dir.close_clean(vec![first], None, NOW), Err(LogError::Poisoned)));
    assert_eq!(disk.read(Path::new("/logs/.kafka_cleanshutdown")), None);
}
