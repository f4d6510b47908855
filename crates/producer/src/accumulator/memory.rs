//! How much memory records may take, and who waits for some.

use std::collections::{BTreeMap, VecDeque};

use highwater_types::Ticks;

/// Somebody who waits for room or for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// The memory of `buffer.memory`: what is in use, and who waits for it, first come first served.
#[derive(Debug)]
pub(crate) struct Memory {
    total_bytes: u64,
    /// May pass the total by what compression adds to records that cannot be compressed.
    used_bytes: u64,
    waiters: VecDeque<Waiter>,
    /// Set aside for waiters that have been told.
    grants: BTreeMap<WaiterId, u64>,
    /// Whether memory is taken by somebody who has waited for it.
    is_redeeming: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: WaiterId,
    bytes: u64,
    deadline: Ticks,
}

impl Memory {
    pub(crate) const fn new(total_bytes: u64) -> Self {
        Self { total_bytes, used_bytes: 0, waiters: VecDeque::new(), grants: BTreeMap::new(), is_redeeming: false }
    }

    pub(crate) const fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    pub(crate) const fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Takes memory, unless there is not enough or others wait for it.
    pub(crate) fn take(&mut self, bytes: u64) -> bool {
        let free = (self.is_redeeming || self.waiters.is_empty()) && bytes <= self.free_bytes();
        if free {
            self.used_bytes += bytes;
        }
        free
    }

    /// Takes memory that is in use already, whether there is enough or not.
    pub(crate) const fn take_over(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_add(bytes);
    }

    /// Gives memory back.
    pub(crate) fn give(&mut self, bytes: u64) {
        assert!(bytes <= self.used_bytes, "what is given back has been taken");
        self.used_bytes -= bytes;
    }

    pub(crate) const fn free_bytes(&self) -> u64 {
        self.total_bytes.saturating_sub(self.used_bytes)
    }

    /// Whether somebody waits, so that every batch had better be sent.
    pub(crate) fn is_exhausted(&self) -> bool {
        !self.waiters.is_empty()
    }

    pub(crate) fn wait(&mut self, id: WaiterId, bytes: u64, deadline: Ticks) {
        self.waiters.push_back(Waiter { id, bytes, deadline });
    }

    /// Sets memory aside for whoever has waited longest, if there is enough now.
    pub(crate) fn poll_granted(&mut self) -> Option<WaiterId> {
        let waiter = *self.waiters.front()?;
        if self.free_bytes() < waiter.bytes {
            return None;
        }
        self.waiters.pop_front();
        self.used_bytes += waiter.bytes;
        self.grants.insert(waiter.id, waiter.bytes);
        Some(waiter.id)
    }

    /// Somebody who has waited too long.
    pub(crate) fn poll_timed_out(&mut self, now: Ticks) -> Option<WaiterId> {
        let late = self.waiters.iter().position(|waiter| waiter.deadline <= now)?;
        self.waiters.remove(late).map(|waiter| waiter.id)
    }

    /// Somebody who waits, when there is no point in it any more.
    pub(crate) fn poll_waiter(&mut self) -> Option<WaiterId> {
        self.waiters.pop_front().map(|waiter| waiter.id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Ticks> {
        self.waiters.iter().map(|waiter| waiter.deadline).min()
    }

    /// Gives back what was set aside, or waits no more.
    pub(crate) fn cancel(&mut self, id: WaiterId) {
        match self.grants.remove(&id) {
            Some(bytes) => self.give(bytes),
            None => self.waiters.retain(|waiter| waiter.id != id),
        }
    }

    /// What was set aside may be taken, before those who wait, until [`end_redeeming`](Self::end_redeeming).
    pub(crate) fn begin_redeeming(&mut self, id: WaiterId) {
        self.is_redeeming = self.grants.contains_key(&id);
        self.cancel(id);
    }

    /// Whoever comes next waits behind the others again.
    pub(crate) const fn end_redeeming(&mut self) {
        self.is_redeeming = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_is_served_first() {
        let mut memory = Memory::new(100);
        assert!(memory.take(80));
        assert!(!memory.take(30));
        memory.wait(WaiterId(1), 60, Ticks(1_000));
        memory.wait(WaiterId(2), 10, Ticks(500));
        assert_eq!(memory.poll_granted(), None, "20 bytes would do for the second, but the first is first");
        assert!(!memory.take(10), "nor does a newcomer pass them");
        assert_eq!(memory.next_deadline(), Some(Ticks(500)));
        memory.give(50);
        assert_eq!(memory.poll_granted(), Some(WaiterId(1)));
        assert_eq!(memory.poll_granted(), Some(WaiterId(2)));
        assert_eq!((memory.poll_granted(), memory.free_bytes()), (None, 0), "it is set aside");
        memory.wait(WaiterId(3), 100, Ticks(1_000));
        memory.begin_redeeming(WaiterId(1));
        assert!(memory.take(50), "that is what it waited for");
        memory.end_redeeming();
        assert_eq!(memory.free_bytes(), 10);
        assert!(!memory.take(10), "others wait");
    }

    #[test]
    fn who_waits_too_long_is_told() {
        let mut memory = Memory::new(10);
        memory.wait(WaiterId(1), 20, Ticks(1_000));
        memory.wait(WaiterId(2), 20, Ticks(500));
        assert_eq!(memory.poll_timed_out(Ticks(499)), None);
        assert_eq!(memory.poll_timed_out(Ticks(500)), Some(WaiterId(2)));
        assert!(memory.is_exhausted());
        memory.cancel(WaiterId(1));
        assert!(!memory.is_exhausted(), "who gives up waits no more");
    }
}
