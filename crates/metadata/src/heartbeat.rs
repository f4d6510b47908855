//! Who has been heard of lately: the soft state of the active controller.

use crate::{
    ApiError, MetadataImage,
    controller::{BrokerState, HeartbeatAnswer},
};
use highwater_types::{BrokerEpoch, ErrorCode, NodeId, Offset, Ticks, Uuid};
use std::collections::BTreeMap;

/// How long a broker may be silent. Build with `..HeartbeatConfig::default()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// `broker.session.timeout.ms`: silence after which a broker is fenced, in milliseconds. Default 9000.
    pub session_timeout_ms: u64,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self { session_timeout_ms: 9_000 }
    }
}

/// The sessions of the brokers. Only the active controller has one, made when it becomes active; it is not
/// in the log, and a new controller starts it anew.
///
/// Contract: [`new`](Self::new) when this node becomes the active controller, with every broker of the
/// image, so that one that dies during the failover is fenced too. For each heartbeat of a broker call
/// [`touch`](Self::touch) when it arrives, or the broker counts as silent until the answer is committed and
/// is fenced by whoever looks meanwhile; then
/// [`Controller::broker_heartbeat`](crate::Controller::broker_heartbeat) and, when its records are
/// committed, [`answered`](Self::answered). One that waited so long that it is not decided on is only
/// touched. After a registration was committed call [`registered`](Self::registered).
/// At [`poll_timeout`](Self::poll_timeout) call [`stale`](Self::stale) and fence the one broker it names
/// with [`Controller::fence_broker`](crate::Controller::fence_broker), commit, then ask again: each fencing
/// is decided on the state that the one before left. `now` never goes backwards.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    config: HeartbeatConfig,
    brokers: BTreeMap<NodeId, Tracked>,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    epoch: BrokerEpoch,
    last_contact: Ticks,
    metadata_offset: Offset,
    /// End of the log after the records that took its leaderships away.
    shutdown_offset: Option<Offset>,
}

impl Heartbeats {
    /// Tracks every broker of the image, each as if just heard of. `log_end` is the end of the metadata log.
    #[must_use]
    pub fn new(config: HeartbeatConfig, image: &MetadataImage, log_end: Offset, now: Ticks) -> Self {
        let tracked = |broker: &crate::BrokerImage| Tracked {
            epoch: broker.epoch,
            last_contact: now,
            metadata_offset: Offset::ZERO,
            shutdown_offset: broker.in_controlled_shutdown.then_some(log_end),
        };
        let brokers = image.brokers().map(|broker| (broker.node, tracked(broker))).collect();
        Self { config, brokers }
    }

    /// Whether a process may register as `node` now.
    ///
    /// # Errors
    ///
    /// `DUPLICATE_BROKER_REGISTRATION` while another process of that broker is active and was heard of
    /// within the session timeout. The new one tries again until that is over.
    pub fn check_registration(
        &self,
        image: &MetadataImage,
        node: NodeId,
        incarnation: Uuid,
        now: Ticks,
    ) -> Result<(), ApiError> {
        let Some(broker) = image.broker(node) else { return Ok(()) };
        let valid = !broker.fenced && !broker.in_controlled_shutdown && self.has_session(node, broker.epoch, now);
        if valid && broker.incarnation != incarnation {
            let why = format!("Another broker is registered with that broker id {node} and its session is valid.");
            return Err(ApiError::new(ErrorCode::DuplicateBrokerRegistration, why));
        }
        Ok(())
    }

    /// A registration was committed: its session begins.
    pub fn registered(&mut self, node: NodeId, epoch: BrokerEpoch, now: Ticks) {
        let known = self.brokers.get(&node).filter(|tracked| tracked.epoch == epoch).copied();
        let fresh = Tracked { epoch, last_contact: now, metadata_offset: Offset::ZERO, shutdown_offset: None };
        self.brokers.insert(node, Tracked { last_contact: now, ..known.unwrap_or(fresh) });
    }

    /// A broker is gone for good.
    pub fn unregistered(&mut self, node: NodeId) {
        self.brokers.remove(&node);
    }

    /// A heartbeat has arrived. An epoch that is not the broker's current one is ignored.
    pub fn touch(&mut self, node: NodeId, epoch: BrokerEpoch, now: Ticks) {
        if let Some(tracked) = self.brokers.get_mut(&node)
            && tracked.epoch == epoch
        {
            tracked.last_contact = tracked.last_contact.max(now);
        }
    }

    /// A heartbeat was decided on, and its records are committed. `log_end` is the end of the log then.
    pub fn answered(&mut self, answer: &HeartbeatAnswer, log_end: Offset, now: Ticks) {
        self.touch(answer.node, answer.epoch, now);
        let Some(tracked) = self.brokers.get_mut(&answer.node).filter(|tracked| tracked.epoch == answer.epoch) else {
            return;
        };
        tracked.metadata_offset = answer.metadata_offset;
        match answer.state {
            BrokerState::ControlledShutdown if answer.changed || tracked.shutdown_offset.is_none() => {
                tracked.shutdown_offset = Some(log_end);
            }
            _ => {}
        }
    }

    /// The broker that has been silent longest, if that is longer than the session timeout.
    ///
    /// Fenced brokers are not named: there is nothing to do about them.
    #[must_use]
    pub fn stale(&self, image: &MetadataImage, now: Ticks) -> Option<(NodeId, BrokerEpoch)> {
        let (node, tracked) = self.unfenced(image).min_by_key(|(node, tracked)| (tracked.last_contact, *node))?;
        (self.deadline(tracked) <= now).then_some((node, tracked.epoch))
    }

    /// When the next broker is stale.
    #[must_use]
    pub fn poll_timeout(&self, image: &MetadataImage) -> Option<Ticks> {
        self.unfenced(image).map(|(_, tracked)| self.deadline(tracked)).min()
    }

    /// Whether every active broker has applied the records that took this broker's leaderships away: brokers name the
    /// last record that they have applied, which is the one before the end of the log.
    pub(crate) fn others_know_of_shutdown(&self, image: &MetadataImage, node: NodeId) -> bool {
        let Some(offset) = self.brokers.get(&node).and_then(|tracked| tracked.shutdown_offset) else { return false };
        let active = |other: &NodeId| image.broker(*other).is_some_and(|broker| broker.is_active());
        self.brokers.iter().filter(|(other, _)| active(other)).all(|(_, other)| offset <= other.metadata_offset.next())
    }

    fn unfenced<'a>(&'a self, image: &'a MetadataImage) -> impl Iterator<Item = (NodeId, &'a Tracked)> {
        let tracked = self.brokers.iter().map(|(node, tracked)| (*node, tracked));
        tracked.filter(|(node, _)| image.broker(*node).is_some_and(|broker| !broker.fenced))
    }

    fn has_session(&self, node: NodeId, epoch: BrokerEpoch, now: Ticks) -> bool {
        let tracked = self.brokers.get(&node).filter(|tracked| tracked.epoch == epoch);
        tracked.is_some_and(|tracked| now < self.deadline(tracked))
    }

    fn deadline(&self, tracked: &Tracked) -> Ticks {
        tracked.last_contact.plus_ms(self.config.session_timeout_ms)
    }
}
