//! Opening a log: the order of steps of the storage format, section 16.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use highwater_types::{Offset, TimestampMs};

use super::anchor::{Anchor, LogFacts};
use super::deletion::DeletionQueue;
use super::leftovers::remove_leftovers;
use super::remembered::{self, Trust};
use super::segments::Segments;
use super::snapshots::Snapshots;
use super::{Log, OpenOptions};
use crate::clean::{LogCleaning, Split, complete, split_overflowed, sync_dir};
use crate::disk::Entry;
use crate::entry::{EntryInfo, read_marker};
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::files::create_dir;
use crate::health::LogHealth;
use crate::index::AbortedTxn;
use crate::names::{FileKind, parse_file_name};
use crate::producer::Producers;
use crate::segment::{Place, Recovery, Segment, WholeEntries};

/// Opens the log in `place`. What may be trusted is not looked at again.
pub(super) fn load(
    place: Place,
    options: OpenOptions,
    health: LogHealth,
    trust: Option<Trust<'_>>,
) -> Result<Log, LogError> {
    if let Some(Trust::Whole(facts)) = trust
        && let Some(log) = remembered::open(&place, options, &health, facts)?
    {
        return Ok(log);
    }
    create_dir(&*place.disk, &place.dir)?;
    remove_leftovers(&place)?;
    let mut loader = Loader::new(place, options)?;
    if let Some(Trust::Prefix(facts)) = trust
        && !options.clean
        && options.recovery_point <= loader.options.recovery_point
    {
        loader.prefix = Some(facts);
    }
    let incomplete = loader.open_segments()?;
    loader.recover(&incomplete)?;
    loader.finish(health)
}

/// What becomes of the segments behind one that is recovered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Kept,
    DroppedIfBytesAreLost,
}

/// A log that is being opened.
pub(super) struct Loader<'a> {
    pub(super) place: Place,
    pub(super) options: OpenOptions,
    pub(super) segments: Vec<Segment>,
    pub(super) epochs: EpochCache,
    pub(super) epochs_changed: bool,
    pub(super) producers: Producers,
    pub(super) snapshots: Snapshots,
    pub(super) deletions: DeletionQueue,
    /// What is known to be synced of the active segment.
    pub(super) anchor: Option<Anchor>,
    /// What need not be checked again of the active segment.
    pub(super) prefix: Option<&'a LogFacts>,
}

