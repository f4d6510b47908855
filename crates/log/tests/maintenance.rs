//! Reading, look-ups, truncation, retention, flushing and opening again.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use highwater_log::{CleanupPolicy, CrashLoss, LogConfig, LogError, OpenOptions, ReadBound, TimestampQuery};
use highwater_records::ProducerStamp;
use highwater_types::{Offset, TimestampMs};
use support::*;

#[test]
fn a_read_ends_at_its_bound_and_its_segment() {
    let one = batch(2, 100);
    let size = u32::try_from(one.len()).unwrap();
    let (_disk, mut log) = new_log(small_segments(3 * size));
    for _ in 0..5 {
        append(&mut log, &one).unwrap();
    }
    log.advance_high_watermark(offset(4));
    let read = |start, max, min_one, bound| log.read(offset(start), max, min_one, bound).unwrap();
    assert_eq!(read(0, u32::MAX, true, ReadBound::LogEnd).length, 3 * size);
    assert_eq!(read(0, u32::MAX, true, ReadBound::HighWatermark).length, 2 * size);
    assert_eq!(read(1, u32::MAX, true, ReadBound::LogEnd).offset, offset(0), "it starts at the batch");
    assert_eq!(read(6, u32::MAX, true, ReadBound::HighWatermark).length, 0);
    assert_eq!(read(6, 1, true, ReadBound::LogEnd).length, size, "min_one raises the limit");
    let cut = read(6, 1, false, ReadBound::LogEnd);
    assert_eq!((cut.length, cut.first_entry_incomplete), (1, true));
    assert_eq!(read(6, 0, false, ReadBound::LogEnd).length, 0);
    let end = read(10, 100, true, ReadBound::LogEnd);
    assert_eq!((end.offset, end.length, end.file.is_none()), (offset(10), 0, true));
    let error = log.read(offset(11), 100, true, ReadBound::LogEnd).unwrap_err();
    assert!(matches!(error, LogError::OutOfRange { .. }), "{error}");
}

#[test]
fn an_index_entry_is_due_after_more_than_the_interval() {
    let one = batch(1, 100);
    let size = u32::try_from(one.len()).unwrap();
    for (interval, entries) in [(2 * size, 1), (2 * size - 1, 2)] {
        let (_disk, mut log) = new_log(LogConfig { index_interval_bytes: interval, ..small_segments(10_000) });
        for _ in 0..5 {
            append(&mut log, &one).unwrap();
        }
        assert_eq!(log.describe().unwrap().segments[0].offset_index.len(), entries, "{interval}");
    }
}

#[test]
fn snapshots_at_or_below_the_log_start_are_not_used() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(1, 0, 0, 2)).unwrap();
    log.roll(NOW).unwrap();
    append(&mut log, &produced(2, 0, 0, 2)).unwrap();
    drop(log);
    let options = OpenOptions { recovery_point: offset(4), log_start: offset(2), ..OpenOptions::unclean(NOW) };
    let log = open(&disk, LogConfig::default(), options);
    assert_eq!(log.producers().map(|p| p.producer_id.value()).collect::<Vec<_>>(), [2]);
}

#[test]
fn readers_keep_their_slice_while_the_log_goes_on() {
    let (disk, mut log) = new_log(LogConfig { retention_bytes: Some(0), ..small_segments(500) });
    append(&mut log, &batch(1, 300)).unwrap();
    let slice = log.read(offset(0), 1_000, true, ReadBound::LogEnd).unwrap();
    let before = slice.read_to_vec().unwrap();
    append(&mut log, &batch(1, 300)).unwrap();
    log.advance_high_watermark(offset(1));
    assert_eq!(log.apply_retention(NOW).unwrap(), 1);
    log.due_deletions(NOW.plus_ms(60_000)).unwrap().run().unwrap();
    assert!(!files(&disk).iter().any(|name| name.starts_with("00000000000000000000")));
    assert_eq!(slice.read_to_vec().unwrap(), before);
}

