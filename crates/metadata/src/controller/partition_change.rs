//! The one place where changes of partitions are worked out: elections, in-sync sets, eligible leaders.

use super::{Controller, partition_index::PartitionKey};
use crate::{
    features,
    image::{MetadataImage, PartitionImage},
    record::{LeaderRecovery, MetadataRecord, PartitionChange},
};
use highwater_types::{DirectoryId, NodeId, PartitionIndex, TopicId};

/// Which leader an election is to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The current one if it may lead, else the first replica that may.
    Online,
    /// The first replica if it may lead, else as [`Online`](Self::Online).
    Preferred,
    /// As [`Online`](Self::Online), else any active replica, which can lose committed records.
    Unclean,
}

/// What a partition is to become. Start from [`Controller::change_of`], edit the targets, then
/// [`build`](Self::build).
///
/// Order of evaluation: complete a reassignment, move members that left the in-sync set into the eligible
/// leader replicas, elect, raise the leader epoch if a replica was dropped, and only then compare.
pub(super) struct PartitionTarget<'a> {
    topic_id: TopicId,
    index: PartitionIndex,
    image: &'a MetadataImage,
    old: &'a PartitionImage,
    min_isr: usize,
    pub(super) election: Election,
    /// A broker whose departure is part of the same change, so not acceptable though still active.
    pub(super) departing: Option<NodeId>,
    /// A broker whose activation is part of the same change.
    pub(super) arriving: Option<NodeId>,
    /// A broker that may have lost the end of its log: not eligible, and the leader epoch grows.
    pub(super) unclean_shutdown: Option<NodeId>,
    pub(super) isr: Vec<NodeId>,
    pub(super) replicas: Vec<NodeId>,
    pub(super) removing: Vec<NodeId>,
    pub(super) adding: Vec<NodeId>,
    pub(super) recovery: LeaderRecovery,
    /// The directory of each target replica by broker; others keep what they have.
    pub(super) directories: Vec<(NodeId, DirectoryId)>,
    elr: Vec<NodeId>,
    last_known_elr: Vec<NodeId>,
}

impl Controller {
    /// A target that equals the current state, for an [`Election::Online`].
    pub(super) fn change_of<'a>(
        &'a self,
        topic_id: TopicId,
        index: PartitionIndex,
        old: &'a PartitionImage,
        min_insync_replicas: usize,
    ) -> PartitionTarget<'a> {
        PartitionTarget {
            topic_id,
            index,
            image: &self.image,
            old,
            min_isr: min_insync_replicas,
            election: Election::Online,
            departing: None,
            arriving: None,
            unclean_shutdown: None,
            isr: old.isr.clone(),
            replicas: old.replicas.clone(),
            removing: old.removing.clone(),
            adding: old.adding.clone(),
            recovery: old.recovery,
            directories: Vec::new(),
            elr: old.elr.clone(),
            last_known_elr: old.last_known_elr.clone(),
        }
    }
}

impl Controller {
    /// The changes of the named partitions that `edit` leads to; partitions that are gone are left out.
    ///
    /// Elections may be unclean where the topic's configuration says so.
    pub(super) fn change_all(
        &self,
        keys: impl IntoIterator<Item = PartitionKey>,
        mut edit: impl FnMut(&mut PartitionTarget<'_>),
    ) -> Vec<MetadataRecord> {
        let mut last: Option<(TopicId, usize, bool)> = None;
        let mut records = Vec::new();
        for (topic_id, index) in keys {
            let Some(topic) = self.image.topic_by_id(topic_id) else { continue };
            let Some(old) = topic.partition(index) else { continue };
            let (min_isr, may_be_unclean) = match last {
                Some((id, min_isr, unclean)) if id == topic_id => (min_isr, unclean),
                _ => {
                    let config = self.resolver().topic_config(topic.name().as_str());
                    (config.min_insync_replicas as usize, config.unclean_leader_election)
                }
            };
            last = Some((topic_id, min_isr, may_be_unclean));
            let mut target = self.change_of(topic_id, index, old, min_isr);
            if may_be_unclean {
                target.election = Election::Unclean;
            }
            edit(&mut target);
            records.extend(target.build().map(MetadataRecord::PartitionChange));
        }
        records
    }
}

impl PartitionTarget<'_> {
    /// The record that leads to the target; `None` if there is nothing to change.
    pub(super) fn build(mut self) -> Option<PartitionChange> {
        let elr_enabled = features::has_eligible_leader_replicas(self.image);
        if let Some(unclean) = self.unclean_shutdown {
            self.isr.retain(|member| *member != unclean);
        }
        self.complete_reassignment();
        if elr_enabled {
            self.populate_elr();
        }
        let mut leader = self.elect();
        if !elr_enabled && !self.isr.is_empty() {
            // From when they were kept. Nobody looks after them any more.
            self.elr.clear();
        }
        if !elr_enabled && self.isr.is_empty() {
            // Without eligible leader replicas somebody must be remembered as having every record.
            self.isr = self.last_member();
        }
        if !self.isr.is_empty() {
            self.last_known_elr.clear();
        } else if elr_enabled && leader.is_none() && self.old.leader.is_some() {
            self.last_known_elr = self.old.leader.into_iter().collect();
        }
        let unclean = self.unclean_shutdown;
        let is_kept = |member: &NodeId| self.replicas.contains(member) && !self.isr.contains(member);
        self.elr.retain(|member| is_kept(member) && Some(*member) != unclean);
        let dropped = self.old.replicas.iter().any(|replica| !self.replicas.contains(replica));
        let lost = self.unclean_shutdown.is_some_and(|node| self.old.isr.contains(&node));
        let leader_change = (leader != self.old.leader || dropped || lost).then(|| leader.take());
        self.record(leader_change)
    }

