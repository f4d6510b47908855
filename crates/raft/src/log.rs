//! What the machine knows of the node's log.

use highwater_types::{LeaderEpoch, Offset};

use crate::SnapshotId;
use crate::epoch_starts::EpochStarts;

/// The log as the driver found it at the start. All of it must be synced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogShape {
    /// Offset that the next record gets.
    pub end: Offset,
    /// Complete snapshots, rising. If there are any, the log begins at the end of the first one, or before.
    pub snapshots: Vec<SnapshotId>,
    /// Offset of the first record, zero or the end of the first snapshot.
    pub start: Offset,
    /// Where the records of each epoch begin, rising.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
}

/// The log as it is once all outputs so far are carried out.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) start: Offset,
    /// Rising.
    pub(crate) snapshots: Vec<SnapshotId>,
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
        let snapshots = shape.snapshots.clone();
        assert!(
            shape.start == Offset::ZERO || snapshots.iter().any(|snapshot| snapshot.end == shape.start),
            "a log that does not begin at zero begins at the end of a snapshot"
        );
        Self { start: shape.start, snapshots, end: shape.end, synced: shape.end, syncing: None, epochs }
    }

    /// Epoch of the last record.
    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.latest().or(self.first_snapshot().map(|first| first.epoch)).unwrap_or_default()
    }

    /// The snapshot at whose end the log begins.
    pub(crate) fn first_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.iter().copied().find(|snapshot| snapshot.end == self.start && self.start != Offset::ZERO)
    }

    /// The largest epoch up to `epoch` that has records, and where they end.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let before = || {
            let first = self.first_snapshot().filter(|first| first.epoch <= epoch)?;
            Some((first.epoch, first.end))
        };
        self.epochs.end_of(epoch, self.end).or_else(before)
    }

    /// Notes that everything before a snapshot's end is gone, and older snapshots with it.
    pub(crate) fn drop_prefix(&mut self, start: Offset) {
        assert!(self.snapshots.iter().any(|snapshot| snapshot.end == start), "a log begins where a snapshot ends");
        self.start = start;
        self.epochs.drop_prefix(start);
        self.snapshots.retain(|snapshot| start <= snapshot.end);
    }

    /// Begins anew behind a snapshot.
    pub(crate) fn replace_by(&mut self, snapshot: SnapshotId) {
        let epochs = EpochStarts::new([]);
        let (start, end) = (snapshot.end, snapshot.end);
        *self = Self { start, snapshots: vec![snapshot], end, synced: end, syncing: None, epochs };
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
