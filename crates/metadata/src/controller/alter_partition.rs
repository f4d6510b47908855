//! Leaders change the in-sync replicas of their partitions (KIP-497, KIP-841, KIP-903).

use super::{Controller, Decision};
use crate::{
    ApiError,
    image::PartitionImage,
    record::{LeaderRecovery, MetadataRecord},
};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, TopicId};
use std::collections::BTreeSet;

/// A leader's request to change in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterPartition {
    /// The broker that asks.
    pub node: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// The partitions.
    pub partitions: Vec<AlterIsr>,
}

/// The in-sync replicas that a leader wants for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsr {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Epoch in which the sender leads.
    pub leader_epoch: LeaderEpoch,
    /// The state that the change is made on.
    pub partition_epoch: PartitionEpoch,
    /// The in-sync replicas, each with the registration under which it fetched; `None`, the wire's -1, for
    /// one of unknown registration, which is not compared.
    pub isr: Vec<(NodeId, Option<BrokerEpoch>)>,
    /// Whether the leader recovers from an unclean election.
    pub recovery: LeaderRecovery,
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterIsrResult {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its state when the records are committed. `NEW_LEADER_ELECTED` comes with records.
    pub result: Result<PartitionImage, ApiError>,
}

impl Controller {
    /// Decides on new in-sync replicas: one result for each partition, in the order of the request. A
    /// change that ends a reassignment ends it.
    ///
    /// Codes: `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_CONTROLLER` where the sender knows more
    /// than this controller, `FENCED_LEADER_EPOCH` and `INVALID_UPDATE_VERSION` where it knows less,
    /// `INVALID_REQUEST` for who is not the leader and for malformed sets, `INELIGIBLE_REPLICA` for members
    /// that may not be in sync, `NEW_LEADER_ELECTED` where the change ends the sender's leadership.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the sender's registration.
    pub fn alter_partition(&self, request: &AlterPartition) -> Result<Decision<Vec<AlterIsrResult>>, ApiError> {
        self.check_broker_epoch(request.node, request.epoch)?;
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.partitions.len());
        for partition in &request.partitions {
            let AlterIsr { topic_id, partition: index, .. } = *partition;
            let result = if seen.insert((topic_id, index)) {
                self.alter_isr(request.node, partition, &mut records)
            } else {
                Err(ApiError::new(ErrorCode::InvalidRequest, "The partition is given more than once."))
            };
            results.push(AlterIsrResult { topic_id, partition: index, result });
        }
        Ok(Decision::new(records, results))
    }

    fn alter_isr(
        &self,
        sender: NodeId,
        request: &AlterIsr,
        records: &mut Vec<MetadataRecord>,
    ) -> Result<PartitionImage, ApiError> {
        let key = (request.topic_id, request.partition);
        let Some(topic) = self.image.topic_by_id(request.topic_id) else {
            return Err(ApiError::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID."));
        };
        let Some(old) = topic.partition(request.partition) else {
            let why = "This server does not host this topic-partition.";
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, why));
        };
        check_epochs(sender, request, old)?;
        check_isr(request, old)?;
        self.check_members(request)?;
        let isr: Vec<NodeId> = request.isr.iter().map(|(node, _)| *node).collect();
        let changes = self.change_all([key], |target| {
            target.isr = ordered(&isr, old);
            target.recovery = request.recovery;
        });
        let Some(MetadataRecord::PartitionChange(change)) = changes.first() else { return Ok((**old).clone()) };
        let mut new = (**old).clone();
        if new.merge(change).is_err() {
            return Err(ApiError::new(ErrorCode::UnknownServerError, "The epochs of the partition are used up."));
        }
        records.extend(changes);
        // The end of a reassignment can take the leadership from the sender. If it stays, in a new epoch
        // because a replica was dropped, the answer says so.
        if new.leader != old.leader {
            return Err(ApiError::new(ErrorCode::NewLeaderElected, "The change has ended the sender's leadership."));
        }
        Ok(new)
    }

    /// Whether every member may be in sync, under the registration that the leader saw (KIP-903).
    fn check_members(&self, request: &AlterIsr) -> Result<(), ApiError> {
        for (node, epoch) in &request.isr {
            let refused = |why: String| Err(ApiError::new(ErrorCode::IneligibleReplica, why));
            match self.image.broker(*node) {
                None => return refused(format!("Replica {node} is not registered.")),
                Some(broker) if broker.fenced => return refused(format!("Replica {node} is fenced.")),
                Some(broker) if broker.in_controlled_shutdown => {
                    return refused(format!("Replica {node} is in controlled shutdown."));
                }
                Some(broker) if epoch.is_some_and(|epoch| epoch != broker.epoch) => {
                    return refused(format!("Replica {node} has broker epoch {}.", broker.epoch.0));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn check_epochs(sender: NodeId, request: &AlterIsr, old: &PartitionImage) -> Result<(), ApiError> {
    let refused = |code, why: String| Err(ApiError::new(code, why));
    if old.leader_epoch < request.leader_epoch || old.partition_epoch < request.partition_epoch {
        return refused(ErrorCode::NotController, "The sender knows a later state than this controller.".to_owned());
    }
    if request.leader_epoch < old.leader_epoch {
        return refused(ErrorCode::FencedLeaderEpoch, format!("The leader epoch is {}.", old.leader_epoch));
    }
    if old.leader != Some(sender) {
        return refused(ErrorCode::InvalidRequest, format!("Broker {sender} does not lead the partition."));
    }
    if request.partition_epoch < old.partition_epoch {
        return refused(ErrorCode::InvalidUpdateVersion, format!("The partition epoch is {}.", old.partition_epoch));
    }
    Ok(())
}

fn check_isr(request: &AlterIsr, old: &PartitionImage) -> Result<(), ApiError> {
    let refused = |why: &str| Err(ApiError::new(ErrorCode::InvalidRequest, why));
    let members: BTreeSet<NodeId> = request.isr.iter().map(|(node, _)| *node).collect();
    if members.len() != request.isr.len() || !members.iter().all(|node| old.replicas.contains(node)) {
        return refused("The in-sync replicas are given twice or are no replicas.");
    }
    if !old.leader.is_some_and(|leader| members.contains(&leader)) {
        return refused("The in-sync replicas lack the leader.");
    }
    if request.recovery == LeaderRecovery::Recovering {
        if 1 < members.len() {
            return refused("While the leader recovers, nobody else is in sync.");
        }
        if old.recovery == LeaderRecovery::Recovered {
            return refused("A leader that has recovered cannot go back to recovering.");
        }
    }
    Ok(())
}

/// The old members in their order, then the new ones in theirs, so that the same set is the same state.
fn ordered(isr: &[NodeId], old: &PartitionImage) -> Vec<NodeId> {
    let stay = old.isr.iter().copied().filter(|node| isr.contains(node));
    let join = isr.iter().copied().filter(|node| !old.isr.contains(node));
    stay.chain(join).collect()
}
