//! What a loss of power must not do, one history for each thing that it once did. The simulation in `highwater-sim`
//! found them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{CheckedLogConfig, DirOptions, Disk, Log, LogConfig, LogDir, LogState, OpenOptions, OpenedDir};
use highwater_sim::{Call, DataLoss, EIO, Effect, Fault, NameLoss, SimDisk};
use highwater_types::{LeaderEpoch, PartitionIndex, TopicName, TopicPartition, Uuid};
use support::*;

/// Everything that may be lost.
const ALL_NAMES: NameLoss = NameLoss::Everything;
const ALL_DATA: Option<DataLoss> = Some(DataLoss::Everything);

fn open_on(disk: &SimDisk, config: &LogConfig, options: OpenOptions) -> Log {
    Log::open(disk.shared(), Path::new(DIR), config.clone().checked().unwrap(), options).unwrap()
}

fn new_on(disk: &SimDisk, config: &LogConfig) -> Log {
    open_on(disk, config, OpenOptions::unclean(NOW))
}

/// As a log is opened whose checkpoint was written just before the crash.
fn by(log: &Log, clean: bool) -> OpenOptions {
    let checkpoint = log.checkpoint();
    OpenOptions {
        clean,
        recovery_point: checkpoint.recovery_point,
        log_start: checkpoint.log_start,
        high_watermark: checkpoint.high_watermark,
        now: NOW,
    }
}

/// One batch to each segment, with an index entry for each batch but the first.
fn tiny() -> LogConfig {
    LogConfig { index_interval_bytes: 0, ..small_segments(300) }
}

/// A log of `segments` segments of two batches, of which nothing is synced.
fn filled(disk: &SimDisk, config: &LogConfig, segments: u64) -> Log {
    let mut log = new_on(disk, config);
    for segment in 0..segments {
        if 0 < segment {
            log.roll(NOW).unwrap();
        }
        append(&mut log, &batch(1, 30)).unwrap();
        append(&mut log, &batch(1, 30)).unwrap();
    }
    assert_eq!((log.segment_count() as u64, log.log_end()), (segments, offset(segments * 2)));
    log
}

/// Every index entry points at the batch that it names.
fn check_indexes(state: &LogState) {
    for segment in &state.segments {
        for (last, position) in &segment.offset_index {
            let at = |batch: &&highwater_log::BatchState| batch.position == u64::from(*position);
            let batch =
                segment.batches.iter().find(at).unwrap_or_else(|| panic!("no batch at {position}: {segment:?}"));
            assert_eq!(batch.last_offset, *last, "in {segment:?}");
        }
        assert!(segment.offset_index.is_sorted_by(|a, b| a.0 < b.0), "{segment:?}");
    }
}

#[test]
fn a_new_logs_directory_is_there_with_its_records() {
    let disk = SimDisk::new(0);
    let mut log = new_on(&disk, &LogConfig::default());
    append(&mut log, &batch(3, 10)).unwrap();
    log.flush().unwrap();
    disk.crash_with(ALL_NAMES, ALL_DATA);
    assert_eq!(new_on(&disk, &LogConfig::default()).log_end(), offset(3));
}

#[test]
fn more_batches_than_a_full_index_has_room_for_are_appended_at_once() {
    let disk = SimDisk::new(0);
    let config = LogConfig { segment_index_bytes_max: 24, index_interval_bytes: 0, ..LogConfig::default() };
    let mut log = new_on(&disk, &config);
    let mut fetched = Vec::new();
    for base in 0..10 {
        let mut one = batch(1, 10);
        highwater_records::validate::assign(&mut one, offset(base), LeaderEpoch::ZERO).unwrap();
        fetched.extend(one);
    }
    log.append_as_follower(&fetched, None, NOW).unwrap().unwrap();
    assert_eq!(log.log_end(), offset(10));
    assert_eq!(read_all(&log, offset(4)).len() * 10, fetched.len() * 6);
}

#[test]
fn bytes_since_the_last_index_entry_are_counted_anew_after_recovery() {
    let disk = SimDisk::new(0);
    let config = LogConfig { index_interval_bytes: 150, ..LogConfig::default() };
    let mut log = new_on(&disk, &config);
    append(&mut log, &batch(1, 60)).unwrap();
    append(&mut log, &batch(1, 60)).unwrap();
    disk.kill();
    let mut log = new_on(&disk, &config);
    append(&mut log, &batch(1, 60)).unwrap();
    assert_eq!(log.describe().unwrap().segments[0].offset_index, [], "as Kafka, which counts from the start only once");
}

