//! What administrators want of the controller.

use highwater_metadata::{
    AlterReassignments, ConfigEdit, CreateTopics, Election, IncrementalAlterConfigs, IncrementalResource,
    MetadataRecord, NewTopic, PartitionImage, ReassignPartition, TopicSelector,
};
use highwater_raft::RoleName;
use highwater_types::{PartitionIndex, TopicId, Uuid};

use super::context::Context;
use super::message::Event;
use super::node::{Node, Process};
use super::world::World;

impl World<'_, '_> {
    /// Somebody wants something of a node that takes itself for the active controller.
    pub(super) fn administer(&mut self) {
        let leads = |process: &Process| process.active.is_some() && process.raft.role() == RoleName::Leader;
        let is_active = |node: &&Node| node.process.as_ref().is_some_and(leads);
        let active: Vec<usize> = self.nodes.iter().filter(is_active).map(|node| node.index).collect();
        if let Some(node) = active.get(self.ctx.random.index(active.len())).copied()
            && self.nodes[node].paused_until_ms <= self.ctx.now_ms
        {
            let records = self.wish(node);
            self.write(node, &records);
        }
        let has_topic = !self.keys().is_empty();
        let every_ms = if has_topic { self.ctx.plan.admin_every_ms } else { 100 };
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * every_ms);
        self.ctx.queue.put(at_ms, Event::Administers);
    }

    /// Has records written by a node that takes itself for the active controller.
    pub(super) fn write(&mut self, node: usize, records: &[MetadataRecord]) {
        let now = self.nodes[node].ticks(self.ctx.now_ms);
        self.nodes[node].store_batch(&mut self.ctx, now, records);
        self.nodes[node].pump(&mut self.ctx);
        self.check(node);
    }

    fn wish(&mut self, node: usize) -> Vec<MetadataRecord> {
        let Context { random, plan, is_healed, .. } = &mut self.ctx;
        let Some(active) = self.nodes[node].process.as_ref().and_then(|process| process.active.as_ref()) else {
            return Vec::new();
        };
        let controller = &active.controller;
        let image = controller.image();
        if image.topic(TOPIC).is_none() {
            let factor = usize::try_from(plan.replication_factor).unwrap_or_default();
            if image.brokers().filter(|broker| broker.is_active()).count() < factor {
                return Vec::new();
            }
            let mut id = [3; 16];
            id[..8].copy_from_slice(&random.bits().to_be_bytes());
            let config = |name: &str, value: String| (name.to_owned(), Some(value));
            let topic = NewTopic {
                name: TOPIC.to_owned(),
                partitions: plan.partitions,
                replication_factor: plan.replication_factor,
                assignments: Vec::new(),
                configs: vec![
                    config("min.insync.replicas", plan.min_insync_replicas.to_string()),
                    config("unclean.leader.election.enable", plan.may_be_unclean.to_string()),
                ],
            };
            let request = CreateTopics { topics: vec![topic], validate_only: false };
            return controller.create_topics(&request, &[TopicId(Uuid::from_bytes(id))]).records;
        }
        if *is_healed {
            // A change of min.insync.replicas forgets who is eligible (KAFKA-16540). Then it takes an administrator.
            let topic = image.topic(TOPIC).expect("there is one");
            let is_stuck = |state: &PartitionImage| {
                state.leader.is_none()
                    && state.isr.is_empty()
                    && state.elr.is_empty()
                    && state.last_known_elr.is_empty()
            };
            let stuck = topic.partitions().filter(|(_, state)| is_stuck(state));
            let stuck: Vec<_> = stuck.map(|(partition, _)| (TOPIC.to_owned(), partition.to_wire())).collect();
            return controller.elect_leaders(Election::Unclean, &stuck).records;
        }
        let partition = random.below(u64::try_from(plan.partitions).unwrap_or_default());
        let partition = PartitionIndex::new(u32::try_from(partition).unwrap_or_default());
        match random.below(7) {
            0 | 1 => controller.elect_leaders(Election::Preferred, &[(TOPIC.to_owned(), partition.to_wire())]).records,
            2 | 3 if !self.nodes.iter().any(|node| node.has_lost_records) => {
                let mut brokers: Vec<i32> = image.brokers().map(|broker| broker.node.to_wire()).collect();
                while usize::try_from(plan.replication_factor).unwrap_or_default() < brokers.len() {
                    let index = random.index(brokers.len());
                    brokers.swap_remove(index);
                }
                let first = random.index(brokers.len());
                brokers.rotate_left(first);
                let replicas = (!random.chance(20)).then_some(brokers);
                let partition = ReassignPartition { topic: TOPIC.to_owned(), partition: partition.to_wire(), replicas };
                let request = AlterReassignments { partitions: vec![partition], allow_replication_factor_change: true };
                controller.alter_reassignments(&request).records
            }
            4 if random.chance(20) => {
                // A leader that hears of a larger one late commits what eligible replicas do not have, as Kafka's does.
                let value = Some(random.between(1, if plan.has_elr { 1 } else { 2 }).to_string());
                let change = ConfigEdit { name: "min.insync.replicas".to_owned(), operation: 0, value };
                let resource = IncrementalResource { kind: 2, name: TOPIC.to_owned(), changes: vec![change] };
                let request = IncrementalAlterConfigs { resources: vec![resource], validate_only: false };
                controller.incremental_alter_configs(&request).records
            }
            5 if random.chance(10) => {
                let selector = TopicSelector { name: Some(TOPIC.to_owned()), id: None };
                controller.delete_topics(&[selector]).records
            }
            _ => Vec::new(),
        }
    }
}

/// The topic that everything is about.
pub(super) const TOPIC: &str = "t";
