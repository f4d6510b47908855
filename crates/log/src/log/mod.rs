//! One partition's log.

mod anchor;
mod append;
mod append_set;
mod clean;
mod close;
mod deletion;
mod flush;
mod leftovers;
mod load;
mod read;
mod remembered;
mod retention;
mod roll;
mod segments;
mod snapshots;
mod staged;
mod state;
mod timestamps;
mod transactions;
mod truncate;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use highwater_types::{LeaderEpoch, Offset, TimestampMs, TopicId};

pub(crate) use anchor::{LogFacts, SegmentFacts};
pub use append_set::{AppendInfo, AppendOrigin, AppendSet};
pub use deletion::DeleteTask;
pub(crate) use deletion::DeletionQueue;
pub use flush::{FlushDone, FlushTask};
pub use read::{ReadBound, ReadSlice};
pub(crate) use remembered::Trust;
pub use state::{BatchState, LogState, SegmentState};
pub use timestamps::{TimestampAnswer, TimestampQuery};

use crate::clean::LogCleaning;
use crate::config::CheckedLogConfig;
use crate::disk::Disk;
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::health::{DirHealth, LogHealth};
use crate::producer::{ProducerSummary, Producers};
use crate::segment::Place;
use anchor::Anchor;
use segments::Segments;
use snapshots::Snapshots;
use staged::WrittenEnd;

/// One partition's log: a directory of segments, and what is remembered about them.
///
/// The owner serialises access, for example with one lock per log: appending takes `&mut self`, reading `&self`.
/// Slow work is handed out instead of done under that lock: a [`ReadSlice`] is a piece of a file to send or read
/// later, [`flush_task`](Self::flush_task) and [`due_deletions`](Self::due_deletions) return work to run
/// anywhere.
///
/// # The owner's part
///
/// - After appending, call [`due_flush`](Self::due_flush) and run what it returns: rolled segments are synced
///   so. Nothing is lost without it but time at the next start.
/// - Call [`advance_high_watermark`](Self::advance_high_watermark) when records are committed. Retention and
///   committed reads go by it.
/// - From time to time call [`apply_retention`](Self::apply_retention), [`due_deletions`](Self::due_deletions)
///   and [`expire_producers`](Self::expire_producers).
/// - Keep [`checkpoint`](Self::checkpoint) somewhere durable and give it back to [`open`](Self::open); a
///   LogDir does so for all its logs.
///
/// # Durability
///
/// An append is in the page cache when it returns. It survives a crash of the process, and one of the machine
/// once a flush that covers it is complete: call [`flush`](Self::flush), or run a [`flush_task`](Self::flush_task) where
/// nobody waits for it. Many appends share one flush.
///
/// With `flush_messages: Some(n)` fewer than `n` records may be acknowledged without having been synced. The log does not
/// sync by itself: it keeps [`settled_to`](Self::settled_to), and with it the high watermark, behind until the
/// [`due_flush`](Self::due_flush) is complete. A [`SharedLog`](crate::SharedLog) does all that for many threads.
///
/// # Failure
///
/// After any failed write or sync the log refuses everything with [`LogError::Poisoned`]: memory and disk may
/// disagree. Drop it and open it again.
///
/// Invariant: `log_start <= last_stable <= high_watermark <= settled_to <= log_end`, `recovery_point <= log_end`.
#[derive(Debug)]
pub struct Log {
    place: Place,
    segments: Segments,
    log_start: Offset,
    log_end: Offset,
    high_watermark: Offset,
    recovery_point: Offset,
    /// Everything below has been synced. Behind the recovery point where that was raised with the log start.
    synced_to: Offset,
    /// Everything below may be acknowledged and become visible; behind the log end while `flush_messages` asks for a sync.
    settled_to: Offset,
    /// Set while the bytes of an append are on their way into the file.
    unwritten_from: Option<WrittenEnd>,
    epochs: EpochCache,
    producers: Producers,
    snapshots: Snapshots,
    deletions: DeletionQueue,
    health: LogHealth,
    /// A roll has left something to sync.
    flush_due: bool,
    /// Counts truncations, so that a flush that began before one does not count after it.
    truncations: u64,
    /// End of the last whole entry, where the active file goes on behind it although it was closed in order.
    torn_at: Option<u64>,
    /// What is synced of the active segment, its index entries included.
    anchor: Option<Anchor>,
    /// Nothing has been appended since the log was cut, so that its end may lie behind its last entry.
    ends_at_truncation: bool,
    /// Which topic the log's directory belongs to, for the log directory's manifest.
    topic_id: OnceLock<TopicId>,
    is_closed: bool,
    /// Everything below has been through compaction.
    clean_checkpoint: Option<Offset>,
    cleaning: LogCleaning,
}

/// What [`Log::open`] has to know that the log's own files do not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Whether the log was closed in order. If so nothing is checked, which is fast and trusts the files.
    pub clean: bool,
    /// First offset that may not have been synced; checking starts in its segment.
    pub recovery_point: Offset,
    /// The log start, where it lies above the first segment's base.
    pub log_start: Offset,
    /// The high watermark as last checkpointed.
    pub high_watermark: Offset,
    /// The time, from which the age of segments and producers counts.
    pub now: TimestampMs,
}

impl OpenOptions {
    /// A log of which nothing is known: everything is checked.
    #[must_use]
    pub fn unclean(now: TimestampMs) -> Self {
        Self { clean: false, recovery_point: Offset::ZERO, log_start: Offset::ZERO, high_watermark: Offset::ZERO, now }
    }
}

