//! Wait lists for things that are known by a key.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;

use super::wait_list::put;
use crate::net::{WakeToken, Wakers};

/// Power of two; keeps threads that wait for different things apart.
const SHARDS: usize = 16;

/// The connections that wait for things known by a key: a group, a topic about to exist.
///
/// Holds entries only for keys that somebody waits for. A connection appears at most once under each key. Prefer a
/// [`WaitList`](super::WaitList) inside the thing itself where there is such a place.
pub struct Purgatory<K> {
    wakers: Arc<Wakers>,
    hasher: RandomState,
    shards: [Shard<K>; SHARDS],
}

struct Shard<K> {
    /// Keys that somebody waits for.
    keys: AtomicUsize,
    waiting: Mutex<HashMap<K, Vec<WakeToken>>>,
}

impl<K: Eq + Hash> Purgatory<K> {
    /// An empty purgatory that wakes through `wakers`.
    #[must_use]
    pub fn new(wakers: Arc<Wakers>) -> Self {
        let shards = std::array::from_fn(|_| Shard { keys: AtomicUsize::new(0), waiting: Mutex::default() });
        Self { wakers, hasher: RandomState::new(), shards }
    }

    /// Adds a connection under each of `keys`. Check the condition again after this and before parking.
    pub fn watch(&self, token: WakeToken, keys: impl IntoIterator<Item = K>) {
        for key in keys {
            let shard = self.shard(&key);
            let mut waiting = shard.waiting.lock();
            put(waiting.entry(key).or_default(), token);
            shard.keys.store(waiting.len(), Ordering::Relaxed);
        }
        // As in `WaitList::watch`.
        fence(Ordering::SeqCst);
    }

    /// Takes a connection off the lists of `keys`; it need not be on them.
    pub fn unwatch<'a>(&self, token: WakeToken, keys: impl IntoIterator<Item = &'a K>)
    where
        K: 'a,
    {
        for key in keys {
            let shard = self.shard(key);
            if shard.keys.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut waiting = shard.waiting.lock();
            if let Some(tokens) = waiting.get_mut(key) {
                tokens.retain(|held| !held.same_connection(token));
                if tokens.is_empty() {
                    waiting.remove(key);
                }
            }
            shard.keys.store(waiting.len(), Ordering::Relaxed);
        }
    }

    /// Wakes everyone who waits for `key`. Call after the event has become visible.
    pub fn ready(&self, key: &K) {
        fence(Ordering::SeqCst);
        let shard = self.shard(key);
        if shard.keys.load(Ordering::Relaxed) == 0 {
            return;
        }
        let tokens = {
            let mut waiting = shard.waiting.lock();
            let tokens = waiting.remove(key);
            shard.keys.store(waiting.len(), Ordering::Relaxed);
            tokens
        };
        for token in tokens.into_iter().flatten() {
            self.wakers.wake(token);
        }
    }

    /// Number of keys that somebody waits for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.keys.load(Ordering::Relaxed)).sum()
    }

    /// Whether nobody waits for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &K) -> &Shard<K> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl<K> std::fmt::Debug for Purgatory<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: usize = self.shards.iter().map(|shard| shard.keys.load(Ordering::Relaxed)).sum();
        f.debug_struct("Purgatory").field("keys", &keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_disappear_with_their_last_waiter() {
        let purgatory = Purgatory::new(Wakers::new(1).unwrap());
        let (first, second) = (WakeToken::for_test(0, 1, 0), WakeToken::for_test(0, 2, 0));
        purgatory.watch(first, ["a", "b", "c"]);
        purgatory.watch(second, ["b"]);
        purgatory.watch(second, ["b"]);
        assert_eq!(purgatory.len(), 3);
        purgatory.ready(&"a");
        purgatory.ready(&"unknown");
        assert_eq!(purgatory.len(), 2);
        purgatory.unwatch(first, &["a", "b", "c"]);
        assert_eq!(purgatory.len(), 1);
        purgatory.unwatch(second, &["b"]);
        assert!(purgatory.is_empty());
    }
}
