//! What happens when, in virtual time.

use std::collections::BTreeMap;

/// Events by time, and in the order in which they were put where times are equal.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    events: BTreeMap<(u64, u64), E>,
    count: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), count: 0 }
    }
}

impl<E> Queue<E> {
    pub(crate) fn put(&mut self, at_ms: u64, event: E) {
        self.count += 1;
        self.events.insert((at_ms, self.count), event);
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, E)> {
        let ((at_ms, _), event) = self.events.pop_first()?;
        Some((at_ms, event))
    }

    /// Drops the events that are not to happen any more.
    pub(crate) fn retain(&mut self, keep: impl Fn(&E) -> bool) {
        self.events.retain(|_, event| keep(event));
    }
}
