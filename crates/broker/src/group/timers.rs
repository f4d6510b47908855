//! When which coordinator has something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use highwater_coordinator::Ticks;
use parking_lot::{Condvar, Mutex};

/// The deadlines of all coordinators, and the thread that sleeps until the first.
pub(super) struct TimerQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: BTreeSet<(Ticks, usize)>,
    due: BTreeMap<usize, Ticks>,
    is_stopped: bool,
}

impl TimerQueue {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    /// Lets the thread look at coordinator `index` at `due`, in place of any time it was told before.
    pub(super) fn set(&self, index: usize, due: Ticks) {
        let mut state = self.state.lock();
        if let Some(old) = state.due.insert(index, due) {
            state.queue.remove(&(old, index));
        }
        let is_first = state.queue.first().is_none_or(|(first, _)| due < *first);
        state.queue.insert((due, index));
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Ends [`run`](Self::run).
    pub(super) fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }

    /// Calls `timed_out` with each coordinator whose time has come, counted in milliseconds since `started`, until the
    /// queue is stopped.
    pub(super) fn run(&self, started: Instant, mut timed_out: impl FnMut(usize)) {
        let mut state = self.state.lock();
        while !state.is_stopped {
            let Some((due, index)) = state.queue.first().copied() else {
                self.changed.wait(&mut state);
                continue;
            };
            // `None` is a time beyond what the clock can say.
            let Some(at) = started.checked_add(Duration::from_millis(due.0)) else {
                state.queue.remove(&(due, index));
                state.due.remove(&index);
                continue;
            };
            if Instant::now() < at {
                self.changed.wait_until(&mut state, at);
                continue;
            }
            state.queue.remove(&(due, index));
            state.due.remove(&index);
            drop(state);
            timed_out(index);
            state = self.state.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let timers = TimerQueue::new();
        timers.set(1, Ticks(3));
        timers.set(2, Ticks(2));
        timers.set(3, Ticks(1));
        timers.set(1, Ticks(0));
        timers.set(4, Ticks(u64::MAX));
        let mut seen = Vec::new();
        let started = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        timers.run(started, |index| {
            seen.push(index);
            if seen.len() == 3 {
                timers.stop();
            }
        });
        assert_eq!(seen, [1, 3, 2]);
    }
}