#[test]
fn timestamps_are_found_by_record_and_files_without_any_by_their_age() {
    let (disk, mut log) = new_log(small_segments(300));
    for (i, timestamp) in [10, 30, 20, 40].into_iter().enumerate() {
        append(&mut log, &batch_at(TimestampMs(timestamp), 1, 100, ProducerStamp::NONE)).unwrap();
        assert_eq!(log.log_end(), offset(i as u64 + 1));
    }
    let at = |timestamp| {
        let found = log.offset_for_timestamp(TimestampQuery::At(TimestampMs(timestamp))).unwrap();
        found.map(|answer| (answer.offset.value(), answer.timestamp.value()))
    };
    assert_eq!(
        [at(0), at(11), at(30), at(31), at(41)],
        [Some((0, 10)), Some((1, 30)), Some((1, 30)), Some((3, 40)), None]
    );
    let newest = log.offset_for_timestamp(TimestampQuery::MaxTimestamp).unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (offset(3), TimestampMs(40)));
    disk.set_time(TimestampMs(500));
    let (_disk, mut untimed) = new_log(LogConfig { retention_ms: Some(1_000), ..small_segments(300) });
    for _ in 0..4 {
        append(&mut untimed, &batch_at(TimestampMs::NONE, 1, 100, ProducerStamp::NONE)).unwrap();
    }
    untimed.advance_high_watermark(offset(4));
    assert_eq!(untimed.apply_retention(NOW.plus_ms(1_000)).unwrap(), 0);
    assert_eq!(untimed.offset_for_timestamp(TimestampQuery::MaxTimestamp).unwrap(), None);
    assert!(0 < untimed.apply_retention(NOW.plus_ms(1_001)).unwrap(), "the files' time counts");
}

#[test]
fn retention_deletes_only_a_committed_prefix() {
    let config = LogConfig { retention_ms: Some(1_000), ..small_segments(400) };
    let (_disk, mut log) = new_log(config);
    for timestamp in [0, 0, 90_000, 0, 0, 0, 0] {
        append(&mut log, &batch_at(NOW.plus_ms(timestamp), 1, 250, ProducerStamp::NONE)).unwrap();
    }
    let later = NOW.plus_ms(60_000);
    assert_eq!(log.apply_retention(later).unwrap(), 0, "nothing is committed");
    log.advance_high_watermark(offset(7));
    assert_eq!(log.apply_retention(later).unwrap(), 2, "a time in the future blocks what follows");
    assert_eq!(log.log_start(), offset(2));
    assert_eq!(log.apply_retention(NOW.plus_ms(95_000)).unwrap(), 5, "all of them: the active one is rolled first");
    assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (offset(7), offset(7), 1));
    append(&mut log, &batch(1, 10)).unwrap();
}

#[test]
fn compacted_logs_delete_only_below_their_start() {
    let cleanup = CleanupPolicy { delete: false, compact: true };
    let (_disk, mut log) = new_log(LogConfig { cleanup, retention_bytes: Some(0), ..small_segments(400) });
    for _ in 0..4 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    log.advance_high_watermark(offset(4));
    assert_eq!(log.apply_retention(NOW.plus_ms(1 << 50)).unwrap(), 0);
    log.delete_records(offset(2)).unwrap();
    assert_eq!(log.apply_retention(NOW).unwrap(), 2);
}

#[test]
fn deleted_records_are_out_of_reach_though_their_bytes_stay() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(4, 10)).unwrap();
    assert!(matches!(log.delete_records(offset(1)), Err(LogError::OutOfRange { .. })), "not committed");
    log.advance_high_watermark(offset(4));
    let size = log.size_bytes();
    assert_eq!(log.delete_records(offset(3)).unwrap(), offset(3));
    assert_eq!(log.size_bytes(), size);
    assert!(matches!(log.read(offset(2), 1, true, ReadBound::LogEnd), Err(LogError::OutOfRange { .. })));
    log.close(NOW).unwrap();
    let kept = OpenOptions { clean: true, log_start: offset(3), ..OpenOptions::unclean(NOW) };
    assert_eq!(open(&disk, LogConfig::default(), kept).log_start(), offset(3));
}

#[test]
fn truncation_drops_whole_batches_and_forgets_their_producers() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &produced(1, 0, 0, 3)).unwrap();
    append(&mut log, &produced(1, 0, 3, 3)).unwrap();
    append(&mut log, &produced(2, 0, 0, 3)).unwrap();
    log.advance_high_watermark(offset(9));
    assert!(log.truncate_to(offset(5), NOW).unwrap());
    assert_eq!((log.log_end(), log.high_watermark()), (offset(5), offset(5)));
    assert_eq!(ranges(&read_all(&log, offset(0))), [(0, 2)]);
    let known: Vec<_> = log.producers().map(|p| (p.producer_id.value(), p.last_offset)).collect();
    assert_eq!(known, [(1, Some(offset(2)))]);
    assert_eq!(append(&mut log, &produced(1, 0, 3, 3)).unwrap().base_offset, offset(5));
    assert!(!log.truncate_to(offset(99), NOW).unwrap());
    log.truncate_fully_and_start_at(offset(50), None, NOW).unwrap();
    assert_eq!((log.log_start(), log.log_end(), log.producers().count()), (offset(50), offset(50), 0));
    assert!(log.truncate_to(offset(7), NOW).unwrap(), "below the first segment the log starts anew");
    assert_eq!((log.log_start(), log.log_end()), (offset(7), offset(7)));
}

