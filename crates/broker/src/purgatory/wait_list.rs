//! The connections that wait for one thing.

use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::Mutex;

use crate::net::{WakeToken, Wakers};

/// The connections that wait for one thing, such as the growth of one partition.
///
/// Embedded in that thing, so that no lookup is needed. When nobody waits, [`ready`](Self::ready) costs a fence and a
/// load, and the list holds no memory. Each connection appears at most once, so the list is bounded by the number of
/// connections even if nobody ever leaves it.
#[derive(Debug, Default)]
pub struct WaitList {
    waiting: AtomicUsize,
    tokens: Mutex<Vec<WakeToken>>,
}

impl WaitList {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), tokens: Mutex::new(Vec::new()) }
    }

    /// Adds a connection, to be woken once. Check the condition again after this and before parking.
    pub fn watch(&self, token: WakeToken) {
        {
            let mut tokens = self.tokens.lock();
            put(&mut tokens, token);
            self.waiting.store(tokens.len(), Ordering::Relaxed);
        }
        // Pairs with the fence in `ready`: if the caller's next look at the condition misses the event, then the
        // event's `ready` sees this token. Needed when the condition is an atomic rather than under a lock.
        fence(Ordering::SeqCst);
    }

    /// Takes a connection off the list. Leaving is a courtesy that saves a void wake-up; it need not be on the list.
    pub fn unwatch(&self, token: WakeToken) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut tokens = self.tokens.lock();
        tokens.retain(|held| !held.same_connection(token));
        self.waiting.store(tokens.len(), Ordering::Relaxed);
    }

    /// Wakes everyone on the list and empties it. Call after the event has become visible.
    pub fn ready(&self, wakers: &Wakers) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut tokens = self.tokens.lock();
        self.waiting.store(0, Ordering::Relaxed);
        for token in tokens.drain(..) {
            wakers.wake(token);
        }
        if KEPT_TOKENS_MAX < tokens.capacity() {
            *tokens = Vec::new();
        }
    }

    /// Number of connections on the list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Adds `token`, in place of an older wait of the same connection.
pub(super) fn put(tokens: &mut Vec<WakeToken>, token: WakeToken) {
    match tokens.iter_mut().find(|held| held.same_connection(token)) {
        Some(held) => *held = token,
        None => tokens.push(token),
    }
}

/// Room for this many waiters is kept for the next ones: 512 bytes a list.
const KEPT_TOKENS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_on_the_list_once_and_leaves_whole() {
        let list = WaitList::new();
        list.watch(WakeToken::for_test(0, 1, 1));
        list.watch(WakeToken::for_test(0, 1, 2));
        list.watch(WakeToken::for_test(1, 1, 1));
        assert_eq!(list.len(), 2);
        list.unwatch(WakeToken::for_test(0, 1, 3));
        assert_eq!(list.len(), 1);
        list.unwatch(WakeToken::for_test(0, 1, 3));
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn ready_empties_the_list_and_gives_back_a_large_one() {
        let wakers = Wakers::new(1).unwrap();
        let list = WaitList::new();
        list.ready(&wakers);
        for slot in 0..1000 {
            list.watch(WakeToken::for_test(0, slot, 0));
        }
        list.ready(&wakers);
        assert!(list.is_empty());
        assert_eq!(list.tokens.lock().capacity(), 0);
    }
}
