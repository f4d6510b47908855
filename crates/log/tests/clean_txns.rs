//! Compaction of transactions: aborted records go, and markers when nothing needs them any more.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{Log, LogReader, ReadBound};
use highwater_types::TimestampMs;
use support::clean::{at, clean_all, config, end_transaction, put, put_transactional, records, roll, with_batches};
use support::txn::{aborted, indexed};
use support::{NOW, new_log, offset};

/// Forgets the producers, whose last batches would stay.
fn forget_producers(log: &mut Log) {
    log.expire_producers(at(1_000_000_000));
    assert_eq!(log.producers().count(), 0);
}

/// Whether each control batch has a horizon.
fn horizons(log: &Log) -> Vec<(i64, Option<i64>)> {
    let mut found = Vec::new();
    with_batches(log, |batch| {
        if batch.is_control() {
            found.push((batch.base_offset(), batch.delete_horizon()));
        }
    });
    found
}

fn committed_keys(log: &Log) -> Vec<(i64, Vec<u8>)> {
    let mut found = Vec::new();
    LogReader::new(log.log_start(), ReadBound::LastStable)
        .for_each(log, |record| found.push((record.offset, record.key.unwrap().to_vec())))
        .unwrap();
    found
}

#[test]
fn aborted_records_go_and_their_marker_a_retention_after_a_pass_without_them() {
    let (_, mut log) = new_log(config());
    put(&mut log, &[("a", "1")]);
    put_transactional(&mut log, 1, 0, &[("a", "2"), ("b", "2")]);
    end_transaction(&mut log, 1, false);
    roll(&mut log);
    put(&mut log, &[("c", "1")]);
    roll(&mut log);
    forget_producers(&mut log);
    clean_all(&mut log, at(10));
    // An aborted record supersedes nothing. Readers that are among the records now have to be told of the abort.
    assert_eq!(records(&log), ["0 a=1", "3 marker", "4 c=1"]);
    assert_eq!(horizons(&log), [(3, None)]);
    assert_eq!(indexed(&log)[0].1, [aborted(1, 1, 3, 4)]);
    assert_eq!(log.aborted_between(offset(0), offset(9)).unwrap(), [aborted(1, 1, 3, 4)]);
    clean_all(&mut log, at(20));
    assert_eq!(horizons(&log), [(3, Some(at(1_020).value()))], "from the first pass that saw no record");
    assert_eq!(indexed(&log)[0].1, [], "there is nothing to leave out any more");
    clean_all(&mut log, at(1_019));
    assert_eq!(records(&log), ["0 a=1", "3 marker", "4 c=1"]);
    clean_all(&mut log, at(1_020));
    assert_eq!(records(&log), ["0 a=1", "4 c=1"]);
}

#[test]
fn a_commit_marker_stays_as_long_as_a_record_of_its_transaction() {
    let (_, mut log) = new_log(config());
    put_transactional(&mut log, 1, 0, &[("a", "1"), ("b", "1")]);
    end_transaction(&mut log, 1, true);
    roll(&mut log);
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    forget_producers(&mut log);
    clean_all(&mut log, at(10));
    clean_all(&mut log, at(5_000));
    assert_eq!(records(&log), ["1 b=1", "2 marker", "3 a=2"]);
    assert_eq!(horizons(&log), [(2, None)]);
    put(&mut log, &[("b", "2")]);
    roll(&mut log);
    clean_all(&mut log, at(5_000));
    assert_eq!(horizons(&log), [(2, None)], "this pass has seen the record that it removed");
    clean_all(&mut log, at(5_000));
    assert_eq!(horizons(&log), [(2, Some(at(6_000).value()))]);
    clean_all(&mut log, at(6_000));
    assert_eq!(records(&log), ["3 a=2", "4 b=2"]);
}

