//! A pass over one log.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use highwater_records::{BatchView, DecompressLimit, Entry};
use highwater_types::{Offset, TimestampMs};

use super::cleaning::Cleaning;
use super::config::CleanerConfig;
use super::group::{Extent, group};
use super::offset_map::OffsetMap;
use super::output::{Finished, Output, remove_files};
use super::retain::{LastBatches, Retention};
use super::rewrite::{RewriteError, Rewriter, Rewritten};
use super::source::{Source, SourceEntry};
use super::stats::{CleanStats, Cleaned};
use super::txns::CleanedTxns;
use crate::config::ConfigError;
use crate::error::LogError;
use crate::health::LogHealth;
use crate::index::AbortedTxn;
use crate::names::CLEANED;
use crate::segment::Place;

/// Called with the number of bytes after each piece that has been read or written, of some 64 KiB.
///
/// May wait, to hold a rate. [`ControlFlow::Break`] stops the pass.
pub type CleanProgress<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// Bytes read or written between two calls of [`CleanProgress`], at least.
const PROGRESS_BYTES: u64 = 64 << 10;

/// The memory that passes need, one after the other.
#[derive(Debug)]
pub struct Cleaner {
    config: CleanerConfig,
    map: OffsetMap,
    rewriter: Rewriter,
    /// The pass that the map was filled for.
    filled_for: Option<Arc<Cleaning>>,
}

impl Cleaner {
    /// A cleaner that holds no memory yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first field that is out of range.
    pub fn new(config: CleanerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let rewriter = Rewriter::new(config.decompress_limit);
        Ok(Self { config, map: OffsetMap::new(), rewriter, filled_for: None })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &CleanerConfig {
        &self.config
    }

    /// Memory held for the last offsets of keys, in bytes.
    #[must_use]
    pub fn dedupe_bytes(&self) -> usize {
        self.map.memory_bytes()
    }
}

impl Default for Cleaner {
    fn default() -> Self {
        Self::new(CleanerConfig::default()).expect("the default settings are within their limits")
    }
}

/// A pass over a log, to be [run](Self::run) without holding the log up.
///
/// ```no_run
/// # use std::ops::ControlFlow;
/// # use highwater_log::{CleanStep, Cleaner, Log, LogError};
/// # use highwater_types::TimestampMs;
/// # fn clean(log: &mut Log, now: TimestampMs) -> Result<(), LogError> {
/// let mut cleaner = Cleaner::default();
/// let cleanable = log.cleanable(now)?;
/// let Some(mut task) = log.clean_task(&cleanable, now)? else { return Ok(()) };
/// while task.run(&mut cleaner, &mut |_bytes| ControlFlow::Continue(()))? == CleanStep::GroupReady {
///     // Only here does the log have to be locked.
///     log.complete_clean(&mut task, now)?;
/// }
/// let cleaned = log.finish_clean(task);
/// # Ok(())
/// # }
/// ```
///
/// Extra disk space is needed for one group of segments at a time, about `segment_bytes_max`. Dropping the task ends
/// the pass: what has been put in place stays, and the rest is removed.
#[derive(Debug)]
pub struct CleanTask {
    place: Place,
    cleaning: Arc<Cleaning>,
    health: LogHealth,
    sources: Vec<Source>,
    first_dirty: Offset,
    first_uncleanable: Offset,
    /// Where in the first dirty source to begin.
    scan_start: u64,
    /// Aborted transactions with records below `first_uncleanable`, in the order of their markers.
    aborted: Vec<AbortedTxn>,
    last_batches: LastBatches,
    now: TimestampMs,
    groups: Option<Groups>,
    txns: CleanedTxns,
    /// Bases of `.cleaned` files that would have to be removed.
    unfinished: Vec<Offset>,
    ready: Option<Ready>,
    is_partial: bool,
    stats: CleanStats,
}

/// What there is to do once the keys are known.
#[derive(Debug)]
struct Groups {
    /// Sources of each group.
    groups: std::vec::IntoIter<Range<usize>>,
    /// The pass reaches to here: as far as the map does.
    end: Offset,
}

/// A group that waits to be put in place.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) sources: Vec<Extent>,
    pub(crate) bases: Vec<Offset>,
}

/// Where [`CleanTask::run`] has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanStep {
    /// A group of segments is ready for [`Log::complete_clean`](crate::Log::complete_clean); then run again.
    GroupReady,
    /// All is done; see [`Log::finish_clean`](crate::Log::finish_clean).
    Finished,
    /// The pass was stopped by [`CleanProgress`], or because the log was truncated below what the pass is about, or
    /// dropped.
    Stopped,
}

