//! Transactions on disk: the rules of the storage format's sections 5, 11 and 13, each by one behaviour.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::sync::Arc;

use highwater_log::{AppendError, Disk, Log, LogConfig, MemDisk, OpenOptions, ReadBound};
use highwater_types::{ErrorCode, LeaderEpoch};

use support::names::NamesDisk;
use support::txn::{aborted, at, control, in_txn, indexed, mark, mark_in, marker, whole_txn};
use support::{NOW, append, batch, files, new_log, offset, open, path, produced, small_segments};

fn code<T: std::fmt::Debug>(result: Result<T, AppendError>) -> ErrorCode {
    result.unwrap_err().error_code()
}

#[test]
fn only_aborted_transactions_with_records_are_indexed() {
    let (disk, mut log) = new_log(LogConfig::default());
    whole_txn(&mut log, 1, 0, true);
    mark(&mut log, &marker(2, 0, false, 0)).unwrap();
    assert!(!files(&disk).iter().any(|name| name.ends_with(".txnindex")), "created on first use");
    whole_txn(&mut log, 1, 2, false);
    assert_eq!(indexed(&log), [(0, vec![aborted(1, 4, 6, 7)])]);
    // The marker without records has made its producer known.
    append(&mut log, &in_txn(2, 0, 0, 1)).unwrap();
    mark(&mut log, &marker(2, 1, false, 0)).unwrap();
    mark(&mut log, &marker(2, 2, false, 0)).unwrap();
    assert_eq!(code(append(&mut log, &in_txn(2, 1, 1, 1))), ErrorCode::InvalidProducerEpoch);
    assert_eq!(indexed(&log), [(0, vec![aborted(1, 4, 6, 7), aborted(2, 7, 8, 9)])]);
}

#[test]
fn the_last_stable_offset_of_an_entry_is_that_of_the_oldest_other_open_transaction() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    append(&mut log, &in_txn(2, 0, 0, 1)).unwrap();
    append(&mut log, &in_txn(3, 0, 0, 1)).unwrap();
    mark(&mut log, &marker(2, 0, false, 0)).unwrap();
    // Ended, but not committed: that holds back readers, and is of no concern to the entries.
    mark(&mut log, &marker(1, 0, true, 0)).unwrap();
    assert_eq!(log.last_stable(), offset(0));
    mark(&mut log, &marker(3, 0, false, 0)).unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(2, 1, 3, 0), aborted(3, 2, 5, 6)])]);
}

#[test]
fn an_aborted_transaction_is_indexed_where_its_marker_is_and_found_from_where_its_records_are() {
    let (_disk, mut log) = new_log(small_segments(400));
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    for _ in 0..3 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    whole_txn(&mut log, 2, 0, false);
    append(&mut log, &batch(1, 250)).unwrap();
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    whole_txn(&mut log, 3, 0, false);
    log.advance_high_watermark(log.log_end());
    let (one, two, three) = (aborted(1, 0, 8, 9), aborted(2, 4, 6, 0), aborted(3, 9, 11, 12));
    let in_segments = [(0, vec![]), (2, vec![]), (3, vec![]), (4, vec![two]), (7, vec![]), (8, vec![one, three])];
    assert_eq!(indexed(&log), in_segments);
    let found = |start: u64, max: u32| {
        let slice = log.read(offset(start), max, true, ReadBound::LastStable).unwrap();
        log.aborted_transactions(offset(start), &slice).unwrap()
    };
    // The first segment ends at offset 2; the entry that ends the search is five segments on.
    assert_eq!(found(0, 1), [one]);
    assert_eq!(found(3, 1 << 20), [one]);
    assert_eq!(found(4, 1 << 20), [two, one]);
    assert_eq!(found(7, 1), [one], "nothing of the second, whose marker lies before");
    assert_eq!(found(9, 1 << 20), [three]);
    assert_eq!(log.aborted_between(offset(0), offset(4)).unwrap(), [one]);
    assert_eq!(log.aborted_between(offset(0), offset(5)).unwrap(), [two, one]);
    assert_eq!(log.aborted_between(offset(0), offset(10)).unwrap(), [two, one, three]);
    assert_eq!(log.aborted_between(offset(9), offset(9)).unwrap(), []);
}

