//! Which brokers get the replicas of new partitions.

use crate::{
    ApiError,
    image::{BrokerImage, MetadataImage, PartitionImage},
    record::LeaderRecovery,
};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};
use std::collections::{BTreeMap, VecDeque};

/// The brokers that the client chose for one partition of a new topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// The partition, as on the wire.
    pub partition: i32,
    /// Ids of the brokers, in order of preference as leader, as on the wire.
    pub replicas: Vec<i32>,
}

/// Spreads partitions `first..first + count` over the brokers.
///
/// Brokers that are active come first and, among them, racks take turns, so that neighbours in the order
/// are in different racks as far as possible. Each partition takes `replication_factor` neighbours, from
/// one broker further than the partition before; `seed` says where partition 0 starts. The leader is
/// always an active broker; fenced ones get replicas only when there are not enough others.
pub(super) fn spread(
    image: &MetadataImage,
    first: usize,
    count: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let refused = |why: String| ApiError::new(ErrorCode::InvalidReplicationFactor, why);
    let registered = image.brokers().count();
    if registered < replication_factor {
        return Err(refused(format!(
            "Unable to replicate the partition {replication_factor} time(s): The target replication factor of \
             {replication_factor} cannot be reached because only {registered} broker(s) are registered."
        )));
    }
    let active = rack_order(image.brokers().filter(|broker| broker.is_active()).map(|broker| &**broker));
    let inactive: Vec<NodeId> = image.brokers().filter(|b| !b.is_active()).map(|b| b.node).collect();
    if active.is_empty() {
        return Err(refused(format!(
            "Unable to replicate the partition {replication_factor} time(s): All brokers are currently fenced."
        )));
    }
    let start = usize::try_from(seed % active.len() as u64).expect("less than the number of brokers");
    let replicas = |partition: usize| {
        let turn = (start + partition) % active.len();
        let ring = active[turn..].iter().chain(&active[..turn]);
        ring.chain(&inactive).take(replication_factor).copied().collect()
    };
    Ok((first..first + count).map(replicas).collect())
}

/// Checks the brokers that a client chose for one partition.
pub(super) fn check_manual(
    image: &MetadataImage,
    replicas: &[i32],
    replication_factor: Option<usize>,
) -> Result<Vec<NodeId>, ApiError> {
    let refused = |why: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
    let nodes = check_registered(image, replicas)?;
    if let Some(expected) = replication_factor
        && expected != nodes.len()
    {
        return refused(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
             with previous partitions, which have {expected} replica(s).",
            nodes.len()
        ));
    }
    if !nodes.iter().any(|node| is_active(image, *node)) {
        return refused(format!("All brokers specified in the manual partition assignment {replicas:?} are fenced."));
    }
    Ok(nodes)
}

/// Checks that the brokers a client chose for one partition exist and differ.
pub(super) fn check_registered(image: &MetadataImage, replicas: &[i32]) -> Result<Vec<NodeId>, ApiError> {
    let refused = |why: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
    if replicas.is_empty() {
        return refused("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut nodes: Vec<NodeId> = Vec::new();
    for &id in replicas {
        let Some(broker) = NodeId::from_wire(id).and_then(|node| image.broker(node)) else {
            return refused(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        };
        if nodes.contains(&broker.node) {
            return refused(format!("The manual partition assignment includes the broker {id} more than once."));
        }
        nodes.push(broker.node);
    }
    Ok(nodes)
}

/// The first state of a partition on these brokers, of which at least one is active.
pub(super) fn new_partition(image: &MetadataImage, replicas: Vec<NodeId>) -> PartitionImage {
    let isr: Vec<NodeId> = replicas.iter().copied().filter(|node| is_active(image, *node)).collect();
    PartitionImage {
        leader: isr.first().copied(),
        directories: replicas.iter().map(|node| default_directory(image, *node)).collect(),
        isr,
        replicas,
        removing: Vec::new(),
        adding: Vec::new(),
        recovery: LeaderRecovery::Recovered,
        leader_epoch: LeaderEpoch::ZERO,
        partition_epoch: PartitionEpoch::ZERO,
        elr: Vec::new(),
        last_known_elr: Vec::new(),
    }
}

pub(super) fn is_active(image: &MetadataImage, node: NodeId) -> bool {
    image.broker(node).is_some_and(|broker| broker.is_active())
}

/// The directory of a new replica: the broker's only one, or not yet known if it may choose.
pub(super) fn default_directory(image: &MetadataImage, node: NodeId) -> DirectoryId {
    match image.broker(node).map(|broker| broker.log_dirs.as_slice()) {
        Some([only]) => *only,
        _ => DirectoryId::default(),
    }
}

/// One broker of each rack in turn; brokers without a rack form one of their own.
fn rack_order<'a>(brokers: impl Iterator<Item = &'a BrokerImage>) -> Vec<NodeId> {
    let mut racks: BTreeMap<Option<&str>, VecDeque<NodeId>> = BTreeMap::new();
    for broker in brokers {
        racks.entry(broker.rack.as_deref()).or_default().push_back(broker.node);
    }
    let mut order = Vec::new();
    while racks.values().any(|rack| !rack.is_empty()) {
        order.extend(racks.values_mut().filter_map(VecDeque::pop_front));
    }
    order
}
