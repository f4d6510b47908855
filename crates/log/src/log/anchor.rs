//! What is known of a log so well that the next start need not look at it.

use std::sync::Arc;

use highwater_types::{Offset, TimestampMs};

use super::Log;
use super::flush::{FlushDone, FlushTask};
use crate::epoch_cache::EpochEntry;
use crate::error::LogError;
use crate::segment::Segment;

/// A state of the active segment of which everything is synced, its index entries included.
///
/// It stays true while entries are added, and ends with a truncation or another active segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    end: Offset,
    is_sealed: bool,
    active: SegmentFacts,
}

/// Everything that has to be known of a log to open it without reading a file.
///
/// All of it is synced. The log may have grown since; `end` and the last segment then describe a prefix of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LogFacts {
    /// The offset after the last entry.
    pub(crate) end: Offset,
    /// Whether the log was closed in order at this end.
    pub(crate) is_sealed: bool,
    /// Whether there are producers at this end; if so they are read from the newest snapshot.
    pub(crate) has_producers: bool,
    pub(crate) epochs: Vec<EpochEntry>,
    /// Offsets of the snapshots.
    pub(crate) snapshots: Vec<Offset>,
    /// All segments in order, at least one.
    pub(crate) segments: Vec<SegmentFacts>,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SegmentFacts {
    pub(crate) base: Offset,
    /// Bytes of entries.
    pub(crate) size: u32,
    /// Entries of the offset index.
    pub(crate) offset_entries: u32,
    /// Entries of the time index.
    pub(crate) time_entries: u32,
    /// Entries of the transaction index.
    pub(crate) txn_entries: u32,
    /// The largest timestamp and the last offset of the first batch that has it, if anybody has asked.
    pub(crate) max_timestamp: Option<(TimestampMs, Offset)>,
}

impl LogFacts {
    pub(crate) fn active(&self) -> &SegmentFacts {
        self.segments.last().expect("facts have at least one segment")
    }

    pub(super) fn anchor(&self) -> Anchor {
        Anchor { end: self.end, is_sealed: self.is_sealed, active: *self.active() }
    }
}

impl SegmentFacts {
    fn of(segment: &Segment) -> Option<Self> {
        Some(Self {
            base: segment.base(),
            size: u32::try_from(segment.size()).ok()?,
            offset_entries: u32::try_from(segment.offset_index().len()).ok()?,
            time_entries: u32::try_from(segment.time_index().len()).ok()?,
            txn_entries: u32::try_from(segment.txn_index().len()).ok()?,
            max_timestamp: segment.known_max_timestamp(),
        })
    }
}

impl Log {
    /// What to sync so that the next start need not look at this log, even after a crash; `None` if it is so already.
    ///
    /// More than a [`flush_task`](Self::flush_task): the index entries and the producers are written and synced too.
    /// Meant for logs that have become idle; a busy one is as well off with a flush. Give the outcome to
    /// [`complete_flush`](Self::complete_flush), and the [`checkpoint`](Self::checkpoint) to the log directory. Many logs
    /// are best synced together, see [`DirSync`](crate::DirSync).
    ///
    /// Writes index entries, and a snapshot of the producers if there are any.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`], [`LogError::Poisoned`].
    pub fn anchor_task(&mut self) -> Result<Option<FlushTask>, LogError> {
        self.check_open()?;
        if self.is_anchored() || !self.can_anchor() {
            return Ok(None);
        }
        let written = self.write_to_anchor();
        self.health.watch(written)?;
        self.flush_due = false;
        let from = self.segments.floor(self.synced_to);
        let files_of = |segment: &Segment| segment.handles().into_iter().chain(segment.txn_handle());
        let files = self.segments.from(from).iter().flat_map(files_of).collect();
        // What names exist is part of what is going to be known.
        let dir = Some((Arc::clone(&self.place.disk), self.place.dir.clone()));
        let (up_to, truncations) = (self.log_end, self.truncations);
        let (active, anchor) = (self.segments.active().base(), self.anchor_at_end(false));
        let done = FlushDone { up_to, truncations, active, anchor };
        Ok(Some(FlushTask { files, dir, health: self.health.clone(), done }))
    }

    /// Bytes of the active segment that a start after a crash would have to check.
    #[must_use]
    pub fn unanchored_bytes(&self) -> u64 {
        let active = self.segments.active();
        let anchored = self.anchor.filter(|anchor| anchor.active.base == active.base());
        active.size().saturating_sub(anchored.map_or(0, |anchor| anchor.active.size.into()))
    }

    fn write_to_anchor(&mut self) -> Result<(), LogError> {
        if !self.producers.is_empty() {
            self.snapshots.take(&self.place, &mut self.producers)?;
            self.snapshots.delete_stray(&self.place, &self.segments.iter().map(Segment::base).collect())?;
        }
        self.segments.active_mut().write_indexes()
    }

    /// Whether everything is known up to the end.
    pub(super) fn is_anchored(&self) -> bool {
        let (end, active) = (self.log_end, self.segments.active());
        self.anchor.is_some_and(|anchor| {
            anchor.end == end && anchor.active.base == active.base() && u64::from(anchor.active.size) == active.size()
        })
    }

    /// Whether the log was closed in order and nothing has been done to it since.
    pub(super) fn is_sealed(&self) -> bool {
        self.is_anchored() && self.anchor.is_some_and(|anchor| anchor.is_sealed)
    }

    /// Whether something is known of the log although it has just been opened.
    pub(crate) fn is_resumed(&self) -> bool {
        self.anchor.is_some()
    }

    /// Where the files alone say something else of the end than is remembered, they shall be asked.
    fn can_anchor(&self) -> bool {
        self.torn_at.is_none() && !self.ends_at_truncation && self.unwritten_from.is_none()
    }

    /// The state at the log end, provided that it gets synced.
    pub(super) fn anchor_at_end(&self, is_sealed: bool) -> Option<Anchor> {
        let active = SegmentFacts::of(self.segments.active()).filter(|_| self.can_anchor())?;
        Some(Anchor { end: self.log_end, is_sealed, active })
    }

    /// What the next start may go by, if there is anything.
    pub(super) fn facts(&self) -> Option<LogFacts> {
        let Anchor { end, is_sealed, active } = self.anchor?;
        let (last, closed) = self.segments.from(0).split_last()?;
        // Removing what waits for it begins with looking at the directory.
        if active.base != last.base() || last.size() < u64::from(active.size) || !self.deletions.is_empty() {
            return None;
        }
        let segments = closed.iter().map(SegmentFacts::of).chain([Some(active)]).collect::<Option<_>>()?;
        Some(LogFacts {
            end,
            is_sealed,
            has_producers: !self.producers.is_empty(),
            epochs: self.epochs.entries().to_vec(),
            snapshots: self.snapshots.iter().collect(),
            segments,
        })
    }

    /// Notes that names have changed, which closing has to make durable.
    pub(super) fn unseal(&mut self) {
        if let Some(anchor) = &mut self.anchor {
            anchor.is_sealed = false;
        }
    }

    /// Makes what has been remembered of this log invalid on disk, before it is cut behind the remembered end.
    ///
    /// Whatever grows behind a cut looks like growth behind the remembered end. Writing a file anew gives the directory
    /// another time, by which the next start notices.
    pub(super) fn forget_anchor(&mut self) -> Result<(), LogError> {
        self.ends_at_truncation = true;
        match self.anchor.take() {
            Some(_) => self.epochs.write(&*self.place.disk, &self.place.dir),
            None => Ok(()),
        }
    }
}
