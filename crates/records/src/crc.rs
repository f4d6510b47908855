//! Checksums: CRC-32C for v2 batches, CRC-32 for v0 and v1 messages.

/// CRC-32C (Castagnoli) of `bytes`, as v2 batches and producer snapshots store it.
///
/// Picks the fastest instructions of the processor at run time. Does not allocate.
#[inline]
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm-specific entry: the generic one costs a dispatch per call, which shows on small batches.
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32 (IEEE, the one of zlib) of `bytes`, as v0 and v1 messages store it.
#[inline]
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// A running CRC-32C, for bytes that arrive in pieces, such as a batch received in several buffers.
#[derive(Clone, Debug)]
pub struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// The checksum of no bytes.
    #[must_use]
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    /// Continues the checksum over `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        // The library returns every width as 64 bits; this algorithm fills the lower 32.
        self.0.finalize() as u32
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{Crc32c, crc32, crc32c};

    #[test]
    fn check_values() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32c(b""), 0);
        assert_eq!(Crc32c::default().value(), 0);
    }

    #[test]
    fn pieces_equal_the_whole() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 15, 16, 255, 256, 257, 4096, 9999, 10_000] {
            let mut running = Crc32c::new();
            running.update(&bytes[..cut]);
            running.update(&bytes[cut..]);
            assert_eq!(running.value(), crc32c(&bytes), "cut at {cut}");
        }
    }
}