#[test]
fn a_flush_that_a_truncation_overtakes_does_not_count() {
    let (_disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(4, 10)).unwrap();
    append(&mut log, &batch(4, 10)).unwrap();
    let task = log.flush_task().unwrap();
    assert_eq!(task.up_to(), offset(8));
    log.truncate_to(offset(4), NOW).unwrap();
    append(&mut log, &batch(6, 10)).unwrap();
    log.complete_flush(task.run().unwrap());
    assert_eq!(log.recovery_point(), offset(0));
    log.flush().unwrap();
    assert_eq!(log.recovery_point(), offset(10));
    assert!(log.flush_task().is_none());
}

#[test]
fn rolled_segments_are_synced_by_the_due_flush() {
    let (disk, mut log) = new_log(small_segments(400));
    for _ in 0..4 {
        append(&mut log, &batch(1, 250)).unwrap();
    }
    let task = log.due_flush().unwrap();
    assert!(log.due_flush().is_none(), "once");
    log.complete_flush(task.run().unwrap());
    assert_eq!(log.recovery_point(), offset(3));
    disk.crash(CrashLoss::Tail { per_256: 0 });
    let options = OpenOptions { recovery_point: offset(3), ..OpenOptions::unclean(NOW) };
    assert_eq!(open(&disk, small_segments(400), options).log_end(), offset(3));
}

#[test]
fn recovery_stops_at_the_first_damage_and_drops_what_follows() {
    let one = batch(1, 250);
    for (name, damage) in [("flip", 2usize), ("zeros", 1), ("cut", 0)] {
        let (disk, mut log) = new_log(small_segments(2 * u32::try_from(one.len()).unwrap()));
        for _ in 0..6 {
            append(&mut log, &one).unwrap();
        }
        drop(log);
        let middle = path("00000000000000000002.log");
        let mut bytes = disk.read(&middle).unwrap();
        match damage {
            2 => bytes[one.len() + 100] ^= 1,
            1 => bytes[one.len()..].fill(0),
            _ => bytes.truncate(one.len() + 30),
        }
        disk.write(&middle, &bytes);
        let log = open(&disk, small_segments(600), OpenOptions::unclean(NOW));
        assert_eq!((log.log_end(), log.segment_count()), (offset(3), 2), "{name}");
        assert_eq!(log.recovery_point(), offset(0), "{name}: recovery does not advance it");
        assert!(files(&disk).contains(&"00000000000000000004.log.deleted".to_owned()), "{name}");
        assert_eq!(disk.read(&middle).unwrap().len(), one.len(), "{name}");
    }
}

#[test]
fn bytes_behind_a_log_closed_in_order_go_before_the_next_append() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(2, 10)).unwrap();
    log.close(NOW).unwrap();
    let file = path("00000000000000000000.log");
    let mut bytes = disk.read(&file).unwrap();
    let valid = bytes.len();
    bytes.extend_from_slice(&batch(2, 10)[..30]);
    disk.write(&file, &bytes);
    let clean = OpenOptions { clean: true, ..OpenOptions::unclean(NOW) };
    let mut log = open(&disk, LogConfig::default(), clean);
    assert_eq!((log.log_end(), log.size_bytes()), (offset(2), valid as u64 + 30));
    append(&mut log, &batch(1, 10)).unwrap();
    assert_eq!(ranges(&read_all(&log, offset(0))), [(0, 1), (2, 2)]);
}

#[test]
fn a_log_that_ends_below_its_start_begins_there() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(2, 10)).unwrap();
    drop(log);
    let options = OpenOptions { log_start: offset(90), ..OpenOptions::unclean(NOW) };
    let log = open(&disk, LogConfig::default(), options);
    assert_eq!((log.log_start(), log.log_end()), (offset(90), offset(90)));
    assert_eq!(log.epochs().latest(), None);
}

#[test]
fn the_high_watermark_starts_between_log_start_and_log_end() {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(5, 10)).unwrap();
    log.close(NOW).unwrap();
    let start = |log_start, high_watermark| {
        let options = OpenOptions {
            clean: true,
            log_start: offset(log_start),
            high_watermark: offset(high_watermark),
            ..OpenOptions::unclean(NOW)
        };
        let log = open(&disk, LogConfig::default(), options);
        let offsets: [Offset; 3] = [log.log_start(), log.high_watermark(), log.last_stable()];
        offsets.map(Offset::value)
    };
    assert_eq!(start(0, 0), [0, 0, 0]);
    assert_eq!(start(0, 99), [0, 5, 5]);
    assert_eq!(start(2, 1), [2, 2, 2]);
}
