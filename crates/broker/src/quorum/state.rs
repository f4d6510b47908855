//! What every thread may know of the quorum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, Instant};

use highwater_raft::KRaftVersion;
use highwater_types::{LeaderEpoch, NodeId};
use parking_lot::{Condvar, Mutex};

use super::messages::Address;

/// Who leads the quorum and who decides, as this node knows.
#[derive(Debug, Default)]
pub(crate) struct SharedState {
    is_active: AtomicBool,
    leadership: Mutex<Leadership>,
    changed: Condvar,
    kraft_version: AtomicU16,
    controllers: Mutex<Arc<BTreeMap<NodeId, Address>>>,
}

#[derive(Clone, Debug, Default)]
struct Leadership {
    leader: Option<NodeId>,
    /// Where it is reached, if that is known.
    address: Option<Address>,
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

    /// Where this leader of the quorum is reached; `None` if it does not lead any more, or that is not known.
    pub(crate) fn leader_address(&self, leader: NodeId) -> Option<Address> {
        let leadership = self.leadership.lock();
        leadership.address.clone().filter(|_| leadership.leader == Some(leader))
    }

    /// The voters, with where each is reached.
    pub(crate) fn controllers(&self) -> Arc<BTreeMap<NodeId, Address>> {
        Arc::clone(&self.controllers.lock())
    }

    /// The level of `kraft.version`.
    pub(crate) fn kraft_version(&self) -> KRaftVersion {
        KRaftVersion::new(self.kraft_version.load(Ordering::Acquire))
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

    pub(super) fn set_leader(&self, leader: Option<NodeId>, epoch: LeaderEpoch, address: Option<Address>) {
        let mut leadership = self.leadership.lock();
        (leadership.leader, leadership.epoch, leadership.address) = (leader, epoch, address);
        self.changed.notify_all();
    }

    /// The same leader is reached elsewhere.
    pub(super) fn set_leader_address(&self, address: Option<Address>) {
        self.leadership.lock().address = address;
    }

    pub(super) fn set_controllers(&self, controllers: BTreeMap<NodeId, Address>) {
        *self.controllers.lock() = Arc::new(controllers);
    }

    pub(super) fn set_kraft_version(&self, version: KRaftVersion) {
        self.kraft_version.store(version.value(), Ordering::Release);
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
