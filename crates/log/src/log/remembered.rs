//! Opening a log by what is remembered of it.

use highwater_types::Offset;

use super::anchor::LogFacts;
use super::load::{Loader, rebuild_producers};
use super::snapshots::Snapshots;
use super::{LogHealth, OpenOptions};
use crate::epoch_cache::EpochCache;
use crate::error::LogError;
use crate::log::Log;
use crate::producer::Producers;
use crate::segment::{Place, Recovery, Segment};

/// How far remembered facts may be trusted, as somebody has found who looked at the files' sizes and times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'a> {
    /// Nothing has changed.
    Whole(&'a LogFacts),
    /// The active segment may have grown, and nothing else has changed.
    Prefix(&'a LogFacts),
}

/// Opens a log without reading anything of it but the newest producer snapshot, if it had producers, and the
/// transaction indexes, if there are any. `None` if these are not as they should be.
pub(super) fn open(
    place: &Place,
    options: OpenOptions,
    health: &LogHealth,
    facts: &LogFacts,
) -> Result<Option<Log>, LogError> {
    if facts.end < options.log_start {
        return Ok(None);
    }
    let mut segments = Vec::with_capacity(facts.segments.len());
    for (index, segment) in facts.segments.iter().enumerate() {
        let is_active = index + 1 == facts.segments.len();
        let Some(segment) = Segment::remembered(place, segment, is_active, facts.end, options.now)? else {
            return Ok(None);
        };
        segments.push(segment);
    }
    let mut loader = Loader {
        segments,
        epochs: EpochCache::remembered(&facts.epochs),
        epochs_changed: false,
        producers: Producers::default(),
        snapshots: Snapshots::new(facts.snapshots.iter().copied().collect()),
        deletions: super::DeletionQueue::default(),
        anchor: Some(facts.anchor()),
        prefix: None,
        // All of it is synced, as after closing in order.
        options: OpenOptions { clean: true, ..options },
        place: place.clone(),
    };
    let log_start = loader.log_start();
    loader.bring_producers_to(facts.end, log_start, facts.has_producers)?;
    loader.assemble(facts.end, None, health.clone()).map(Some)
}

impl Loader<'_> {
    /// Brings the producers to the end of what is remembered.
    pub(super) fn bring_producers_to(
        &mut self,
        end: Offset,
        log_start: Offset,
        has_producers: bool,
    ) -> Result<(), LogError> {
        let now = self.options.now;
        if has_producers {
            let (producers, snapshots) = (&mut self.producers, &mut self.snapshots);
            return rebuild_producers(&self.place, &self.segments, producers, snapshots, log_start, end, now);
        }
        self.producers.set_end(end);
        // Only removes those that lie outside the log.
        self.snapshots.reload(&self.place, &mut self.producers, log_start, end, now)?;
        self.producers.reset(self.snapshots.iter().last().unwrap_or(log_start).min(end));
        self.producers.set_end(end);
        Ok(())
    }

    /// Checks only what follows the remembered prefix of the segment at `index`. `None` if the prefix is not what the
    /// file has, or nothing valid follows: then all of it has to be checked.
    pub(super) fn recover_behind_prefix(&mut self, index: usize) -> Result<Option<Recovery>, LogError> {
        let Some(facts) = self.prefix else { return Ok(None) };
        let is_active = index + 1 == self.segments.len() && self.segments[index].base() == facts.active().base;
        if !is_active {
            return Ok(None);
        }
        let Some(end) = self.segments[index].begin_behind(facts.active(), facts.end)? else { return Ok(None) };
        self.producers = Producers::default();
        let log_start = self.log_start();
        self.bring_producers_to(facts.end, log_start, facts.has_producers)?;
        let recovery = self.recover_entries(index, facts.end, end)?;
        self.anchor = Some(facts.anchor()).filter(|_| !recovery.is_overflowed);
        Ok(Some(recovery))
    }
}
