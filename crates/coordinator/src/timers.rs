//! Deadlines by key.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::Ticks;

/// One deadline for each key, the earliest first.
///
/// Putting a deadline off costs one look-up, since the queue keeps the earlier time and looks again when that has come:
/// a heartbeat moves its member's session deadline far more often than a session expires.
#[derive(Clone, Debug)]
pub struct Timers<K> {
    /// The true deadline of each key, and the time under which the queue has it, which is not later.
    deadlines: BTreeMap<K, Deadline>,
    queue: BTreeMap<(Ticks, K), ()>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    due: Ticks,
    queued: Ticks,
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets the deadline of `key`, in place of the one it had.
    pub fn set(&mut self, key: K, due: Ticks) {
        match self.deadlines.entry(key) {
            Entry::Occupied(mut known) => {
                let deadline = known.get_mut();
                deadline.due = due;
                if due < deadline.queued {
                    self.queue.remove(&(deadline.queued, known.key().clone()));
                    known.get_mut().queued = due;
                    self.queue.insert((due, known.key().clone()), ());
                }
            }
            Entry::Vacant(new) => {
                self.queue.insert((due, new.key().clone()), ());
                new.insert(Deadline { due, queued: due });
            }
        }
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: &K) {
        if let Some((key, deadline)) = self.deadlines.remove_entry(key) {
            self.queue.remove(&(deadline.queued, key));
        }
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn due(&self, key: &K) -> Option<Ticks> {
        self.deadlines.get(key).map(|deadline| deadline.due)
    }

    /// A time before which [`pop_due`](Self::pop_due) has nothing to give. It may be earlier than the first deadline.
    #[must_use]
    pub fn next(&self) -> Option<Ticks> {
        self.queue.first_key_value().map(|((due, _), ())| *due)
    }

    /// Takes out the first key whose deadline is not after `now`.
    pub fn pop_due(&mut self, now: Ticks) -> Option<K> {
        while let Some(((queued, _), ())) = self.queue.first_key_value() {
            if now < *queued {
                return None;
            }
            let ((_, key), ()) = self.queue.pop_first().expect("it was looked at");
            let deadline = self.deadlines.get_mut(&key).expect("every queued key has a deadline");
            if deadline.due <= now {
                self.deadlines.remove(&key);
                return Some(key);
            }
            deadline.queued = deadline.due;
            self.queue.insert((deadline.due, key), ());
        }
        None
    }

    /// How many keys have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether no key has a deadline.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { deadlines: BTreeMap::new(), queue: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Set(u8, u64),
        Cancel(u8),
        Pass(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0..8_u8, 0..50_u64).prop_map(|(key, due)| Op::Set(key, due)),
            (0..8_u8).prop_map(Op::Cancel),
            (0..20_u64).prop_map(Op::Pass),
        ]
    }

    proptest! {
        /// Against a plain map that is searched.
        #[test]
        fn like_a_map(ops in prop::collection::vec(op(), 0..200)) {
            let (mut timers, mut model, mut now) = (Timers::default(), BTreeMap::new(), 0);
            for op in ops {
                match op {
                    Op::Set(key, in_ms) => {
                        timers.set(key, Ticks(now + in_ms));
                        model.insert(key, now + in_ms);
                    }
                    Op::Cancel(key) => {
                        timers.cancel(&key);
                        model.remove(&key);
                    }
                    Op::Pass(ms) => {
                        now += ms;
                        let mut due = Vec::new();
                        while let Some(key) = timers.pop_due(Ticks(now)) {
                            due.push(key);
                        }
                        due.sort_unstable();
                        let expected: Vec<u8> =
                            model.iter().filter(|(_, due)| **due <= now).map(|(key, _)| *key).collect();
                        model.retain(|_, due| now < *due);
                        prop_assert_eq!(due, expected);
                    }
                }
                prop_assert_eq!(timers.len(), model.len());
                prop_assert_eq!(timers.is_empty(), model.is_empty());
                for key in 0..8 {
                    prop_assert_eq!(timers.due(&key), model.get(&key).map(|due| Ticks(*due)));
                }
                let first = model.values().min().map(|due| Ticks(*due));
                prop_assert_eq!(timers.next().is_some(), first.is_some());
                prop_assert!(timers.next() <= first || first.is_none());
            }
        }
    }
}
