//! The leader epochs of the checkpoint file held against those of the batches.

use std::path::Path;

use highwater_types::LeaderEpoch;

use super::Check;
use crate::entry::EntryInfo;
use crate::epoch_cache::EpochCache;

/// The epochs of one log.
pub(super) struct EpochCheck<'a> {
    epochs: &'a EpochCache,
    /// The epoch that was complained about last: one finding for all its batches is enough.
    reported: Option<LeaderEpoch>,
}

impl<'a> EpochCheck<'a> {
    pub(super) fn new(epochs: &'a EpochCache) -> Self {
        Self { epochs, reported: None }
    }

    /// Compares the epoch of the batch at `position` with what the file says of its offset.
    pub(super) fn batch(&mut self, check: &mut Check<'_>, path: &Path, position: u64, info: &EntryInfo) {
        let (Some(epoch), Some(base)) = (info.leader_epoch, info.base) else { return };
        // Epochs that lie wholly below the log start are cut off the file, before the bytes go.
        let is_known = self.epochs.entries().first().is_some_and(|first| first.start <= base);
        if !is_known || self.reported == Some(epoch) {
            return;
        }
        let noted = self.epochs.epoch_of(base);
        if noted != Some(epoch) {
            self.reported = Some(epoch);
            let noted = noted.map_or_else(|| "none".to_owned(), |noted| noted.to_string());
            // Recovery notes newer epochs again; older ones contradict what the log has been promised.
            let what = format!("batch of leader epoch {epoch} where leader-epoch-checkpoint says {noted}");
            if self.epochs.latest().is_some_and(|latest| latest.epoch < epoch) {
                check.note(path, position, what);
            } else {
                check.damage(path, position, what);
            }
        }
    }
}
