//! How threads are asked to end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A flag that wakes whoever sleeps on it. Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Sets the flag, for good.
    pub(crate) fn set(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    /// Whether it is set.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock()
    }

    /// Sleeps for `time` or until the flag is set; whether it is.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut is_set = self.0.0.lock();
        while !*is_set && !self.0.1.wait_until(&mut is_set, deadline).timed_out() {}
        *is_set
    }
}
