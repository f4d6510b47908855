//! A log that threads share: group commit, and readers beside appenders.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use highwater_log::{
    AppendError, AppendInfo, AppendOrigin, AppendSet, Cleaner, CleanupPolicy, DiskCall, LogConfig, LogError, LogReader,
    OpenOptions, ReadBound, SharedLog,
};
use highwater_types::LeaderEpoch;
use support::gate::{GateDisk, PATIENCE};
use support::{NOW, batch, offset, small_segments};

fn shared(config: LogConfig) -> (GateDisk, SharedLog) {
    let disk = GateDisk::default();
    let config = config.checked().unwrap();
    let log = SharedLog::open(disk.shared(), Path::new(support::DIR), config, OpenOptions::unclean(NOW)).unwrap();
    (disk, log)
}

fn append_with(
    log: &SharedLog,
    append: impl Fn(&SharedLog, &mut [AppendSet<'_>]) -> Result<(), LogError>,
) -> Result<AppendInfo, AppendError> {
    let mut bytes = batch(1, 10);
    let mut sets = [AppendSet::new(&mut bytes, AppendOrigin::Client)];
    let appended = append(log, &mut sets);
    assert_eq!(appended.is_err(), sets[0].result().unwrap().is_err());
    sets[0].take_result()
}

fn durable(log: &SharedLog) -> Result<AppendInfo, AppendError> {
    append_with(log, |log, sets| log.append_durable(sets, LeaderEpoch::ZERO, NOW))
}

fn plain(log: &SharedLog) -> Result<AppendInfo, AppendError> {
    append_with(log, |log, sets| log.append(sets, LeaderEpoch::ZERO, NOW))
}

/// Waits for another thread to get somewhere; gives up late enough never to do so by mistake.
fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::yield_now();
    }
}

/// Runs `work` on another thread and fails instead of hanging if it does not end.
fn in_time<R: Send + 'static>(what: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} was held up"))
}

#[test]
fn appenders_that_wait_share_two_syncs() {
    const APPENDERS: u64 = 32;
    let (disk, log) = shared(LogConfig::default());
    disk.hold(Some(DiskCall::Sync));
    thread::scope(|scope| {
        let appenders: Vec<_> = (0..APPENDERS).map(|_| scope.spawn(|| durable(&log).unwrap())).collect();
        disk.wait_for_arrivals(1);
        until("every append", || log.log_end() == offset(APPENDERS));
        assert_eq!(log.synced_to(), offset(0));
        disk.open();
        let mut offsets: Vec<u64> = appenders.into_iter().map(|a| a.join().unwrap().base_offset.value()).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, (0..APPENDERS).collect::<Vec<_>>());
    });
    assert_eq!(log.synced_to(), offset(APPENDERS));
    assert!(disk.syncs() <= 2, "{} syncs for {APPENDERS} appends", disk.syncs());
}

#[test]
fn an_append_that_comes_while_a_sync_runs_waits_for_the_next() {
    let (disk, log) = shared(LogConfig::default());
    disk.hold(Some(DiskCall::Sync));
    let is_acknowledged = AtomicBool::new(false);
    thread::scope(|scope| {
        let first = scope.spawn(|| durable(&log).unwrap());
        disk.wait_for_arrivals(1);
        let second = scope.spawn(|| {
            durable(&log).unwrap();
            is_acknowledged.store(true, Ordering::SeqCst);
        });
        until("the second append", || log.log_end() == offset(2));
        disk.release_one();
        first.join().unwrap();
        // The second has found that the first sync was not for it, and began its own.
        disk.wait_for_arrivals(2);
        assert_eq!(log.synced_to(), offset(1));
        assert!(!is_acknowledged.load(Ordering::SeqCst), "acknowledged before its sync");
        disk.open();
        second.join().unwrap();
    });
    assert_eq!((log.synced_to(), disk.syncs()), (offset(2), 2));
}