#[test]
fn a_slice_of_a_removed_segment_is_refused_and_an_empty_one_has_no_transactions() {
    let (_disk, mut log) = new_log(small_segments(400));
    whole_txn(&mut log, 1, 0, false);
    for _ in 0..3 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    log.advance_high_watermark(log.log_end());
    let slice = log.read(offset(0), 1_000, true, ReadBound::LastStable).unwrap();
    let nothing = log.read(log.log_end(), 1_000, true, ReadBound::LastStable).unwrap();
    assert_eq!(log.aborted_transactions(log.log_end(), &nothing).unwrap(), []);
    log.delete_records(offset(5)).unwrap();
    assert!(0 < log.apply_retention(NOW).unwrap());
    log.aborted_transactions(offset(0), &slice).unwrap_err();
}

#[test]
fn markers_above_the_high_watermark_hold_back_the_last_stable_offset() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 2)).unwrap();
    append(&mut log, &in_txn(2, 0, 0, 2)).unwrap();
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    mark(&mut log, &marker(2, 0, true, 0)).unwrap();
    for (high_watermark, last_stable) in [(1, 0), (4, 0), (5, 2), (6, 6)] {
        log.advance_high_watermark(offset(high_watermark));
        assert_eq!(log.last_stable(), offset(last_stable), "high watermark {high_watermark}");
    }
}

#[test]
fn the_last_stable_offset_does_not_lie_below_the_log_start() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 4)).unwrap();
    log.advance_high_watermark(offset(4));
    assert_eq!(log.last_stable(), offset(0));
    log.delete_records(offset(2)).unwrap();
    assert_eq!(log.last_stable(), offset(2));
    assert_eq!(log.read(offset(2), 100, true, ReadBound::LastStable).unwrap().length, 0);
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(1, 0, 4, 5)])]);
}

#[test]
fn a_marker_needs_an_epoch_of_producer_and_coordinator_not_below_the_known_ones() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 3, 0, 1)).unwrap();
    assert_eq!(code(mark(&mut log, &marker(1, 2, true, 5))), ErrorCode::InvalidProducerEpoch);
    mark(&mut log, &marker(1, 3, true, 5)).unwrap();
    assert_eq!(code(mark(&mut log, &marker(1, 3, true, 4))), ErrorCode::TransactionCoordinatorFenced);
    mark(&mut log, &marker(1, 3, true, 5)).unwrap();
    mark(&mut log, &marker(1, 4, true, 6)).unwrap();
    let producer = log.producers().next().unwrap();
    assert_eq!((producer.epoch.value(), producer.coordinator_epoch), (4, Some(6)));
    assert_eq!(producer.sequences, None, "the new epoch has no batches");
    assert_eq!(code(append(&mut log, &in_txn(1, 4, 1, 1))), ErrorCode::OutOfOrderSequenceNumber);
    append(&mut log, &in_txn(1, 4, 0, 1)).unwrap();
}

#[test]
fn a_marker_of_the_same_epoch_keeps_the_batches_of_its_producer() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 2)).unwrap();
    mark(&mut log, &marker(1, 0, true, 0)).unwrap();
    assert!(append(&mut log, &in_txn(1, 0, 0, 2)).unwrap().duplicate);
    append(&mut log, &in_txn(1, 0, 2, 2)).unwrap();
}

#[test]
fn since_version_2_a_marker_needs_a_higher_epoch_unless_it_is_repeated() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 3, 0, 1)).unwrap();
    assert_eq!(code(mark_in(&mut log, &marker(1, 3, false, 0), 2)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(code(mark_in(&mut log, &marker(1, 2, false, 0), 2)), ErrorCode::InvalidProducerEpoch);
    mark_in(&mut log, &marker(1, 4, false, 0), 2).unwrap();
    // Nothing is open: the same marker again ends nothing.
    mark_in(&mut log, &marker(1, 4, false, 0), 2).unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(1, 0, 1, 2)])]);
    append(&mut log, &in_txn(1, 4, 0, 1)).unwrap();
    assert_eq!(code(mark_in(&mut log, &marker(1, 4, false, 0), 2)), ErrorCode::InvalidProducerEpoch);
    // The version before does not know better.
    mark_in(&mut log, &marker(1, 4, false, 0), 1).unwrap();
    assert_eq!(indexed(&log)[0].1.len(), 2);
}

