//! Which brokers get the replicas of new partitions.

use super::stripes::Stripes;
use crate::{
    ApiError,
    image::{MetadataImage, PartitionImage},
    record::LeaderRecovery,
};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};

/// The brokers that the client chose for one partition of a new topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// The partition, as on the wire.
    pub partition: i32,
    /// Ids of the brokers, in order of preference as leader, as on the wire.
    pub replicas: Vec<i32>,
}

/// Spreads partitions `first..first + count` over the brokers and their racks, see [`Stripes`].
///
/// The leader is always an active broker. `seed` says where partition 0 starts.
pub(super) fn spread(
    image: &MetadataImage,
    first: usize,
    count: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let refused = |why: String| ApiError::new(ErrorCode::InvalidReplicationFactor, why);
    let mut stripes = Stripes::new(image.brokers().map(|broker| &**broker), seed);
    let registered = stripes.broker_count();
    if registered < replication_factor {
        return Err(refused(format!(
            "Unable to replicate the partition {replication_factor} time(s): The target replication factor of \
             {replication_factor} cannot be reached because only {registered} broker(s) are registered."
        )));
    }
    if stripes.active_count() == 0 {
        return Err(refused(format!(
            "Unable to replicate the partition {replication_factor} time(s): All brokers are currently fenced."
        )));
    }
    Ok((first..first + count).map(|partition| stripes.place(partition, replication_factor)).collect())
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
