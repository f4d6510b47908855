//! A log of records that are an epoch and a value, each a batch of its own.

use highwater_replication::follower::{AppendOutcome, BatchSpan, LogState};
use highwater_replication::{EpochEnd, EpochTable};
use highwater_types::{LeaderEpoch, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) value: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Offset of the first of `records`.
    base: u64,
    /// First offset that is not deleted.
    pub(crate) start: u64,
    records: Vec<Record>,
    /// Where each leader epoch begins.
    epochs: Vec<(LeaderEpoch, u64)>,
}

impl Log {
    pub(crate) fn end(&self) -> u64 {
        self.base + self.records.len() as u64
    }

    pub(crate) fn state(&self) -> LogState {
        LogState {
            start: Offset::new(self.start),
            end: Offset::new(self.end()),
            latest_epoch: self.epochs.last().map(|(epoch, _)| *epoch),
        }
    }

    pub(crate) fn record(&self, offset: u64) -> Option<Record> {
        self.records.get(usize::try_from(offset.checked_sub(self.base)?).ok()?).copied()
    }

    pub(crate) fn read(&self, from: u64, count_max: u64) -> Vec<Record> {
        (from..self.end().min(from + count_max)).map_while(|offset| self.record(offset)).collect()
    }

    /// A leader epoch begins at the end of the log.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch) {
        self.assign_at(epoch, self.end());
    }

    pub(crate) fn append(&mut self, record: Record) {
        self.assign_at(record.epoch, self.end());
        self.records.push(record);
    }

    /// What a driver does for [`Plan::Append`](highwater_replication::follower::Plan::Append).
    pub(crate) fn append_fetched(&mut self, records: &[Record], epoch_max: LeaderEpoch) -> AppendOutcome {
        let taken: Vec<Record> = records.iter().copied().take_while(|record| record.epoch <= epoch_max).collect();
        let latest = self.records.last().map(|record| record.epoch);
        let epochs = latest.into_iter().chain(taken.iter().map(|record| record.epoch));
        if !epochs.is_sorted() {
            return AppendOutcome::Corrupt;
        }
        taken.into_iter().for_each(|record| self.append(record));
        AppendOutcome::Appended
    }

    pub(crate) fn truncate(&mut self, to: u64) {
        if to < self.base {
            return self.start_over(to);
        }
        self.records.truncate(usize::try_from(to - self.base).expect("a small log"));
        self.start = self.start.min(to);
        self.epochs.retain(|(_, start)| *start < to);
    }

    pub(crate) fn start_over(&mut self, at: u64) {
        *self = Self { base: at, start: at, ..Self::default() };
    }

    pub(crate) fn delete_before(&mut self, start: u64) {
        if start <= self.start {
            return;
        }
        self.start = start;
        let at_or_below = self.epochs.partition_point(|(_, begins)| *begins <= start);
        if let Some(containing) = at_or_below.checked_sub(1) {
            self.epochs.drain(..containing);
            self.epochs[0].1 = start;
        }
    }

    /// The offsets of the first of records that were read from `from`.
    pub(crate) fn span(from: Offset, records: &[Record]) -> Option<BatchSpan> {
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
