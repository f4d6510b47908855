//! Which leader epoch began at which offset (KIP-101; storage format, section 14).

use std::path::{Path, PathBuf};

use highwater_types::{LeaderEpoch, Offset};

use crate::disk::Disk;
use crate::error::LogError;
use crate::files::{format_table, parse_table, read_small_file, replace_file, replace_file_lazily};
use crate::names::LEADER_EPOCHS;

/// The first offset of one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Where it begins.
    pub start: Offset,
}

/// The leader epochs of a log.
///
/// Both columns increase strictly from entry to entry. The file is brought up to date whenever an epoch begins;
/// after a truncation it may name epochs past the end of the log, which loading repairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest entry.
    #[must_use]
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// The epoch of the record at `offset`.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let count = self.entries.partition_point(|entry| entry.start <= offset);
        count.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The largest known epoch at or below `epoch`, and where it ends (OffsetForLeaderEpoch).
    ///
    /// `None` for an epoch above the newest. For one below the oldest, the epoch asked for and the start of the
    /// oldest.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let newest = self.latest()?.epoch;
        if epoch >= newest {
            return (epoch == newest).then_some((epoch, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries[above].start;
        let floor = above.checked_sub(1).map_or(epoch, |index| self.entries[index].epoch);
        Some((floor, end))
    }

    /// Whether [`assign`](Self::assign) would change nothing. The cheap check of the append path.
    pub(crate) fn is_current(&self, epoch: LeaderEpoch, start: Offset) -> bool {
        self.latest().is_some_and(|latest| latest.epoch == epoch && latest.start <= start)
    }

    /// Notes that `epoch` begins at `start`, dropping later entries that contradict it. Returns whether
    /// anything changed.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if self.is_current(epoch, start) {
            return false;
        }
        while self.latest().is_some_and(|latest| epoch <= latest.epoch || start <= latest.start) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// Drops epochs that begin at or after `end`. Returns whether anything changed.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start < end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// Drops epochs that end at or before `start`; the one that contains it then begins there. Returns whether
    /// anything changed.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let at_or_below = self.entries.partition_point(|entry| entry.start <= start);
        let Some(containing) = at_or_below.checked_sub(1) else { return false };
        if containing == 0 && self.entries[0].start == start {
            return false;
        }
        self.entries.drain(..containing);
        self.entries[0].start = start;
        true
    }

    /// Forgets everything. Returns whether there was anything.
    pub(crate) fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries.clear();
        changed
    }

    /// Entries that [`entries`](Self::entries) has given.
    pub(crate) fn remembered(entries: &[EpochEntry]) -> Self {
        Self { entries: entries.to_vec() }
    }

    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, LogError> {
        let path = file(dir);
        let Some(bytes) = read_small_file(disk, &path)? else { return Ok(Self::default()) };
        Self::parse(&bytes).map_err(|reason| LogError::Malformed { path, reason })
    }

    /// Brings the file up to date, durably.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        replace_file(disk, &file(dir), self.format().as_bytes())
    }

    /// Brings the file up to date; a crash may bring back the old one, which loading repairs.
    pub(crate) fn write_lazily(&self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        replace_file_lazily(disk, &file(dir), self.format().as_bytes())
    }

    /// Parses the file. Entries that contradict earlier ones replace them, as when they were assigned.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut cache = Self::default();
        for entry in parse_table(bytes, parse_line)? {
            cache.assign(entry.epoch, entry.start);
        }
        Ok(cache)
    }

    pub(crate) fn format(&self) -> String {
        format_table(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start)))
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join(LEADER_EPOCHS)
}

fn parse_line(line: &str) -> Option<EpochEntry> {
    let mut words = line.split_whitespace();
    let epoch = LeaderEpoch::from_wire(words.next()?.parse().ok()?)?;
    let start = Offset::from_wire(words.next()?.parse().ok()?)?;
    words.next().is_none().then_some(EpochEntry { epoch, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(entries: &[(u32, u64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for &(epoch, start) in entries {
            cache.assign(LeaderEpoch::new(epoch), Offset::new(start));
        }
        cache
    }

    fn pairs(cache: &EpochCache) -> Vec<(u32, u64)> {
        cache.entries().iter().map(|entry| (entry.epoch.value(), entry.start.value())).collect()
    }

    #[test]
    fn conflicting_later_entries_give_way() {
        assert_eq!(pairs(&cache(&[(0, 0), (2, 4), (3, 8), (4, 8)])), [(0, 0), (2, 4), (4, 8)]);
        assert_eq!(pairs(&cache(&[(0, 0), (5, 4), (9, 10), (5, 12)])), [(0, 0), (5, 12)]);
        assert_eq!(pairs(&cache(&[(1, 5), (1, 9)])), [(1, 5)]);
        assert_eq!(pairs(&cache(&[(1, 5), (1, 3)])), [(1, 3)]);
    }

    #[test]
    fn truncation_from_both_ends() {
        let full = cache(&[(0, 0), (2, 4), (3, 8), (7, 10)]);
        let mut end = full.clone();
        assert!(end.truncate_from_end(Offset::new(8)));
        assert_eq!(pairs(&end), [(0, 0), (2, 4)]);
        assert!(!end.truncate_from_end(Offset::new(5)));
        let mut start = full.clone();
        assert!(start.truncate_from_start(Offset::new(5)));
        assert_eq!(pairs(&start), [(2, 5), (3, 8), (7, 10)]);
        assert!(!start.truncate_from_start(Offset::new(5)));
        assert!(start.truncate_from_start(Offset::new(99)));
        assert_eq!(pairs(&start), [(7, 99)]);
    }

    #[test]
    fn end_offsets_below_above_and_between() {
        let cache = cache(&[(2, 4), (5, 10)]);
        let ask = |epoch| {
            let answer = cache.end_offset_for(LeaderEpoch::new(epoch), Offset::new(20));
            answer.map(|(epoch, end)| (epoch.value(), end.value()))
        };
        assert_eq!(ask(1), Some((1, 4)));
        assert_eq!(ask(2), Some((2, 10)));
        assert_eq!(ask(4), Some((2, 10)));
        assert_eq!(ask(5), Some((5, 20)));
        assert_eq!(ask(6), None);
        assert_eq!(EpochCache::default().end_offset_for(LeaderEpoch::ZERO, Offset::ZERO), None);
        assert_eq!(cache.epoch_of(Offset::new(3)), None);
        assert_eq!(cache.epoch_of(Offset::new(10)), Some(LeaderEpoch::new(5)));
    }

    proptest! {
        #[test]
        fn any_assignments_leave_both_columns_increasing(
            assigned in proptest::collection::vec((0u32..9, 0u64..30), 0..20))
        {
            let cache = cache(&assigned);
            prop_assert!(pairs(&cache).is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
            prop_assert_eq!(EpochCache::parse(cache.format().as_bytes()), Ok(cache));
        }

        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = EpochCache::parse(&bytes);
        }
    }
}
