//! Compaction, rule by rule.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::ops::ControlFlow;

use highwater_log::{CleanStep, Cleaner, CleanerConfig, CleanupPolicy, Log, LogConfig, LogError, OpenOptions};
use highwater_records::{BatchBuilder, BatchOptions, Codec, Compression, RecordSet};
use support::clean::{
    at, bases, batch_of, clean, clean_all, config, producer, put, put_transactional, records, roll, run, with_batches,
};
use support::{NOW, append, files, new_log, offset, open, path, read_all};

#[test]
fn the_last_record_of_each_key_stays_and_records_without_a_key_go() {
    let (_, mut log) = new_log(config());
    let plain = LogConfig { cleanup: CleanupPolicy { delete: true, compact: false }, ..config() };
    log.set_config(plain.checked().unwrap());
    put(&mut log, &[("a", "1"), ("b", "1"), ("-", "none"), ("c", "1")]);
    log.set_config(config().checked().unwrap());
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    put(&mut log, &[("c", "2")]);
    let cleaned = clean_all(&mut log, NOW);
    // Offset 5 is in the active segment, which is not looked at.
    assert_eq!(records(&log), ["1 b=1", "3 c=1", "4 a=2", "5 c=2"]);
    assert_eq!(cleaned.first_dirty, Some(offset(5)));
    assert_eq!((cleaned.stats.records_read, cleaned.stats.records_written), (5, 3));
    assert_eq!((cleaned.stats.keys, cleaned.stats.segments_read, cleaned.stats.segments_written), (3, 1, 1));
    assert_eq!(log.clean_checkpoint(), Some(offset(5)));
}

#[test]
fn rewritten_batches_keep_offsets_sequences_epoch_codec_and_headers() {
    for codec in Codec::ALL {
        let (_, mut log) = new_log(config());
        let options =
            BatchOptions { compression: Compression::new(codec), producer: producer(7, 40), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        let header = highwater_records::HeaderView { key: b"h", value: None };
        for key in ["a", "b", "c"] {
            builder.append(NOW.value(), Some(key.as_bytes()), Some(b"old"), &[header]).unwrap();
        }
        support::append_in(&mut log, &builder.finish().unwrap(), 5).unwrap();
        put(&mut log, &[("a", "new"), ("c", "new")]);
        roll(&mut log);
        clean_all(&mut log, NOW);
        assert_eq!(records(&log), ["1 b=old", "3 a=new", "4 c=new"]);
        let mut seen = Vec::new();
        with_batches(&log, |batch| {
            let mut records = batch.records(Default::default()).unwrap();
            let headers = records.next_record().unwrap().unwrap().headers.len();
            seen.push((batch.base_offset(), batch.last_offset(), batch.base_sequence(), batch.leader_epoch(), headers));
            assert_eq!(batch.max_timestamp(), if seen.len() == 1 { NOW.value() } else { NOW.value() + 1 });
        });
        assert_eq!(seen, [(0, 2, 40, 5, 1), (3, 4, -1, 0, 0)], "{codec}");
        let bytes = read_all(&log, offset(0));
        let first = RecordSet::new(&bytes).entries().next().unwrap().unwrap();
        assert_eq!(first.codec(), Ok(codec));
    }
}

#[test]
fn a_batch_that_loses_nothing_is_copied() {
    let (_, mut log) = new_log(config());
    // Unused attribute bits would not survive a rewrite.
    let mut bytes = batch_of(&[("a", "1"), ("b", "1")], BatchOptions::default());
    bytes[21] = 0x80;
    highwater_records::BatchMut::parse(&mut bytes).unwrap().update_crc();
    log.append_as_follower(&bytes, None, NOW).unwrap();
    roll(&mut log);
    clean_all(&mut log, NOW);
    assert_eq!(read_all(&log, offset(0)), bytes);
}

#[test]
fn tombstones_go_when_the_horizon_set_by_their_first_pass_is_reached() {
    let (_, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("a", "-"), ("b", "1")]);
    roll(&mut log);
    let horizon = |log: &Log| {
        let mut found = None;
        with_batches(log, |batch| found = batch.delete_horizon());
        found
    };
    clean_all(&mut log, at(10));
    assert_eq!(records(&log), ["1 a=-", "2 b=1"]);
    assert_eq!(horizon(&log), Some(at(1_010).value()), "set by the pass, not by the record");
    clean_all(&mut log, at(1_009));
    assert_eq!((records(&log).len(), horizon(&log)), (2, Some(at(1_010).value())), "not moved by later passes");
    // The records' own times survive what is done to those they are relative to.
    with_batches(&log, |batch| {
        let mut records = batch.records(Default::default()).unwrap();
        assert_eq!(records.next_record().unwrap().unwrap().timestamp, NOW.value() + 1);
        assert_eq!(batch.max_timestamp(), NOW.value() + 2);
    });
    clean_all(&mut log, at(1_010));
    assert_eq!(records(&log), ["2 b=1"]);
    assert_eq!(horizon(&log), Some(at(1_010).value()), "a rewrite carries it over");
}

