//! An append in two steps: what it changes in memory, and the write.

use std::path::Path;
use std::sync::Arc;

use highwater_types::{LeaderEpoch, Offset, TimestampMs};

use super::Log;
use super::append::Pending;
use super::append_set::AppendSet;
use crate::disk::FileHandle;
use crate::error::LogError;

/// Sets that the log counts as its own, and whose bytes are still to be written.
///
/// Until [`Log::finish_append`] nothing of them is readable, acknowledged or covered by a flush.
#[derive(Debug)]
#[must_use = "the log refuses the next append until this one is finished"]
pub(crate) struct StagedAppend {
    file: FileHandle,
    path: Arc<Path>,
    pending: Pending,
}

/// Where the readable part of a log ends, and the position of that in the active segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrittenEnd {
    pub(super) offset: Offset,
    pub(super) position: u64,
}

impl StagedAppend {
    /// Writes the sets that [`Log::begin_append`] was given. Needs nothing of the log, so readers go on meanwhile.
    pub(crate) fn write(&self, sets: &[AppendSet<'_>]) -> Result<(), LogError> {
        self.pending.write(sets, &self.file, &self.path)
    }
}

impl Log {
    /// Checks sets and assigns their offsets: everything of an append but the last write.
    ///
    /// One append at a time: until [`finish_append`](Self::finish_append) the owner makes no other change than to
    /// advance the high watermark and to flush.
    pub(crate) fn begin_append(
        &mut self,
        sets: &mut [AppendSet<'_>],
        leader_epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<StagedAppend, LogError> {
        self.check_open()?;
        if self.unwritten_from.is_some() {
            // Whoever began the append before was lost on the way.
            return self.health.watch(Err(LogError::Poisoned));
        }
        let staged = self.stage_sets(sets, leader_epoch, now);
        let pending = self.health.watch(staged)?;
        self.unwritten_from = Some(WrittenEnd { offset: pending.offset, position: pending.position });
        let active = self.segments.active();
        Ok(StagedAppend { file: active.log().clone(), path: Arc::clone(active.shared_path()), pending })
    }

    /// Ends an append with the outcome of its write: the sets can be read.
    pub(crate) fn finish_append(&mut self, written: Result<(), LogError>) -> Result<(), LogError> {
        self.health.watch(written)?;
        self.unwritten_from = None;
        self.settle();
        Ok(())
    }

    /// Counts truncations: what was an end of the log before one means nothing after it.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations
    }

    /// The log end, but for an append whose bytes are still to be written.
    pub(crate) fn readable_end(&self) -> Offset {
        self.written_end().offset
    }

    /// Where the readable part of the log ends: its end, but for an append whose bytes are still to be written.
    pub(super) fn written_end(&self) -> WrittenEnd {
        let whole = || WrittenEnd { offset: self.log_end, position: self.segments.active().size() };
        self.unwritten_from.unwrap_or_else(whole)
    }
}
