//! How far a payload may expand.

/// The most bytes one payload may decompress to.
///
/// A few kilobytes can claim to hold gigabytes. Every decompression in this crate stops at a limit and fails
/// with [`RecordError::LimitExceeded`](crate::RecordError::LimitExceeded), and no declared size is allocated
/// before bytes for it have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecompressLimit(usize);

impl DecompressLimit {
    /// A limit of `bytes`.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl Default for DecompressLimit {
    /// 128 MiB, over a hundred times Kafka's default for the largest batch.
    fn default() -> Self {
        Self(128 << 20)
    }
}