#[test]
fn rewriting_keeps_the_time_of_append() {
    let timestamp_type = highwater_records::TimestampType::LogAppendTime;
    let (_, mut log) = new_log(LogConfig { timestamp_type, ..config() });
    put(&mut log, &[("a", "1"), ("b", "-"), ("a", "2")]);
    roll(&mut log);
    clean_all(&mut log, at(10));
    assert_eq!(records(&log), ["1 b=-", "2 a=2"]);
    with_batches(&log, |batch| {
        assert_eq!((batch.timestamp_type(), batch.max_timestamp()), (timestamp_type, NOW.value()));
        assert_eq!(batch.delete_horizon(), Some(at(1_010).value()));
    });
}

#[test]
fn the_last_batch_of_a_known_producer_stays_without_its_records() {
    let (disk, mut log) = new_log(config());
    for (sequence, value) in [(0, "1"), (1, "2")] {
        let options = BatchOptions { producer: producer(9, sequence), ..BatchOptions::default() };
        append(&mut log, &batch_of(&[("a", value)], options)).unwrap();
    }
    put(&mut log, &[("a", "3"), ("b", "1")]);
    roll(&mut log);
    clean_all(&mut log, NOW);
    assert_eq!(records(&log), ["1..1", "2 a=3", "3 b=1"]);
    with_batches(&log, |batch| {
        if batch.count() == 0 {
            assert_eq!((batch.size(), batch.producer_id(), batch.last_sequence()), (61, 9, 1));
            assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (-1, NOW.value()));
        }
    });
    // What it is kept for: the producer goes on where it was, though the snapshots are gone.
    drop(log);
    for name in files(&disk).iter().filter(|name| name.ends_with(".snapshot")) {
        highwater_log::Disk::remove_file(&disk, &path(name)).unwrap();
    }
    let mut log = open(&disk, config(), OpenOptions::unclean(NOW));
    let next = BatchOptions { producer: producer(9, 2), ..BatchOptions::default() };
    let skipped = BatchOptions { producer: producer(9, 4), ..BatchOptions::default() };
    append(&mut log, &batch_of(&[("a", "4")], skipped)).unwrap_err();
    append(&mut log, &batch_of(&[("a", "4")], next)).unwrap();
    // Once the producer has been forgotten, nothing is left of it.
    log.expire_producers(at(100 * 24 * 3_600_000));
    roll(&mut log);
    clean_all(&mut log, NOW);
    assert!(!records(&log).contains(&"1..1".to_owned()), "{:?}", records(&log));
}

