//! Producer snapshots: when they are taken, which are kept, and what they remember (storage format, sections 6 and 16).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{LogConfig, MemDisk, OpenOptions};
use highwater_types::{ErrorCode, LeaderEpoch};

use support::txn::{at, in_txn, mark, marker};
use support::{NOW, append, batch, files, new_log, offset, open, path, produced, small_segments};

fn snapshots(disk: &MemDisk) -> Vec<u64> {
    let names = files(disk).into_iter();
    names.filter_map(|name| name.strip_suffix(".snapshot").map(|stem| stem.parse().unwrap())).collect()
}

fn clean() -> OpenOptions {
    OpenOptions { clean: true, ..OpenOptions::unclean(NOW) }
}

#[test]
fn snapshots_are_taken_at_a_roll_and_at_closing_if_anything_has_come() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(1, 0, 0, 3)).unwrap();
    assert!(snapshots(&disk).is_empty());
    log.roll(NOW).unwrap();
    assert_eq!(snapshots(&disk), [3]);
    let at_roll = disk.read(&path("00000000000000000003.snapshot")).unwrap();
    log.close(NOW).unwrap();
    assert_eq!(snapshots(&disk), [3], "the same state once more");
    assert_eq!(disk.read(&path("00000000000000000003.snapshot")).unwrap(), at_roll);
    let mut log = open(&disk, LogConfig::default(), clean());
    append(&mut log, &produced(1, 0, 3, 1)).unwrap();
    log.close(NOW).unwrap();
    assert_eq!(snapshots(&disk), [3, 4]);
}

#[test]
fn the_snapshot_of_a_roll_is_at_the_new_base_which_may_lie_above_the_log_end() {
    let (disk, mut log) = new_log(small_segments(400));
    append(&mut log, &produced(1, 0, 0, 3)).unwrap();
    log.append_as_follower(&at(batch(1, 250), 70), Some(LeaderEpoch::new(0)), NOW).unwrap().unwrap();
    assert_eq!(log.describe().unwrap().segments.last().unwrap().base, offset(70));
    assert_eq!(snapshots(&disk), [70]);
}

#[test]
fn after_a_reload_only_the_last_batch_is_recognised_as_repeated() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(1, 0, 0, 2)).unwrap();
    append(&mut log, &produced(1, 0, 2, 2)).unwrap();
    assert!(append(&mut log, &produced(1, 0, 0, 2)).unwrap().duplicate);
    log.close(NOW).unwrap();
    let mut log = open(&disk, LogConfig::default(), clean());
    // Exactly that batch: neither a part of it nor more.
    for part in [produced(1, 0, 2, 1), produced(1, 0, 3, 1), produced(1, 0, 2, 3), produced(1, 0, 0, 2)] {
        let refused = append(&mut log, &part).unwrap_err();
        assert_eq!(refused.error_code(), ErrorCode::OutOfOrderSequenceNumber);
    }
    assert!(append(&mut log, &produced(1, 0, 2, 2)).unwrap().duplicate);
    assert!(!append(&mut log, &produced(1, 0, 4, 1)).unwrap().duplicate);
}

#[test]
fn stray_snapshots_go_but_the_newest_above_all_segments() {
    let (disk, mut log) = new_log(LogConfig::default());
    for sequence in 0..4 {
        log.roll(NOW).unwrap();
        append(&mut log, &produced(1, 0, sequence * 2, 2)).unwrap();
    }
    log.close(NOW).unwrap();
    let bases: Vec<u64> = log.describe().unwrap().segments.iter().map(|segment| segment.base.value()).collect();
    assert_eq!(bases, [0, 2, 4, 6]);
    assert_eq!(snapshots(&disk), [2, 4, 6, 8]);
    let newest = disk.read(&path("00000000000000000008.snapshot")).unwrap();
    for stray in [1, 3, 5, 7] {
        disk.write(&path(&format!("{stray:020}.snapshot")), &newest);
    }
    open(&disk, LogConfig::default(), clean());
    assert_eq!(snapshots(&disk), [2, 4, 6, 8]);
}

#[test]
fn a_damaged_snapshot_goes_and_the_next_older_one_is_brought_up_to_date() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 2)).unwrap();
    log.roll(NOW).unwrap();
    append(&mut log, &in_txn(2, 0, 0, 1)).unwrap();
    mark(&mut log, &marker(1, 1, true, 5)).unwrap();
    let expected: Vec<_> = log.producers().collect();
    log.close(NOW).unwrap();
    let newest = path("00000000000000000004.snapshot");
    let whole = disk.read(&newest).unwrap();
    for damaged in [vec![], whole[..whole.len() - 1].to_vec(), vec![0; whole.len()]] {
        disk.write(&newest, &damaged);
        let log = open(&disk, LogConfig::default(), clean());
        assert_eq!(log.producers().collect::<Vec<_>>(), expected);
        // And it is taken anew.
        assert_eq!(disk.read(&newest), Some(whole.clone()));
    }
}

#[test]
fn a_marker_without_records_is_remembered_with_its_epoch() {
    let (disk, mut log) = new_log(LogConfig::default());
    mark(&mut log, &marker(1, 4, true, 9)).unwrap();
    log.close(NOW).unwrap();
    let mut log = open(&disk, LogConfig::default(), clean());
    let producer = log.producers().next().unwrap();
    assert_eq!((producer.epoch.value(), producer.coordinator_epoch), (4, Some(9)));
    assert_eq!((producer.sequences, producer.last_offset, producer.txn_first_offset), (None, None, None));
    let refused = append(&mut log, &produced(1, 3, 0, 1)).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::InvalidProducerEpoch);
    let refused = append(&mut log, &produced(1, 4, 1, 1)).unwrap_err();
    assert_eq!(refused.error_code(), ErrorCode::OutOfOrderSequenceNumber);
    append(&mut log, &produced(1, 4, 0, 1)).unwrap();
}

#[test]
fn producers_that_have_expired_are_not_loaded_unless_their_transaction_is_open() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(1, 0, 0, 1)).unwrap();
    append(&mut log, &in_txn(2, 0, 0, 1)).unwrap();
    log.close(NOW).unwrap();
    let day = 24 * 3_600_000;
    for (age, expected) in [(day - 1, vec![1, 2]), (day, vec![2])] {
        let log = open(&disk, LogConfig::default(), OpenOptions { now: NOW.plus_ms(age), ..clean() });
        let ids: Vec<u64> = log.producers().map(|producer| producer.producer_id.value()).collect();
        assert_eq!(ids, expected, "{age} ms");
    }
}
