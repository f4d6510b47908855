//! The hash that maps a record's key to a partition.

/// Murmur2 of `key` with the seed and word order of Kafka's Java client, 32 bits.
///
/// Source: A. Appleby's MurmurHash2, seed `0x9747b28c`.
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Kafka truncates the length to 32 bits, as Java's arrays do.
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let word = tail.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = (hash ^ word).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// The partition that Kafka's default partitioner gives to `key` in a topic of `partitions` partitions.
///
/// # Panics
///
/// If `partitions` is zero.
#[must_use]
pub fn murmur2_partition(key: &[u8], partitions: u32) -> crate::PartitionIndex {
    assert!(0 < partitions, "a topic has at least one partition");
    crate::PartitionIndex::new((murmur2(key) & 0x7fff_ffff) % partitions)
}