#[test]
fn control_records_that_are_no_markers_end_nothing_and_are_not_checked() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 3, 0, 1)).unwrap();
    // An unknown type, a leader change, a key that is too short; of an old epoch at that.
    for key in [&[0, 0, 0, 77][..], &[0, 0, 0, 2], &[0, 0]] {
        mark(&mut log, &control(1, 2, key)).unwrap();
    }
    log.advance_high_watermark(log.log_end());
    let producer = log.producers().next().unwrap();
    assert_eq!((producer.txn_first_offset, producer.epoch.value()), (Some(offset(0)), 3));
    assert_eq!(producer.coordinator_epoch, None);
    assert_eq!(log.last_stable(), offset(0));
}

#[test]
fn an_empty_control_batch_ends_nothing() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    // What compaction leaves of a marker: the header, with no record.
    let mut empty = marker(1, 0, false, 0);
    empty.truncate(61);
    empty[8..12].copy_from_slice(&49i32.to_be_bytes());
    empty[57..61].copy_from_slice(&0i32.to_be_bytes());
    let crc = highwater_records::crc32c(&empty[21..]);
    empty[17..21].copy_from_slice(&crc.to_be_bytes());
    log.append_as_follower(&at(empty, 1), None, NOW).unwrap().unwrap();
    assert_eq!(log.log_end(), offset(2));
    log.advance_high_watermark(offset(2));
    assert_eq!((log.last_stable(), indexed(&log)), (offset(0), vec![(0, vec![])]));
}

#[test]
fn a_replica_takes_markers_and_batches_that_a_leader_would_refuse() {
    let (_disk, mut log) = new_log(LogConfig::default());
    let replicated = [
        at(in_txn(1, 3, 7, 1), 0),
        at(marker(1, 2, false, 5), 1),
        at(marker(1, 2, false, 4), 2),
        // Epoch and sequence go back, and a batch outside of its open transaction follows.
        at(in_txn(1, 1, 90, 1), 3),
        at(produced(1, 1, 2, 1), 4),
    ];
    log.append_as_follower(&replicated.concat(), Some(LeaderEpoch::new(0)), NOW).unwrap().unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(1, 0, 1, 2)])]);
    let producer = log.producers().next().unwrap();
    assert_eq!((producer.epoch.value(), producer.coordinator_epoch), (1, Some(4)));
    assert_eq!(producer.txn_first_offset, Some(offset(3)));
}

#[test]
fn recovery_and_reopening_find_the_same_transactions() {
    let (disk, mut log) = new_log(small_segments(400));
    append(&mut log, &in_txn(9, 0, 0, 1)).unwrap();
    for i in 0..6 {
        whole_txn(&mut log, 1, i * 2, i % 3 == 0);
        whole_txn(&mut log, 2, i * 2, false);
    }
    append(&mut log, &in_txn(1, 0, 12, 1)).unwrap();
    mark(&mut log, &marker(9, 1, false, 0)).unwrap();
    log.advance_high_watermark(log.log_end());
    let before = log.describe().unwrap();
    assert!(3 < before.segments.iter().filter(|segment| !segment.aborted.is_empty()).count());
    let images: Vec<_> =
        files(&disk).into_iter().map(|name| (name.clone(), disk.read(&path(&name)).unwrap())).collect();
    let open_since = |log: &Log| log.producers().filter_map(|producer| producer.txn_first_offset).collect::<Vec<_>>();
    let summary = |log: &Log| (indexed(log), log.last_stable(), open_since(log));
    let expected = summary(&log);
    let recovery_points = [0, 7, log.log_end().value()];
    log.close(NOW).unwrap();
    let end = log.log_end();
    let clean = OpenOptions { clean: true, recovery_point: end, high_watermark: end, ..OpenOptions::unclean(NOW) };
    assert_eq!(summary(&open(&disk, small_segments(400), clean)), expected);
    for recovery_point in recovery_points {
        // As the process was killed: with everything that it had written, and no snapshot at the end.
        let killed = MemDisk::new();
        killed.create_dir_all(path("").as_path()).unwrap();
        images.iter().for_each(|(name, bytes)| killed.write(&path(name), bytes));
        let options =
            OpenOptions { recovery_point: offset(recovery_point), high_watermark: end, ..OpenOptions::unclean(NOW) };
        assert_eq!(summary(&open(&killed, small_segments(400), options)), expected, "from {recovery_point}");
    }
}