#[test]
fn truncated_segments_stay_away() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &tiny(), 3);
    log.flush().unwrap();
    log.truncate_to(offset(3), NOW).unwrap();
    let options = by(&log, false);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let log = open_on(&disk, &tiny(), options);
    assert_eq!((log.log_end(), log.segment_count()), (offset(3), 2));
}

#[test]
fn a_log_that_was_emptied_stays_empty() {
    for at in [1, 3, 6, 9] {
        let disk = SimDisk::new(0);
        let mut log = filled(&disk, &tiny(), 3);
        log.flush().unwrap();
        log.truncate_fully_and_start_at(offset(at), None, NOW).unwrap();
        let options = by(&log, false);
        disk.crash_with(ALL_NAMES, ALL_DATA);
        let log = open_on(&disk, &tiny(), options);
        assert_eq!((log.log_start(), log.log_end(), log.segment_count()), (offset(at), offset(at), 1));
    }
}

#[test]
fn segments_dropped_by_recovery_stay_away() {
    let disk = SimDisk::new(0);
    let log = filled(&disk, &tiny(), 3);
    disk.sync_dir(Path::new(DIR)).unwrap();
    let options = OpenOptions::unclean(NOW);
    drop(log);
    disk.crash_with(NameLoss::Nothing, Some(DataLoss::Nothing));
    // The middle segment loses its last batch, the others nothing.
    let middle = disk.open(&path("00000000000000000002.log"), highwater_log::OpenMode::ReadWrite).unwrap();
    middle.set_len(middle.size().unwrap() - 1).unwrap();
    middle.sync_data().unwrap();
    drop(middle);
    for _ in 0..2 {
        let log = open_on(&disk, &tiny(), options);
        assert_eq!(log.log_end(), offset(3));
        drop(log);
        disk.crash_with(ALL_NAMES, ALL_DATA);
    }
}

/// Wherever the power fails while a log is recovered that has lost bytes in the middle, what follows never comes back
/// behind the hole.
#[test]
fn recovery_may_fail_anywhere() {
    let mut failed_at = 0;
    for after in 0.. {
        let disk = SimDisk::new(after);
        drop(filled(&disk, &tiny(), 3));
        disk.sync_dir(Path::new(DIR)).unwrap();
        disk.crash_with(NameLoss::Nothing, Some(DataLoss::Nothing));
        let middle = disk.open(&path("00000000000000000002.log"), highwater_log::OpenMode::ReadWrite).unwrap();
        middle.set_len(middle.size().unwrap() - 1).unwrap();
        middle.sync_data().unwrap();
        drop(middle);
        disk.inject(Fault { call: None, after, effect: Effect::PowerOff });
        let config = tiny().checked().unwrap();
        let opened = Log::open(disk.shared(), Path::new(DIR), config, OpenOptions::unclean(NOW));
        if opened.is_ok() && !disk.is_off() {
            break;
        }
        drop(opened);
        disk.crash();
        disk.heal();
        assert_eq!(new_on(&disk, &tiny()).log_end(), offset(3), "power lost after {after} calls");
        failed_at += 1;
    }
    assert!(10 < failed_at, "the power failed {failed_at} times only");
}

/// Wherever the power fails while a log is truncated, its indexes are right afterwards, and no hole is left.
#[test]
fn truncation_may_fail_anywhere() {
    for to in [2, 3, 6] {
        for fully in [false, true] {
            let mut failed_at = 0;
            for after in 0.. {
                let disk = SimDisk::new(after);
                let mut log = filled(&disk, &tiny(), 4);
                log.flush().unwrap();
                let options = by(&log, false);
                disk.inject(Fault { call: None, after, effect: Effect::PowerOff });
                let result = match fully {
                    true => log.truncate_fully_and_start_at(offset(to), None, NOW),
                    false => log.truncate_to(offset(to), NOW).map(drop),
                };
                if result.is_ok() && !disk.is_off() {
                    break;
                }
                drop(log);
                disk.crash_with(NameLoss::InOrder, None);
                disk.heal();
                let log = open_on(&disk, &tiny(), options);
                let state = log.describe().unwrap();
                check_indexes(&state);
                let offsets = state.segments.iter().flat_map(|segment| &segment.batches).map(|batch| batch.last_offset);
                let first = state.segments[0].base.value();
                assert!(offsets.eq((first..log.log_end().value()).map(offset)), "to {to}, after {after}: {state:?}");
                failed_at += 1;
            }
            assert!(4 < failed_at, "the power failed {failed_at} times only");
        }
    }
}