#[test]
fn the_last_batch_below_what_cannot_be_cleaned_stays_without_its_records() {
    let (_, mut log) = new_log(config());
    put(&mut log, &[("a", "1")]);
    put(&mut log, &[("b", "-")]);
    roll(&mut log);
    clean_all(&mut log, NOW);
    clean_all(&mut log, at(1_000));
    assert_eq!(records(&log), ["0 a=1", "1..1"]);
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    clean_all(&mut log, at(1_000));
    assert_eq!(records(&log), ["2 a=2"], "it was not the last any more");
}

#[test]
fn a_full_map_ends_the_pass_where_it_became_full_and_the_next_goes_on_there() {
    let (_, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("b", "1")]);
    put(&mut log, &[("c", "1"), ("d", "1"), ("a", "2")]);
    roll(&mut log);
    put(&mut log, &[("b", "2")]);
    roll(&mut log);
    // Room for three keys.
    let small = CleanerConfig { dedupe_bytes_max: 4 * 24, load_percent_max: 80, ..CleanerConfig::default() };
    let mut cleaner = Cleaner::new(small).unwrap();
    let cleaned = clean(&mut log, &mut cleaner, NOW);
    // d at 3 did not fit: it and what follows stay, whatever came before.
    assert_eq!((cleaned.first_dirty, cleaned.stats.keys, cleaned.stats.keys_max), (Some(offset(3)), 3, 3));
    assert_eq!(records(&log), ["0 a=1", "1 b=1", "2 c=1", "3 d=1", "4 a=2", "5 b=2"]);
    let cleaned = clean(&mut log, &mut cleaner, NOW);
    assert_eq!(cleaned.first_dirty, Some(offset(6)));
    assert_eq!(records(&log), ["2 c=1", "3 d=1", "4 a=2", "5 b=2"]);
}

#[test]
fn small_segments_become_one_and_empty_ones_stay_until_then() {
    let (disk, mut log) = new_log(LogConfig { segment_bytes_max: 200, ..config() });
    for value in ["1", "2", "3", "4"] {
        put(&mut log, &[("a", value), ("b", value)]);
        roll(&mut log);
    }
    assert_eq!(bases(&log), [0, 2, 4, 6, 8]);
    let cleaned = clean_all(&mut log, NOW);
    // Two of 83 bytes fit 200.
    assert_eq!(bases(&log), [0, 4, 8]);
    assert_eq!((cleaned.stats.segments_read, cleaned.stats.segments_written), (4, 2));
    assert_eq!(log.describe().unwrap().segments[0].log_file_size, 0);
    assert_eq!(records(&log), ["6 a=4", "7 b=4"]);
    clean_all(&mut log, NOW);
    assert_eq!(bases(&log), [0, 8]);
    assert_eq!(records(&log), ["6 a=4", "7 b=4"]);
    // The snapshot of a base that is a segment's no more goes with it.
    let names = files(&disk);
    assert!(names.contains(&"00000000000000000002.snapshot.deleted".to_owned()), "{names:?}");
    assert!(!names.contains(&"00000000000000000002.snapshot".to_owned()), "{names:?}");
    assert!(names.contains(&"00000000000000000008.snapshot".to_owned()), "{names:?}");
}

#[test]
fn old_files_are_unlinked_after_the_delay_and_new_ones_have_their_time() {
    use highwater_log::Disk;
    let (disk, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("a", "2")]);
    roll(&mut log);
    let slice = log.read(offset(0), u32::MAX, true, highwater_log::ReadBound::LogEnd).unwrap();
    disk.set_time(at(5_000));
    clean_all(&mut log, at(5_000));
    let log_file = path("00000000000000000000.log");
    assert_eq!(disk.metadata(&log_file).unwrap().modified, NOW);
    assert!(log.due_deletions(at(64_999)).is_none());
    log.due_deletions(at(65_000)).unwrap().run().unwrap();
    assert!(
        files(&disk).iter().all(|name| !name.contains(".deleted") && !name.contains(".swap")),
        "{:?}",
        files(&disk)
    );
    assert_eq!(slice.read_to_vec().unwrap().len(), slice.length as usize, "a reader keeps what it has found");
}

