//! The disk of a node: what was written, and what of it a kill leaves.

use std::collections::{BTreeMap, VecDeque};

use highwater_raft::{LogShape, QuorumState, SnapshotId};
use highwater_types::{LeaderEpoch, Offset};

use crate::Random;

/// A batch of the log; `value` stands for what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) value: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Append(Batch),
    Truncate(Offset),
    DropPrefix(Offset),
}

/// The files of the log, without or with what is not safe.
#[derive(Clone, Debug, Default)]
struct Log {
    start: Offset,
    batches: Vec<Batch>,
}

/// Kept while the node is down.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// As the last rename left it.
    pub(crate) state: QuorumState,
    /// Written and not yet in place.
    pending_state: Option<QuorumState>,
    /// What is in each snapshot: all batches before its end.
    snapshots: BTreeMap<SnapshotId, Vec<Batch>>,
    /// What is safe.
    synced: Log,
    /// What a running node reads: with the changes that are not safe.
    log: Log,
    unsynced: VecDeque<Change>,
    /// How many of the unsynced changes the sync under way covers.
    syncing: usize,
    /// Counts what makes the syncs before it meaningless.
    pub(crate) generation: u64,
}

impl Disk {
    /// The batches that a running node can read.
    pub(crate) fn log(&self) -> &[Batch] {
        &self.log.batches
    }

    pub(crate) fn end(&self) -> Offset {
        self.log.end()
    }

    /// What a node finds when it starts.
    pub(crate) fn shape(&self) -> LogShape {
        let starts = self.log.batches.iter().map(|batch| (batch.epoch, batch.base));
        let mut epochs: Vec<(LeaderEpoch, Offset)> = starts.collect();
        epochs.dedup_by_key(|(epoch, _)| *epoch);
        let start = self.log.start;
        let snapshots = self.snapshots.keys().copied().filter(|id| start <= id.end && id.end <= self.end()).collect();
        LogShape { end: self.end(), snapshots, start, epochs }
    }

    /// Every batch that the node has, those that are only in a snapshot included.
    pub(crate) fn whole(&self) -> Vec<Batch> {
        self.whole_of(&self.log)
    }

    /// Whether this batch and so, by log matching, everything before it would survive a kill now.
    pub(crate) fn has_synced(&self, batch: &Batch) -> bool {
        self.whole_of(&self.synced).contains(batch)
    }

    fn whole_of(&self, log: &Log) -> Vec<Batch> {
        let first = self.snapshots.iter().find(|(id, _)| id.end == log.start);
        let before = first.map(|(_, batches)| batches.as_slice()).unwrap_or_default();
        before.iter().chain(&log.batches).copied().collect()
    }

    pub(crate) fn append(&mut self, batch: Batch) {
        self.change(Change::Append(batch));
    }

    pub(crate) fn truncate(&mut self, end: Offset) {
        self.change(Change::Truncate(end));
    }

    pub(crate) fn drop_prefix(&mut self, start: Offset) {
        self.change(Change::DropPrefix(start));
    }

    fn change(&mut self, change: Change) {
        self.log.carry_out(&change);
        self.unsynced.push_back(change);
    }

    /// The newest snapshot that the log goes on from, with what is in it.
    pub(crate) fn newest_snapshot(&self) -> Option<(SnapshotId, &[Batch])> {
        let newest = self.snapshots.iter().rfind(|(id, _)| self.log.start <= id.end && id.end <= self.end());
        newest.map(|(id, batches)| (*id, batches.as_slice()))
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> Option<&Vec<Batch>> {
        self.snapshots.get(&id)
    }

    pub(crate) fn put_snapshot(&mut self, id: SnapshotId, batches: Vec<Batch>) {
        self.snapshots.insert(id, batches);
    }

    /// The log begins anew behind a snapshot; safe at once.
    pub(crate) fn load(&mut self, id: SnapshotId, batches: Vec<Batch>) {
        self.put_snapshot(id, batches);
        self.log = Log { start: id.end, batches: Vec::new() };
        self.synced = self.log.clone();
        self.unsynced.clear();
        self.syncing = 0;
        self.generation += 1;
    }

    pub(crate) fn begin_sync(&mut self) {
        assert_eq!(self.syncing, 0, "one sync after the other");
        self.syncing = self.unsynced.len();
    }

    pub(crate) fn end_sync(&mut self) {
        for change in self.unsynced.drain(..std::mem::take(&mut self.syncing)) {
            self.synced.carry_out(&change);
        }
    }

    pub(crate) fn begin_store(&mut self, state: QuorumState) {
        assert!(self.pending_state.is_none(), "one state after the other");
        self.pending_state = Some(state);
    }

    pub(crate) fn is_storing(&self) -> bool {
        self.pending_state.is_some()
    }

    pub(crate) fn end_store(&mut self) -> QuorumState {
        self.state = self.pending_state.take().expect("a state was to be stored");
        self.state
    }

    /// The node is killed: some first part of what was not synced is there, and a state on its way may be.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let kept = random.index(self.unsynced.len() + 1);
        for change in self.unsynced.drain(..).take(kept) {
            self.synced.carry_out(&change);
        }
        if let Some(state) = self.pending_state.take()
            && random.chance(50)
        {
            self.state = state;
        }
        self.syncing = 0;
        self.log.clone_from(&self.synced);
    }
}

impl Log {
    fn end(&self) -> Offset {
        self.batches.last().map_or(self.start, |batch| batch.end)
    }

    fn carry_out(&mut self, change: &Change) {
        match change {
            Change::Append(batch) => {
                assert_eq!(batch.base, self.end(), "a batch goes to the end of the log");
                self.batches.push(*batch);
            }
            Change::Truncate(end) => {
                self.batches.retain(|batch| batch.end <= *end);
                assert_eq!(self.end(), *end, "logs are cut between batches");
            }
            Change::DropPrefix(start) => {
                self.batches.retain(|batch| *start <= batch.base);
                self.start = *start;
            }
        }
    }
}
