//! The metadata: one log, one state at each of its offsets, and what every state must be like.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_metadata::{Controller, LeaderRecovery, MetadataImage, MetadataRecord, PartitionImage, features};
use highwater_raft::ReplicaKey;
use highwater_replication::fetcher::PartitionKey;
use highwater_types::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};

use super::super::broker::{min_insync_replicas, partition_of};
use super::super::node::controller_config;
use crate::raft::Batch;

/// Judges the metadata.
#[derive(Debug)]
pub(in super::super) struct MetadataJudge {
    /// Who led each epoch of the quorum, with its incarnation.
    quorum_leaders: BTreeMap<LeaderEpoch, (ReplicaKey, u64)>,
    /// Everything that any node ever said to be committed, with the epoch in which it was.
    committed: Vec<(Batch, LeaderEpoch)>,
    /// What that amounts to.
    reference: Controller,
    /// The same, after each batch and at the beginning.
    images: BTreeMap<Offset, Arc<MetadataImage>>,
    /// The last of them.
    image: Arc<MetadataImage>,
    /// The partitions in it.
    keys: Vec<PartitionKey>,
    /// Who led each epoch of each partition.
    leaders: BTreeMap<(PartitionKey, LeaderEpoch), Option<NodeId>>,
    /// Unclean elections that the judge of the partitions has not heard of.
    pub(in super::super) unclean: Vec<UncleanElection>,
}

/// Somebody was elected who was neither in sync nor eligible.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct UncleanElection {
    pub(in super::super) key: PartitionKey,
    pub(in super::super) leader: NodeId,
    pub(in super::super) epoch: LeaderEpoch,
    /// Nobody was eligible, and it was the last one known to have been (KIP-966).
    pub(in super::super) was_last_known: bool,
}

impl Default for MetadataJudge {
    fn default() -> Self {
        let reference = Controller::new(controller_config());
        let image = Arc::new(reference.image());
        let images = BTreeMap::from([(Offset::ZERO, Arc::clone(&image))]);
        Self {
            quorum_leaders: BTreeMap::new(),
            committed: Vec::new(),
            reference,
            images,
            image,
            keys: Vec::new(),
            leaders: BTreeMap::new(),
            unclean: Vec::new(),
        }
    }
}

impl MetadataJudge {
    /// The state as of the last committed record.
    pub(in super::super) fn image(&self) -> &Arc<MetadataImage> {
        &self.image
    }

    /// The partitions in it.
    pub(in super::super) fn keys(&self) -> &[PartitionKey] {
        &self.keys
    }

    pub(in super::super) fn image_at(&self, offset: Offset) -> &MetadataImage {
        &self.images[&offset]
    }

    /// End of what is committed.
    pub(in super::super) fn end(&self) -> Offset {
        self.committed.last().map_or(Offset::ZERO, |(batch, _)| batch.end)
    }

    pub(in super::super) fn batches_before(&self, end: Offset) -> Vec<Batch> {
        self.committed.iter().map(|(batch, _)| *batch).take_while(|batch| batch.end <= end).collect()
    }

    /// A node leads the quorum.
    pub(in super::super) fn elected(&mut self, key: ReplicaKey, incarnation: u64, epoch: LeaderEpoch, log: &[Batch]) {
        let this = (key, incarnation);
        let known = *self.quorum_leaders.entry(epoch).or_insert(this);
        assert_eq!(known, this, "R12: epoch {epoch} of the quorum has two leaders");
        // One that was elected too late may lack what later leaders have committed; it will find out.
        let before = self.committed.iter().rev().find(|(_, committed_in)| *committed_in < epoch);
        if let (Some((last, _)), Some(first)) = (before, log.first())
            && first.base <= last.base
        {
            assert!(log.contains(last), "R12: the leader {key} of epoch {epoch} of the quorum lacks what is committed");
        }
    }

