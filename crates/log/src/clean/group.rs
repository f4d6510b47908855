//! Which segments become one (storage format, section 19.5).

use std::ops::Range;

use highwater_types::Offset;

use crate::config::LogConfig;

/// What grouping has to know of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) base: Offset,
    /// Base of the next segment.
    pub(crate) end: Offset,
    pub(crate) bytes: u64,
    pub(crate) offset_index_bytes: u64,
    pub(crate) time_index_bytes: u64,
}

/// Splits consecutive segments into runs of which each fits one segment, even if nothing of it is removed.
pub(super) fn group(segments: &[Extent], config: &LogConfig) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let mut start = 0;
    while start < segments.len() {
        let first = &segments[start];
        let mut sum = *first;
        let mut end = start + 1;
        while let Some(next) = segments.get(end).filter(|next| fits(&sum, next, config)) {
            sum.bytes += next.bytes;
            sum.offset_index_bytes += next.offset_index_bytes;
            sum.time_index_bytes += next.time_index_bytes;
            end += 1;
        }
        groups.push(start..end);
        start = end;
    }
    groups
}

/// Whether `next` fits behind the segments summed up in `sum`.
fn fits(sum: &Extent, next: &Extent, config: &LogConfig) -> bool {
    let index_max = u64::from(config.segment_index_bytes_max);
    // An empty segment has no offsets that would have to be in reach.
    let is_in_reach =
        next.bytes == 0 || sum.base.records_until(next.end).is_some_and(|span| span <= i32::MAX as u64 + 1);
    sum.bytes + next.bytes <= u64::from(config.segment_bytes_max)
        && sum.offset_index_bytes + next.offset_index_bytes <= index_max
        && sum.time_index_bytes + next.time_index_bytes <= index_max
        && is_in_reach
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> LogConfig {
        LogConfig { segment_bytes_max: 1_000, segment_index_bytes_max: 96, ..LogConfig::default() }
    }

    /// Segments of ten offsets each, with these sizes of log, offset index and time index.
    fn segments(sizes: &[(u64, u64, u64)]) -> Vec<Extent> {
        let extent = |(index, &(bytes, offset_index_bytes, time_index_bytes)): (usize, &(u64, u64, u64))| {
            let base = Offset::new(index as u64 * 10);
            Extent { base, end: base.plus(10), bytes, offset_index_bytes, time_index_bytes }
        };
        sizes.iter().enumerate().map(extent).collect()
    }

    #[test]
    fn sums_may_equal_the_limits_of_log_and_indexes() {
        let sizes = |sizes: &[(u64, u64, u64)]| group(&segments(sizes), &config());
        assert_eq!(sizes(&[(600, 8, 12), (400, 8, 12), (1, 8, 12)]), [0..2, 2..3]);
        assert_eq!(sizes(&[(1, 48, 12), (1, 48, 12), (1, 8, 12)]), [0..2, 2..3]);
        assert_eq!(sizes(&[(1, 8, 48), (1, 8, 48), (1, 8, 12)]), [0..2, 2..3]);
        assert_eq!(sizes(&[(5_000, 8, 12), (0, 0, 0)]), [0..1, 1..2]);
        assert_eq!(sizes(&[]), []);
    }

    #[test]
    fn offsets_of_a_group_stay_within_31_bits_unless_the_segment_is_empty() {
        let reach = |end: u64, bytes: u64| {
            let mut two = segments(&[(1, 0, 0), (bytes, 0, 0)]);
            two[1].end = Offset::new(end);
            group(&two, &config()).len()
        };
        assert_eq!(reach(1 << 31, 1), 1);
        assert_eq!(reach((1 << 31) + 1, 1), 2);
        assert_eq!(reach((1 << 31) + 1, 0), 1);
    }
}