impl Loader<'_> {
    fn new(place: Place, mut options: OpenOptions) -> Result<Self, LogError> {
        let epochs = match EpochCache::read(&*place.disk, &place.dir) {
            Err(LogError::Malformed { path, reason }) => {
                // Recovery notes every epoch again that it finds.
                tracing::warn!(path = %path.display(), reason, "rebuilding the leader epochs");
                options = OpenOptions { clean: false, recovery_point: Offset::ZERO, ..options };
                EpochCache::default()
            }
            other => other?,
        };
        Ok(Self {
            place,
            options,
            segments: Vec::new(),
            epochs,
            epochs_changed: false,
            producers: Producers::default(),
            snapshots: Snapshots::default(),
            deletions: DeletionQueue::default(),
            anchor: None,
            prefix: None,
        })
    }

    /// Where the log starts, as far as checkpoint and segments tell.
    pub(super) fn log_start(&self) -> Offset {
        self.options.log_start.max(self.segments[0].base())
    }

    /// Opens what is there and removes indexes without a log. Returns the numbers of the segments without an offset
    /// index or with a damaged transaction index, which have to be recovered in any case.
    fn open_segments(&mut self) -> Result<Vec<usize>, LogError> {
        let mut incomplete = Vec::new();
        let files: BTreeSet<(Offset, FileKind)> =
            self.list()?.iter().filter_map(|e| parse_file_name(&e.name)).collect();
        let has = |base: Offset, kind: FileKind| files.contains(&(base, kind));
        self.snapshots = Snapshots::new(
            files.iter().filter(|(_, kind)| *kind == FileKind::Snapshot).map(|&(offset, _)| offset).collect(),
        );
        for &(base, kind) in &files {
            match kind {
                FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::TxnIndex if !has(base, FileKind::Log) => {
                    let path = self.place.file(base, kind);
                    tracing::warn!(path = %path.display(), "removing an index without a log");
                    self.place.disk.remove_file(&path).map_err(LogError::io("remove", &path))?;
                }
                FileKind::Log => {
                    let mut segment = Segment::open(&self.place, base, self.options.now)?;
                    let is_damaged = has(base, FileKind::TxnIndex) && !segment.open_txn_index(&self.place)?;
                    if is_damaged || !has(base, FileKind::OffsetIndex) {
                        incomplete.push(self.segments.len());
                    }
                    self.segments.push(segment);
                }
                _ => {}
            }
        }
        Ok(incomplete)
    }

    fn list(&self) -> Result<Vec<Entry>, LogError> {
        self.place.disk.list(&self.place.dir).map_err(LogError::io("list", &self.place.dir))
    }

    /// Recovers the segments that are incomplete. Unless the log was closed in order, checks everything from the
    /// recovery point's segment on too; what follows lost bytes is dropped.
    fn recover(&mut self, incomplete: &[usize]) -> Result<(), LogError> {
        let above = self.segments.partition_point(|segment| segment.base() <= self.options.recovery_point);
        let first = if self.options.clean { self.segments.len() } else { above.saturating_sub(1) };
        // How many segments have come from splitting earlier ones. In order, as each leaves the next a snapshot.
        let mut added = 0;
        for &earlier in incomplete.iter().filter(|&&earlier| earlier < first) {
            let (at, count) = (earlier + added, self.segments.len());
            if count <= at {
                break;
            }
            self.recover_segment(at, Behind::Kept)?;
            let parts = self.segments.len().saturating_sub(count);
            // The parts of one that was split have no transaction index yet.
            for part in at + 1..=at + parts {
                self.recover_segment(part, Behind::Kept)?;
            }
            added += parts;
        }
        let mut index = first + added;
        while index < self.segments.len() {
            self.recover_segment(index, Behind::DroppedIfBytesAreLost)?;
            index += 1;
        }
        Ok(())
    }

    /// Rebuilds one segment, or the first of those that it has to be split into.
    fn recover_segment(&mut self, index: usize, behind: Behind) -> Result<(), LogError> {
        loop {
            let recovery = match self.recover_behind_prefix(index)? {
                Some(recovery) => recovery,
                None => self.rebuild_segment(index)?,
            };
            if !recovery.is_overflowed {
                return self.finish_segment(index, &recovery, behind);
            }
            self.split_segment(index)?;
        }
    }

    /// Cuts what is not valid off a segment that was rebuilt, and drops what follows lost bytes.
    fn finish_segment(&mut self, index: usize, recovery: &Recovery, behind: Behind) -> Result<(), LogError> {
        if recovery.loses_bytes() && behind == Behind::DroppedIfBytesAreLost {
            // Before the cut: after it nothing would tell that they have lost what they build on.
            let dropped = self.segments.split_off(index + 1);
            self.deletions.remove_segments_for_good(&self.place, &mut self.snapshots, &dropped, self.options.now)?;
        }
        self.segments[index].finish_recovery(recovery)?;
        if behind == Behind::Kept {
            // It lies below the recovery point, or the log was closed in order: no flush comes back to it.
            self.segments[index].sync_files()?;
            self.place.sync_dir()?;
        }
        self.producers.set_end(recovery.next_offset);
        self.snapshots.take(&self.place, &mut self.producers)
    }

    /// Puts segments in the place of one whose offsets are out of its index's reach.
    fn split_segment(&mut self, index: usize) -> Result<(), LogError> {
        let (place, now) = (&self.place, self.options.now);
        let base = self.segments[index].base();
        let Split { bases, bytes_cut } = split_overflowed(place, &self.segments[index], now)?;
        tracing::warn!(dir = %place.dir.display(), %base, into = bases.len(), bytes_cut, "split a segment");
        let mut later = self.segments.split_off(index + 1);
        if bytes_cut > 0 {
            self.deletions.remove_segments_for_good(place, &mut self.snapshots, &later, now)?;
            later.clear();
        }
        self.segments.truncate(index);
        self.deletions.remove_replaced(place, &mut self.snapshots, &[base], &bases, now)?;
        sync_dir(&*place.disk, &place.dir)?;
        complete(place, &bases)?;
        for base in bases {
            self.segments.push(Segment::open(place, base, now)?);
        }
        self.segments.append(&mut later);
        Ok(())
    }

    fn rebuild_segment(&mut self, index: usize) -> Result<Recovery, LogError> {
        let base = self.segments[index].base();
        // A snapshot from before the first segment knows nothing of what was deleted behind it.
        let log_start = self.log_start();
        // Each segment starts from the snapshot that the one before it has left.
        self.producers = Producers::default();
        let now = self.options.now;
        let earlier = &self.segments[..=index];
        rebuild_producers(&self.place, earlier, &mut self.producers, &mut self.snapshots, log_start, base, now)?;
        let end = self.segments[index].begin_recovery()?;
        self.recover_entries(index, base, end)
    }

    /// Checks the entries of one segment from its size, where `next_offset` is due, up to `end`.
    pub(super) fn recover_entries(
        &mut self,
        index: usize,
        next_offset: Offset,
        end: u64,
    ) -> Result<Recovery, LogError> {
        let (producers, epochs, changed) = (&mut self.producers, &mut self.epochs, &mut self.epochs_changed);
        self.segments[index].recover(&self.place, next_offset, end, &mut |info, bytes| {
            if let Some(epoch) = info.leader_epoch
                && epochs.latest().is_none_or(|latest| latest.epoch < epoch)
            {
                *changed |= epochs.assign(epoch, info.base_or_last());
            }
            apply(producers, info, || bytes)
        })
    }

    fn finish(mut self, health: LogHealth) -> Result<Log, LogError> {
        let (log_end, torn_at) = self.settle_end()?;
        self.load_producers(self.log_start(), log_end)?;
        self.segments.last_mut().expect("there is a segment now").grow(&self.place)?;
        self.assemble(log_end, torn_at, health)
    }

    /// The log, once segments and producers are as they should be.
    pub(super) fn assemble(
        mut self,
        log_end: Offset,
        torn_at: Option<u64>,
        health: LogHealth,
    ) -> Result<Log, LogError> {
        let log_start = self.log_start();
        let recovery_point = if self.options.clean { log_end } else { self.options.recovery_point.min(log_end) };
        self.epochs_changed |= self.epochs.truncate_from_end(log_end);
        self.epochs_changed |= self.epochs.truncate_from_start(log_start);
        if self.epochs_changed {
            self.epochs.write(&*self.place.disk, &self.place.dir)?;
        }
        let segments = Segments::new(self.segments);
        let high_watermark = self.options.high_watermark.max(log_start).min(log_end);
        self.producers.advance_high_watermark(high_watermark);
        let log = Log {
            place: self.place,
            segments,
            log_start,
            log_end,
            high_watermark,
            recovery_point,
            synced_to: recovery_point,
            // What was found has been acknowledged, as far as anyone knows.
            settled_to: log_end,
            unwritten_from: None,
            epochs: self.epochs,
            producers: self.producers,
            snapshots: self.snapshots,
            deletions: self.deletions,
            health,
            flush_due: false,
            truncations: 0,
            torn_at,
            anchor: self.anchor,
            ends_at_truncation: false,
            topic_id: OnceLock::new(),
            is_closed: false,
            clean_checkpoint: None,
            cleaning: LogCleaning::default(),
        };
        log.assert_invariants();
        Ok(log)
    }

    /// The log end, and where the last whole entry ends if that is not the end of the file.
    ///
    /// Makes sure that there is a segment, and that the log does not end below its start.
    fn settle_end(&mut self) -> Result<(Offset, Option<u64>), LogError> {
        let log_start = self.options.log_start;
        if let Some(last) = self.segments.len().checked_sub(1) {
            if let Err(LogError::Corrupt { what, path, position }) = self.segments[last].end() {
                // Closed in order, they say, but its files contradict each other.
                tracing::warn!(path = %path.display(), what, position, "recovering a segment that was closed in order");
                self.recover_segment(last, Behind::Kept)?;
            }
            let active = &self.segments[last];
            let (next_offset, end) = active.end()?;
            if log_start <= next_offset {
                return Ok((next_offset, (end < active.size()).then_some(end)));
            }
            tracing::warn!(dir = %self.place.dir.display(), %next_offset, %log_start, "log ends below its start");
            let dropped = std::mem::take(&mut self.segments);
            self.deletions.remove_segments_for_good(&self.place, &mut self.snapshots, &dropped, self.options.now)?;
            self.snapshots.delete_all(&self.place)?;
            self.epochs_changed |= self.epochs.clear();
        }
        self.segments.push(Segment::create(&self.place, log_start, self.options.now)?);
        Ok((log_start, None))
    }

    fn load_producers(&mut self, log_start: Offset, log_end: Offset) -> Result<(), LogError> {
        let bases: BTreeSet<Offset> = self.segments.iter().map(Segment::base).collect();
        self.snapshots.delete_stray(&self.place, &bases)?;
        self.producers = Producers::default();
        if self.options.clean && self.snapshots.is_empty() {
            // Written by a release without snapshots: its producers are forgotten rather than read from all logs.
            for offset in snapshot_bases(&self.segments).into_iter().chain([log_end]) {
                self.producers.set_end(offset);
                self.snapshots.take(&self.place, &mut self.producers)?;
            }
            return Ok(());
        }
        let now = self.options.now;
        let (producers, snapshots) = (&mut self.producers, &mut self.snapshots);
        rebuild_producers(&self.place, &self.segments, producers, snapshots, log_start, log_end, now)
    }
}