    /// A node, which is in `epoch`, says that a batch is committed.
    pub(in super::super) fn committed(
        &mut self,
        key: ReplicaKey,
        epoch: LeaderEpoch,
        batch: Batch,
        records: &[MetadataRecord],
    ) {
        if batch.base < self.end() {
            let at = self.committed.partition_point(|(known, _)| known.base < batch.base);
            let known = self.committed.get(at).map(|(known, _)| *known);
            assert_eq!(known, Some(batch), "R12: {key} says that another batch is committed");
            return;
        }
        assert_eq!(batch.base, self.end(), "R12: {key} leaves out what is committed");
        self.committed.push((batch, epoch));
        for record in records {
            let key = match record {
                MetadataRecord::Partition(new) => Some((new.topic_id, new.partition)),
                MetadataRecord::PartitionChange(change) => Some((change.topic_id, change.partition)),
                _ => None,
            };
            let key = key.map(|(topic, partition)| PartitionKey { topic, partition });
            let before = key.and_then(|key| partition_of(&self.reference.image(), &key).cloned());
            self.reference.apply(record).unwrap_or_else(|error| panic!("R12: {record:?} does not apply: {error}"));
            let image = self.reference.image();
            if let Some(key) = key {
                self.check_partition(&image, key, before.as_ref());
            }
            if matches!(record, MetadataRecord::BrokerRegistrationChange(_) | MetadataRecord::RegisterBroker(_)) {
                check_brokers(&image);
            }
        }
        self.image = Arc::new(self.reference.image());
        self.images.insert(batch.end, Arc::clone(&self.image));
        let key = |topic: TopicId| move |partition: PartitionIndex| PartitionKey { topic, partition };
        let keys =
            self.image.topics().flat_map(|topic| topic.partitions().map(|(index, _)| index).map(key(topic.id())));
        self.keys = keys.collect();
    }

    /// A node has applied everything before `applied`.
    pub(in super::super) fn check_image(&self, key: ReplicaKey, applied: Offset, image: &MetadataImage) {
        // Behind the others it is on its way there, and will be looked at then.
        if applied == self.end() {
            assert!(
                *image == *self.image,
                "R12: {key} has another state at {applied}: {image:?}, not {:?}",
                self.image()
            );
        }
    }

    fn check_partition(&mut self, image: &MetadataImage, key: PartitionKey, before: Option<&PartitionImage>) {
        let Some(after) = partition_of(image, &key) else { return };
        if let Some(before) = before {
            assert!(before.leader_epoch <= after.leader_epoch, "R1: {before:?} becomes {after:?}");
            assert_eq!(before.partition_epoch.next(), after.partition_epoch, "R1: {before:?} becomes {after:?}");
            let is_kept = before.leader == after.leader || before.leader_epoch < after.leader_epoch;
            assert!(is_kept, "R1: {before:?} becomes {after:?}");
        }
        let leader = *self.leaders.entry((key, after.leader_epoch)).or_insert(after.leader);
        assert_eq!(leader, after.leader, "R1: epoch {} has two leaders", after.leader_epoch);
        check_state(image, &key, after);
        // Elected anew it may be while it is not recovered.
        let was_eligible =
            |leader: &NodeId| before.is_some_and(|before| before.isr.contains(leader) || before.elr.contains(leader));
        if after.recovery == LeaderRecovery::Recovering
            && let Some(leader) = after.leader.filter(|leader| !was_eligible(leader))
        {
            let was_last_known = before.is_some_and(|before| before.last_known_elr == [leader]);
            self.unclean.push(UncleanElection { key, leader, epoch: after.leader_epoch, was_last_known });
        }
    }
}

/// R10: who is in sync, eligible, and leads.
fn check_state(image: &MetadataImage, key: &PartitionKey, state: &PartitionImage) {
    let PartitionImage { replicas, isr, leader, elr, .. } = state;
    let is_active = |node: &NodeId| image.broker(*node).is_some_and(|broker| broker.is_active());
    assert!(isr.iter().chain(elr).all(|member| replicas.contains(member)), "R10: no replica: {state:?}");
    assert!(leader.is_none_or(|leader| isr.contains(&leader)), "R10: the leader is not in sync: {state:?}");
    assert!(!elr.iter().any(|member| isr.contains(member)), "R10: eligible and in sync: {state:?}");
    let required = (min_insync_replicas(image, key) as usize).min(replicas.len());
    assert!(isr.len() < required || elr.is_empty(), "R10: eligible though enough are in sync: {state:?}");
    let has_elr = features::has_eligible_leader_replicas(image);
    assert!(has_elr || !isr.is_empty(), "R10: nobody is in sync: {state:?}");
    // Without eligible leader replicas the last one is remembered here.
    let is_last = !has_elr && leader.is_none() && isr.len() == 1;
    assert!(is_last || leader.is_none() || isr.iter().all(is_active), "R10: fenced and in sync: {state:?}");
}

/// R10: a broker that is not active is in no in-sync set, unless it is the last one of it.
fn check_brokers(image: &MetadataImage) {
    let has_elr = features::has_eligible_leader_replicas(image);
    for broker in image.brokers().filter(|broker| !broker.is_active()) {
        for (_, state) in image.topics().flat_map(|topic| topic.partitions()) {
            let is_last = !has_elr && state.leader.is_none() && state.isr == [broker.node];
            assert!(is_last || !state.isr.contains(&broker.node), "R10: {} is not active: {state:?}", broker.node);
        }
    }
}