#[test]
fn a_marker_of_an_epoch_that_would_be_forgotten_stays_without_its_record() {
    let (_, mut log) = new_log(config());
    put_transactional(&mut log, 1, 0, &[("a", "1")]);
    end_transaction(&mut log, 1, true);
    // A marker of a later epoch: no batch of that epoch is known.
    let fenced = highwater_records::EndTxnMarker { committed: false, coordinator_epoch: 0 }.to_batch(1, 3, NOW.value());
    support::txn::mark(&mut log, &fenced).unwrap();
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    for now in [10, 20, 2_000, 4_000] {
        clean_all(&mut log, at(now));
    }
    // The last known epoch is what fences the producer's older incarnations.
    assert_eq!(records(&log), ["2..2", "3 a=2"]);
    with_batches(&log, |batch| {
        assert!(batch.count() > 0 || batch.is_control() && batch.producer_epoch() == 3);
    });
}

#[test]
fn a_transaction_over_several_segments_is_followed_through_them() {
    let (_, mut log) = new_log(config());
    put_transactional(&mut log, 1, 0, &[("a", "1")]);
    put_transactional(&mut log, 2, 0, &[("b", "1")]);
    roll(&mut log);
    put_transactional(&mut log, 1, 1, &[("a", "2")]);
    end_transaction(&mut log, 2, true);
    roll(&mut log);
    put(&mut log, &[("c", "1")]);
    end_transaction(&mut log, 1, false);
    roll(&mut log);
    put_transactional(&mut log, 1, 2, &[("a", "3")]);
    end_transaction(&mut log, 1, true);
    roll(&mut log);
    forget_producers(&mut log);
    let cleaned = clean_all(&mut log, at(10));
    assert_eq!(cleaned.first_dirty, Some(offset(8)));
    assert_eq!(records(&log), ["1 b=1", "3 marker", "4 c=1", "5 marker", "6 a=3", "7 marker"]);
    assert_eq!(committed_keys(&log), [(1, b"b".to_vec()), (4, b"c".to_vec()), (6, b"a".to_vec())]);
}

#[test]
fn records_of_a_producer_after_its_abort_are_not_taken_for_aborted_in_a_later_pass() {
    let (_, mut log) = new_log(config());
    put_transactional(&mut log, 1, 0, &[("a", "1")]);
    end_transaction(&mut log, 1, false);
    roll(&mut log);
    let mut cleaner = highwater_log::Cleaner::default();
    support::clean::clean(&mut log, &mut cleaner, at(10));
    put_transactional(&mut log, 1, 1, &[("a", "2")]);
    put_transactional(&mut log, 1, 2, &[("a", "3")]);
    end_transaction(&mut log, 1, true);
    roll(&mut log);
    forget_producers(&mut log);
    // The second pass begins behind the abort, whose transaction its map must not know of.
    support::clean::clean(&mut log, &mut cleaner, at(20));
    assert_eq!(records(&log), ["1 marker", "3 a=3", "4 marker"]);
}

#[test]
fn what_is_aborted_is_judged_by_markers_beyond_what_is_cleaned() {
    let (_, mut log) = new_log(config());
    put_transactional(&mut log, 1, 0, &[("a", "1")]);
    roll(&mut log);
    put_transactional(&mut log, 2, 0, &[("z", "1")]);
    put(&mut log, &[("b", "1")]);
    // The second producer's transaction holds the stable offset at 1; the first's is over.
    end_transaction(&mut log, 1, false);
    roll(&mut log);
    assert_eq!(log.last_stable(), offset(1));
    forget_open(&mut log);
    let cleanable = log.cleanable(at(10)).unwrap();
    assert_eq!(cleanable.first_uncleanable, offset(1));
    clean_all(&mut log, at(10));
    assert_eq!(records(&log), ["0..0", "1 z=1", "2 b=1", "3 marker"], "a header ends what was cleaned");
}

/// Forgets the producers without an open transaction.
fn forget_open(log: &mut Log) {
    log.expire_producers(TimestampMs(i64::MAX));
}
