//! One log for many threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_types::{LeaderEpoch, Offset, TimestampMs};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::clean::{CleanProgress, CleanStep, Cleaned, Cleaner};
use crate::config::CheckedLogConfig;
use crate::disk::Disk;
use crate::error::LogError;
use crate::index::AbortedTxn;
use crate::log::{AppendSet, Log, OpenOptions, ReadBound, ReadSlice, TimestampAnswer, TimestampQuery};
use crate::reader::LogSource;

/// A log that threads share: one appends at a time, readers run beside it, and syncs are shared.
///
/// Clones are handles of the same log. A handle costs a pointer, the log itself two locks and a condition more than a
/// [`Log`]; there is no thread of its own.
///
/// # Locking
///
/// - Batches are checked before anything is locked.
/// - Appenders take turns. The one whose turn it is locks readers out while it assigns offsets and takes the batches into
///   indexes and producer state, which is work in memory, and again for an instant after its `pwritev`; not during
///   that. A roll and the first batch of a leader epoch create or sync small files inside the first of these.
/// - A sync holds no lock at all. Reading, appending and syncing go on side by side.
/// - [`with`](Self::with) and [`close`](Self::close) have the log for themselves, but for syncs.
///
/// # Group commit
///
/// Of the threads that wait for durability one runs the sync, for everything that has been written by then. Those that
/// come while it runs wait for its end, and then one of them syncs for all. So any number of threads shares each
/// `fdatasync`, and a thread waits for two of them at most.
///
/// # Durability
///
/// [`append`](Self::append) returns with the batches in the page cache; where `flush_messages` is set, it waits until they
/// are [settled](Log::settled_to). [`append_durable`](Self::append_durable) waits until they are synced.
///
/// ```
/// use highwater_log::{AppendOrigin, AppendSet, LogConfig, MemDisk, OpenOptions, SharedLog};
/// use highwater_records::{BatchBuilder, BatchOptions};
/// use highwater_types::{LeaderEpoch, TimestampMs};
///
/// let now = TimestampMs(1_700_000_000_000);
/// let config = LogConfig::default().checked()?;
/// let log = SharedLog::open(MemDisk::new().shared(), "/orders".as_ref(), config, OpenOptions::unclean(now))?;
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         scope.spawn(|| {
///             let mut builder = BatchBuilder::new(BatchOptions::default());
///             builder.append(now.value(), None, Some(b"paid"), &[])?;
///             let mut batch = builder.finish()?;
///             let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
///             log.append_durable(&mut sets, LeaderEpoch::ZERO, now)?;
///             sets[0].take_result()?;
///             Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
///         });
///     }
/// });
/// assert_eq!(log.log_end().value(), 4);
/// assert_eq!(log.synced_to(), log.log_end());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Held by an appender from its first change of the log to its last. Taken before `log`.
    turn: Mutex<()>,
    log: RwLock<Log>,
    /// Whether a thread runs a sync. Taken before `log`.
    is_syncing: Mutex<bool>,
    /// A sync has ended.
    sync_ended: Condvar,
}

/// What a thread waits for.
#[derive(Clone, Copy)]
struct Goal {
    end: Offset,
    /// Truncations at the time when `end` was the end of the records concerned.
    truncations: u64,
    /// Whether being settled is not enough.
    synced: bool,
}

impl SharedLog {
    /// Shares a log.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self(Arc::new(Shared {
            path: log.path().to_owned(),
            turn: Mutex::new(()),
            log: RwLock::new(log),
            is_syncing: Mutex::new(false),
            sync_ended: Condvar::new(),
        }))
    }

    /// Opens a log, as [`Log::open`] does, and shares it.
    ///
    /// # Errors
    ///
    /// As [`Log::open`].
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        config: CheckedLogConfig,
        options: OpenOptions,
    ) -> Result<Self, LogError> {
        Log::open(disk, path, config, options).map(Self::new)
    }

    /// Gives the log back, to its directory for example, if this is its last handle.
    ///
    /// # Errors
    ///
    /// The handle, if there are others.
    pub fn into_log(self) -> Result<Log, Self> {
        Arc::try_unwrap(self.0).map(|shared| shared.log.into_inner()).map_err(Self)
    }

    /// The log's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Appends record sets as [`Log::append_as_leader`] does. Where `flush_messages` asks for it, waits for a sync that
    /// covers them.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`], [`LogError::Closed`]: no set may be acknowledged, and every result is an
    /// error. Otherwise each set has its own.
    pub fn append(
        &self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        self.append_until(false, sets, leader_epoch, now)
    }

    /// Appends record sets and waits until they are synced, also those that turn out to be in the log already.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_durable(
        &self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        self.append_until(true, sets, leader_epoch, now)
    }

    fn append_until(
        &self,
        synced: bool,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<(), LogError> {
        let config = self.0.log.read().config().clone();
        for set in &mut *sets {
            set.validate_ahead(&config, now);
        }
        let appended = self.append_in_turn(sets, leader_epoch, now).and_then(|truncations| {
            let last = sets.iter().filter_map(|set| set.result()?.as_ref().ok()).map(|info| info.last_offset).max();
            last.map_or(Ok(()), |last| self.wait_for(Goal { end: last.next(), truncations, synced }))
        });
        if appended.is_err() {
            AppendSet::refuse_all(sets);
        }
        appended
    }

    /// Appends without waiting for a sync. Returns the count of truncations so far.
    fn append_in_turn(
        &self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<u64, LogError> {
        let _turn = self.0.turn.lock();
        // The guards end with their statements: nothing is locked while the bytes are written.
        let staged = self.0.log.write().begin_append(sets, leader_epoch, now)?;
        let written = staged.write(sets);
        let mut log = self.0.log.write();
        log.finish_append(written)?;
        Ok(log.truncations())
    }

    /// Makes everything durable that has been appended when this is called, sharing the sync with others who wait.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] for the thread whose sync failed, [`LogError::Poisoned`] for the others.
    pub fn flush(&self) -> Result<(), LogError> {
        let goal = {
            let log = self.0.log.read();
            Goal { end: log.readable_end(), truncations: log.truncations(), synced: true }
        };
        self.wait_for(goal)
    }

    /// Finds what a reader gets, as [`Log::read`] does. Sees no append whose bytes are not written yet.
    ///
    /// # Errors
    ///
    /// As [`Log::read`].
    pub fn read(&self, start: Offset, max_bytes: u32, min_one: bool, bound: ReadBound) -> Result<ReadSlice, LogError> {
        self.0.log.read().read(start, max_bytes, min_one, bound)
    }

    /// The aborted transactions that have records in `slice`, as [`Log::aborted_transactions`] finds them.
    ///
    /// # Errors
    ///
    /// As [`Log::aborted_transactions`].
    pub fn aborted_transactions(&self, start: Offset, slice: &ReadSlice) -> Result<Vec<AbortedTxn>, LogError> {
        self.0.log.read().aborted_transactions(start, slice)
    }

    /// Finds an offset by time, as [`Log::offset_for_timestamp`] does. Waits for the append on its way.
    ///
    /// # Errors
    ///
    /// As [`Log::offset_for_timestamp`].
    pub fn offset_for_timestamp(&self, query: TimestampQuery) -> Result<Option<TimestampAnswer>, LogError> {
        let _turn = self.0.turn.lock();
        self.0.log.read().offset_for_timestamp(query)
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.0.log.read().log_start()
    }

    /// The end of what can be read.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.0.log.read().readable_end()
    }

    /// Everything below survives a crash of the machine.
    #[must_use]
    pub fn synced_to(&self) -> Offset {
        self.0.log.read().synced_to()
    }

    /// The first offset that is not committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.0.log.read().high_watermark()
    }

    /// Raises the high watermark, as [`Log::advance_high_watermark`] does. A log without replicas can commit what is
    /// [synced](Self::synced_to).
    pub fn advance_high_watermark(&self, to: Offset) -> Offset {
        self.0.log.write().advance_high_watermark(to)
    }

    /// Has the log for itself: retention, deletions, truncation, checkpoints, settings. Everyone else but a sync waits.
    pub fn with<R>(&self, operation: impl FnOnce(&mut Log) -> R) -> R {
        let _turn = self.0.turn.lock();
        operation(&mut self.0.log.write())
    }

    /// Cleans the log if that is [due](crate::Cleanable::is_due), as [`Log::clean`] does, but beside readers and appenders:
    /// they wait only while new segments are put in the place of old ones. `None` if it is not due.
    ///
    /// `progress` is called on the way, and can hold the pass to a rate or stop it.
    ///
    /// # Errors
    ///
    /// As [`Log::clean`].
    pub fn clean(
        &self,
        cleaner: &mut Cleaner,
        now: TimestampMs,
        progress: &mut CleanProgress<'_>,
    ) -> Result<Option<Cleaned>, LogError> {
        let begin = |log: &mut Log| {
            let cleanable = log.cleanable(now)?;
            if cleanable.is_due() { log.clean_task(&cleanable, now) } else { Ok(None) }
        };
        let Some(mut task) = self.with(begin)? else { return Ok(None) };
        while task.run(cleaner, progress)? == CleanStep::GroupReady {
            self.with(|log| log.complete_clean(&mut task, now))?;
        }
        Ok(Some(self.with(|log| log.finish_clean(task))))
    }

    /// Closes the log, as [`Log::close`] does, once the append on its way is done. Every handle refuses to append then.
    ///
    /// # Errors
    ///
    /// As [`Log::close`].
    pub fn close(&self, now: TimestampMs) -> Result<(), LogError> {
        self.with(|log| log.close(now))
    }

    /// Waits for a sync by another thread, or runs one, until the goal is reached.
    fn wait_for(&self, goal: Goal) -> Result<(), LogError> {
        if let Some(outcome) = goal.outcome(&self.0.log.read()) {
            return outcome;
        }
        loop {
            {
                let mut is_syncing = self.0.is_syncing.lock();
                // Looked at under the lock, so that nobody waits for a sync that began after the one that served it.
                if let Some(outcome) = goal.outcome(&self.0.log.read()) {
                    return outcome;
                }
                if *is_syncing {
                    self.0.sync_ended.wait(&mut is_syncing);
                    continue;
                }
                *is_syncing = true;
            }
            let turn = SyncTurn(&self.0);
            turn.sync()?;
        }
    }
}

