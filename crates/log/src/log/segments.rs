//! The segments of a log, in order.

use highwater_types::Offset;

use crate::segment::Segment;

/// At least one segment; the last one is active, the only one appended to.
#[derive(Debug)]
pub(crate) struct Segments(Vec<Segment>);

impl Segments {
    /// `segments` in ascending order of base offset.
    pub(crate) fn new(mut segments: Vec<Segment>) -> Self {
        assert!(!segments.is_empty(), "a log has an active segment");
        assert!(segments.is_sorted_by(|a, b| a.base() < b.base()), "segments are in order");
        // Most logs have one segment, and a vector grown to hold it has room for three more.
        segments.shrink_to_fit();
        Self(segments)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Segment> {
        self.0.iter()
    }

    /// The segments from the one at `index` on.
    pub(crate) fn from(&self, index: usize) -> &[Segment] {
        &self.0[index..]
    }

    pub(crate) fn get(&self, index: usize) -> &Segment {
        &self.0[index]
    }

    pub(crate) fn first(&self) -> &Segment {
        &self.0[0]
    }

    pub(crate) fn active(&self) -> &Segment {
        &self.0[self.0.len() - 1]
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Index of the segment that `offset` falls into; the first for anything below.
    pub(crate) fn floor(&self, offset: Offset) -> usize {
        self.0.partition_point(|segment| segment.base() <= offset).saturating_sub(1)
    }

    /// The base of the segment after the one at `index`.
    pub(crate) fn next_base(&self, index: usize) -> Option<Offset> {
        self.0.get(index + 1).map(Segment::base)
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        assert!(self.active().base() < segment.base(), "a new segment lies behind all others");
        self.0.push(segment);
    }

    /// Removes the first `count` segments, which must leave one.
    pub(crate) fn remove_first(&mut self, count: usize) -> Vec<Segment> {
        assert!(count < self.0.len(), "a log keeps its active segment");
        self.0.drain(..count).collect()
    }

    /// Index of the segment with exactly this base.
    pub(crate) fn position(&self, base: Offset) -> Option<usize> {
        self.0.binary_search_by_key(&base, Segment::base).ok()
    }

    /// Puts `segments` in the place of those in `range`, which leaves out the active one.
    pub(crate) fn replace(&mut self, range: std::ops::Range<usize>, segments: Vec<Segment>) {
        assert!(range.end < self.0.len(), "the active segment is not replaced");
        self.0.splice(range, segments);
        assert!(self.0.is_sorted_by(|a, b| a.base() < b.base()), "segments are in order");
    }

    /// Keeps the first `count` segments, at least one, and returns the rest.
    pub(crate) fn split_off(&mut self, count: usize) -> Vec<Segment> {
        assert!(0 < count, "a log keeps a segment");
        self.0.split_off(count)
    }

    /// Puts `segment` in place of all others.
    pub(crate) fn replace_all(&mut self, segment: Segment) {
        self.0 = vec![segment];
    }
}