#[test]
fn a_failed_sync_is_an_error_for_everyone_who_waits() {
    let (disk, log) = shared(LogConfig::default());
    disk.hold(Some(DiskCall::Sync));
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| durable(&log))).collect();
        disk.wait_for_arrivals(1);
        until("every append", || log.log_end() == offset(8));
        disk.open_failing();
        for appender in waiting {
            let error = appender.join().unwrap().unwrap_err();
            assert!(matches!(error, AppendError::Log(LogError::Poisoned)), "{error}");
        }
    });
    assert_eq!(disk.syncs(), 1, "a sync that failed is not tried again");
    assert_eq!(log.synced_to(), offset(0));
    assert!(matches!(plain(&log), Err(AppendError::Log(LogError::Poisoned))));
    assert!(matches!(log.flush(), Err(LogError::Poisoned)));
}

#[test]
fn flush_messages_makes_every_append_durable() {
    let (disk, log) = shared(LogConfig { flush_messages: Some(1), ..LogConfig::default() });
    plain(&log).unwrap();
    assert_eq!((log.synced_to(), disk.syncs()), (offset(1), 1));
    let (disk, log) = shared(LogConfig { flush_messages: Some(3), ..LogConfig::default() });
    for syncs in [0, 0, 1, 1, 1, 2] {
        plain(&log).unwrap();
        assert_eq!(disk.syncs(), syncs);
    }
}

#[test]
fn readers_and_appenders_go_on_while_a_sync_runs() {
    let (disk, log) = shared(LogConfig::default());
    disk.hold(Some(DiskCall::Sync));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| durable(&log).unwrap());
        disk.wait_for_arrivals(1);
        let handle = log.clone();
        let length = in_time("a reader or an appender", move || {
            plain(&handle).unwrap();
            handle.read(offset(0), 10_000, true, ReadBound::LogEnd).unwrap().length
        });
        assert_eq!(length as usize, 2 * batch(1, 10).len());
        disk.open();
        waiting.join().unwrap();
    });
}

#[test]
fn readers_go_on_while_an_append_writes_and_do_not_see_it() {
    let (disk, log) = shared(LogConfig::default());
    plain(&log).unwrap();
    disk.hold(Some(DiskCall::Write));
    thread::scope(|scope| {
        let writing = scope.spawn(|| plain(&log).unwrap());
        disk.wait_for_arrivals(1);
        let handle = log.clone();
        in_time("a reader", move || {
            let slice = handle.read(offset(0), 10_000, true, ReadBound::LogEnd).unwrap();
            assert_eq!(slice.read_to_vec().unwrap().len(), batch(1, 10).len());
            assert_eq!((slice.log_end, handle.log_end()), (offset(1), offset(1)));
            assert_eq!(handle.read(offset(1), 10_000, true, ReadBound::LogEnd).unwrap().length, 0);
            let beyond = handle.read(offset(2), 10_000, true, ReadBound::LogEnd);
            assert!(matches!(beyond, Err(LogError::OutOfRange { .. })));
            assert_eq!(handle.advance_high_watermark(offset(2)), offset(1));
            // What is not written cannot be synced either.
            handle.flush().unwrap();
            assert_eq!(handle.synced_to(), offset(1));
        });
        disk.open();
        writing.join().unwrap();
    });
    assert_eq!(log.log_end(), offset(2));
    log.flush().unwrap();
    assert_eq!(log.synced_to(), offset(2));
}

#[test]
fn a_truncation_ends_the_wait_for_what_it_removed() {
    let (disk, log) = shared(LogConfig::default());
    disk.hold(Some(DiskCall::Sync));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| durable(&log));
        disk.wait_for_arrivals(1);
        disk.hold(None);
        log.with(|log| log.truncate_to(offset(0), NOW)).unwrap();
        plain(&log).unwrap();
        disk.open();
        // Another record has its offset now, and even if that is synced it was not this thread's.
        assert!(waiting.join().unwrap().is_err());
    });
    assert!(plain(&log).is_ok());
}