#[test]
fn what_is_young_or_not_committed_is_left_alone() {
    let (_, mut log) = new_log(LogConfig { compaction_lag_ms_min: 500, ..config() });
    let range = |log: &Log, now| {
        let cleanable = log.cleanable(now).unwrap();
        (cleanable.first_dirty.value(), cleanable.first_uncleanable.value())
    };
    put(&mut log, &[("a", "1")]);
    log.roll(NOW).unwrap();
    put(&mut log, &[("a", "2"), ("a", "3")]);
    log.roll(NOW).unwrap();
    assert_eq!(range(&log, at(1_000)), (0, 0), "nothing is committed");
    log.advance_high_watermark(offset(2));
    assert_eq!(range(&log, at(1_000)), (0, 1), "the second segment is committed in part");
    log.advance_high_watermark(offset(3));
    assert_eq!(range(&log, at(1_000)), (0, 3));
    assert_eq!(range(&log, at(500)), (0, 1), "the last record is 499 ms old");
    assert_eq!(range(&log, at(499)), (0, 0));
    assert!(log.clean_task(&log.cleanable(at(499)).unwrap(), NOW).unwrap().is_none());
    // An open transaction holds everything from its segment on back.
    put_transactional(&mut log, 1, 0, &[("t", "1")]);
    roll(&mut log);
    assert_eq!(range(&log, at(9_000)), (0, 3));
}

#[test]
fn dirt_is_measured_in_segments_and_an_old_record_makes_a_pass_due() {
    let (_, mut log) = new_log(LogConfig { compaction_lag_ms_max: Some(10_000), ..config() });
    for _ in 0..4 {
        put(&mut log, &[("a", "1")]);
        roll(&mut log);
    }
    let size = log.size_bytes() / 4;
    let bytes = |log: &Log| {
        let cleanable = log.cleanable(at(10_000)).unwrap();
        (cleanable.clean_bytes / size, cleanable.cleanable_bytes / size, cleanable.is_due())
    };
    assert_eq!(bytes(&log), (0, 4, true));
    log.set_clean_checkpoint(Some(offset(2)));
    assert_eq!(bytes(&log), (2, 2, false), "half is not more than half");
    assert!(log.cleanable(at(10_001)).unwrap().is_due(), "a record is overdue");
    log.set_clean_checkpoint(Some(offset(1)));
    assert_eq!(bytes(&log), (1, 3, true));
    // A checkpoint from somewhere else counts for nothing.
    log.set_clean_checkpoint(Some(offset(5)));
    assert_eq!(bytes(&log), (0, 4, true));
    log.delete_records(offset(3)).unwrap();
    log.set_clean_checkpoint(Some(offset(2)));
    assert_eq!(log.cleanable(NOW).unwrap().first_dirty, offset(3));
}

#[test]
fn clean_does_it_all_when_it_is_due() {
    let (_, mut log) = new_log(config());
    let mut cleaner = Cleaner::default();
    assert_eq!(log.clean(&mut cleaner, NOW).unwrap(), None);
    put(&mut log, &[("a", "1"), ("a", "2")]);
    roll(&mut log);
    assert_eq!(log.clean(&mut cleaner, NOW).unwrap().unwrap().first_dirty, Some(offset(2)));
    assert_eq!(records(&log), ["1 a=2"]);
    assert_eq!(log.clean(&mut cleaner, NOW).unwrap(), None);
}