    /// Whether `node` may lead or be in sync once this change holds.
    pub(super) fn is_acceptable(&self, node: NodeId) -> bool {
        let Some(broker) = self.image.broker(node) else { return false };
        let active = broker.is_active() || (self.arriving == Some(node) && !broker.in_controlled_shutdown);
        let directory = self.directory_of(node);
        self.departing != Some(node)
            && self.unclean_shutdown != Some(node)
            && active
            && directory.is_none_or(|directory| broker.is_directory_online(directory))
    }

    /// Whether the election gave a leader that lacks committed records.
    fn elect(&mut self) -> Option<NodeId> {
        let is_valid = |node: NodeId| {
            let eligible = self.isr.contains(&node) || (self.isr.is_empty() && self.elr.contains(&node));
            eligible && self.replicas.contains(&node) && self.is_acceptable(node)
        };
        let preferred = self.replicas.first().copied().filter(|_| self.election == Election::Preferred);
        let choices = preferred.into_iter().chain(self.old.leader).chain(self.replicas.iter().copied());
        let clean = choices.into_iter().find(|node| is_valid(*node));
        if let Some(leader) = clean {
            if self.isr.is_empty() {
                self.isr = vec![leader];
                self.elr.retain(|member| *member != leader);
            }
            return Some(leader);
        }
        let last_known = match self.last_known_elr.as_slice() {
            [only] if self.isr.is_empty() && self.elr.is_empty() => Some(*only),
            _ => None,
        };
        let any = self.replicas.iter().copied().filter(|_| self.election == Election::Unclean);
        let unclean = last_known
            .into_iter()
            .filter(|node| self.replicas.contains(node))
            .chain(any)
            .find(|node| self.is_acceptable(*node))?;
        self.isr = vec![unclean];
        self.recovery = LeaderRecovery::Recovering;
        self.elr.clear();
        self.last_known_elr.clear();
        Some(unclean)
    }

    /// Ends the reassignment if the replicas on their way in are in sync, and enough others stay.
    fn complete_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let without_removing = |nodes: &[NodeId]| -> Vec<NodeId> {
            nodes.iter().copied().filter(|node| !self.removing.contains(node)).collect()
        };
        let (isr, replicas) = (without_removing(&self.isr), without_removing(&self.replicas));
        let required = if self.adding.len() < self.removing.len() { &replicas } else { &self.adding };
        let in_sync = required.iter().all(|node| isr.contains(node));
        if isr.is_empty() || replicas.is_empty() || !in_sync {
            return;
        }
        self.isr = isr;
        self.replicas = replicas;
        self.removing.clear();
        self.adding.clear();
    }

    /// Who leaves the in-sync set below `min.insync.replicas` still has every committed record.
    fn populate_elr(&mut self) {
        if self.min_isr.min(self.replicas.len()) <= self.isr.len() {
            self.elr.clear();
            return;
        }
        let mut candidates = self.old.elr.clone();
        candidates.extend(self.old.isr.iter().copied().filter(|member| !self.old.elr.contains(member)));
        candidates.retain(|member| self.replicas.contains(member) && !self.isr.contains(member));
        self.elr = candidates;
    }

    fn last_member(&self) -> Vec<NodeId> {
        let leader_first = self.old.leader.into_iter().chain(self.old.isr.iter().copied());
        leader_first.filter(|node| self.old.isr.contains(node) && self.replicas.contains(node)).take(1).collect()
    }

    fn directory_of(&self, node: NodeId) -> Option<DirectoryId> {
        let new = self.directories.iter().find(|(other, _)| *other == node).map(|(_, directory)| *directory);
        let at = || self.old.replicas.iter().position(|replica| *replica == node);
        new.or_else(|| self.old.directories.get(at()?).copied())
    }

    fn record(self, leader: Option<Option<NodeId>>) -> Option<PartitionChange> {
        let changed = |new: &Vec<NodeId>, old: &Vec<NodeId>| (new != old).then(|| new.clone());
        let old = self.old;
        let directories: Vec<DirectoryId> =
            self.replicas.iter().map(|node| self.directory_of(*node).unwrap_or_default()).collect();
        let blank = PartitionChange { topic_id: self.topic_id, partition: self.index, ..PartitionChange::default() };
        let moved = self.replicas != old.replicas || !self.directories.is_empty();
        let change = PartitionChange {
            isr: changed(&self.isr, &old.isr),
            leader,
            replicas: changed(&self.replicas, &old.replicas),
            removing: changed(&self.removing, &old.removing),
            adding: changed(&self.adding, &old.adding),
            recovery: (self.recovery != old.recovery).then_some(self.recovery),
            directories: (moved && directories != old.directories).then_some(directories),
            elr: changed(&self.elr, &old.elr),
            last_known_elr: changed(&self.last_known_elr, &old.last_known_elr),
            ..blank.clone()
        };
        (change != blank).then_some(change)
    }
}
