//! What every thread may know of the quorum.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use highwater_types::{LeaderEpoch, NodeId};
use parking_lot::{Condvar, Mutex};

/// Who leads the quorum, as this node knows.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    is_active: AtomicBool,
    leadership: Mutex<Leadership>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Leadership {
    leader: Option<NodeId>,
    epoch: LeaderEpoch,
    is_active: bool,
    is_lost: bool,
}

impl SharedState {
    /// Whether this node is the active controller.
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// The node that leads the quorum, if that is known.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leadership.lock().leader
    }

    /// Waits until somebody leads, for `timeout` at most; if it is this node, until it is the active controller.
    pub(crate) fn wait_for_leader(&self, this: NodeId, timeout: Duration) -> Option<NodeId> {
        let deadline = Instant::now() + timeout;
        let mut leadership = self.leadership.lock();
        loop {
            match leadership.leader {
                Some(leader) if leader != this || leadership.is_active => return Some(leader),
                _ if leadership.is_lost => return None,
                _ => {}
            }
            if self.changed.wait_until(&mut leadership, deadline).timed_out() {
                return None;
            }
        }
    }

    pub(super) fn set_leader(&self, leader: Option<NodeId>, epoch: LeaderEpoch) {
        let mut leadership = self.leadership.lock();
        (leadership.leader, leadership.epoch) = (leader, epoch);
        self.changed.notify_all();
    }

    pub(super) fn set_active(&self, is_active: bool) {
        self.is_active.store(is_active, Ordering::Release);
        self.leadership.lock().is_active = is_active;
        self.changed.notify_all();
    }

    /// The quorum's thread has ended: nobody will ever lead.
    pub(super) fn lost(&self) {
        let mut leadership = self.leadership.lock();
        (leadership.leader, leadership.is_lost) = (None, true);
        self.changed.notify_all();
    }
}
