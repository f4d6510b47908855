//! The partitions on this broker: their logs, their leadership, and who waits for them.

mod cleaner;
mod controller_asks;
mod directory;
mod error;
mod housekeeping;
mod log_config;
mod syncs;
mod table;
mod throttled;

use std::sync::{Arc, OnceLock};

use highwater_log::{AppendSet, Blame, FlushDone, FlushTask, Log, LogCheckpoint, LogError, ReadBound, ReadSlice};
use highwater_replication::follower::Follower;
use highwater_replication::leader::{Acknowledgement, Acks, EpochError, Leader, Output};
use highwater_types::{LeaderEpoch, Offset, Ticks, TimestampMs, TopicId, TopicPartition};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

pub(crate) use cleaner::{CleanerPool, CleanerSettings};
pub(crate) use controller_asks::{ControllerAsk, ControllerAsks, IsrAsk};
pub(crate) use directory::{Directories, Directory};
pub(crate) use error::PartitionError;
pub(crate) use housekeeping::{Deleting, Housekeeper, Intervals, apply_retention};
pub(crate) use log_config::log_config;
pub(crate) use syncs::SyncThreads;
pub(crate) use table::{PartitionTable, TopicEntry};
pub(crate) use throttled::Throttled;

use crate::net::{Now, WakeToken, Wakers};
use crate::purgatory::WaitList;

/// One partition on this broker.
///
/// The log and the state of its leader or follower share one lock, held for memory work and for the append's write, never while a slice
/// is sent or a file is synced in the background.
pub(crate) struct Partition {
    name: TopicPartition,
    topic_id: TopicId,
    directory: Arc<Directory>,
    /// `None` once the partition has been deleted; a request may still hold the `Arc` then.
    replica: Mutex<Option<Replica>>,
    /// Connections that wait for more to be committed.
    committed_watchers: WaitList,
    /// Connections that wait for the log to grow, whether that is committed or not: those of followers.
    log_end_watchers: WaitList,
    /// Somebody on this broker who wants to know what is committed too.
    listener: OnceLock<Listener>,
    /// Where its leader asks for other in-sync replicas.
    asks: ControllerAsks,
    throttled: Throttled,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// More records are committed, or those in sync are others.
    Committed,
    /// The log grows.
    LogEnd,
}

/// Is called when the high watermark may have moved.
type Listener = Box<dyn Fn() + Send + Sync>;

struct Replica {
    log: Log,
    role: Role,
    /// The latest time that the leader has seen.
    ticks: Ticks,
    /// When the log was last flushed because of `flush.ms`.
    flushed_at: TimestampMs,
    /// A flush has been handed out and is not complete.
    is_flushing: bool,
    /// The log end when housekeeping last looked whether the log is idle.
    end_seen: Offset,
}

/// What a replica is in the current leader epoch.
pub(crate) enum Role {
    /// Clients write to it.
    Leader(Leader),
    /// It copies the leader.
    Follower(Follower),
}

impl Partition {
    pub(crate) fn new(
        name: TopicPartition,
        topic_id: TopicId,
        directory: Arc<Directory>,
        log: Log,
        role: Role,
        asks: ControllerAsks,
        now: TimestampMs,
    ) -> Self {
        let end_seen = log.log_end();
        // Not before the role began.
        let ticks = Now::read().ticks();
        let replica = Mutex::new(Some(Replica { log, role, ticks, flushed_at: now, is_flushing: false, end_seen }));
        let (committed_watchers, log_end_watchers) = (WaitList::default(), WaitList::default());
        let listener = OnceLock::new();
        let throttled = Throttled::default();
        Self { name, topic_id, directory, replica, committed_watchers, log_end_watchers, listener, asks, throttled }
    }

    pub(crate) fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub(crate) fn name(&self) -> &TopicPartition {
        &self.name
    }

    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Whether it is throttled.
    pub(crate) fn throttled(&self) -> &Throttled {
        &self.throttled
    }

