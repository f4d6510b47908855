//! A map that is small most of the time.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A sorted map of which there are very many, most of them with few entries.
///
/// Up to [`FEW_MAX`] entries lie in one sorted vector without a gap, where a `BTreeMap` would reserve eleven places for
/// the first. More lie in a `BTreeMap`, so that a topic of a hundred thousand partitions can be filled in any order.
#[derive(Clone, Debug)]
pub(super) enum SmallMap<K, V> {
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K: Ord, V> SmallMap<K, V> {
    pub(super) const fn new() -> Self {
        Self::Few(Vec::new())
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(entries) => entries.len(),
            Self::Many(entries) => entries.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|at| &entries[at].1),
            Self::Many(entries) => entries.get(key),
        }
    }

    pub(super) fn get_key_value<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|at| (&entries[at].0, &entries[at].1)),
            Self::Many(entries) => entries.get_key_value(key),
        }
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|at| &mut entries[at].1),
            Self::Many(entries) => entries.get_mut(key),
        }
    }

    /// Sets the value of `key` and gives back the one it had.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self {
            Self::Few(entries) => match find(entries, &key) {
                Ok(at) => Some(std::mem::replace(&mut entries[at].1, value)),
                Err(_) if entries.len() == FEW_MAX => {
                    let mut many: BTreeMap<K, V> = std::mem::take(entries).into_iter().collect();
                    many.insert(key, value);
                    *self = Self::Many(many);
                    None
                }
                Err(at) => {
                    if entries.len() == entries.capacity() {
                        // One place for the first entry, not the four that a vector begins with.
                        entries.reserve_exact(1 + entries.len() / 2);
                    }
                    entries.insert(at, (key, value));
                    None
                }
            },
            Self::Many(entries) => entries.insert(key, value),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(entries) => find(entries, key).ok().map(|at| entries.remove(at).1),
            Self::Many(entries) => entries.remove(key),
        }
    }

    /// All entries in order.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (&K, &V)> + '_> {
        match self {
            Self::Few(entries) => Box::new(entries.iter().map(|(key, value)| (key, value))),
            Self::Many(entries) => Box::new(entries.iter()),
        }
    }

    /// The entries from `from` on, in order.
    pub(super) fn iter_from<Q: Ord + ?Sized>(&self, from: Bound<&Q>) -> Box<dyn Iterator<Item = (&K, &V)> + '_>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(entries) => {
                let first = match from {
                    Bound::Unbounded => 0,
                    Bound::Included(key) => entries.partition_point(|(known, _)| known.borrow() < key),
                    Bound::Excluded(key) => entries.partition_point(|(known, _)| known.borrow() <= key),
                };
                Box::new(entries[first..].iter().map(|(key, value)| (key, value)))
            }
            Self::Many(entries) => Box::new(entries.range((from, Bound::Unbounded))),
        }
    }
}

impl<K: Ord, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(entries: &[(K, V)], key: &Q) -> Result<usize, usize> {
    entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
}

/// Most entries that lie in a vector: moving half of them takes less time than finding them did.
const FEW_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the map of the standard library, across the change of its form.
        #[test]
        fn like_a_map(ops in prop::collection::vec((0..200_u16, prop::option::weighted(0.8, any::<u8>())), 0..400)) {
            let (mut map, mut model) = (SmallMap::new(), BTreeMap::new());
            for (key, value) in ops {
                match value {
                    Some(value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    None => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.get_key_value(&key), model.get_key_value(&key));
                prop_assert_eq!(map.get_mut(&key), model.get_mut(&key));
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                for from in [Bound::Unbounded, Bound::Included(&key), Bound::Excluded(&key)] {
                    let rest: Vec<_> = model.range((from, Bound::Unbounded)).collect();
                    prop_assert_eq!(map.iter_from(from).collect::<Vec<_>>(), rest);
                }
            }
            prop_assert_eq!(map.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_entry_takes_one_place() {
        let mut map = SmallMap::new();
        map.insert(1_u32, 1_u64);
        let SmallMap::Few(entries) = &map else { panic!("one entry lies in a vector") };
        assert_eq!(entries.capacity(), 1);
    }

    #[test]
    fn more_than_few_entries_lie_in_a_tree() {
        let mut map = SmallMap::new();
        for key in 0..=FEW_MAX {
            assert!(matches!(map, SmallMap::Few(_)), "at {key}");
            map.insert(key, ());
        }
        assert!(matches!(map, SmallMap::Many(_)), "a vector of {} entries", map.len());
    }
}
