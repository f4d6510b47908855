//! Moving partitions to other brokers (KIP-455).

use super::{Controller, Decision, partition_index::PartitionKey, placement};
use crate::{ApiError, image::PartitionImage, record::MetadataRecord};
use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// A request to move partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterReassignments {
    /// The partitions.
    pub partitions: Vec<ReassignPartition>,
    /// Whether the number of replicas may change (KIP-860).
    pub allow_replication_factor_change: bool,
}

/// Where one partition is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReassignPartition {
    /// Name of the topic, unchecked.
    pub topic: String,
    /// The partition, as on the wire.
    pub partition: i32,
    /// Ids of the brokers in order of preference as leader, as on the wire; `None` cancels.
    pub replicas: Option<Vec<i32>>,
}

/// A reassignment that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Name of the topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Every replica, those on their way in and out too.
    pub replicas: Vec<NodeId>,
    /// Replicas on their way in.
    pub adding: Vec<NodeId>,
    /// Replicas on their way out.
    pub removing: Vec<NodeId>,
}

impl Controller {
    /// Decides on reassignments: one result for each partition, in the order of the request.
    ///
    /// A partition gets its new replicas at once and loses those on their way out when the new ones are in
    /// sync. A second reassignment takes the place of the first. Codes: `UNKNOWN_TOPIC_OR_PARTITION`,
    /// `INVALID_REPLICA_ASSIGNMENT` for brokers that are given twice or not registered, and for a cancel
    /// that would need an unclean election, `INVALID_REPLICATION_FACTOR`, `NO_REASSIGNMENT_IN_PROGRESS`,
    /// `INVALID_REQUEST` for a partition given twice.
    pub fn alter_reassignments(&self, request: &AlterReassignments) -> Decision<Vec<Result<(), ApiError>>> {
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.partitions.len());
        for partition in &request.partitions {
            let result = if seen.insert((partition.topic.as_str(), partition.partition)) {
                self.reassign(partition, request.allow_replication_factor_change)
            } else {
                Err(ApiError::new(ErrorCode::InvalidRequest, "The partition is given more than once."))
            };
            results.push(result.map(|change| records.extend(change)));
        }
        Decision::new(records, results)
    }

    /// The reassignments that have not ended, of all partitions or of those in `wanted`.
    #[must_use]
    pub fn list_reassignments(&self, wanted: Option<&[(String, PartitionIndex)]>) -> Vec<Reassignment> {
        let found = self.index.reassigning().filter_map(|key| {
            let topic = self.image.topic_by_id(key.0)?.name().clone();
            let PartitionImage { replicas, adding, removing, .. } = (**self.partition(key)?).clone();
            Some(Reassignment { topic, partition: key.1, replicas, adding, removing })
        });
        let wanted: Option<BTreeSet<(&str, PartitionIndex)>> =
            wanted.map(|all| all.iter().map(|(topic, index)| (topic.as_str(), *index)).collect());
        let is_wanted = |found: &Reassignment| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(&(found.topic.as_str(), found.partition)))
        };
        found.filter(is_wanted).collect()
    }

    /// The reassignments that take every replica away from a broker, for an administrator to carry out.
    ///
    /// Each partition keeps its other replicas in their order, and gets in the place of the one that leaves
    /// an active broker that has none: of a rack that the others are not in if possible, and of those the
    /// one with the fewest replicas. A partition for which there is no other broker is left out.
    #[must_use]
    pub fn plan_decommission(&self, node: NodeId) -> Vec<ReassignPartition> {
        let candidates: Vec<_> =
            self.image.brokers().filter(|broker| broker.is_active() && broker.node != node).collect();
        let mut loads: BTreeMap<NodeId, usize> =
            candidates.iter().map(|broker| (broker.node, self.index.of_broker(broker.node).count())).collect();
        let mut plan = Vec::new();
        for key in self.index.of_broker(node) {
            let (Some(topic), Some(partition)) = (self.image.topic_by_id(key.0), self.partition(key)) else { continue };
            let settled: Vec<NodeId> =
                partition.replicas.iter().copied().filter(|replica| !partition.removing.contains(replica)).collect();
            let others: Vec<NodeId> = settled.iter().copied().filter(|replica| *replica != node).collect();
            let racks: BTreeSet<Option<&str>> = others
                .iter()
                .filter_map(|other| self.image.broker(*other))
                .map(|broker| broker.rack.as_deref())
                .collect();
            let free = candidates.iter().filter(|broker| !others.contains(&broker.node));
            let best = free.min_by_key(|broker| {
                (racks.contains(&broker.rack.as_deref()), loads.get(&broker.node).copied(), broker.node)
            });
            let Some(best) = best.filter(|_| settled.contains(&node)) else { continue };
            *loads.entry(best.node).or_default() += 1;
            let moved = settled.iter().map(|replica| if *replica == node { best.node } else { *replica });
            plan.push(ReassignPartition {
                topic: topic.name().as_str().to_owned(),
                partition: key.1.to_wire(),
                replicas: Some(moved.map(NodeId::to_wire).collect()),
            });
        }
        plan
    }

    fn reassign(
        &self,
        request: &ReassignPartition,
        allow_replication_factor_change: bool,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let topic = self.image.topic(&request.topic);
        let index = PartitionIndex::from_wire(request.partition);
        let unknown = |why: String| ApiError::new(ErrorCode::UnknownTopicOrPartition, why);
        let topic = topic.ok_or_else(|| unknown(format!("Unable to find a topic named {}.", request.topic)))?;
        let found = index.and_then(|index| Some(((topic.id(), index), topic.partition(index)?)));
        let (key, old) = found
            .ok_or_else(|| unknown(format!("Unable to find partition {}:{}.", request.topic, request.partition)))?;
        match &request.replicas {
            None => self.cancel(key, old),
            Some(replicas) => self.begin(key, old, replicas, allow_replication_factor_change),
        }
    }

    fn cancel(&self, key: PartitionKey, old: &PartitionImage) -> Result<Vec<MetadataRecord>, ApiError> {
        if old.adding.is_empty() && old.removing.is_empty() {
            let why = "No partition reassignment is in progress.";
            return Err(ApiError::new(ErrorCode::NoReassignmentInProgress, why));
        }
        let stays = |node: &NodeId| !old.adding.contains(node);
        let isr: Vec<NodeId> = old.isr.iter().copied().filter(stays).collect();
        if isr.is_empty() {
            let why = "Cancelling the reassignment would need an unclean election: none of the replicas before it \
                       are in sync.";
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
        }
        Ok(self.change_all([key], |target| {
            target.replicas.retain(stays);
            target.isr.clone_from(&isr);
            target.adding.clear();
            target.removing.clear();
        }))
    }

    fn begin(
        &self,
        key: PartitionKey,
        old: &PartitionImage,
        replicas: &[i32],
        allow_replication_factor_change: bool,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let wanted = placement::check_registered(&self.image, replicas)?;
        let before: Vec<NodeId> =
            old.replicas.iter().copied().filter(|replica| !old.adding.contains(replica)).collect();
        if !allow_replication_factor_change && before.len() != wanted.len() {
            let why = format!(
                "The replication factor is changed from {} to {}, which the request does not allow.",
                before.len(),
                wanted.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, why));
        }
        let removing: Vec<NodeId> = before.iter().copied().filter(|node| !wanted.contains(node)).collect();
        let adding: Vec<NodeId> = wanted.iter().copied().filter(|node| !before.contains(node)).collect();
        let mut all = wanted;
        all.extend(removing.iter().copied());
        // Replicas that only the reassignment before this one wanted go at once.
        let isr: Vec<NodeId> = old.isr.iter().copied().filter(|member| all.contains(member)).collect();
        if isr.is_empty() {
            let why = "The reassignment would need an unclean election: no in-sync replica would be left.";
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
        }
        let directories: Vec<_> = all
            .iter()
            .filter(|node| !old.replicas.contains(node))
            .map(|node| (*node, placement::default_directory(&self.image, *node)))
            .collect();
        Ok(self.change_all([key], |target| {
            target.replicas.clone_from(&all);
            target.removing.clone_from(&removing);
            target.adding.clone_from(&adding);
            target.isr.clone_from(&isr);
            target.directories.clone_from(&directories);
        }))
    }
}