/// Brings the producer state to `end`: from the newest snapshot, then from the log.
pub(super) fn rebuild_producers(
    place: &Place,
    segments: &[Segment],
    producers: &mut Producers,
    snapshots: &mut Snapshots,
    log_start: Offset,
    end: Offset,
    now: TimestampMs,
) -> Result<(), LogError> {
    // Without producers up to a later offset there were none up to `end` either.
    let is_known_empty = producers.is_empty() && end <= producers.end() && producers.end() > Offset::ZERO;
    snapshots.reload(place, producers, log_start, end, now)?;
    if producers.end() < end && !is_known_empty {
        let snapshot_at = snapshot_bases(segments);
        let floor = segments.partition_point(|segment| segment.base() <= producers.end()).saturating_sub(1);
        for segment in segments[floor..].iter().take_while(|segment| segment.base() < end) {
            let start = segment.base().max(producers.end()).max(log_start);
            producers.set_end(start);
            if snapshot_at.contains(&segment.base()) {
                snapshots.take(place, producers)?;
            }
            replay(segment, producers, start, end)?;
        }
    }
    producers.set_end(end);
    snapshots.take(place, producers)
}

/// Bases of the last two segments, at which a rebuild leaves snapshots.
fn snapshot_bases(segments: &[Segment]) -> Vec<Offset> {
    segments[segments.len().saturating_sub(2)..].iter().map(Segment::base).collect()
}

/// Applies the entries of one segment within `start..end`.
fn replay(segment: &Segment, producers: &mut Producers, start: Offset, end: Offset) -> Result<(), LogError> {
    let Some(found) = segment.find(start)? else { return Ok(()) };
    for entry in segment.scan(found.position) {
        let (position, info) = entry?;
        if end <= info.base_or_last() {
            break;
        }
        if !info.is_control {
            apply(producers, &info, || &[]);
        } else if info.producer.is_some() {
            let mut whole = WholeEntries::new(segment.log(), segment.path(), position, segment.size());
            if let Some((info, bytes)) = whole.next_unchecked()? {
                apply(producers, &info, || bytes);
            }
        }
    }
    Ok(())
}

fn apply<'a>(producers: &mut Producers, info: &EntryInfo, bytes: impl FnOnce() -> &'a [u8]) -> Option<AbortedTxn> {
    let marker = if info.is_control { read_marker(bytes()) } else { None };
    producers.apply(info, marker)
}
