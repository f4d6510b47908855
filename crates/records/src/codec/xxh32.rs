//! xxHash32, which LZ4 frames use for their checksums.
//!
//! Written from the specification of xxHash; seed 0 is all that frames need.

const PRIME: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// The hash of `bytes` with seed 0.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let mut stripes = bytes.chunks_exact(16);
    let mut hash = if bytes.len() < 16 {
        PRIME[4]
    } else {
        let mut lanes = [PRIME[0].wrapping_add(PRIME[1]), PRIME[1], 0, PRIME[0].wrapping_neg()];
        for stripe in &mut stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(4)) {
                *lane = lane.wrapping_add(read(word).wrapping_mul(PRIME[1])).rotate_left(13).wrapping_mul(PRIME[0]);
            }
        }
        let [a, b, c, d] = lanes;
        let (a, b) = (a.rotate_left(1), b.rotate_left(7));
        a.wrapping_add(b).wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18))
    };
    // The length counts modulo 2^32.
    hash = hash.wrapping_add(bytes.len() as u32);
    let mut words = stripes.remainder().chunks_exact(4);
    for word in &mut words {
        hash = hash.wrapping_add(read(word).wrapping_mul(PRIME[2])).rotate_left(17).wrapping_mul(PRIME[3]);
    }
    for &byte in words.remainder() {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(PRIME[4])).rotate_left(11).wrapping_mul(PRIME[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(PRIME[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(PRIME[2]);
    hash ^ hash >> 16
}

fn read(word: &[u8]) -> u32 {
    word.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::xxh32;

    #[test]
    fn known_values() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }
}