/// Why a step does not end with a result.
enum Halt {
    Stopped,
    Failed(LogError),
}

impl From<LogError> for Halt {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

/// What [`CleanTask::new`] gets from the log.
#[derive(Debug)]
pub(crate) struct CleanInput {
    pub(crate) place: Place,
    pub(crate) cleaning: Arc<Cleaning>,
    pub(crate) health: LogHealth,
    pub(crate) first_dirty: Offset,
    pub(crate) first_uncleanable: Offset,
    pub(crate) scan_start: u64,
    pub(crate) aborted: Vec<AbortedTxn>,
    pub(crate) now: TimestampMs,
}

impl CleanTask {
    pub(crate) fn new(input: CleanInput, sources: Vec<Source>, last_batches: LastBatches) -> Self {
        let CleanInput { place, cleaning, health, first_dirty, first_uncleanable, scan_start, aborted, now } = input;
        let mut txns = CleanedTxns::default();
        txns.add(aborted.iter().copied());
        Self {
            place,
            cleaning,
            health,
            sources,
            first_dirty,
            first_uncleanable,
            scan_start,
            aborted,
            last_batches,
            now,
            groups: None,
            txns,
            unfinished: Vec::new(),
            ready: None,
            is_partial: false,
            stats: CleanStats::default(),
        }
    }

    /// Works until a group of segments is ready to be put in place, or all is done.
    ///
    /// Reads and writes for as long as it takes; `progress` can slow it down or stop it. A group that is still waiting
    /// to be put in place is discarded.
    ///
    /// # Errors
    ///
    /// - [`LogError::Corrupt`] if a batch fails its checksum or cannot be decoded, or decompresses to more than
    ///   allowed. The log is as it was before the group, and works; trying again will fail again.
    /// - [`LogError::Io`] where the disk fails; the log is poisoned.
    ///
    /// # Panics
    ///
    /// If it is given another cleaner than the first time, or one that has been used for another pass meanwhile.
    pub fn run(&mut self, cleaner: &mut Cleaner, progress: &mut CleanProgress<'_>) -> Result<CleanStep, LogError> {
        self.discard_ready();
        let mut pace = Pace { progress, bytes: 0, cleaning: Arc::clone(&self.cleaning) };
        match self.step(cleaner, &mut pace) {
            Ok(step) => Ok(step),
            Err(halt) => {
                self.is_partial = true;
                self.remove_unfinished();
                match halt {
                    Halt::Failed(error) if !self.is_over() => match error {
                        LogError::Io { .. } => self.health.watch(Err(error)),
                        other => Err(other),
                    },
                    // Files that change under the pass are no fault once the log has been changed or dropped.
                    Halt::Failed(_) | Halt::Stopped => Ok(CleanStep::Stopped),
                }
            }
        }
    }

    /// Work done so far.
    #[must_use]
    pub fn stats(&self) -> &CleanStats {
        &self.stats
    }

    /// Whether the log is gone, or has lost records that the pass has seen.
    fn is_over(&self) -> bool {
        self.cleaning.is_cancelled() || self.health.is_poisoned()
    }

    fn step(&mut self, cleaner: &mut Cleaner, pace: &mut Pace<'_>) -> Result<CleanStep, Halt> {
        if self.is_over() {
            return Err(Halt::Stopped);
        }
        if self.groups.is_none() {
            let end = self.find_last_offsets(cleaner, pace)?;
            let below_end: Vec<Extent> =
                self.sources.iter().map(|source| source.extent).take_while(|extent| extent.base < end).collect();
            self.groups = Some(Groups { groups: group(&below_end, &self.place.config).into_iter(), end });
        }
        let is_filled = cleaner.filled_for.as_ref().is_some_and(|pass| Arc::ptr_eq(pass, &self.cleaning));
        assert!(is_filled, "a pass keeps its cleaner");
        match self.groups.as_mut().and_then(|groups| groups.groups.next()) {
            Some(range) => {
                self.clean_group(range, cleaner, pace)?;
                Ok(CleanStep::GroupReady)
            }
            None => Ok(CleanStep::Finished),
        }
    }