/// What a log's directory keeps of it in checkpoint files and in its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LogCheckpoint {
    /// The log's directory.
    pub path: std::path::PathBuf,
    /// First offset not known to be synced.
    pub recovery_point: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The log start.
    pub log_start: Offset,
    /// Base of the first segment; the log start is kept only where it lies above.
    pub first_base: Offset,
    /// How far the log has been compacted, if it ever was.
    pub clean_checkpoint: Option<Offset>,
    /// What the next start may go by.
    pub(crate) facts: Option<Box<LogFacts>>,
    pub(crate) topic_id: Option<TopicId>,
}

impl Log {
    /// Opens the log in the directory `path`, creating it if it is empty or missing.
    ///
    /// Unless `options.clean`, reads and checks everything from the recovery point's segment on, and cuts the log
    /// at the first byte that is not valid (storage format, section 16). The recovery point is not advanced by
    /// that.
    ///
    /// # Errors
    ///
    /// - [`LogError::Io`] where the disk fails.
    /// - [`LogError::Corrupt`] for contradictions that recovery cannot repair.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        config: CheckedLogConfig,
        options: OpenOptions,
    ) -> Result<Self, LogError> {
        Self::open_in(disk, path, config, options, &DirHealth::default(), None)
    }

    pub(crate) fn open_in(
        disk: Arc<dyn Disk>,
        path: &Path,
        config: CheckedLogConfig,
        options: OpenOptions,
        dir: &DirHealth,
        trust: Option<Trust<'_>>,
    ) -> Result<Self, LogError> {
        let place = Place { disk, dir: path.to_owned(), config, suffix: "" };
        let opened = load::load(place, options, LogHealth::new(dir.clone()), trust);
        dir.watch(opened)
    }

    /// Notes which topic the log belongs to, unless that is known.
    pub(crate) fn note_topic(&self, topic_id: Option<TopicId>) {
        if let Some(topic_id) = topic_id {
            self.topic_id.get_or_init(|| topic_id);
        }
    }

    /// The log's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.dir
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &CheckedLogConfig {
        &self.place.config
    }

    /// Puts other settings in force. Index sizes follow at the next roll.
    pub fn set_config(&mut self, config: CheckedLogConfig) {
        self.place.config = config;
        self.settle();
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// The first offset that is not committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The first offset that readers of committed transactions must not see: where the oldest transaction begins that
    /// is open, or whose marker is not committed; otherwise the high watermark.
    #[must_use]
    pub fn last_stable(&self) -> Offset {
        // A transaction may have begun in records that have been deleted since.
        let first_unstable = self.producers.first_unstable().map(|first| first.max(self.log_start));
        first_unstable.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// The first offset that may not survive a crash of the machine.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Bytes of records in all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(crate::segment::Segment::size).sum()
    }

    /// Number of segments, at least 1.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Whether an earlier failure makes the log refuse everything.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.health.is_poisoned()
    }

    /// The leader epochs.
    #[must_use]
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Notes that `epoch` begins at `start`, which a new leader does at its log end.
    ///
    /// Syncs a small file unless the epoch is known.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset) -> Result<(), LogError> {
        self.health.check()?;
        if !self.epochs.assign(epoch, start) {
            return Ok(());
        }
        self.health.watch(self.epochs.write(&*self.place.disk, &self.place.dir))
    }

    /// The producers the log remembers, by ascending id.
    pub fn producers(&self) -> impl Iterator<Item = ProducerSummary> {
        self.producers.summaries()
    }

    /// Forgets producers that have been idle for `producer_expiration_ms`, judged by their last batch's largest
    /// timestamp. Kafka does so every 10 minutes.
    pub fn expire_producers(&mut self, now: TimestampMs) {
        self.producers.expire(now, self.place.config.producer_expiration_ms);
    }

    /// Raises the high watermark to `to`, but not above what is [settled](Self::settled_to), and never lowers it.
    /// Returns it.
    ///
    /// Whoever wanted to raise it further tries again after [`complete_flush`](Self::complete_flush).
    pub fn advance_high_watermark(&mut self, to: Offset) -> Offset {
        let to = to.min(self.settled_to);
        if self.high_watermark < to {
            self.high_watermark = to;
            self.producers.advance_high_watermark(to);
        }
        self.high_watermark
    }

    /// The offsets to keep for the next start.
    #[must_use]
    pub fn checkpoint(&self) -> LogCheckpoint {
        LogCheckpoint {
            path: self.place.dir.clone(),
            // Not what was raised with the log start: that can be lost in a crash, and would leave records unchecked that
            // come back so.
            recovery_point: self.recovery_point.min(self.synced_to),
            high_watermark: self.high_watermark,
            log_start: self.log_start,
            first_base: self.segments.first().base(),
            clean_checkpoint: self.clean_checkpoint,
            facts: self.facts().map(Box::new),
            topic_id: self.topic_id.get().copied(),
        }
    }

    /// Raises the log start, and with it whatever must not lie below.
    fn raise_log_start(&mut self, to: Offset) -> Result<(), LogError> {
        if to <= self.log_start {
            return Ok(());
        }
        self.log_start = to;
        self.settled_to = self.settled_to.max(to);
        self.advance_high_watermark(to);
        self.recovery_point = self.recovery_point.max(to);
        if self.epochs.truncate_from_start(to) {
            self.epochs.write_lazily(&*self.place.disk, &self.place.dir)?;
        }
        Ok(())
    }

    fn assert_invariants(&self) {
        assert!(self.log_start <= self.high_watermark, "the log start is committed");
        assert!(self.log_start <= self.last_stable(), "what is below the log start is not held back");
        assert!(self.high_watermark <= self.settled_to, "only what is settled is committed");
        assert!(self.settled_to <= self.log_end, "only what is in the log is settled");
        assert!(self.recovery_point <= self.log_end, "only what is in the log is synced");
    }
}