    /// Locks the partition for one operation.
    ///
    /// # Errors
    ///
    /// [`PartitionError::Offline`] after its directory failed, [`PartitionError::Gone`] after it was deleted.
    pub(crate) fn lock(&self) -> Result<LockedPartition<'_>, PartitionError> {
        if self.directory.is_offline() {
            return Err(PartitionError::Offline);
        }
        let replica = MutexGuard::try_map(self.replica.lock(), Option::as_mut).map_err(|_| PartitionError::Gone)?;
        Ok(LockedPartition { partition: self, replica })
    }

    /// Locks the partition for an operation of its leader.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`PartitionError::NotLeader`] if this broker does not lead it.
    pub(crate) fn lock_leader(&self) -> Result<LockedPartition<'_>, PartitionError> {
        let locked = self.lock()?;
        locked.leader()?;
        Ok(locked)
    }

    /// Takes the log out, for deletion or for closing. Every later operation finds the partition gone.
    pub(crate) fn take_log(&self) -> Option<Log> {
        self.replica.lock().take().map(|replica| replica.log)
    }

    pub(crate) fn watch(&self, awaited: Awaited, token: WakeToken) {
        self.watchers(awaited).watch(token);
    }

    pub(crate) fn unwatch(&self, awaited: Awaited, token: WakeToken) {
        self.watchers(awaited).unwatch(token);
    }

    fn watchers(&self, awaited: Awaited) -> &WaitList {
        match awaited {
            Awaited::Committed => &self.committed_watchers,
            Awaited::LogEnd => &self.log_end_watchers,
        }
    }

    /// Lets `listener` know whenever the high watermark may have moved. For one listener: a second one is ignored.
    pub(crate) fn on_progress(&self, listener: impl Fn() + Send + Sync + 'static) {
        // It belongs to the partition: whoever coordinates it again finds itself there.
        let _ = self.listener.set(Box::new(listener));
    }

    /// Wakes every connection that waits for this partition, whatever for, and tells the listener. Not to be called with
    /// a lock that the listener takes.
    pub(crate) fn wake(&self, wakers: &Wakers) {
        self.wake_for_log_end(wakers);
        self.wake_for_committed(wakers);
    }

    /// Wakes the connections that wait for more to be committed, and tells the listener. Not to be called with a lock
    /// that the listener takes.
    pub(crate) fn wake_for_committed(&self, wakers: &Wakers) {
        self.committed_watchers.ready(wakers);
        if let Some(listener) = self.listener.get() {
            listener();
        }
    }

    /// Wakes the connections that wait for the log to grow.
    pub(crate) fn wake_for_log_end(&self, wakers: &Wakers) {
        self.log_end_watchers.ready(wakers);
    }

    /// Wakes every connection that waits for this partition, but does not tell the listener, who knows.
    pub(crate) fn wake_watchers(&self, wakers: &Wakers) {
        self.log_end_watchers.ready(wakers);
        self.committed_watchers.ready(wakers);
    }
}

/// A partition while its lock is held.
pub(crate) struct LockedPartition<'a> {
    partition: &'a Partition,
    replica: MappedMutexGuard<'a, Replica>,
}

