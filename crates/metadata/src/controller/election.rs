//! Which replica leads.

use crate::{
    image::PartitionImage,
    record::{LeaderRecovery, PartitionChange},
};
use highwater_types::{NodeId, PartitionIndex, TopicId};

/// The change that takes `node` out of a partition's leadership and in-sync replicas; `None` if it is in
/// neither.
///
/// The last in-sync replica stays one, so that the partition still knows who has its committed records;
/// it then has no leader.
pub(super) fn without(
    topic_id: TopicId,
    index: PartitionIndex,
    partition: &PartitionImage,
    node: NodeId,
    is_active: impl Fn(NodeId) -> bool,
) -> Option<PartitionChange> {
    let leads = partition.leader == Some(node);
    let others: Vec<NodeId> = partition.isr.iter().copied().filter(|member| *member != node).collect();
    let shrinks = !others.is_empty() && others.len() < partition.isr.len();
    let successor =
        || partition.replicas.iter().copied().find(|replica| others.contains(replica) && is_active(*replica));
    (leads || shrinks).then(|| PartitionChange {
        topic_id,
        partition: index,
        leader: leads.then(successor),
        isr: shrinks.then(|| others.clone()),
        ..PartitionChange::default()
    })
}

/// The change that gives a leaderless partition a leader; `None` if it has one or nobody can lead.
///
/// The first active replica, in order of preference, that is in sync leads; if none is in sync any more,
/// the first that is known to have every committed record (KIP-966). Only if `may_be_unclean` says so, the
/// first active replica leads in spite of the records that it may lack.
pub(super) fn elect(
    topic_id: TopicId,
    index: PartitionIndex,
    partition: &PartitionImage,
    is_active: impl Fn(NodeId) -> bool,
    may_be_unclean: impl Fn() -> bool,
) -> Option<PartitionChange> {
    if partition.leader.is_some() {
        return None;
    }
    let first = |eligible: &dyn Fn(NodeId) -> bool| {
        partition.replicas.iter().copied().find(|replica| is_active(*replica) && eligible(*replica))
    };
    let change = PartitionChange { topic_id, partition: index, ..PartitionChange::default() };
    if let Some(leader) = first(&|replica| partition.isr.contains(&replica)) {
        return Some(PartitionChange { leader: Some(Some(leader)), ..change });
    }
    let from_elr = first(&|replica| partition.isr.is_empty() && partition.elr.contains(&replica));
    if let Some(leader) = from_elr {
        let elr = partition.elr.iter().copied().filter(|replica| *replica != leader).collect();
        return Some(PartitionChange { leader: Some(Some(leader)), isr: Some(vec![leader]), elr: Some(elr), ..change });
    }
    let leader = first(&|_| true).filter(|_| may_be_unclean())?;
    Some(PartitionChange {
        leader: Some(Some(leader)),
        isr: Some(vec![leader]),
        recovery: Some(LeaderRecovery::Recovering),
        elr: (!partition.elr.is_empty()).then(Vec::new),
        last_known_elr: (!partition.last_known_elr.is_empty()).then(Vec::new),
        ..change
    })
}
