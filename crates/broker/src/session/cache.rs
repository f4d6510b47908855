//! Which sessions exist, and which one goes when there is no room.

use std::collections::{BTreeSet, HashMap};

/// How long a session may be unused before anyone may evict it, and how old it must be before its equals may.
pub(super) const EVICTION_MS: u64 = 120_000;

/// Sessions by id, with the orders in which they are evicted. A pure structure: time and ids come from outside.
pub(super) struct Cache<S> {
    slots_max: usize,
    entries: HashMap<i32, Entry<S>>,
    /// By time of last use.
    by_use: BTreeSet<(u64, i32)>,
    by_worth: BTreeSet<Worth>,
}

struct Entry<S> {
    session: S,
    worth: Worth,
    used_at_ms: u64,
    created_at_ms: u64,
}

/// Cheapest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    privileged: bool,
    size: usize,
    id: i32,
}

impl<S> Cache<S> {
    pub(super) fn new(slots_max: usize) -> Self {
        Self { slots_max, entries: HashMap::new(), by_use: BTreeSet::new(), by_worth: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, id: i32) -> Option<&S> {
        self.entries.get(&id).map(|entry| &entry.session)
    }

    pub(super) fn remove(&mut self, id: i32) {
        if let Some(entry) = self.entries.remove(&id) {
            self.by_use.remove(&(entry.used_at_ms, id));
            self.by_worth.remove(&entry.worth);
        }
    }

    /// Marks a session used, with its present number of partitions.
    pub(super) fn touch(&mut self, id: i32, size: usize, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.by_use.remove(&(entry.used_at_ms, id));
            self.by_worth.remove(&entry.worth);
            entry.used_at_ms = now_ms;
            entry.worth.size = size;
            self.by_use.insert((now_ms, id));
            self.by_worth.insert(entry.worth);
        }
    }

    /// Adds a session and gives its id, or `None` if there is no room and no session to evict.
    pub(super) fn insert(
        &mut self,
        session: S,
        privileged: bool,
        size: usize,
        random: u32,
        now_ms: u64,
    ) -> Option<i32> {
        let id = self.free_id(random);
        let worth = Worth { privileged, size, id };
        if self.slots_max <= self.entries.len() {
            let evicted = self.evictable(worth, now_ms)?;
            self.remove(evicted);
        }
        self.by_use.insert((now_ms, id));
        self.by_worth.insert(worth);
        self.entries.insert(id, Entry { session, worth, used_at_ms: now_ms, created_at_ms: now_ms });
        Some(id)
    }

    fn evictable(&self, newcomer: Worth, now_ms: u64) -> Option<i32> {
        let &(used_at_ms, eldest) = self.by_use.first()?;
        if EVICTION_MS < now_ms.saturating_sub(used_at_ms) {
            return Some(eldest);
        }
        // Cheapest first, up to what the newcomer itself is worth.
        self.by_worth
            .range(..newcomer)
            .find(|worth| {
                let outranked = newcomer.privileged && !worth.privileged;
                outranked || self.is_seasoned(worth.id, now_ms)
            })
            .map(|worth| worth.id)
    }

    fn is_seasoned(&self, id: i32, now_ms: u64) -> bool {
        self.entries.get(&id).is_some_and(|entry| EVICTION_MS < now_ms.saturating_sub(entry.created_at_ms))
    }

    /// An id that is positive and not taken, near `random`.
    fn free_id(&self, random: u32) -> i32 {
        let mut id = (random & 0x7fff_ffff) as i32;
        while id == 0 || self.entries.contains_key(&id) {
            id = if id == i32::MAX { 1 } else { id + 1 };
        }
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 10_000_000;
    const OLD: u64 = NOW - EVICTION_MS - 1;
    const YOUNG: u64 = NOW - EVICTION_MS;

    /// A cache of these sessions: (privileged, partitions, created at), all used just now. Ids are 1, 2, ...
    fn full(sessions: &[(bool, usize, u64)]) -> Cache<()> {
        let mut cache = Cache::new(sessions.len());
        for &(privileged, size, created_at) in sessions {
            let id = cache.insert((), privileged, size, 1, created_at).unwrap();
            cache.touch(id, size, NOW);
        }
        cache
    }

    /// The id that a newcomer evicts.
    fn evicts(cache: &Cache<()>, privileged: bool, size: usize) -> Option<i32> {
        cache.evictable(Worth { privileged, size, id: i32::MAX }, NOW)
    }

    #[test]
    fn a_session_unused_for_two_minutes_goes_first_whatever_its_worth() {
        let mut cache = full(&[(false, 1, OLD), (true, 1000, OLD)]);
        cache.touch(2, 1000, OLD);
        assert_eq!(evicts(&cache, false, 1), Some(2));
        cache.touch(2, 1000, YOUNG);
        assert_eq!(evicts(&cache, false, 5), Some(1), "exactly two minutes is not too long");
    }

    #[test]
    fn a_consumer_evicts_the_smallest_seasoned_session_smaller_than_its_own() {
        let cache = full(&[(false, 2, YOUNG), (false, 7, OLD), (false, 5, OLD), (true, 1, OLD)]);
        assert_eq!(evicts(&cache, false, 6), Some(3));
        assert_eq!(evicts(&cache, false, 4), None);
        assert_eq!(evicts(&full(&[(false, 1, YOUNG)]), false, 100), None, "a young session is safe from its equals");
        assert_eq!(evicts(&full(&[(true, 1, OLD)]), false, 100), None, "a follower's session is safe from consumers");
    }

    #[test]
    fn a_follower_evicts_any_consumer_and_seasoned_smaller_followers() {
        let cache = full(&[(false, 9, YOUNG), (true, 1, OLD)]);
        assert_eq!(evicts(&cache, true, 1), Some(1));
        let cache = full(&[(true, 3, OLD), (true, 2, YOUNG)]);
        assert_eq!(evicts(&cache, true, 4), Some(1));
        assert_eq!(evicts(&cache, true, 2), None);
    }

    #[test]
    fn ids_are_positive_and_unique() {
        let mut cache = Cache::new(10);
        let ids = [0, 0x8000_0000, i32::MAX as u32, i32::MAX as u32, 7, 7]
            .map(|random| cache.insert((), false, 1, random, NOW).unwrap());
        assert_eq!(ids, [1, 2, i32::MAX, 3, 7, 8]);
        for id in ids {
            cache.remove(id);
        }
        assert_eq!((cache.len(), cache.by_use.len(), cache.by_worth.len()), (0, 0, 0));
    }
}
