//! How well the records of a topic compress, so that a batch is closed at about the right size.

/// Compressed by uncompressed size, as batches so far have had it: quick to get worse, slow to get better, so that few
/// batches become larger than they should.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CompressionRatio(f32);

impl CompressionRatio {
    /// How much worse the estimate gets at a time.
    const STEP_UP: f32 = 0.05;
    /// How much better.
    const STEP_DOWN: f32 = 0.005;
    /// By how much an estimated size is larger than the ratio says.
    const MARGIN: f32 = 1.05;

    /// Nothing is known: records are taken not to compress.
    pub(crate) const UNKNOWN: Self = Self(1.0);

    /// Takes a finished batch into account.
    pub(crate) fn observe(&mut self, compressed_bytes: usize, uncompressed_bytes: usize) {
        let seen = ratio(compressed_bytes, uncompressed_bytes);
        if self.0 < seen {
            self.0 = seen.max(self.0 + Self::STEP_UP);
        } else if seen < self.0 {
            self.0 = seen.max(self.0 - Self::STEP_DOWN);
        }
    }

    /// Starts over after a batch that was too large for the broker.
    pub(crate) fn reset(&mut self, compressed_bytes: usize, uncompressed_bytes: usize) {
        self.0 = ratio(compressed_bytes, uncompressed_bytes).max(1.0);
    }

    /// What records of this size will have compressed.
    pub(crate) fn estimate(self, uncompressed_bytes: usize) -> usize {
        // Sizes of batches fit 31 bits; the estimate need not be exact.
        (uncompressed_bytes as f32 * self.0 * Self::MARGIN) as usize
    }
}

fn ratio(compressed_bytes: usize, uncompressed_bytes: usize) -> f32 {
    if uncompressed_bytes == 0 { 1.0 } else { compressed_bytes as f32 / uncompressed_bytes as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gets_better_slowly_and_worse_at_once() {
        let mut ratio = CompressionRatio::UNKNOWN;
        ratio.observe(100, 1_000);
        assert_eq!(ratio, CompressionRatio(0.995));
        (0..1_000).for_each(|_| ratio.observe(100, 1_000));
        assert_eq!(ratio, CompressionRatio(0.1));
        ratio.observe(110, 1_000);
        assert!((ratio.0 - 0.15).abs() < 1e-6, "at least a step");
        ratio.observe(900, 1_000);
        assert_eq!(ratio, CompressionRatio(0.9));
        ratio.reset(900, 1_000);
        assert_eq!(ratio, CompressionRatio::UNKNOWN);
    }

    #[test]
    fn an_estimate_has_a_margin() {
        assert_eq!(CompressionRatio(0.5).estimate(1_000), 525);
    }
}