#[test]
fn refused_sets_keep_their_own_results() {
    let (disk, log) = shared(LogConfig::default());
    let (mut good, mut bad, mut also_good) = (batch(2, 10), batch(1, 10), batch(3, 10));
    *bad.last_mut().unwrap() ^= 1;
    let mut sets = [&mut good, &mut bad, &mut also_good].map(|bytes| AppendSet::new(bytes, AppendOrigin::Client));
    log.append_durable(&mut sets, LeaderEpoch::ZERO, NOW).unwrap();
    assert_eq!(sets[0].take_result().unwrap().last_offset, offset(1));
    assert!(matches!(sets[1].take_result(), Err(AppendError::Invalid(_))));
    assert_eq!(sets[2].take_result().unwrap().last_offset, offset(4));
    assert_eq!((log.synced_to(), disk.syncs()), (offset(5), 1));
    let mut sets = [AppendSet::new(&mut bad, AppendOrigin::Client)];
    log.append_durable(&mut sets, LeaderEpoch::ZERO, NOW).unwrap();
    assert_eq!(disk.syncs(), 1, "nothing was appended, so nothing is waited for");
}

/// Appenders, readers and a thread that flushes, over many small segments.
#[test]
fn what_is_acknowledged_is_read_back_once_and_in_order_while_others_append() {
    const APPENDERS: u64 = 4;
    const EACH: u64 = 150;
    let (_disk, log) = shared(small_segments(1_500));
    let acknowledged = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|_| {
                scope.spawn(|| {
                    for i in 0..EACH {
                        let end = if i % 5 == 0 { durable(&log) } else { plain(&log) }.unwrap().last_offset.next();
                        if i % 5 == 0 {
                            assert!(end <= log.synced_to());
                        }
                        acknowledged.fetch_max(end.value(), Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reader = LogReader::new(offset(0), ReadBound::LogEnd);
                    let mut next = 0;
                    loop {
                        let last_round = is_over.load(Ordering::SeqCst);
                        let wanted = acknowledged.load(Ordering::SeqCst);
                        reader
                            .for_each(&log, |record| {
                                assert_eq!(record.offset, next);
                                next += 1;
                            })
                            .unwrap();
                        assert!(wanted <= next.cast_unsigned(), "{wanted} acknowledged, read to {next}");
                        if last_round {
                            return next;
                        }
                    }
                })
            })
            .collect();
        appenders.into_iter().for_each(|appender| appender.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
        for reader in readers {
            assert_eq!(reader.join().unwrap().cast_unsigned(), APPENDERS * EACH);
        }
    });
    log.close(NOW).unwrap();
    assert!(matches!(plain(&log), Err(AppendError::Log(LogError::Poisoned))));
    let log = log.into_log().unwrap();
    assert_eq!(log.synced_to(), log.log_end());
}

#[test]
fn a_pass_of_cleaning_holds_nobody_up() {
    let cleanup = CleanupPolicy { delete: false, compact: true };
    let (_, log) = shared(LogConfig { cleanup, ..LogConfig::default() });
    // More than what is read between two calls.
    for _ in 0..1_000 {
        plain(&log).unwrap();
    }
    log.with(|log| log.roll(NOW)).unwrap();
    log.advance_high_watermark(offset(1_000));
    let mut calls = 0;
    // Whatever of the log were locked meanwhile, this would wait for ever.
    let mut progress = |_| {
        calls += 1;
        plain(&log).unwrap();
        log.read(offset(999), 1 << 10, true, ReadBound::LogEnd).unwrap();
        ControlFlow::Continue(())
    };
    let cleaned = log.clean(&mut Cleaner::default(), NOW, &mut progress).unwrap().unwrap();
    assert!(0 < calls, "the callback was called");
    assert_eq!((cleaned.stats.keys, cleaned.first_dirty), (1, Some(offset(1_000))));
    let mut offsets = Vec::new();
    LogReader::new(offset(0), ReadBound::LogEnd).for_each(&log, |record| offsets.push(record.offset)).unwrap();
    assert_eq!(
        offsets,
        (999..1_000 + calls).collect::<Vec<i64>>(),
        "the last of a thousand, and what came during the pass"
    );
    assert!(log.clean(&mut Cleaner::default(), NOW, &mut |_| ControlFlow::Continue(())).unwrap().is_none());
}