impl LockedPartition<'_> {
    pub(crate) fn log(&self) -> &Log {
        &self.replica.log
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        match &self.replica.role {
            Role::Leader(leader) => leader.leader_epoch(),
            Role::Follower(follower) => follower.leader_epoch(),
        }
    }

    /// The leader's state.
    ///
    /// # Errors
    ///
    /// [`PartitionError::NotLeader`] if this broker does not lead the partition.
    pub(crate) fn leader(&self) -> Result<&Leader, PartitionError> {
        match &self.replica.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(PartitionError::NotLeader),
        }
    }

    /// The follower's state, if this broker follows.
    pub(crate) fn follower(&self) -> Option<&Follower> {
        match &self.replica.role {
            Role::Leader(_) => None,
            Role::Follower(follower) => Some(follower),
        }
    }

    /// Compares the client's leader epoch (wire form, `-1` for none) with ours.
    ///
    /// # Errors
    ///
    /// [`PartitionError::Epoch`] if the client is behind or ahead.
    pub(crate) fn check_epoch(&self, current: i32) -> Result<(), PartitionError> {
        Ok(EpochError::check(LeaderEpoch::from_wire(current), self.leader_epoch())?)
    }

    /// Whether a produce request with these acks may be appended at all.
    ///
    /// # Errors
    ///
    /// [`PartitionError::Ack`] if it wants all replicas and too few are in sync, [`PartitionError::NotLeader`].
    pub(crate) fn admit(&self, acks: Acks) -> Result<(), PartitionError> {
        Ok(self.leader()?.admit(acks)?)
    }

    /// Appends record sets with one write and moves the high watermark as far as the replicas allow.
    ///
    /// The caller wakes the watchers after releasing the lock, and gets the flush that is due to run elsewhere: one at a
    /// time, whose end is told to [`complete_flush`](Self::complete_flush).
    ///
    /// # Errors
    ///
    /// [`PartitionError::Log`] if the host failed; then nothing of this call may be acknowledged.
    pub(crate) fn append(
        &mut self,
        sets: &mut [AppendSet<'_>],
        now: TimestampMs,
    ) -> Result<Option<FlushTask>, PartitionError> {
        let epoch = self.leader()?.leader_epoch();
        let appended = self.replica.log.append_as_leader(sets, epoch, now);
        self.host(appended)?;
        let Replica { log, role: Role::Leader(leader), .. } = &mut *self.replica else {
            return Err(PartitionError::NotLeader);
        };
        if let Some(high_watermark) = leader.appended(log.log_end()) {
            log.advance_high_watermark(high_watermark);
        }
        Ok(self.begin_flush(Log::due_flush))
    }

    /// Hands out the flush that `choose` takes from the log, unless one is under way.
    pub(crate) fn begin_flush(&mut self, choose: impl FnOnce(&mut Log) -> Option<FlushTask>) -> Option<FlushTask> {
        if self.replica.is_flushing {
            return None;
        }
        let task = choose(&mut self.replica.log);
        self.replica.is_flushing = task.is_some();
        task
    }

    /// Takes note of a finished flush: the high watermark may move. Hands out the next, if one is due by now.
    ///
    /// The caller wakes the watchers after releasing the lock.
    pub(crate) fn complete_flush(&mut self, done: FlushDone) -> Option<FlushTask> {
        self.replica.is_flushing = false;
        self.replica.log.complete_flush(done);
        self.advance_high_watermark();
        self.begin_flush(Log::due_flush)
    }

    /// Raises the log's high watermark to the leader's, where a flush or a change of settings has made that possible.
    pub(crate) fn advance_high_watermark(&mut self) {
        let Replica { log, role, .. } = &mut *self.replica;
        if let Role::Leader(leader) = role {
            log.advance_high_watermark(leader.high_watermark());
        }
    }

    /// Whether everything before `end`, appended in leader epoch `epoch`, may be acknowledged to a producer that asked
    /// for `acks`.
    ///
    /// # Errors
    ///
    /// [`PartitionError::NotLeader`] if that epoch is over: what was appended may be gone, and another record be there.
    pub(crate) fn acknowledge(
        &self,
        acks: Acks,
        epoch: LeaderEpoch,
        end: Offset,
    ) -> Result<Acknowledgement, PartitionError> {
        let leader = self.leader()?;
        if leader.leader_epoch() != epoch {
            return Err(PartitionError::NotLeader);
        }
        Ok(match acks {
            Acks::Leader | Acks::All if self.awaits_sync(end) => Acknowledgement::Wait,
            _ => leader.acknowledge(acks, end),
        })
    }

    /// Where all replicas begin whose brokers live; `None` while one has not said.
    ///
    /// # Errors
    ///
    /// [`PartitionError::NotLeader`] if this broker does not lead the partition.
    pub(crate) fn low_watermark(&self) -> Result<Option<Offset>, PartitionError> {
        Ok(self.leader()?.low_watermark(self.replica.log.log_start()))
    }

    /// Whether something before `end` has to be synced before it may be acknowledged or read by consumers.
    pub(crate) fn awaits_sync(&self, end: Offset) -> bool {
        self.replica.log.settled_to() < end
    }

    /// Finds the bytes from `start` on.
    ///
    /// # Errors
    ///
    /// [`PartitionError::Log`] if `start` is out of range or the host failed.
    pub(crate) fn read(
        &mut self,
        start: Offset,
        max_bytes: u32,
        min_one: bool,
        bound: ReadBound,
    ) -> Result<ReadSlice, PartitionError> {
        let slice = self.replica.log.read(start, max_bytes, min_one, bound);
        self.host(slice)
    }

    /// Runs a log operation and takes the directory offline if the host failed in it.
    pub(crate) fn with_log<R>(
        &mut self,
        operation: impl FnOnce(&mut Log) -> Result<R, LogError>,
    ) -> Result<R, PartitionError> {
        let result = operation(&mut self.replica.log);
        self.host(result)
    }

    /// Runs an operation on the leader's state and carries out what it wants; `None` if this broker does not lead.
    ///
    /// The caller wakes the watchers after releasing the lock if the flag says so.
    /// The leader sees no time before one that it has seen: threads read their clocks before they have the lock.
    pub(crate) fn with_leader<R>(
        &mut self,
        now: Ticks,
        operation: impl FnOnce(&mut Leader, Ticks) -> R,
    ) -> Option<(R, bool)> {
        let Replica { log, role: Role::Leader(leader), ticks, .. } = &mut *self.replica else { return None };
        *ticks = now.max(*ticks);
        let result = operation(leader, *ticks);
        let mut has_news = false;
        while let Some(output) = leader.poll_output() {
            match output {
                Output::HighWatermark(high_watermark) => {
                    log.advance_high_watermark(high_watermark);
                    has_news = true;
                }
                Output::LowWatermark | Output::IsrChanged => has_news = true,
                Output::ProposeIsr(proposal) => self.partition.asks.propose(IsrAsk {
                    topic_id: self.partition.topic_id,
                    partition: self.partition.name.partition,
                    proposal,
                }),
            }
        }
        Some((result, has_news))
    }

    /// Runs an operation on the log and the follower's state; `None` if this broker does not follow.
    pub(crate) fn with_follower<R>(&mut self, operation: impl FnOnce(&mut Log, &mut Follower) -> R) -> Option<R> {
        match &mut *self.replica {
            Replica { log, role: Role::Follower(follower), .. } => Some(operation(log, follower)),
            _ => None,
        }
    }

    /// Begins another leader epoch at `now`.
    pub(crate) fn set_role(&mut self, now: Ticks, role: Role) {
        self.replica.ticks = now;
        self.replica.role = role;
    }

    /// Takes the directory offline: the host has failed in an operation on the log.
    pub(crate) fn fail(&self, error: &LogError) {
        self.partition.directory.fail(error);
    }

    pub(crate) fn checkpoint(&self) -> LogCheckpoint {
        self.replica.log.checkpoint()
    }

    /// What to sync so that the next start need not look at this log, if nothing was appended since the call before, or
    /// so much that checking it would take long.
    ///
    /// # Errors
    ///
    /// [`PartitionError::Log`] if the host failed.
    pub(crate) fn anchor_task(&mut self) -> Result<Option<FlushTask>, PartitionError> {
        let end = self.replica.log.log_end();
        let is_idle = std::mem::replace(&mut self.replica.end_seen, end) == end;
        if !is_idle && self.replica.log.unanchored_bytes() < UNANCHORED_BYTES_MAX {
            return Ok(None);
        }
        self.with_log(Log::anchor_task)
    }

    /// Takes note of what [`anchor_task`](Self::anchor_task) gave, which may be synced beside a flush.
    pub(crate) fn anchored(&mut self, done: FlushDone) {
        self.replica.log.complete_flush(done);
    }

    pub(crate) fn flushed_at(&mut self) -> &mut TimestampMs {
        &mut self.replica.flushed_at
    }

    fn host<R>(&self, result: Result<R, LogError>) -> Result<R, PartitionError> {
        result.map_err(|error| {
            if error.blame() == Blame::Host {
                self.partition.directory.fail(&error);
            }
            PartitionError::Log(error)
        })
    }
}

/// Bytes of a busy log that a start after a crash may have to check: about a second's work of one thread.
const UNANCHORED_BYTES_MAX: u64 = 256 << 20;
