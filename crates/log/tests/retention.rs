//! Which segments retention deletes: the rules of the storage format's section 18, one by one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{CleanupPolicy, Log, LogConfig, LogError, ReadBound, TimestampQuery};
use highwater_records::ProducerStamp;
use highwater_types::TimestampMs;

use support::txn::in_txn;
use support::{NOW, append, batch, batch_at, new_log, offset, small_segments};

/// A log of `count` committed segments, each of one batch of one record.
fn log_of(count: u64, config: LogConfig) -> Log {
    let (_disk, mut log) = new_log(config);
    for _ in 0..count {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    log.advance_high_watermark(log.log_end());
    assert_eq!(log.segment_count() as u64, count);
    log
}

fn segment_size() -> u64 {
    batch(1, 250).len() as u64
}

#[test]
fn size_deletes_while_the_excess_is_at_least_the_segment() {
    // Four segments; what they may take, and how many go. Below the limit it stays, whatever the excess.
    let size = segment_size();
    for (limit, deleted) in
        [(4 * size, 0), (3 * size + 1, 0), (3 * size, 1), (2 * size + 1, 1), (2 * size, 2), (1, 3), (5 * size, 0)]
    {
        let config = LogConfig { retention_bytes: Some(limit), retention_ms: None, ..small_segments(400) };
        let mut log = log_of(4, config);
        assert_eq!(log.apply_retention(NOW).unwrap(), deleted, "limit {limit}, segments of {size}");
        assert_eq!(log.log_start(), offset(u64::from(deleted)));
    }
}

#[test]
fn a_size_of_zero_leaves_an_empty_active_segment() {
    let config = LogConfig { retention_bytes: Some(0), retention_ms: None, ..small_segments(400) };
    let mut log = log_of(3, config);
    assert_eq!(log.apply_retention(NOW).unwrap(), 3);
    assert_eq!((log.log_start(), log.log_end(), log.size_bytes()), (offset(3), offset(3), 0));
    assert_eq!(log.apply_retention(NOW).unwrap(), 0, "an empty segment is not replaced by another");
    assert_eq!(append(&mut log, &batch(1, 10)).unwrap().base_offset, offset(3));
}

#[test]
fn unlimited_size_and_time_delete_nothing() {
    let config = LogConfig { retention_bytes: None, retention_ms: None, ..small_segments(400) };
    assert_eq!(log_of(4, config).apply_retention(TimestampMs(i64::MAX)).unwrap(), 0);
}

#[test]
fn age_must_exceed_the_limit() {
    let config = LogConfig { retention_ms: Some(1_000), ..small_segments(400) };
    let mut log = log_of(3, config);
    assert_eq!(log.apply_retention(NOW.plus_ms(1_000)).unwrap(), 0);
    assert_eq!(log.apply_retention(NOW.plus_ms(1_001)).unwrap(), 3);
}

#[test]
fn a_segment_goes_when_the_next_one_begins_at_or_below_the_log_start_and_the_active_one_never() {
    let config = LogConfig { retention_ms: None, ..small_segments(800) };
    let (_disk, mut log) = new_log(config);
    for _ in 0..5 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    log.advance_high_watermark(offset(5));
    assert_eq!(log.segment_count(), 3, "two records each");
    for (start, deleted) in [(1, 0), (2, 1), (3, 0), (5, 1)] {
        log.delete_records(offset(start)).unwrap();
        assert_eq!(log.apply_retention(NOW).unwrap(), deleted, "log start {start}");
    }
    assert_eq!((log.log_start(), log.segment_count()), (offset(5), 1));
    assert!(0 < log.size_bytes(), "the bytes of the active segment stay");
    assert!(matches!(log.read(offset(4), 1, true, ReadBound::LogEnd), Err(LogError::OutOfRange { .. })));
}

#[test]
fn what_lies_below_the_log_start_does_not_count_as_size() {
    let size = segment_size();
    let config = LogConfig { retention_bytes: Some(3 * size), retention_ms: None, ..small_segments(400) };
    let mut log = log_of(4, config);
    log.delete_records(offset(1)).unwrap();
    // The log start goes first, and then there is no excess: the other order would delete for size.
    assert_eq!(log.apply_retention(NOW).unwrap(), 1);
    assert_eq!(log.log_start(), offset(1));
}

#[test]
fn the_cleanup_policy_says_which_rules_there_are() {
    let cases = [
        (CleanupPolicy { delete: true, compact: false }, 4),
        (CleanupPolicy { delete: true, compact: true }, 4),
        (CleanupPolicy { delete: false, compact: true }, 1),
        (CleanupPolicy { delete: false, compact: false }, 1),
    ];
    for (cleanup, deleted) in cases {
        let config = LogConfig { cleanup, retention_bytes: Some(0), retention_ms: Some(0), ..small_segments(400) };
        let mut log = log_of(4, config);
        log.delete_records(offset(1)).unwrap();
        assert_eq!(log.apply_retention(NOW.plus_ms(1)).unwrap(), deleted, "{cleanup:?}");
    }
}

#[test]
fn the_high_watermark_bounds_it_and_not_the_last_stable_offset() {
    let (_disk, mut log) = new_log(LogConfig { retention_ms: Some(0), ..small_segments(400) });
    append(&mut log, &in_txn(1, 0, 0, 3)).unwrap();
    for _ in 0..3 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    assert_eq!(log.segment_count(), 4);
    let later = NOW.plus_ms(10);
    log.advance_high_watermark(offset(2));
    assert_eq!(log.apply_retention(later).unwrap(), 0);
    log.advance_high_watermark(offset(3));
    assert_eq!(log.apply_retention(later).unwrap(), 1, "the first ends where the high watermark is");
    assert_eq!(log.last_stable(), offset(3), "the transaction is open still, its records are gone");
    log.advance_high_watermark(offset(5));
    assert_eq!(log.apply_retention(later).unwrap(), 2);
    log.advance_high_watermark(offset(6));
    assert_eq!(log.apply_retention(later).unwrap(), 1, "the active one, up to the log end");
    assert_eq!(log.segment_count(), 1);
}

#[test]
fn deleted_records_are_not_found_by_time_and_later_segments_are_not_tried() {
    let (_disk, mut log) = new_log(LogConfig { retention_ms: None, ..small_segments(800) });
    let at = |ms: i64| batch_at(NOW.plus_ms(ms), 1, 250, ProducerStamp::NONE);
    for ms in [100, 5, 200, 200] {
        append(&mut log, &at(ms)).unwrap();
    }
    log.advance_high_watermark(offset(4));
    assert_eq!(log.segment_count(), 2);
    let find = |log: &Log, ms: i64| {
        let found = log.offset_for_timestamp(TimestampQuery::At(NOW.plus_ms(ms))).unwrap();
        found.map(|found| found.offset.value())
    };
    let cases = [(0, Some(0)), (50, Some(0)), (101, Some(2)), (200, Some(2)), (201, None)];
    cases.iter().for_each(|&(ms, offset)| assert_eq!(find(&log, ms), offset, "{ms}"));
    log.delete_records(offset(1)).unwrap();
    // The first segment's largest time is still that of the deleted record.
    let cases = [(0, Some(1)), (5, Some(1)), (6, None), (50, None), (101, Some(2))];
    cases.iter().for_each(|&(ms, offset)| assert_eq!(find(&log, ms), offset, "{ms}"));
}

#[test]
fn a_batch_that_begins_below_the_log_start_is_searched_from_there() {
    let (_disk, mut log) = new_log(LogConfig { retention_ms: None, ..LogConfig::default() });
    append(&mut log, &batch(4, 10)).unwrap();
    log.advance_high_watermark(offset(4));
    log.delete_records(offset(2)).unwrap();
    let found = log.offset_for_timestamp(TimestampQuery::At(NOW)).unwrap();
    assert_eq!(found.map(|found| found.offset), Some(offset(2)));
}

#[test]
fn of_equal_largest_times_the_first_counts() {
    let (_disk, mut log) = new_log(LogConfig { retention_ms: None, ..small_segments(800) });
    let largest = |log: &Log| {
        let found = log.offset_for_timestamp(TimestampQuery::MaxTimestamp).unwrap();
        found.map(|found| (found.offset.value(), found.timestamp))
    };
    assert_eq!(largest(&log), None);
    for ms in [3, 9, 9, 4] {
        append(&mut log, &batch_at(NOW.plus_ms(ms), 2, 250, ProducerStamp::NONE)).unwrap();
    }
    assert_eq!(largest(&log), Some((2, NOW.plus_ms(9))));
}
