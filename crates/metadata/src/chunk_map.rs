//! A sorted map whose copies share structure.

use core::{borrow::Borrow, fmt};
use std::sync::Arc;

/// A sorted map in chunks behind reference counts.
///
/// Cloning costs one reference count. The first change after a clone copies the list of chunks, one
/// pointer for each 64 to 128 entries, and the one chunk that changes; a change of a map of 100,000
/// entries so costs about 1,500 reference counts and 128 entries, not 100,000. Further changes before the
/// next clone copy only chunks not yet copied. Lookups are two binary searches.
pub(crate) struct ChunkMap<K, V> {
    /// Invariant: no chunk is empty or longer than [`CHUNK_ENTRIES_MAX`]; keys ascend through all of them.
    chunks: Arc<Vec<Chunk<K, V>>>,
    entries: usize,
}

type Chunk<K, V> = Arc<Vec<(K, V)>>;

impl<K: Ord + Clone, V: Clone> ChunkMap<K, V> {
    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries
    }

    /// The value of `key`.
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = self.chunks.get(self.chunk_of(key))?;
        let at = position(chunk, key).ok()?;
        Some(&chunk[at].1)
    }

    /// The value of `key`, for a change.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let at = position(self.chunks.get(index)?, key).ok()?;
        Some(&mut self.chunk_mut(index)[at].1)
    }

    /// Sets the value of `key` and returns the one it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(&key).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get(index) else {
            Arc::make_mut(&mut self.chunks).push(Arc::new(vec![(key, value)]));
            self.entries = 1;
            return None;
        };
        match position(chunk, &key) {
            Ok(at) => Some(core::mem::replace(&mut self.chunk_mut(index)[at].1, value)),
            Err(at) => {
                self.insert_new(index, at, key, value);
                self.entries += 1;
                None
            }
        }
    }

    /// Removes `key` and returns its value.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let at = position(self.chunks.get(index)?, key).ok()?;
        let (_, value) = self.chunk_mut(index).remove(at);
        self.entries -= 1;
        self.merge(index);
        Some(value)
    }

    /// Every entry, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    /// The entries from `key` on, by key.
    pub(crate) fn iter_from<'a, Q: Ord + ?Sized>(
        &'a self,
        key: &Q,
    ) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V, Q>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key);
        let skip = self.chunks.get(index).map_or(0, |chunk| position(chunk, key).unwrap_or_else(|at| at));
        let rest = &self.chunks[index..];
        rest.iter().flat_map(|chunk| chunk.iter()).skip(skip).map(|(key, value)| (key, value))
    }

    /// Index of the only chunk that can hold `key`; the number of chunks if `key` is behind them all.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| last.borrow() < key))
    }

    fn chunk_mut(&mut self, index: usize) -> &mut Vec<(K, V)> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[index])
    }

    fn insert_new(&mut self, index: usize, at: usize, key: K, value: V) {
        let chunks = Arc::make_mut(&mut self.chunks);
        let full = chunks[index].len() == CHUNK_ENTRIES_MAX;
        if full && at == CHUNK_ENTRIES_MAX && index + 1 == chunks.len() {
            // Ascending insertion, the usual case for partitions, leaves full chunks behind.
            chunks.push(Arc::new(vec![(key, value)]));
            return;
        }
        let (index, at) = if full {
            let upper = Arc::make_mut(&mut chunks[index]).split_off(CHUNK_ENTRIES_MAX / 2);
            chunks.insert(index + 1, Arc::new(upper));
            let in_upper = CHUNK_ENTRIES_MAX / 2 < at;
            if in_upper { (index + 1, at - CHUNK_ENTRIES_MAX / 2) } else { (index, at) }
        } else {
            (index, at)
        };
        Arc::make_mut(&mut chunks[index]).insert(at, (key, value));
    }

    /// Joins a chunk that has become small with the one after it, so that deletions shorten the list.
    fn merge(&mut self, index: usize) {
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks[index].is_empty() {
            chunks.remove(index);
            return;
        }
        let Some(next) = chunks.get(index + 1) else { return };
        if chunks[index].len() + next.len() <= CHUNK_ENTRIES_MAX / 2 {
            let next = chunks.remove(index + 1);
            Arc::make_mut(&mut chunks[index]).extend(next.iter().cloned());
        }
    }
}

fn position<K: Borrow<Q>, V, Q: Ord + ?Sized>(chunk: &[(K, V)], key: &Q) -> Result<usize, usize> {
    chunk.binary_search_by(|(other, _)| other.borrow().cmp(key))
}

impl<K, V> Default for ChunkMap<K, V> {
    fn default() -> Self {
        Self { chunks: Arc::default(), entries: 0 }
    }
}

impl<K, V> Clone for ChunkMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks), entries: self.entries }
    }
}

impl<K: Ord + Clone, V: Clone + PartialEq> PartialEq for ChunkMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries && (Arc::ptr_eq(&self.chunks, &other.chunks) || self.iter().eq(other.iter()))
    }
}

impl<K: Ord + Clone + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for ChunkMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Entries at which a chunk is split. Copying so many takes about a microsecond.
const CHUNK_ENTRIES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::{CHUNK_ENTRIES_MAX, ChunkMap};
    use proptest::prelude::*;
    use std::{collections::BTreeMap, sync::Arc};

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u16, u8),
        Remove(u16),
        Bump(u16),
        Snapshot,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            6 => (0u16..600, any::<u8>()).prop_map(|(key, value)| Op::Insert(key, value)),
            4 => (0u16..600).prop_map(Op::Remove),
            2 => (0u16..600).prop_map(Op::Bump),
            1 => Just(Op::Snapshot),
        ]
    }

    fn check(map: &ChunkMap<u16, u8>, model: &BTreeMap<u16, u8>) {
        assert_eq!(map.len(), model.len());
        assert!(map.iter().eq(model.iter()));
        assert!(map.chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK_ENTRIES_MAX));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn behaves_like_a_btree_map_and_leaves_snapshots_alone(ops in prop::collection::vec(op(), 0..1500), probe in 0u16..700) {
            let (mut map, mut model) = (ChunkMap::default(), BTreeMap::new());
            let mut snapshots = Vec::new();
            for op in ops {
                match op {
                    Op::Insert(key, value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    Op::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    Op::Bump(key) => {
                        let (ours, theirs) = (map.get_mut(&key), model.get_mut(&key));
                        prop_assert_eq!(ours.is_some(), theirs.is_some());
                        if let (Some(ours), Some(theirs)) = (ours, theirs) {
                            *ours = ours.wrapping_add(1);
                            *theirs = theirs.wrapping_add(1);
                        }
                    }
                    Op::Snapshot => snapshots.push((map.clone(), model.clone())),
                }
            }
            check(&map, &model);
            prop_assert_eq!(map.get(&probe), model.get(&probe));
            prop_assert!(map.iter_from(&probe).eq(model.range(probe..)));
            for (map, model) in &snapshots {
                check(map, model);
            }
        }
    }

    #[test]
    fn a_change_after_a_snapshot_copies_one_chunk() {
        let mut map = ChunkMap::default();
        for key in 0..100_000u32 {
            map.insert(key, key);
        }
        let before = map.clone();
        *map.get_mut(&77_777).unwrap() = 0;
        let copied = map.chunks.iter().zip(before.chunks.iter()).filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
        assert_eq!(copied, 1);
        assert_eq!(before.get(&77_777), Some(&77_777));
        assert!(map.chunks.len() < 1_600, "{} chunks", map.chunks.len());
    }
}
