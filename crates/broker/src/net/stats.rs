//! Counters of one event loop.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one event loop, written by its thread alone and read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_closed: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) requests: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) turns: Counter,
    pub(crate) receives: Counter,
    pub(crate) sends: Counter,
    pub(crate) parks: Counter,
    pub(crate) wakes: Counter,
    pub(crate) idle_closed: Counter,
    pub(crate) bad_frames: Counter,
    pub(crate) panics: Counter,
}

/// A count with one writer: adding is a load and a store, without a locked instruction.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the event loops of a server have done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetStats {
    /// Connections accepted.
    pub connections_accepted: u64,
    /// Connections closed, by whichever side.
    pub connections_closed: u64,
    /// Connections closed at once because their address had too many.
    pub connections_refused: u64,
    /// Times accepting failed for want of descriptors or memory.
    pub accept_errors: u64,
    /// Requests handed to the service.
    pub requests: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Turns of the loops, each one wait for events.
    pub turns: u64,
    /// System calls that received.
    pub receives: u64,
    /// System calls that sent.
    pub sends: u64,
    /// Times a connection parked.
    pub parks: u64,
    /// Times a parked connection was resumed.
    pub wakes: u64,
    /// Connections closed because nothing happened on them.
    pub idle_closed: u64,
    /// Connections closed because of a length prefix that cannot be.
    pub bad_frames: u64,
    /// Panics caught in the service. Each is a bug.
    pub panics: u64,
}

impl NetStats {
    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections_accepted.saturating_sub(self.connections_closed)
    }

    /// Sums the counts of several loops.
    pub(crate) fn sum<'a>(loops: impl IntoIterator<Item = &'a Stats>) -> Self {
        let mut sum = Self::default();
        for stats in loops {
            sum.connections_accepted += stats.connections_accepted.value();
            sum.connections_closed += stats.connections_closed.value();
            sum.connections_refused += stats.connections_refused.value();
            sum.accept_errors += stats.accept_errors.value();
            sum.requests += stats.requests.value();
            sum.bytes_in += stats.bytes_in.value();
            sum.bytes_out += stats.bytes_out.value();
            sum.turns += stats.turns.value();
            sum.receives += stats.receives.value();
            sum.sends += stats.sends.value();
            sum.parks += stats.parks.value();
            sum.wakes += stats.wakes.value();
            sum.idle_closed += stats.idle_closed.value();
            sum.bad_frames += stats.bad_frames.value();
            sum.panics += stats.panics.value();
        }
        sum
    }
}