#[test]
fn what_was_being_removed_when_the_process_died_stays_away_once_it_is_gone() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &tiny(), 2);
    log.flush().unwrap();
    drop(log);
    for kind in ["log", "index", "timeindex"] {
        let name = path(&format!("00000000000000000002.{kind}"));
        disk.rename(&name, &name.with_extension(format!("{kind}.deleted"))).unwrap();
    }
    disk.kill();
    let log = new_on(&disk, &tiny());
    assert_eq!(log.log_end(), offset(2));
    drop(log);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    assert_eq!(new_on(&disk, &tiny()).log_end(), offset(2));
}

#[test]
fn a_segment_closed_at_the_recovery_point_keeps_its_length() {
    let disk = SimDisk::new(0);
    let config = LogConfig { preallocate: true, ..small_segments(4_000) };
    let mut log = new_on(&disk, &config);
    append(&mut log, &batch(1, 30)).unwrap();
    log.flush().unwrap();
    log.roll(NOW).unwrap();
    append(&mut log, &batch(1, 30)).unwrap();
    log.close(NOW).unwrap();
    let options = by(&log, true);
    drop(log);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let state = open_on(&disk, &config, options).describe().unwrap();
    assert_eq!(state.segments[0].log_file_size, state.segments[0].size);
}

#[test]
fn a_roll_while_a_flush_is_running_leaves_no_index_behind() {
    let disk = SimDisk::new(0);
    let mut log = new_on(&disk, &tiny());
    append(&mut log, &batch(1, 30)).unwrap();
    append(&mut log, &batch(1, 30)).unwrap();
    let flush = log.flush_task().unwrap();
    log.roll(NOW).unwrap();
    let done = flush.run().unwrap();
    log.complete_flush(done);
    append(&mut log, &batch(1, 30)).unwrap();
    // Whatever is left to do is done, and its checkpoint written.
    log.flush().unwrap();
    let options = by(&log, false);
    drop(log);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let log = open_on(&disk, &tiny(), options);
    assert_eq!(log.log_end(), offset(3));
    let state = log.describe().unwrap();
    check_indexes(&state);
    assert_eq!(state.segments[0].offset_index.len(), 1);
}

#[test]
fn producers_are_known_after_an_orderly_close() {
    let disk = SimDisk::new(0);
    let mut log = new_on(&disk, &LogConfig::default());
    append(&mut log, &produced(7, 0, 0, 2)).unwrap();
    let before: Vec<_> = log.producers().collect();
    log.close(NOW).unwrap();
    let mut options = by(&log, true);
    // So that the batches cannot tell: they are below the log start.
    options.log_start = offset(1);
    drop(log);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let snapshot = disk.read(&path("00000000000000000002.snapshot")).unwrap();
    assert!(10 < snapshot.len(), "the snapshot has no producer: {snapshot:?}");
    assert_eq!(open_on(&disk, &LogConfig::default(), options).producers().collect::<Vec<_>>(), before);
}

#[test]
fn an_unfinished_snapshot_is_not_written_over() {
    let disk = SimDisk::new(0);
    drop(new_on(&disk, &LogConfig::default()));
    let temporary = path("00000000000000000002.snapshot.tmp");
    disk.open(&temporary, highwater_log::OpenMode::Create).unwrap().sync_data().unwrap();
    disk.kill();
    drop(new_on(&disk, &LogConfig::default()));
    assert!(disk.metadata(&temporary).is_err());
}

#[test]
fn producers_are_not_taken_from_before_a_hole() {
    let disk = SimDisk::new(0);
    let mut log = new_on(&disk, &tiny());
    append(&mut log, &produced(7, 0, 0, 1)).unwrap();
    log.roll(NOW).unwrap();
    append(&mut log, &produced(7, 0, 1, 1)).unwrap();
    log.roll(NOW).unwrap();
    append(&mut log, &batch(1, 30)).unwrap();
    drop(log);
    // The first two segments are deleted, and the crash forgets the deletion of a snapshot only.
    for base in [0, 1] {
        for kind in ["log", "index", "timeindex"] {
            disk.remove_file(&path(&format!("{base:020}.{kind}"))).unwrap();
        }
    }
    disk.remove_file(&path("00000000000000000002.snapshot")).unwrap();
    disk.kill();
    let log = new_on(&disk, &tiny());
    assert_eq!((log.log_start(), log.log_end()), (offset(2), offset(3)));
    assert_eq!(log.producers().count(), 0, "known from a snapshot that has not seen what was deleted behind it");
}

