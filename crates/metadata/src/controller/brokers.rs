//! Brokers coming and going.

use super::{Controller, Decision, election, placement};
use crate::{
    ApiError, features,
    record::{BrokerRegistrationChange, Endpoint, FeatureRange, MetadataRecord, PartitionChange, RegisterBroker},
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
}

impl Controller {
    /// Decides on the registration of a broker process, which starts out fenced.
    ///
    /// `next_offset` is the offset that the first record of this decision will get. A new process takes the
    /// place of the last one of the same broker at once, so the caller must know that the last one has
    /// ended, as a node that registers with itself does. The partitions that the last one led get other
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
            (Some(_), None) => self.departure(registration.node),
            _ => Vec::new(),
        };
        let new_epoch = BrokerEpoch(next_offset.plus(records.len() as u64).value());
        let epoch = same_process.map_or(new_epoch, |broker| broker.epoch);
        let BrokerRegistration { node, incarnation, endpoints, features, rack, log_dirs } = registration.clone();
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
        let mut records = vec![registration_change(node, epoch, false)];
        let is_active = |other| other == node || placement::is_active(&self.image, other);
        for topic in self.image.topics() {
            let may_be_unclean = || self.resolver().topic_config(topic.name().as_str()).unclean_leader_election;
            let elections = topic.partitions().filter(|(_, partition)| partition.replicas.contains(&node));
            records.extend(elections.filter_map(|(index, partition)| {
                let change = election::elect(topic.id(), index, partition, is_active, may_be_unclean)?;
                Some(MetadataRecord::PartitionChange(change))
            }));
        }
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
        let mut records = self.departure(node);
        records.push(registration_change(node, epoch, true));
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

    /// The changes that take a broker out of every leadership and in-sync set.
    fn departure(&self, node: NodeId) -> Vec<MetadataRecord> {
        let is_active = |other| other != node && placement::is_active(&self.image, other);
        let change = |(topic_id, (index, partition))| -> Option<PartitionChange> {
            election::without(topic_id, index, partition, node, is_active)
        };
        let partitions = self.image.topics().flat_map(|topic| {
            let partitions = topic.partitions().map(|(index, partition)| (index, &**partition));
            partitions.map(|found| (topic.id(), found))
        });
        partitions.filter_map(change).map(MetadataRecord::PartitionChange).collect()
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

fn registration_change(node: NodeId, epoch: BrokerEpoch, fenced: bool) -> MetadataRecord {
    MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChange {
        node,
        epoch,
        fenced: Some(fenced),
        in_controlled_shutdown: false,
        log_dirs: None,
    })
}
