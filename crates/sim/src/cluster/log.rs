//! The log of a replica on the disk of its node: records, epochs, and how much of it a power loss leaves.

use highwater_replication::follower::{AppendOutcome, BatchSpan, LogState};
use highwater_replication::{EpochEnd, EpochTable};
use highwater_types::{LeaderEpoch, Offset};

use super::real_log::{End, RealLog};
use crate::Random;

/// A batch of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The leader that appended it.
    pub(super) epoch: LeaderEpoch,
    /// No two records are appended with the same one.
    pub(super) value: u64,
}

/// The log of one replica.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Its files, in the histories that have them: then this is what they must hold.
    real: Option<Box<RealLog>>,
    /// Offset of the first of `records`.
    base: u64,
    /// First offset that is not deleted.
    start: u64,
    records: Vec<Record>,
    /// Where each leader epoch begins.
    epochs: Vec<(LeaderEpoch, u64)>,
    /// What a power loss leaves at least.
    synced: u64,
    /// Everything before is known to the judge to be what is committed there.
    pub(super) matched: u64,
}

impl Log {
    /// A log whose files are on a disk that belongs to `seed`.
    pub(super) fn with_files(seed: u64) -> Self {
        Self { real: Some(Box::new(RealLog::new(seed))), ..Self::default() }
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    pub(super) fn state(&self) -> LogState {
        LogState {
            start: Offset::new(self.start),
            end: Offset::new(self.end()),
            latest_epoch: self.epochs.last().map(|(epoch, _)| *epoch),
        }
    }

    pub(super) fn record(&self, offset: u64) -> Option<Record> {
        self.records.get(usize::try_from(offset.checked_sub(self.base)?).ok()?).copied()
    }

    pub(super) fn read(&self, from: u64, count_max: u64) -> Vec<Record> {
        let Some(first) = from.checked_sub(self.base).and_then(|index| usize::try_from(index).ok()) else {
            return Vec::new();
        };
        let count = usize::try_from(count_max).unwrap_or(usize::MAX);
        self.records.iter().skip(first).take(count).copied().collect()
    }

    /// A leader epoch begins at the end of the log. The checkpoint of the epochs is synced.
    pub(super) fn assign(&mut self, epoch: LeaderEpoch) {
        self.assign_at(epoch, self.end());
        self.in_files(|real| real.assign(epoch));
    }

    /// Appends what a leader was sent.
    pub(super) fn append(&mut self, record: Record) {
        self.push(record);
        self.in_files(|real| real.append(record));
    }

    fn push(&mut self, record: Record) {
        self.assign_at(record.epoch, self.end());
        self.records.push(record);
    }

    /// Carries out [`Plan::Append`](highwater_replication::follower::Plan::Append).
    pub(super) fn append_fetched(&mut self, records: &[Record], epoch_max: LeaderEpoch) -> AppendOutcome {
        let taken = records.iter().take_while(|record| record.epoch <= epoch_max);
        // What is deleted does not count, though it may still be there.
        let latest = self.records.last().filter(|_| self.start < self.end()).map(|record| record.epoch);
        let from = self.end();
        if !latest.into_iter().chain(taken.clone().map(|record| record.epoch)).is_sorted() {
            self.in_files(|real| assert!(!real.append_fetched(from, records, epoch_max), "epochs go down"));
            return AppendOutcome::Corrupt;
        }
        taken.for_each(|record| self.push(*record));
        self.in_files(|real| assert!(real.append_fetched(from, records, epoch_max), "proper batches"));
        AppendOutcome::Appended
    }

    /// Cuts the log. What goes is given back, with the offset of the first.
    pub(super) fn truncate(&mut self, to: u64) -> (u64, Vec<Record>) {
        if to < self.base {
            let removed = (self.base, std::mem::take(&mut self.records));
            self.start_over(to);
            return removed;
        }
        let kept = usize::try_from(to - self.base).expect("a small log");
        let removed = self.records.split_off(kept.min(self.records.len()));
        self.start = self.start.min(to);
        self.synced = self.synced.min(to);
        self.matched = self.matched.min(to);
        self.epochs.retain(|(_, start)| *start < to);
        self.in_files(|real| real.truncate(to));
        (to, removed)
    }

    pub(super) fn start_over(&mut self, at: u64) {
        *self = Self { real: self.real.take(), base: at, start: at, synced: at, matched: at, ..Self::default() };
        self.in_files(|real| real.start_over(at));
    }

    pub(super) fn delete_before(&mut self, start: u64) {
        if start <= self.start {
            return;
        }
        self.start = start;
        let at_or_below = self.epochs.partition_point(|(_, begins)| *begins <= start);
        if let Some(containing) = at_or_below.checked_sub(1) {
            self.epochs.drain(..containing);
            self.epochs[0].1 = start;
        }
        self.in_files(|real| real.delete_before(start));
    }

    /// Every record that is there.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.end();
        self.in_files(RealLog::sync);
    }

    /// The power is lost: so is some part of the end that was not synced.
    pub(super) fn lose_power(&mut self, random: &mut Random) {
        if let Some(real) = &mut self.real {
            real.restart(End::PowerLoss);
            self.take_over_files();
            return;
        }
        let end = random.between(self.synced.max(self.start), self.end());
        if end < self.end() {
            self.truncate(end);
        }
    }

    /// The process ends, and what it has written stays.
    pub(super) fn restart(&mut self, is_clean: bool) {
        let before = (self.start, self.end());
        if let Some(real) = &mut self.real {
            real.restart(if is_clean { End::Clean } else { End::Killed });
            self.take_over_files();
            assert_eq!(before, (self.start, self.end()), "what was written is there");
        }
    }

    /// The log is what its files hold.
    fn take_over_files(&mut self) {
        let Some(real) = &mut self.real else { return };
        let synced = self.synced;
        (self.start, self.epochs, self.base, self.records) = real.content();
        (self.synced, self.matched) = (synced.min(self.end()), self.start);
        assert!(synced <= self.end(), "what was synced to {synced} is there, and not only up to {}", self.end());
    }

    /// Does the same to the files.
    fn in_files(&mut self, act: impl FnOnce(&mut RealLog)) {
        if let Some(real) = &mut self.real {
            act(real);
            let shape = real.shape();
            assert_eq!(shape, (self.start, self.end(), self.epochs.clone()), "the files are another log");
        }
    }

    /// The offsets of the first of records that were read from `from`.
    pub(super) fn span(from: Offset, records: &[Record]) -> Option<BatchSpan> {
        (!records.is_empty()).then_some(BatchSpan { base: from, last: from })
    }

    fn assign_at(&mut self, epoch: LeaderEpoch, start: u64) {
        if self.epochs.last().is_some_and(|(latest, begins)| *latest == epoch && *begins <= start) {
            return;
        }
        self.epochs.retain(|(known, begins)| *known < epoch && *begins < start);
        self.epochs.push((epoch, start));
    }
}

impl EpochTable for Log {
    fn end_of(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let (newest, _) = *self.epochs.last()?;
        if newest <= epoch {
            return (newest == epoch).then(|| EpochEnd { epoch, end: Offset::new(self.end()) });
        }
        let above = self.epochs.partition_point(|(known, _)| *known <= epoch);
        let end = Offset::new(self.epochs[above].1);
        Some(EpochEnd { epoch: above.checked_sub(1).map_or(epoch, |index| self.epochs[index].0), end })
    }
}
