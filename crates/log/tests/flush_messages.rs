//! `flush.messages`: what may be acknowledged and shown before it is synced.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{CrashLoss, DiskCall, Log, LogConfig, OpenOptions, ReadBound};
use highwater_types::Offset;
use support::*;

fn flushing(messages: u64) -> LogConfig {
    LogConfig { flush_messages: Some(messages), ..LogConfig::default() }
}

fn run_due_flush(log: &mut Log) {
    let task = log.due_flush().unwrap();
    log.complete_flush(task.run().unwrap());
}

fn ends(log: &Log) -> [u64; 3] {
    [log.synced_to(), log.settled_to(), log.log_end()].map(Offset::value)
}

#[test]
fn with_one_nothing_is_settled_or_committed_before_it_is_synced() {
    let (disk, mut log) = new_log(flushing(1));
    append(&mut log, &batch(2, 10)).unwrap();
    assert_eq!(ends(&log), [0, 0, 2]);
    assert_eq!(log.advance_high_watermark(offset(2)), offset(0));
    assert_eq!(log.read(offset(0), 1_000, true, ReadBound::HighWatermark).unwrap().length, 0);
    let task = log.due_flush().unwrap();
    // Comes while the sync runs: the next one is for it.
    append(&mut log, &batch(1, 10)).unwrap();
    log.complete_flush(task.run().unwrap());
    assert_eq!(ends(&log), [2, 2, 3]);
    assert_eq!(log.advance_high_watermark(offset(3)), offset(2));
    run_due_flush(&mut log);
    assert_eq!(ends(&log), [3, 3, 3]);
    assert!(log.due_flush().is_none());
    append(&mut log, &batch(1, 10)).unwrap();
    disk.crash(CrashLoss::Tail { per_256: 0 });
    assert_eq!(open(&disk, flushing(1), OpenOptions::unclean(NOW)).log_end(), offset(3));
}

#[test]
fn with_more_the_append_that_reaches_the_number_waits_and_those_behind_it() {
    let (_disk, mut log) = new_log(flushing(5));
    append(&mut log, &batch(4, 10)).unwrap();
    assert_eq!(ends(&log), [0, 4, 4]);
    assert!(log.due_flush().is_none());
    append(&mut log, &batch(1, 10)).unwrap();
    assert_eq!(ends(&log), [0, 4, 5]);
    let task = log.due_flush().unwrap();
    append(&mut log, &batch(3, 10)).unwrap();
    assert_eq!(ends(&log), [0, 4, 8]);
    log.complete_flush(task.run().unwrap());
    // Three records are fewer than five, so they need no sync of their own.
    assert_eq!(ends(&log), [5, 8, 8]);
    assert!(log.due_flush().is_none());
    append(&mut log, &batch(20, 10)).unwrap();
    assert_eq!(ends(&log), [5, 8, 28]);
    assert_eq!(log.advance_high_watermark(offset(28)), offset(8));
    log.flush().unwrap();
    assert_eq!(ends(&log), [28, 28, 28]);
}

#[test]
fn without_the_setting_everything_is_settled_at_once() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1_000, 1)).unwrap();
    assert_eq!(ends(&log), [0, 1_000, 1_000]);
    assert!(log.due_flush().is_none());
    assert_eq!(log.advance_high_watermark(offset(1_000)), offset(1_000));
}

#[test]
fn the_setting_counts_for_what_a_follower_appends_too() {
    let (_disk, mut leader) = new_log(LogConfig::default());
    append(&mut leader, &batch(2, 10)).unwrap();
    let (_disk, mut log) = new_log(flushing(1));
    log.append_as_follower(&read_all(&leader, offset(0)), None, NOW).unwrap();
    assert_eq!(ends(&log), [0, 0, 2]);
    run_due_flush(&mut log);
    assert_eq!(ends(&log), [2, 2, 2]);
}

#[test]
fn what_waits_is_settled_when_the_setting_is_taken_back() {
    let (_disk, mut log) = new_log(flushing(1));
    append(&mut log, &batch(2, 10)).unwrap();
    log.set_config(LogConfig::default().checked().unwrap());
    assert_eq!(ends(&log), [0, 2, 2]);
    // What was settled stays so when it is set again.
    log.set_config(flushing(1).checked().unwrap());
    assert_eq!(ends(&log), [0, 2, 2]);
    append(&mut log, &batch(2, 10)).unwrap();
    assert_eq!(ends(&log), [0, 2, 4]);
}

#[test]
fn a_roll_in_between_is_synced_with_the_rest() {
    let config = LogConfig { flush_messages: Some(1), ..small_segments(400) };
    let (disk, mut log) = new_log(config.clone());
    for _ in 0..4 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    assert_eq!(log.segment_count(), 4);
    run_due_flush(&mut log);
    assert_eq!(ends(&log), [4, 4, 4]);
    assert!(log.due_flush().is_none(), "the rolled segments are part of it");
    disk.crash(CrashLoss::Tail { per_256: 0 });
    assert_eq!(open(&disk, config, OpenOptions::unclean(NOW)).log_end(), offset(4));
}

#[test]
fn a_failed_sync_settles_nothing() {
    let (disk, mut log) = new_log(flushing(1));
    append(&mut log, &batch(1, 10)).unwrap();
    disk.fail_after(DiskCall::Sync, 0);
    log.due_flush().unwrap().run().unwrap_err();
    disk.heal();
    assert_eq!(ends(&log), [0, 0, 1]);
    assert!(log.is_poisoned());
    append(&mut log, &batch(1, 10)).unwrap_err();
}

#[test]
fn truncation_takes_back_what_was_settled() {
    let (_disk, mut log) = new_log(flushing(1));
    append(&mut log, &batch(2, 10)).unwrap();
    append(&mut log, &batch(2, 10)).unwrap();
    log.flush().unwrap();
    let overtaken = {
        append(&mut log, &batch(2, 10)).unwrap();
        log.due_flush().unwrap()
    };
    log.truncate_to(offset(2), NOW).unwrap();
    assert_eq!(ends(&log), [2, 2, 2]);
    append(&mut log, &batch(9, 10)).unwrap();
    log.complete_flush(overtaken.run().unwrap());
    assert_eq!(ends(&log), [2, 2, 11]);
}

/// A deleted log may still have a flush under way, which must not take the directory offline.
#[test]
fn a_flush_of_a_log_that_was_set_aside_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("t-0"), dir.path().join("t-0.0-delete"));
    let disk = highwater_log::RealDisk::shared();
    let mut log = Log::open(disk.clone(), &from, flushing(1).checked().unwrap(), OpenOptions::unclean(NOW)).unwrap();
    append(&mut log, &batch(1, 10)).unwrap();
    let task = log.due_flush().unwrap();
    disk.rename(Path::new(&from), Path::new(&to)).unwrap();
    assert_eq!(task.up_to(), offset(1));
    log.complete_flush(task.run().unwrap());
    assert!(!log.is_poisoned());
}
