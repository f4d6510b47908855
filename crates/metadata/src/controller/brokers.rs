//! Brokers coming and going.

use super::{Controller, Decision, partition_index::PartitionKey};
use crate::{
    ApiError, features,
    record::{BrokerRegistrationChange, Endpoint, FeatureRange, MetadataRecord, RegisterBroker},
};
use highwater_types::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, Offset, Uuid};

/// What a broker process says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The broker.
    pub node: NodeId,
    /// Drawn anew by each process.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: Vec<FeatureRange>,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Its log directories that work.
    pub log_dirs: Vec<DirectoryId>,
    /// Epoch of the registration under which it last ended cleanly, from its log directories; `None` if
    /// it did not end cleanly, or is new (KIP-966).
    pub previous_epoch: Option<BrokerEpoch>,
}

impl Controller {
    /// Decides on the registration of a broker process, which starts out fenced.
    ///
    /// `next_offset` is the offset that the first record of this decision will get. A new process takes the
    /// place of the last one of the same broker at once, so the caller must know that the last one has
    /// ended: ask [`Heartbeats::check_registration`](crate::Heartbeats::check_registration) before, unless a
    /// node registers with itself. One whose `previous_epoch` is not that of the last one may have lost the
    /// end of its logs, so it is no longer an eligible leader anywhere, and the leaders of its partitions
    /// get a new epoch. The partitions that the last one led get other
    /// leaders, or none until the broker is unfenced. The same process may register again to change what it
    /// said; it keeps its epoch and whether it is fenced.
    ///
    /// There are up to as many records as partitions. They may be appended in several batches, in order.
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED_VERSION` if the broker cannot work at a finalized feature level,
    /// `INVALID_REGISTRATION` if it has no endpoint or names a log directory twice or by a reserved id.
    pub fn register_broker(
        &self,
        registration: &BrokerRegistration,
        next_offset: Offset,
    ) -> Result<Decision<BrokerEpoch>, ApiError> {
        self.check_registration(registration)?;
        let previous = self.image.broker(registration.node);
        let same_process = previous.filter(|broker| broker.incarnation == registration.incarnation);
        let mut records = match (previous, same_process) {
            (Some(previous), None) => {
                let clean = registration.previous_epoch == Some(previous.epoch);
                self.departure(registration.node, !clean)
            }
            _ => Vec::new(),
        };
        let new_epoch = BrokerEpoch(next_offset.plus(records.len() as u64).value());
        let epoch = same_process.map_or(new_epoch, |broker| broker.epoch);
        let BrokerRegistration { node, incarnation, endpoints, features, rack, log_dirs, .. } = registration.clone();
        records.push(MetadataRecord::RegisterBroker(RegisterBroker {
            node,
            incarnation,
            epoch,
            endpoints,
            features,
            rack,
            fenced: same_process.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: same_process.is_some_and(|broker| broker.in_controlled_shutdown),
            log_dirs,
        }));
        Ok(Decision::new(records, epoch))
    }

    /// Decides that a broker may lead and be in sync from now on, and elects leaders for the partitions
    /// that have none.
    ///
    /// There are up to as many records as partitions. They may be appended in several batches, in order.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the broker's registration.
    pub fn unfence_broker(&self, node: NodeId, epoch: BrokerEpoch) -> Result<Decision<()>, ApiError> {
        self.check_broker_epoch(node, epoch)?;
        let fenced = self.image.broker(node).is_some_and(|broker| broker.fenced);
        if !fenced {
            return Ok(Decision::new(Vec::new(), ()));
        }
        let mut records = vec![registration_change(node, epoch, Some(false), false, None)];
        let leaderless = |key: &PartitionKey| self.partition(*key).is_some_and(|partition| partition.leader.is_none());
        let keys = self.index.of_broker(node).filter(leaderless);
        records.extend(self.change_all(keys, |target| target.arriving = Some(node)));
        Ok(Decision::new(records, ()))
    }

    /// Decides that a broker may neither lead nor be in sync until it is unfenced.
    ///
    /// There are up to as many records as partitions. They may be appended in several batches, in order.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the broker's registration.
    pub fn fence_broker(&self, node: NodeId, epoch: BrokerEpoch) -> Result<Decision<()>, ApiError> {
        self.check_broker_epoch(node, epoch)?;
        let fenced = self.image.broker(node).is_some_and(|broker| broker.fenced);
        if fenced {
            return Ok(Decision::new(Vec::new(), ()));
        }
        let mut records = self.departure(node, false);
        records.push(registration_change(node, epoch, Some(true), false, None));
        Ok(Decision::new(records, ()))
    }

    pub(super) fn check_broker_epoch(&self, node: NodeId, epoch: BrokerEpoch) -> Result<(), ApiError> {
        let refused = |why: String| Err(ApiError::new(ErrorCode::StaleBrokerEpoch, why));
        match self.image.broker(node) {
            None => refused(format!("No broker registration found for broker id {node}")),
            Some(broker) if broker.epoch != epoch => refused(format!(
                "Expected broker epoch {} of broker {node}, but got broker epoch {}",
                broker.epoch.0, epoch.0
            )),
            Some(_) => Ok(()),
        }
    }

    /// The changes that take a broker out of every leadership and in-sync set, and after an unclean end
    /// also out of the eligible leader replicas.
    pub(super) fn departure(&self, node: NodeId, unclean: bool) -> Vec<MetadataRecord> {
        let concerned = |key: &PartitionKey| {
            self.partition(*key).is_some_and(|partition| {
                let eligible = unclean && partition.elr.contains(&node);
                eligible || partition.leader == Some(node) || partition.isr.contains(&node)
            })
        };
        self.change_all(self.index.of_broker(node).filter(concerned), |target| {
            target.departing = Some(node);
            target.isr.retain(|member| *member != node);
            target.unclean_shutdown = unclean.then_some(node);
        })
    }

    /// Decides that a broker has left for good: it is not expected back, and may not register under the
    /// same epoch. Partitions keep it as a replica until they are reassigned.
    ///
    /// # Errors
    ///
    /// `BROKER_ID_NOT_REGISTERED` if there is no such broker.
    pub fn unregister_broker(&self, node: NodeId) -> Result<Decision<()>, ApiError> {
        let Some(broker) = self.image.broker(node) else {
            let why = format!("Broker ID {node} is not currently registered");
            return Err(ApiError::new(ErrorCode::BrokerIdNotRegistered, why));
        };
        let mut records = self.departure(node, false);
        records.push(MetadataRecord::UnregisterBroker { node, epoch: broker.epoch });
        Ok(Decision::new(records, ()))
    }

    fn check_registration(&self, registration: &BrokerRegistration) -> Result<(), ApiError> {
        let refused = |why: String| Err(ApiError::new(ErrorCode::InvalidRegistration, why));
        if registration.endpoints.is_empty() {
            return refused(format!("Broker {} has no endpoint.", registration.node));
        }
        for (at, dir) in registration.log_dirs.iter().enumerate() {
            if dir.0.is_reserved() || registration.log_dirs[..at].contains(dir) {
                return refused(format!("The log directory id {dir} is reserved or given twice."));
            }
        }
        for (name, level) in features::finalized(&self.image) {
            let range = registration.features.iter().find(|range| range.name == name);
            if !range.is_some_and(|range| (range.min..=range.max).contains(&level)) {
                let why = format!("Unable to register because the broker does not support version {level} of {name}.");
                return Err(ApiError::new(ErrorCode::UnsupportedVersion, why));
            }
        }
        Ok(())
    }
}

pub(super) fn registration_change(
    node: NodeId,
    epoch: BrokerEpoch,
    fenced: Option<bool>,
    in_controlled_shutdown: bool,
    log_dirs: Option<Vec<DirectoryId>>,
) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
        node,
        epoch,
        fenced,
        in_controlled_shutdown,
        log_dirs,
    })
}
