//! What the machine knows of the node's log.

use highwater_types::{LeaderEpoch, Offset};

use crate::epoch_starts::EpochStarts;

/// The log as the driver found it at the start. All of it must be synced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogShape {
    /// Offset that the next record gets.
    pub end: Offset,
    /// Where the records of each epoch begin, rising.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
}

/// The log as it is once all outputs so far are carried out.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) end: Offset,
    /// Everything before is known to be on the disk.
    pub(crate) synced: Offset,
    /// A sync up to here was asked for and has not been reported.
    pub(crate) syncing: Option<Offset>,
    pub(crate) epochs: EpochStarts,
}

impl Log {
    pub(crate) fn new(shape: &LogShape) -> Self {
        let epochs = EpochStarts::new(shape.epochs.iter().copied());
        Self { end: shape.end, synced: shape.end, syncing: None, epochs }
    }

    /// Epoch of the last record.
    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().unwrap_or_default()
    }

    /// Notes records of `epoch` up to `end`.
    pub(crate) fn extend(&mut self, epoch: LeaderEpoch, end: Offset) {
        assert!(self.end < end, "a batch has records");
        self.epochs.assign(epoch, self.end);
        self.end = end;
    }

    /// Notes that everything from `end` on is gone.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.epochs.truncate(end);
        self.end = self.end.min(end);
        self.synced = self.synced.min(end);
        // What was to be synced is not there any more; a report of it counts up to what is.
        self.syncing = self.syncing.map(|syncing| syncing.min(end));
    }
}
