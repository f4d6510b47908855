//! The last offset of every key (storage format, section 19.2).

use highwater_types::Offset;
use md5::{Digest, Md5};

use super::config::{CleanerConfig, SLOT_BYTES};

/// Finds the last offset of a key among those put in.
///
/// A table with open addressing. Of a key only the MD5 is kept, so that every key takes 24 bytes; keys with the same
/// hash are taken for the same key, as in Kafka. Memory grows to what a pass needs, at most to the limit, and is kept
/// for the next pass.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    /// The hash in two words, and the offset after the key's: 0 in the third word is a free slot.
    slots: Vec<[u64; 3]>,
    /// Slots in use for the pass at hand.
    len: usize,
    /// Keys that may be put.
    keys_max: usize,
    keys: usize,
    /// The offset up to which everything has been put.
    latest: Option<Offset>,
}

const _: () = assert!(size_of::<[u64; 3]>() == SLOT_BYTES);

impl OffsetMap {
    /// An empty map without room for a key.
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), len: 0, keys_max: 0, keys: 0, latest: None }
    }

    /// Empties the map and makes room for `keys` keys, or as many as the memory allows.
    pub(crate) fn reset(&mut self, config: &CleanerConfig, keys: u64) {
        let percent = u64::from(config.load_percent_max);
        let allowed = config.dedupe_bytes_max / SLOT_BYTES;
        // One more than needed, as a search ends at a free slot.
        let wanted = (keys.saturating_mul(100) / percent).saturating_add(2);
        self.len = usize::try_from(wanted).unwrap_or(usize::MAX).min(allowed);
        self.keys_max = (self.len as u64 * percent / 100).min(self.len as u64 - 1) as usize;
        if self.slots.len() < self.len {
            // Zeroed memory costs nothing until it is touched.
            self.slots = vec![[0; 3]; self.len];
        } else {
            self.slots[..self.len].fill([0; 3]);
        }
        self.keys = 0;
        self.latest = None;
    }

    /// Notes that `key` has a record at `offset`, above all earlier ones. False, and nothing noted, if the map is full.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        // Kafka stops here even for a key that is in the map already.
        if self.keys_max <= self.keys {
            return false;
        }
        let hash = hash(key);
        let slot = self.find(hash);
        if self.slots[slot][2] == 0 {
            self.keys += 1;
        }
        self.slots[slot] = [hash[0], hash[1], offset.value() + 1];
        self.latest = Some(offset);
        true
    }

    /// Notes that everything up to `offset` has been put.
    pub(crate) fn raise_latest(&mut self, offset: Offset) {
        self.latest = self.latest.max(Some(offset));
    }

    /// The offset up to which everything has been put; `None` if nothing was.
    pub(crate) fn latest(&self) -> Option<Offset> {
        self.latest
    }

    /// The last offset of `key`.
    pub(crate) fn last_offset_of(&self, key: &[u8]) -> Option<Offset> {
        if self.keys == 0 {
            return None;
        }
        let after = self.slots[self.find(hash(key))][2];
        after.checked_sub(1).map(Offset::new)
    }

    /// Number of keys.
    pub(crate) fn keys(&self) -> usize {
        self.keys
    }

    /// Number of keys that fit.
    pub(crate) fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// Bytes of memory held.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    /// The slot with this hash, or the free one where it belongs.
    fn find(&self, hash: [u64; 2]) -> usize {
        let mut attempt = 0;
        loop {
            let slot = self.probe(hash, attempt);
            let found = self.slots[slot];
            // There is always a free slot, and from the 13th attempt on slots are tried one after the other.
            if found[2] == 0 || found[..2] == hash {
                return slot;
            }
            attempt += 1;
        }
    }

    /// The slot to try: four bytes of the hash, from another place at each attempt while there are such.
    fn probe(&self, hash: [u64; 2], attempt: usize) -> usize {
        const LAST: usize = 12;
        let whole = u128::from(hash[0]) << 64 | u128::from(hash[1]);
        let word = (whole >> (96 - 8 * attempt.min(LAST))) as u32 & i32::MAX as u32;
        (word as usize + attempt.saturating_sub(LAST)) % self.len
    }
}

fn hash(key: &[u8]) -> [u64; 2] {
    let bytes: [u8; 16] = Md5::digest(key).into();
    let whole = u128::from_be_bytes(bytes);
    [(whole >> 64) as u64, whole as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn config(slots: usize) -> CleanerConfig {
        CleanerConfig { dedupe_bytes_max: slots * SLOT_BYTES, ..CleanerConfig::default() }
    }

    #[test]
    fn the_hash_is_md5() {
        // RFC 1321, appendix A.5.
        assert_eq!(hash(b"abc"), [0x9001_5098_3cd2_4fb0, 0xd696_3f7d_28e1_7f72]);
    }

    #[test]
    fn the_last_offset_of_each_key_is_found_also_when_the_map_is_as_full_as_allowed() {
        let mut map = OffsetMap::new();
        map.reset(&config(1_000), u64::MAX);
        let mut model = HashMap::new();
        let mut offset = 0;
        // Offset 0 and overwritten keys included.
        while map.put(format!("key-{}", offset * 7_919 % 1_801).as_bytes(), Offset::new(offset)) {
            model.insert(offset * 7_919 % 1_801, offset);
            offset += 1;
        }
        assert_eq!((map.keys(), model.len()), (900, 900));
        assert_eq!(map.latest(), Some(Offset::new(offset - 1)));
        for key in 0..1_801 {
            let found = map.last_offset_of(format!("key-{key}").as_bytes());
            assert_eq!(found.map(Offset::value), model.get(&key).copied(), "{key}");
        }
    }

    #[test]
    fn a_full_map_refuses_known_keys_too() {
        let mut map = OffsetMap::new();
        map.reset(&config(2), u64::MAX);
        assert!(map.put(b"a", Offset::new(5)));
        assert!(!map.put(b"a", Offset::new(6)));
        assert_eq!(map.last_offset_of(b"a"), Some(Offset::new(5)));
        assert_eq!(map.latest(), Some(Offset::new(5)));
    }

    #[test]
    fn memory_is_what_is_needed_and_is_reused() {
        let mut map = OffsetMap::new();
        map.reset(&config(1_000_000), 9);
        assert!(map.memory_bytes() <= 13 * SLOT_BYTES);
        for key in 0..9u8 {
            assert!(map.put(&[key], Offset::new(key.into())), "{key} of 9 fits");
        }
        map.reset(&config(1_000_000), 4);
        assert_eq!((map.keys(), map.latest(), map.last_offset_of(&[3])), (0, None, None));
        assert!(map.memory_bytes() <= 13 * SLOT_BYTES);
        map.reset(&config(100), u64::MAX);
        assert_eq!((map.memory_bytes(), map.keys_max()), (100 * SLOT_BYTES, 90));
    }

    #[test]
    fn latest_only_grows() {
        let mut map = OffsetMap::new();
        map.reset(&config(10), 5);
        map.raise_latest(Offset::new(8));
        map.raise_latest(Offset::new(3));
        assert_eq!(map.latest(), Some(Offset::new(8)));
    }
}
