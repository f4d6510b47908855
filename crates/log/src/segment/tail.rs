//! Where the batches are that were appended last.

use std::collections::VecDeque;

use highwater_types::Offset;

use crate::entry::EntryInfo;

/// Batches remembered of a segment, at most.
const ENTRIES_MAX: usize = 16;

/// An entry, as far as a reader has to know it to begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// The first offset; for v0 and v1 the last.
    pub(crate) offset: Offset,
    pub(crate) position: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Whether it is v0 or v1.
    pub(crate) is_legacy: bool,
    last: Offset,
}

impl Located {
    pub(crate) fn new(info: &EntryInfo, position: u64) -> Self {
        Self { offset: info.base_or_last(), position, size: info.size, is_legacy: info.base.is_none(), last: info.last }
    }
}

/// The last batches of the active segment, oldest first.
///
/// Followers and consumers that keep up ask for what was appended a moment ago: finding it here spares them a search
/// in the index and a read of headers. Costs nothing until something is appended.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<Located>);

impl Tail {
    /// Takes note of an entry behind all others.
    pub(crate) fn push(&mut self, info: &EntryInfo, position: u64) {
        if self.0.len() == ENTRIES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Located::new(info, position));
    }

    /// Forgets everything, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.0 = VecDeque::new();
    }

    /// The first entry that ends at or after `target`, if that is sure to be among those remembered.
    pub(crate) fn find(&self, target: Offset) -> Option<Located> {
        // Between an entry before these and the oldest of them may lie others that are forgotten.
        self.0.front().filter(|oldest| oldest.offset <= target)?;
        self.0.get(self.0.partition_point(|entry| entry.last < target)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use highwater_types::TimestampMs;

    fn entry(base: u64, last: u64) -> EntryInfo {
        EntryInfo {
            size: 100,
            magic: 2,
            base: Some(Offset::new(base)),
            last: Offset::new(last),
            max_timestamp: TimestampMs::NONE,
            leader_epoch: None,
            producer: None,
            is_control: false,
        }
    }

    #[test]
    fn only_what_is_surely_right_is_found() {
        let mut tail = Tail::default();
        assert_eq!(tail.find(Offset::ZERO), None);
        // Offsets 10..=11, 15..=16, 20..=21 and so on, with gaps between.
        for index in 2..40 {
            tail.push(&entry(index * 5, index * 5 + 1), index * 100);
        }
        let oldest = 40 - ENTRIES_MAX as u64;
        for target in 0..210 {
            let found = tail.find(Offset::new(target)).map(|found| found.position / 100);
            let wanted = if target < oldest * 5 || 196 < target { None } else { Some((target + 3) / 5) };
            assert_eq!(found, wanted, "{target}");
        }
        tail.clear();
        assert_eq!(tail.find(Offset::new(195)), None);
    }
}
