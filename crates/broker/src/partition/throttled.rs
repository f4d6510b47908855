//! Whether a replica is throttled.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the topic names this broker's replica as throttled (KIP-73): then, what other replicas fetch from it or it
/// from its leader counts towards a quota, and waits for it when the one that fetches is not in sync.
#[derive(Debug, Default)]
pub(crate) struct Throttled {
    leader: AtomicBool,
    follower: AtomicBool,
}

impl Throttled {
    /// As `leader.replication.throttled.replicas` says.
    pub(crate) fn as_leader(&self) -> bool {
        self.leader.load(Ordering::Relaxed)
    }

    /// As `follower.replication.throttled.replicas` says.
    pub(crate) fn as_follower(&self) -> bool {
        self.follower.load(Ordering::Relaxed)
    }

    /// Takes over what the topic says. Whether that is new for the follower.
    pub(crate) fn set(&self, as_leader: bool, as_follower: bool) -> bool {
        self.leader.store(as_leader, Ordering::Relaxed);
        self.follower.swap(as_follower, Ordering::Relaxed) != as_follower
    }
}
