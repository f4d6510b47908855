//! How much there is to clean, and which log first (storage format, section 19.1).

use highwater_types::Offset;

use crate::config::DirtyRatio;

/// What of a log a pass would clean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleanable {
    /// Everything below has been cleaned before.
    pub first_dirty: Offset,
    /// Base of the first segment that must not be cleaned yet: because it is active, not stable, or too young.
    pub first_uncleanable: Offset,
    /// Bytes of the segments that begin below `first_dirty`.
    pub clean_bytes: u64,
    /// Bytes of the segments from `first_dirty` up to `first_uncleanable`.
    pub cleanable_bytes: u64,
    /// A record is older than `compaction_lag_ms_max` allows for one that has not been through a pass.
    pub is_overdue: bool,
    /// `dirty_ratio_min` of the log.
    pub ratio_min: DirtyRatio,
    /// Whether the log's `cleanup` says that it is compacted at all.
    pub is_compacted: bool,
}

impl Cleanable {
    /// Share of the bytes that a pass has not seen, from 0 to 1.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        // Exact enough: bytes of a log fit the 52 bits.
        if total == 0 { 0.0 } else { self.cleanable_bytes as f64 / total as f64 }
    }

    /// Whether a pass is worth it, or overdue.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let is_needed = self.is_overdue && self.cleanable_bytes > 0;
        self.is_compacted && (is_needed || self.ratio_min.value() < self.ratio())
    }
}

/// The log to clean next: the dirtiest of those whose pass is due.
#[must_use]
pub fn dirtiest<K>(logs: impl IntoIterator<Item = (K, Cleanable)>) -> Option<(K, Cleanable)> {
    let due = logs.into_iter().filter(|(_, cleanable)| cleanable.is_due());
    due.max_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleanable(clean_bytes: u64, cleanable_bytes: u64) -> Cleanable {
        Cleanable {
            first_dirty: Offset::ZERO,
            first_uncleanable: Offset::ZERO,
            clean_bytes,
            cleanable_bytes,
            is_overdue: false,
            ratio_min: DirtyRatio::default(),
            is_compacted: true,
        }
    }

    #[test]
    fn a_ratio_must_exceed_the_limit_unless_a_record_is_overdue() {
        assert!(!cleanable(50, 50).is_due());
        assert!(cleanable(50, 51).is_due());
        assert!(Cleanable { is_overdue: true, ..cleanable(50, 1) }.is_due());
        assert!(!Cleanable { is_overdue: true, ..cleanable(50, 0) }.is_due());
        assert!(!Cleanable { is_compacted: false, ..cleanable(0, 50) }.is_due());
        assert!(!cleanable(0, 0).is_due());
    }

    #[test]
    fn the_dirtiest_log_that_is_due_comes_first() {
        let logs = [("a", cleanable(50, 60)), ("b", cleanable(1, 9)), ("c", cleanable(9, 1))];
        assert_eq!(dirtiest(logs).map(|(name, _)| name), Some("b"));
        assert_eq!(dirtiest([("c", cleanable(9, 1))]), None);
    }
}
