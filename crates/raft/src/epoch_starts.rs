//! Where each epoch begins in the log (KIP-101).

use highwater_types::{LeaderEpoch, Offset};

/// The first offset of each epoch that has records, both rising.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochStarts(Vec<(LeaderEpoch, Offset)>);

impl EpochStarts {
    /// Takes what a log says of itself; entries that do not rise are dropped.
    pub(crate) fn new(starts: impl IntoIterator<Item = (LeaderEpoch, Offset)>) -> Self {
        let mut table = Self::default();
        starts.into_iter().for_each(|(epoch, start)| table.assign(epoch, start));
        table
    }

    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// Records of `epoch` begin at `start`, unless there are some already.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if self.latest().is_none_or(|latest| latest < epoch) {
            self.0.push((epoch, start));
        }
    }

    /// The largest epoch up to `epoch` that has records, and where they end in a log that ends at `log_end`.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let above = self.0.partition_point(|(known, _)| *known <= epoch);
        let (floor, _) = *self.0.get(above.checked_sub(1)?)?;
        Some((floor, self.0.get(above).map_or(log_end, |(_, start)| *start)))
    }

    /// Everything before `start` is gone; the epoch of what follows is still known.
    pub(crate) fn drop_prefix(&mut self, start: Offset) {
        let above = self.0.partition_point(|(_, known)| *known <= start);
        self.0.drain(..above.saturating_sub(1));
        if let Some((_, first)) = self.0.first_mut() {
            *first = start.max(*first);
        }
    }

    /// Everything from `end` on is gone.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.0.retain(|(_, start)| *start < end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> EpochStarts {
        EpochStarts::new([(1, 0), (3, 10), (4, 25)].map(|(e, o)| (LeaderEpoch::new(e), Offset::new(o))))
    }

    #[test]
    fn ends_are_found_by_the_next_start() {
        let end = |epoch| {
            let found = table().end_of(LeaderEpoch::new(epoch), Offset::new(30));
            found.map(|(epoch, end)| (epoch.value(), end.value()))
        };
        assert_eq!(end(0), None);
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((1, 10)), "an epoch without records ends where the one before it does");
        assert_eq!(end(3), Some((3, 25)));
        assert_eq!(end(4), Some((4, 30)));
        assert_eq!(end(9), Some((4, 30)));
    }

    #[test]
    fn epochs_go_with_their_records() {
        let mut table = table();
        table.truncate(Offset::new(25));
        table.drop_prefix(Offset::new(12));
        assert_eq!(table.end_of(LeaderEpoch::new(2), Offset::new(25)), None);
        assert_eq!(table.latest(), Some(LeaderEpoch::new(3)));
        table.assign(LeaderEpoch::new(3), Offset::new(25));
        table.assign(LeaderEpoch::new(2), Offset::new(25));
        assert_eq!(table.end_of(LeaderEpoch::new(3), Offset::new(26)), Some((LeaderEpoch::new(3), Offset::new(26))));
    }
}