#[test]
fn a_damaged_transaction_index_has_its_segment_recovered_also_after_a_clean_stop() {
    let name = "00000000000000000000.txnindex";
    // An unknown version, and markers that do not increase.
    for (at, value) in [(1, 9), (18 + 7, 99)] {
        for clean in [true, false] {
            let (disk, mut log) = new_log(small_segments(400));
            whole_txn(&mut log, 1, 0, false);
            whole_txn(&mut log, 2, 0, false);
            for _ in 0..3 {
                append(&mut log, &batch(1, 250)).unwrap();
            }
            let expected = indexed(&log);
            assert_eq!(expected[0].1.len(), 2);
            log.close(NOW).unwrap();
            let whole = disk.read(&path(name)).unwrap();
            let mut damaged = whole.clone();
            damaged[at] = value;
            disk.write(&path(name), &damaged);
            let end = log.log_end();
            let options = OpenOptions { clean, recovery_point: end, ..OpenOptions::unclean(NOW) };
            assert_eq!(indexed(&open(&disk, small_segments(400), options)), expected, "clean: {clean}");
            assert_eq!(disk.read(&path(name)), Some(whole));
        }
    }
}

#[test]
fn an_entry_below_the_base_has_its_segment_recovered() {
    let (disk, mut log) = new_log(small_segments(400));
    for _ in 0..3 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    whole_txn(&mut log, 1, 0, false);
    let expected = indexed(&log);
    log.close(NOW).unwrap();
    let (base, _) = expected.iter().find(|(_, aborted)| !aborted.is_empty()).unwrap();
    let name = path(&format!("{base:020}.txnindex"));
    let whole = disk.read(&name).unwrap();
    let mut below = whole.clone();
    below[18..26].copy_from_slice(&(base - 1).to_be_bytes());
    disk.write(&name, &below);
    let clean = OpenOptions { clean: true, ..OpenOptions::unclean(NOW) };
    assert_eq!(indexed(&open(&disk, small_segments(400), clean)), expected);
    assert_eq!(disk.read(&name), Some(whole));
}

#[test]
fn a_missing_offset_index_has_its_segment_recovered_wherever_the_recovery_point_is() {
    for clean in [true, false] {
        let (disk, mut log) = new_log(small_segments(800));
        for _ in 0..9 {
            append(&mut log, &batch(1, 250)).unwrap();
        }
        log.close(NOW).unwrap();
        let expected: Vec<_> = log.describe().unwrap().segments.into_iter().map(|s| s.offset_index).collect();
        assert!(!expected[0].is_empty());
        disk.remove_file(&path("00000000000000000000.index")).unwrap();
        let options = OpenOptions { clean, recovery_point: log.log_end(), ..OpenOptions::unclean(NOW) };
        let reopened = open(&disk, small_segments(800), options);
        let found: Vec<_> = reopened.describe().unwrap().segments.into_iter().map(|s| s.offset_index).collect();
        assert_eq!(found[0], expected[0], "clean: {clean}");
    }
}

#[test]
fn truncation_takes_markers_back() {
    let (disk, mut log) = new_log(small_segments(400));
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    whole_txn(&mut log, 2, 0, false);
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    whole_txn(&mut log, 3, 0, false);
    assert_eq!(indexed(&log)[0].1.len(), 2);
    log.advance_high_watermark(offset(4));
    log.truncate_to(offset(4), NOW).unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(2, 1, 3, 0)])]);
    assert_eq!(disk.read(&path("00000000000000000000.txnindex")).unwrap().len(), 34);
    // The first transaction is open again, and the second one's marker is committed.
    assert_eq!(log.last_stable(), offset(0));
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    assert_eq!(indexed(&log), [(0, vec![aborted(2, 1, 3, 0), aborted(1, 0, 4, 5)])]);
    log.truncate_fully_and_start_at(offset(50), Some(offset(0)), NOW).unwrap();
    assert_eq!(indexed(&log), [(50, vec![])]);
    assert_eq!(log.last_stable(), offset(50));
}

#[test]
fn markers_that_are_committed_hold_nothing_back_after_a_truncation() {
    let (_disk, mut log) = new_log(LogConfig::default());
    whole_txn(&mut log, 1, 0, true);
    append(&mut log, &batch(2, 10)).unwrap();
    append(&mut log, &batch(2, 10)).unwrap();
    log.advance_high_watermark(offset(5));
    assert_eq!(log.last_stable(), offset(5));
    log.truncate_to(offset(5), NOW).unwrap();
    assert_eq!(log.last_stable(), offset(5));
}

