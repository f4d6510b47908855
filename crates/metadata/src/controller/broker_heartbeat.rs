//! What a broker's heartbeat changes.

use super::{Controller, Decision, brokers::registration_change, partition_index::PartitionKey};
use crate::{ApiError, Heartbeats, record::MetadataRecord};
use highwater_types::{BrokerEpoch, DirectoryId, NodeId, Offset};

/// What a broker says of itself every two seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// The broker.
    pub node: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Offset of the last metadata record that it has applied.
    pub metadata_offset: Offset,
    /// Whether it wants to be fenced.
    pub want_fence: bool,
    /// Whether it wants to end.
    pub want_shutdown: bool,
    /// Its log directories that have failed (KIP-858).
    pub offline_log_dirs: Vec<DirectoryId>,
}

/// Where a broker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerState {
    /// It may neither lead nor be in sync.
    Fenced,
    /// It may.
    Unfenced,
    /// It serves what it has, but gets nothing new, and its leaderships move away (KIP-841).
    ControlledShutdown,
    /// It may end now.
    ShutDown,
}

/// The answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatAnswer {
    /// The broker.
    pub node: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// As in the heartbeat.
    pub metadata_offset: Offset,
    /// Where the broker is from now on.
    pub state: BrokerState,
    /// Whether it has applied its own registration.
    pub is_caught_up: bool,
    /// Whether the decision holds records.
    pub changed: bool,
}

impl HeartbeatAnswer {
    /// The wire's `IsFenced`.
    #[must_use]
    pub fn is_fenced(&self) -> bool {
        matches!(self.state, BrokerState::Fenced | BrokerState::ShutDown)
    }

    /// The wire's `ShouldShutDown`.
    #[must_use]
    pub fn should_shut_down(&self) -> bool {
        self.state == BrokerState::ShutDown
    }
}

impl Controller {
    /// Decides on a heartbeat: whether the broker is fenced, unfenced, leaves, and what has failed on it.
    ///
    /// A fenced broker is unfenced as soon as it has applied its own registration. An unfenced one that
    /// wants to end gives up its leaderships first, and may end when it has none and every active broker
    /// knows. One without a directory that works is fenced.
    ///
    /// There are up to as many records as the broker has partitions; they may be appended in several batches, in
    /// order.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the broker's registration.
    pub fn broker_heartbeat(
        &self,
        heartbeats: &Heartbeats,
        request: &BrokerHeartbeat,
    ) -> Result<Decision<HeartbeatAnswer>, ApiError> {
        let BrokerHeartbeat { node, epoch, metadata_offset, .. } = *request;
        self.check_broker_epoch(node, epoch)?;
        let (was, state) = self.next_state(heartbeats, request);
        let mut records = self.fail_directories(request);
        let lost = !records.is_empty();
        match (was, state) {
            (BrokerState::Fenced, BrokerState::Unfenced) if !lost => {
                records.append(&mut self.unfence_broker(node, epoch)?.records);
            }
            (BrokerState::Unfenced | BrokerState::ControlledShutdown, BrokerState::Fenced | BrokerState::ShutDown) => {
                // Leaving takes every partition away, those in failed directories too.
                records.retain(|record| matches!(record, MetadataRecord::BrokerRegistrationChange(_)));
                records.append(&mut self.fence_broker(node, epoch)?.records);
            }
            (BrokerState::Unfenced, BrokerState::ControlledShutdown) => {
                records.retain(|record| matches!(record, MetadataRecord::BrokerRegistrationChange(_)));
                records.append(&mut self.departure(node, false));
                records.push(registration_change(node, epoch, None, true, None));
            }
            (BrokerState::ControlledShutdown, BrokerState::ControlledShutdown) if !lost => {
                // A leadership without a successor may have one by now.
                records.append(&mut self.departure(node, false));
            }
            _ => {}
        }
        // With a directory lost, the fenced broker is unfenced by its next heartbeat.
        let state = if lost && was == BrokerState::Fenced && state == BrokerState::Unfenced { was } else { state };
        let is_caught_up = epoch.0 <= metadata_offset.value();
        let changed = !records.is_empty();
        Ok(Decision::new(records, HeartbeatAnswer { node, epoch, metadata_offset, state, is_caught_up, changed }))
    }

    fn next_state(&self, heartbeats: &Heartbeats, request: &BrokerHeartbeat) -> (BrokerState, BrokerState) {
        use BrokerState::{ControlledShutdown, Fenced, ShutDown, Unfenced};
        let Some(broker) = self.image.broker(request.node) else { return (Fenced, Fenced) };
        // A broker without a directory that works can do nothing, and its registration cannot say so.
        let all_lost = !broker.log_dirs.is_empty()
            && broker.log_dirs.iter().all(|directory| request.offline_log_dirs.contains(directory));
        let want_fence = request.want_fence || all_lost;
        let leads = 0 < self.index.led_by(request.node);
        if broker.fenced {
            let caught_up = broker.epoch.0 <= request.metadata_offset.value();
            let next = match (request.want_shutdown, want_fence) {
                (true, _) => ShutDown,
                (false, false) if caught_up => Unfenced,
                (false, _) => Fenced,
            };
            return (Fenced, next);
        }
        if broker.in_controlled_shutdown {
            let may_end = !leads && heartbeats.others_know_of_shutdown(&self.image, request.node);
            return (ControlledShutdown, if may_end { ShutDown } else { ControlledShutdown });
        }
        let next = match (request.want_shutdown, want_fence) {
            (true, true) => ShutDown,
            (true, false) if leads => ControlledShutdown,
            (true, false) => ShutDown,
            (false, true) => Fenced,
            (false, false) => Unfenced,
        };
        (Unfenced, next)
    }

    /// Takes the replicas in failed directories out of leadership and in-sync sets, after the registration
    /// has lost the directories.
    fn fail_directories(&self, request: &BrokerHeartbeat) -> Vec<MetadataRecord> {
        let Some(broker) = self.image.broker(request.node) else { return Vec::new() };
        let failed = |directory: &DirectoryId| request.offline_log_dirs.contains(directory);
        if !broker.log_dirs.iter().any(failed) {
            return Vec::new();
        }
        let working: Vec<DirectoryId> = broker.log_dirs.iter().copied().filter(|dir| !failed(dir)).collect();
        if working.is_empty() {
            return Vec::new();
        }
        let mut records = vec![registration_change(request.node, request.epoch, None, false, Some(working))];
        let node = request.node;
        let concerned = |key: &PartitionKey| {
            self.partition(*key).is_some_and(|partition| {
                let at = partition.replicas.iter().position(|replica| *replica == node);
                let directory = at.and_then(|at| partition.directories.get(at));
                let involved = partition.leader == Some(node) || partition.isr.contains(&node);
                involved && directory.is_some_and(failed)
            })
        };
        records.append(&mut self.change_all(self.index.of_broker(node).filter(concerned), |target| {
            target.departing = Some(node);
            target.isr.retain(|member| *member != node);
        }));
        records
    }
}