#[test]
fn a_truncated_epoch_does_not_come_back_over_records_of_an_older_one() {
    let disk = SimDisk::new(0);
    let config = LogConfig::default();
    let mut log = new_on(&disk, &config);
    append_in(&mut log, &batch(2, 10), 1).unwrap();
    append_in(&mut log, &batch(2, 10), 2).unwrap();
    log.truncate_to(offset(2), NOW).unwrap();
    let mut older = batch(3, 10);
    highwater_records::validate::assign(&mut older, offset(2), LeaderEpoch::new(1)).unwrap();
    log.append_as_follower(&older, None, NOW).unwrap().unwrap();
    log.flush().unwrap();
    let options = by(&log, false);
    drop(log);
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let log = open_on(&disk, &config, options);
    assert_eq!(log.epochs().epoch_of(offset(4)), Some(LeaderEpoch::new(1)));
}

#[test]
fn a_rebuilt_index_below_the_recovery_point_is_synced() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &tiny(), 2);
    log.close(NOW).unwrap();
    let options = by(&log, true);
    drop(log);
    disk.remove_file(&path("00000000000000000000.index")).unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk.kill();
    drop(open_on(&disk, &tiny(), options));
    disk.crash_with(ALL_NAMES, ALL_DATA);
    let log = open_on(&disk, &tiny(), OpenOptions { clean: false, ..options });
    assert_eq!(log.describe().unwrap().segments[0].offset_index.len(), 1);
}

#[test]
fn a_checkpoint_claims_only_what_was_synced() {
    let disk = SimDisk::new(0);
    let mut log = filled(&disk, &tiny(), 2);
    log.advance_high_watermark(offset(3));
    log.delete_records(offset(3)).unwrap();
    assert_eq!(log.recovery_point(), offset(3));
    assert_eq!(log.checkpoint().recovery_point, offset(0));
    log.flush().unwrap();
    assert_eq!(log.checkpoint().recovery_point, offset(4));
}

const LOGS: &str = "/logs";

fn open_dir(disk: &SimDisk) -> OpenedDir {
    let options = DirOptions { recovery_threads: 1, now: NOW };
    LogDir::open(disk.shared(), Path::new(LOGS), options, &|_| CheckedLogConfig::default()).unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("topic").unwrap(), PartitionIndex::new(0))
}

#[test]
fn a_new_log_is_not_opened_by_the_checkpoints_of_an_earlier_one() {
    let disk = SimDisk::new(0);
    for restarts in [false, true] {
        let mut opened = open_dir(&disk);
        let mut log = opened.dir.create_log(&partition(), None, CheckedLogConfig::default(), NOW).unwrap();
        append(&mut log, &batch(5, 10)).unwrap();
        log.flush().unwrap();
        opened.dir.write_checkpoints(&[log.checkpoint()]).unwrap();
        opened.dir.delete_log(log, Uuid::from_bytes([u8::from(restarts); 16]), NOW).unwrap();
        if restarts {
            drop(opened);
            disk.kill();
            opened = open_dir(&disk);
        }
        let mut log = opened.dir.create_log(&partition(), None, CheckedLogConfig::default(), NOW).unwrap();
        append(&mut log, &batch(3, 10)).unwrap();
        drop((opened, log));
        disk.kill();
        let opened = open_dir(&disk);
        let [found] = <[_; 1]>::try_from(opened.logs).unwrap();
        assert_eq!((found.log.log_end(), found.log.recovery_point()), (offset(3), offset(0)), "restarts: {restarts}");
        let mut dir = opened.dir;
        dir.delete_log(found.log, Uuid::from_bytes([9; 16]), NOW).unwrap();
        drop(dir);
        disk.kill();
    }
}

#[test]
fn logs_that_were_found_stay() {
    let disk = SimDisk::new(0);
    let opened = open_dir(&disk);
    // The directory of the log is made, but syncing that fails.
    disk.inject(Fault { call: Some(Call::Sync), after: 0, effect: Effect::FailOnce(EIO) });
    opened.dir.create_log(&partition(), None, CheckedLogConfig::default(), NOW).unwrap_err();
    drop(opened);
    disk.kill();
    let opened = open_dir(&disk);
    let [mut found] = <[_; 1]>::try_from(opened.logs).unwrap();
    append(&mut found.log, &batch(3, 10)).unwrap();
    found.log.flush().unwrap();
    drop((found, opened.dir));
    disk.crash_with(ALL_NAMES, ALL_DATA);
    assert_eq!(open_dir(&disk).logs[0].log.log_end(), offset(3));
}