#[test]
fn a_segments_transaction_index_goes_with_it() {
    let (disk, mut log) = new_log(small_segments(400));
    whole_txn(&mut log, 1, 0, false);
    for _ in 0..3 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    log.advance_high_watermark(log.log_end());
    log.delete_records(offset(5)).unwrap();
    log.apply_retention(NOW).unwrap();
    let is_there = |name: &str| files(&disk).iter().any(|file| file == name);
    assert!(is_there("00000000000000000000.txnindex.deleted"));
    assert!(!is_there("00000000000000000000.txnindex"));
    log.due_deletions(NOW.plus_ms(60_000)).unwrap().run().unwrap();
    assert!(!is_there("00000000000000000000.txnindex.deleted"));
}

#[test]
fn a_transaction_index_without_a_log_is_removed() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(1, 10)).unwrap();
    log.close(NOW).unwrap();
    disk.write(&path("00000000000000000900.txnindex"), &[0; 34]);
    open(&disk, LogConfig::default(), OpenOptions { clean: true, ..OpenOptions::unclean(NOW) });
    assert!(!files(&disk).iter().any(|name| name.ends_with(".txnindex")));
}

#[test]
fn a_flush_makes_the_transaction_indexes_of_closed_segments_durable() {
    use highwater_log::CrashLoss;
    let (disk, mut log) = new_log(small_segments(400));
    whole_txn(&mut log, 1, 0, false);
    let name = path("00000000000000000000.txnindex");
    let whole = disk.read(&name);
    for _ in 0..2 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    let done = log.due_flush().unwrap().run().unwrap();
    log.complete_flush(done);
    disk.crash(CrashLoss::Tail { per_256: 0 });
    assert_eq!(disk.read(&name), whole);
}

#[test]
fn a_roll_at_the_recovery_point_makes_the_transaction_index_durable_at_once() {
    use highwater_log::CrashLoss;
    let (disk, mut log) = new_log(LogConfig::default());
    whole_txn(&mut log, 1, 0, false);
    let name = path("00000000000000000000.txnindex");
    let whole = disk.read(&name);
    log.flush().unwrap();
    log.roll(NOW).unwrap();
    disk.crash(CrashLoss::Tail { per_256: 0 });
    assert_eq!(disk.read(&name), whole);
}

/// A log whose names have been synced before its first transaction index was created.
fn log_with_a_young_transaction_index() -> (NamesDisk, Log, std::path::PathBuf) {
    let disk = NamesDisk::default();
    let config = small_segments(400).checked().unwrap();
    let mut log = Log::open(Arc::new(disk.clone()), path("").as_path(), config, OpenOptions::unclean(NOW)).unwrap();
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    log.flush().unwrap();
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    let name = path("00000000000000000000.txnindex");
    assert!(disk.is_durable(&path("00000000000000000000.log")) && !disk.is_durable(&name));
    (disk, log, name)
}

#[test]
fn a_flush_makes_the_name_of_a_closed_segments_transaction_index_durable() {
    let (disk, mut log, name) = log_with_a_young_transaction_index();
    append(&mut log, &batch(1, 250)).unwrap();
    assert_eq!(log.segment_count(), 2);
    let done = log.due_flush().unwrap().run().unwrap();
    log.complete_flush(done);
    assert!(disk.is_durable(&name));
}

#[test]
fn a_roll_at_the_recovery_point_makes_the_name_durable_at_once() {
    let (disk, mut log, name) = log_with_a_young_transaction_index();
    log.flush().unwrap();
    log.roll(NOW).unwrap();
    assert!(disk.is_durable(&name));
}

#[test]
fn closing_makes_the_transaction_index_durable() {
    use highwater_log::CrashLoss;
    let (disk, mut log) = new_log(LogConfig::default());
    whole_txn(&mut log, 1, 0, false);
    let name = path("00000000000000000000.txnindex");
    let whole = disk.read(&name);
    log.close(NOW).unwrap();
    disk.crash(CrashLoss::Tail { per_256: 0 });
    assert_eq!(disk.read(&name), whole);
}

#[test]
fn an_open_transaction_keeps_its_producer_from_expiring() {
    let (_disk, mut log) = new_log(LogConfig { producer_expiration_ms: 1_000, ..LogConfig::default() });
    append(&mut log, &in_txn(1, 0, 0, 1)).unwrap();
    log.expire_producers(NOW.plus_ms(1 << 40));
    assert_eq!(log.producers().count(), 1);
    mark(&mut log, &marker(1, 0, true, 0)).unwrap();
    log.expire_producers(NOW.plus_ms(1 << 40));
    assert_eq!(log.producers().count(), 0);
}