    /// Reads the dirty part and notes the last offset of each key. Returns how far the map reaches.
    fn find_last_offsets(&mut self, cleaner: &mut Cleaner, pace: &mut Pace<'_>) -> Result<Offset, Halt> {
        let range = self.first_dirty.records_until(self.first_uncleanable).unwrap_or(0);
        let map = &mut cleaner.map;
        map.reset(&cleaner.config, range);
        cleaner.filled_for = Some(Arc::clone(&self.cleaning));
        let mut txns = CleanedTxns::default();
        // One that ended before the dirty part would be taken for one that has not ended.
        txns.add(self.aborted.iter().copied().filter(|txn| self.first_dirty <= txn.last));
        let mut position = self.scan_start;
        for source in self.sources.iter().skip_while(|source| source.extent.end <= self.first_dirty) {
            let is_whole = index_source(
                source,
                std::mem::take(&mut position),
                self.first_dirty,
                cleaner.config.decompress_limit,
                &mut *map,
                &mut txns,
                &mut self.stats,
                pace,
            )?;
            if !is_whole {
                break;
            }
            // Offsets without a record, up to the next segment, are done with too.
            map.raise_latest(Offset::new(source.extent.end.value() - 1));
        }
        self.stats.keys = map.keys() as u64;
        self.stats.keys_max = map.keys_max() as u64;
        Ok(map.latest().map_or(self.first_dirty, Offset::next))
    }

    /// Writes what is kept of a group of sources to `.cleaned` files.
    fn clean_group(&mut self, range: Range<usize>, cleaner: &mut Cleaner, pace: &mut Pace<'_>) -> Result<(), Halt> {
        let base = self.sources[range.start].extent.base;
        self.unfinished.push(base);
        let mut output = Output::create(&self.place, base, cleaner.config.io_bytes_max, self.now)?;
        for index in range.clone() {
            let filtered = self.filter_source(index, cleaner, &mut output, pace);
            self.unfinished = output.bases().to_vec();
            filtered?;
        }
        let modified = self.sources[range.end - 1].modified;
        let Finished { bases, bytes } = output.finish(modified)?;
        self.stats.bytes_written += bytes;
        self.stats.segments_written += bases.len() as u64;
        self.stats.segments_read += range.len() as u64;
        let sources = self.sources[range].iter().map(|source| source.extent).collect();
        self.ready = Some(Ready { sources, bases });
        Ok(())
    }

    fn filter_source(
        &mut self,
        index: usize,
        cleaner: &mut Cleaner,
        output: &mut Output,
        pace: &mut Pace<'_>,
    ) -> Result<(), Halt> {
        let source = &self.sources[index];
        let retention = Retention {
            map: &cleaner.map,
            last_batches: &self.last_batches,
            first_uncleanable: self.first_uncleanable,
            now: self.now,
            delete_retention_ms: self.place.config.delete_retention_ms,
        };
        let keeps_legacy_tombstones = self.legacy_horizon() < source.modified.value();
        let mut entries = source.entries(0);
        while let Some(SourceEntry { position, info, bytes }) = entries.next()? {
            let start = output.buffer().len();
            let entry = Entry::parse(bytes).map_err(|_| source.corrupt("entry", position))?;
            let (rewritten, aborts) = match &entry {
                Entry::Batch(batch) => {
                    let rule = retention.judge(batch, &mut self.txns);
                    (cleaner.rewriter.rewrite_batch(batch, rule, &retention, output.buffer()), rule.aborts)
                }
                Entry::Legacy(message) => {
                    let keeps = keeps_legacy_tombstones;
                    (cleaner.rewriter.rewrite_legacy(message, keeps, &retention, output.buffer()), None)
                }
            };
            let Rewritten { records_read, records_kept } =
                rewritten.map_err(|error| fault(source, position, &error))?;
            let size = output.buffer().len() - start;
            if info.size.max(self.place.config.message_bytes_max.into()) < size as u64 {
                tracing::warn!(offset = %info.base_or_last(), size, "a batch has grown past max.message.bytes");
            }
            self.stats.bytes_read += info.size;
            self.stats.records_read += records_read;
            self.stats.records_written += records_kept;
            let written = output.accept(start, aborts, source.modified)?;
            pace.spend(info.size + written)?;
        }
        Ok(())
    }

    /// Tombstones of v0 and v1 in files last written at or before this time may go.
    fn legacy_horizon(&self) -> i64 {
        let clean = self.sources.iter().take_while(|source| source.extent.base < self.first_dirty).last();
        let retention = i64::try_from(self.place.config.delete_retention_ms).unwrap_or(i64::MAX);
        clean.map_or(0, |last| last.modified.value().saturating_sub(retention))
    }