#[test]
fn a_truncation_below_what_a_pass_has_seen_ends_it() {
    let (disk, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("b", "1")]);
    roll(&mut log);
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    let mut cleaner = Cleaner::default();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    assert!(log.clean_task(&cleanable, NOW).unwrap().is_none(), "one pass at a time");
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::GroupReady);
    log.truncate_to(offset(2), NOW).unwrap();
    assert!(!log.complete_clean(&mut task, NOW).unwrap());
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::Stopped);
    assert_eq!(log.finish_clean(task).first_dirty, None);
    assert_eq!(records(&log), ["0 a=1", "1 b=1"]);
    assert!(files(&disk).iter().all(|name| !name.contains(".cleaned")), "{:?}", files(&disk));
    // Another may begin, and one is not disturbed by what happens behind it.
    put(&mut log, &[("b", "2")]);
    roll(&mut log);
    put(&mut log, &[("b", "3")]);
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::GroupReady);
    log.truncate_to(offset(3), NOW).unwrap();
    assert!(log.complete_clean(&mut task, NOW).unwrap());
}

#[test]
fn a_truncation_ends_a_pass_that_would_drop_what_is_a_producers_last_batch_now() {
    let (_, mut log) = new_log(config());
    let from = |sequence: i32, value: &str| {
        let options = BatchOptions { producer: producer(7, sequence), ..BatchOptions::default() };
        batch_of(&[("a", value)], options)
    };
    append(&mut log, &from(0, "1")).unwrap();
    put(&mut log, &[("a", "2")]);
    roll(&mut log);
    append(&mut log, &from(1, "3")).unwrap();
    let mut cleaner = Cleaner::default();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::GroupReady);
    log.truncate_to(offset(2), NOW).unwrap();
    assert!(!log.complete_clean(&mut task, NOW).unwrap());
    drop(task);
    assert_eq!(records(&log), ["0 a=1", "1 a=2"]);
}

#[test]
fn a_pass_whose_segments_have_been_deleted_is_discarded_and_not_counted() {
    let (disk, mut log) = new_log(config());
    for value in ["1", "2"] {
        put(&mut log, &[("a", value), ("b", value)]);
        roll(&mut log);
    }
    let mut cleaner = Cleaner::default();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::GroupReady);
    log.delete_records(offset(2)).unwrap();
    assert_eq!(log.apply_retention(NOW).unwrap(), 1);
    assert!(!log.complete_clean(&mut task, NOW).unwrap());
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::Finished);
    let cleaned = log.finish_clean(task);
    assert_eq!((cleaned.first_dirty, cleaned.stats.groups_discarded), (None, 1));
    assert_eq!(records(&log), ["2 a=2", "3 b=2"]);
    assert!(files(&disk).iter().all(|name| !name.contains(".cleaned")), "{:?}", files(&disk));
}

#[test]
fn stopping_and_dropping_leave_nothing_behind() {
    let (disk, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("a", "2")]);
    let value = "x".repeat(200_000);
    put(&mut log, &[("b", &value)]);
    roll(&mut log);
    let before = files(&disk);
    let mut cleaner = Cleaner::default();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    let mut bytes = Vec::new();
    let stopped = task.run(&mut cleaner, &mut |n| {
        bytes.push(n);
        if bytes.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(stopped.unwrap(), CleanStep::Stopped);
    assert!(bytes.iter().all(|&n| n >= 65_536), "{bytes:?}");
    assert_eq!(log.finish_clean(task).first_dirty, None);
    assert_eq!(files(&disk), before);
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::GroupReady);
    drop(task);
    assert_eq!(files(&disk), before);
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    drop(log);
    assert_eq!(run(&mut task, &mut cleaner), CleanStep::Stopped);
}

#[test]
fn a_damaged_batch_is_not_copied_and_leaves_the_log_as_it_is() {
    let (disk, mut log) = new_log(config());
    put(&mut log, &[("a", "1")]);
    put(&mut log, &[("b", "1")]);
    roll(&mut log);
    put(&mut log, &[("a", "2")]);
    let file = path("00000000000000000000.log");
    let mut bytes = disk.read(&file).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    highwater_log::Disk::open(&disk, &file, highwater_log::OpenMode::ReadWrite)
        .unwrap()
        .write_all_at(&bytes, 0)
        .unwrap();
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    let error = task.run(&mut Cleaner::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { what: "entry checksum", .. }), "{error}");
    assert_eq!(log.finish_clean(task).first_dirty, None);
    assert!(!log.is_poisoned());
    put(&mut log, &[("a", "3")]);
}