impl LogSource for SharedLog {
    fn read(&self, start: Offset, max_bytes: u32, min_one: bool, bound: ReadBound) -> Result<ReadSlice, LogError> {
        SharedLog::read(self, start, max_bytes, min_one, bound)
    }

    fn aborted_transactions(&self, start: Offset, slice: &ReadSlice) -> Result<Vec<AbortedTxn>, LogError> {
        SharedLog::aborted_transactions(self, start, slice)
    }

    fn path(&self) -> &Path {
        SharedLog::path(self)
    }
}

impl Goal {
    /// Whether there is nothing to wait for any more, and why.
    fn outcome(&self, log: &Log) -> Option<Result<(), LogError>> {
        if log.truncations() != self.truncations {
            let (start, end) = (log.log_start(), log.readable_end());
            return Some(Err(LogError::OutOfRange { requested: self.end, start, end }));
        }
        let reached = if self.synced { log.synced_to() } else { log.settled_to() };
        if self.end <= reached {
            return Some(Ok(()));
        }
        log.is_poisoned().then_some(Err(LogError::Poisoned))
    }
}

/// The right to run a sync, given back also by a panic.
struct SyncTurn<'a>(&'a Shared);

impl SyncTurn<'_> {
    fn sync(&self) -> Result<(), LogError> {
        // The guard ends with the statement: the log is not locked while the task runs.
        let task = self.0.log.write().flush_task();
        if let Some(task) = task {
            let done = task.run()?;
            self.0.log.write().complete_flush(done);
        }
        Ok(())
    }
}

impl Drop for SyncTurn<'_> {
    fn drop(&mut self) {
        *self.0.is_syncing.lock() = false;
        self.0.sync_ended.notify_all();
    }
}