    pub(crate) fn cleaning(&self) -> &Arc<Cleaning> {
        &self.cleaning
    }

    pub(crate) fn take_ready(&mut self) -> Option<Ready> {
        self.ready.take()
    }

    /// The files of the ready group are the log's now.
    pub(crate) fn on_swapped(&mut self) {
        self.unfinished.clear();
    }

    /// The log has no use for the ready group.
    pub(crate) fn on_discarded(&mut self) {
        self.stats.groups_discarded += 1;
        self.is_partial = true;
        self.remove_unfinished();
    }

    fn discard_ready(&mut self) {
        if self.ready.take().is_some() {
            self.on_discarded();
        }
    }

    /// Up to where the log is clean if the pass has done all of its work.
    pub(crate) fn into_cleaned(mut self) -> Cleaned {
        self.discard_ready();
        let groups = self.groups.as_ref().filter(|groups| groups.groups.len() == 0);
        let is_whole = !self.is_partial && !self.is_over();
        Cleaned { first_dirty: groups.filter(|_| is_whole).map(|groups| groups.end), stats: self.stats }
    }

    fn remove_unfinished(&mut self) {
        let place = self.place.with_suffix(CLEANED);
        for base in self.unfinished.drain(..) {
            // What cannot be removed now is removed at the next start, or before the next pass begins to write.
            let _ = remove_files(&place, base);
        }
    }
}

impl Drop for CleanTask {
    fn drop(&mut self) {
        self.remove_unfinished();
        self.cleaning.end();
    }
}

/// Puts the keys of one source into the map. False if the map is full.
#[expect(clippy::too_many_arguments, reason = "the parts of a task and of a cleaner, borrowed separately")]
fn index_source(
    source: &Source,
    position: u64,
    first_dirty: Offset,
    limit: DecompressLimit,
    map: &mut OffsetMap,
    txns: &mut CleanedTxns,
    stats: &mut CleanStats,
    pace: &mut Pace<'_>,
) -> Result<bool, Halt> {
    let mut entries = source.entries(position);
    while let Some(SourceEntry { position, info, bytes }) = entries.next()? {
        let entry = Entry::parse(bytes).map_err(|_| source.corrupt("entry", position))?;
        if has_keys(&entry, txns) {
            let fault = |error| fault(source, position, &RewriteError::Record(error));
            let mut records = entry.records(limit).map_err(fault)?;
            while let Some(record) = records.next_record().map_err(fault)? {
                stats.index_records_read += 1;
                let offset = Offset::from_wire(record.offset).filter(|&offset| first_dirty <= offset);
                if let (Some(key), Some(offset)) = (record.key, offset)
                    && !map.put(key, offset)
                {
                    return Ok(false);
                }
            }
        }
        if first_dirty <= info.last {
            map.raise_latest(info.last);
        }
        stats.index_bytes_read += info.size;
        pace.spend(info.size)?;
    }
    Ok(true)
}

/// Whether the records of an entry are of the log's user, and count.
fn has_keys(entry: &Entry<'_>, txns: &mut CleanedTxns) -> bool {
    let is_counted = |batch: &BatchView<'_>, txns: &mut CleanedTxns| {
        if batch.is_control() {
            txns.on_control_batch(batch);
            return false;
        }
        !txns.on_batch(batch)
    };
    match entry {
        Entry::Batch(batch) => is_counted(batch, txns),
        Entry::Legacy(_) => true,
    }
}

/// The error for an entry that cannot be decoded or written again.
fn fault(source: &Source, position: u64, error: &RewriteError) -> Halt {
    tracing::warn!(base = %source.extent.base, position, %error, "a batch cannot be cleaned");
    source.corrupt("records", position).into()
}

/// Lets the caller wait or stop.
struct Pace<'a> {
    progress: &'a mut CleanProgress<'a>,
    bytes: u64,
    cleaning: Arc<Cleaning>,
}

impl Pace<'_> {
    fn spend(&mut self, bytes: u64) -> Result<(), Halt> {
        self.bytes += bytes;
        if self.bytes < PROGRESS_BYTES {
            return Ok(());
        }
        let stopped = (self.progress)(std::mem::take(&mut self.bytes)).is_break();
        if stopped || self.cleaning.is_cancelled() { Err(Halt::Stopped) } else { Ok(()) }
    }
}