#[test]
fn a_batch_that_decompresses_to_more_than_the_limit_is_refused_at_the_limit() {
    let (_, mut log) = new_log(config());
    let value = "x".repeat(100_000);
    let compression = Compression::new(Codec::Zstd);
    append(&mut log, &batch_of(&[("a", &value)], BatchOptions { compression, ..BatchOptions::default() })).unwrap();
    roll(&mut log);
    let cleanable = log.cleanable(NOW).unwrap();
    let run = |log: &mut Log, limit: usize| {
        let decompress_limit = highwater_records::DecompressLimit::new(limit);
        let mut cleaner = Cleaner::new(CleanerConfig { decompress_limit, ..CleanerConfig::default() }).unwrap();
        let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
        task.run(&mut cleaner, &mut |_| ControlFlow::Continue(()))
    };
    assert!(matches!(run(&mut log, 100_000), Err(LogError::Corrupt { what: "records", .. })));
    assert_eq!(run(&mut log, 100_100).unwrap(), CleanStep::GroupReady);
}

#[test]
fn a_failing_disk_poisons_the_log() {
    let (disk, mut log) = new_log(config());
    put(&mut log, &[("a", "1"), ("a", "2")]);
    roll(&mut log);
    let cleanable = log.cleanable(NOW).unwrap();
    let mut task = log.clean_task(&cleanable, NOW).unwrap().unwrap();
    disk.fail_after(highwater_log::DiskCall::Write, 0);
    let error = task.run(&mut Cleaner::default(), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    assert!(log.is_poisoned());
    disk.heal();
    drop((log, task));
    let log = open(&disk, config(), OpenOptions::unclean(NOW));
    assert_eq!(records(&log), ["0 a=1", "1 a=2"]);
}

#[test]
fn output_that_does_not_fit_one_segment_becomes_several() {
    // Room for three index entries: the third needs another segment.
    let (disk, mut log) = new_log(LogConfig {
        segment_index_bytes_max: 24,
        index_interval_bytes: 0,
        segment_bytes_max: 4_000,
        ..config()
    });
    let dense = LogConfig { index_interval_bytes: 4_000, ..config() };
    log.set_config(dense.checked().unwrap());
    for key in ["a", "b", "c", "d", "e"] {
        put(&mut log, &[(key, "1")]);
    }
    roll(&mut log);
    let tight = LogConfig { segment_index_bytes_max: 24, index_interval_bytes: 0, ..config() };
    log.set_config(tight.clone().checked().unwrap());
    let before = records(&log);
    let cleaned = clean_all(&mut log, NOW);
    assert!(cleaned.stats.segments_written > 1);
    assert_eq!(records(&log), before);
    let segments = bases(&log);
    assert_eq!((segments[0], *segments.last().unwrap()), (0, 5));
    for start in 0..5 {
        assert_eq!(support::ranges(&read_all(&log, offset(start)))[0], (start as i64, start as i64));
    }
    drop(log);
    let log = open(&disk, tight, OpenOptions::unclean(NOW));
    assert_eq!(records(&log), before);
    assert_eq!(bases(&log), segments);
}

#[test]
fn offsets_without_a_record_at_the_end_of_a_segment_count_as_cleaned() {
    let (_, mut log) = new_log(LogConfig { segment_bytes_max: 100, ..config() });
    put(&mut log, &[("a", "1")]);
    let later = batch_of(&[("b", "1")], BatchOptions { base_offset: 7, ..BatchOptions::default() });
    log.append_as_follower(&later, None, NOW).unwrap();
    log.advance_high_watermark(log.log_end());
    assert_eq!(bases(&log), [0, 7]);
    assert_eq!(clean_all(&mut log, NOW).first_dirty, Some(offset(7)));
    assert!(!log.cleanable(NOW).unwrap().is_due());
}
