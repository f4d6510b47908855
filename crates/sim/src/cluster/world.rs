//! A cluster and what happens to it.

use highwater_metadata::{
    AlterReassignments, ConfigEdit, CreateTopics, Election, IncrementalAlterConfigs, IncrementalResource,
    MetadataRecord, NewTopic, PartitionImage, ReassignPartition,
};
use highwater_raft::{ReplicaKey, RoleName, VoterSet};
use highwater_replication::fetcher::PartitionKey;
use highwater_replication::leader::Acks;
use highwater_types::{NodeId, PartitionIndex, TopicId, Uuid};

use super::broker::{Role, min_insync_replicas, partition_of};
use super::context::Context;
use super::judge::Judge;
use super::message::{Call, Event, Reply};
use super::node::{Node, Process};
use super::plan::Plan;
use crate::links::Links;
use crate::queue::Queue;
use crate::{Random, Trace};

/// The nodes and the world around them.
pub(super) struct World<'t, 'f> {
    pub(super) nodes: Vec<Node>,
    pub(super) ctx: Context<'t, 'f>,
    values: u64,
}

/// Plays the history that belongs to `seed`.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    trace.say(|| format!("{plan:?}"));
    World::new(plan, random, trace).play();
}

impl<'t, 'f> World<'t, 'f> {
    pub(super) fn new(plan: Plan, mut random: Random, trace: &'t mut Trace<'f>) -> Self {
        let key = |index: usize| ReplicaKey { id: node_id(index), directory: None };
        let voters = VoterSet::new((0..plan.controllers).map(key).collect());
        let nodes: Vec<Node> = (0..plan.nodes())
            .map(|index| {
                let clock_permille = random.pick(&[1000, 1000, 900, 1100]);
                Node::new(index, key(index), voters.clone(), plan.is_broker(index), clock_permille)
            })
            .collect();
        let ctx = Context {
            random,
            now_ms: 0,
            queue: Queue::default(),
            links: Links::new(plan.links),
            judge: Judge::default(),
            contents: Vec::new(),
            alterations_under_way: vec![0; nodes.len()],
            is_healed: false,
            trace,
            plan,
        };
        Self { nodes, ctx, values: 0 }
    }

    fn play(mut self) {
        for node in 0..self.nodes.len() {
            let at_ms = self.ctx.random.between(0, 500);
            self.ctx.queue.put(at_ms, Event::Restarts { node });
            self.ctx.queue.put(self.ctx.plan.flush_every_ms, Event::Flushes { node });
        }
        let Plan { chaos_ms, fault_every_ms, produce_every_ms, admin_every_ms, snapshot_every_ms, .. } = self.ctx.plan;
        // The cluster comes up first.
        self.ctx.queue.put(BEGIN_MS + fault_every_ms, Event::Breaks);
        self.ctx.queue.put(500, Event::Administers);
        self.ctx.queue.put(BEGIN_MS + admin_every_ms, Event::Administers);
        self.ctx.queue.put(produce_every_ms, Event::Produces);
        self.ctx.queue.put(snapshot_every_ms, Event::Snapshots);
        self.run_until(BEGIN_MS + chaos_ms);
        self.heal();
        self.converge();
    }

    pub(super) fn run_until(&mut self, end_ms: u64) {
        while let Some((at_ms, event)) = self.ctx.queue.pop() {
            if end_ms <= at_ms {
                self.ctx.queue.put(at_ms, event);
                break;
            }
            self.ctx.now_ms = at_ms;
            self.happen(event);
        }
        self.ctx.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        let node = match &event {
            Event::Asked { node, .. }
            | Event::Stored { node, .. }
            | Event::Synced { node, .. }
            | Event::Loaded { node, .. }
            | Event::Called { node, .. }
            | Event::Produced { node, .. }
            | Event::Flushes { node }
            | Event::Wakes { node } => *node,
            Event::Answered { token, .. } | Event::Unanswered { token } => token.node,
            Event::Replied { caller, .. } | Event::CallFailed { caller } => caller.node,
            Event::Restarts { node } => {
                let node = *node;
                self.nodes[node].start(&mut self.ctx);
                return self.check(node);
            }
            Event::Produces => return self.produce_somewhere(),
            Event::Administers => return self.administer(),
            Event::Snapshots => return self.take_snapshot(),
            Event::Breaks => return self.break_something(),
        };
        let paused_until_ms = self.nodes[node].paused_until_ms;
        if self.ctx.now_ms < paused_until_ms {
            return self.ctx.queue.put(paused_until_ms, event);
        }
        let Some(event) = self.arrive(event) else { return };
        if let Event::Flushes { node } = event {
            return self.flush(node);
        }
        self.nodes[node].handle(&mut self.ctx, event);
        self.end_if_allowed(node);
        self.check(node);
    }

    /// The event, unless it is a message over a link that is cut.
    fn arrive(&mut self, mut event: Event) -> Option<Event> {
        let link = match &event {
            Event::Asked { node, token, .. } => (token.node, *node),
            Event::Answered { from, token, .. } => (*from, token.node),
            Event::Called { node, caller, call } => {
                if matches!(**call, Call::AlterPartition(_)) {
                    self.ctx.alterations_under_way[caller.node] -= 1;
                }
                (caller.node, *node)
            }
            Event::Replied { from, caller, .. } => (*from, caller.node),
            _ => return Some(event),
        };
        if !self.ctx.links.is_up(link.0, link.1) {
            return None;
        }
        if let Event::Replied { from, reply, .. } = &mut event
            && let Reply::Fetched(fetched) = &mut **reply
            && self.nodes[*from].process.is_some()
            && self.ctx.random.chance(self.ctx.plan.late_read_percent)
        {
            self.nodes[*from].read_late(fetched);
        }
        Some(event)
    }

    fn end_if_allowed(&mut self, node: usize) {
        if self.nodes[node].broker().is_some_and(|broker| broker.may_end) {
            self.nodes[node].end_cleanly(&mut self.ctx);
            let at_ms = self.ctx.now_ms + self.ctx.random.pick(&[10, 500, 2_000]);
            self.ctx.queue.put(at_ms, Event::Restarts { node });
        }
    }

    fn flush(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            self.nodes[node].disk.logs.values_mut().for_each(super::log::Log::sync);
            self.nodes[node].write_checkpoint();
        }
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * self.ctx.plan.flush_every_ms);
        self.ctx.queue.put(at_ms, Event::Flushes { node });
    }

    /// The partitions that there are.
    pub(super) fn keys(&self) -> Vec<PartitionKey> {
        let image = self.ctx.judge.metadata.image();
        let keys_of = |topic: &std::sync::Arc<highwater_metadata::TopicImage>| {
            let id = topic.id();
            topic.partitions().map(|(partition, _)| PartitionKey { topic: id, partition }).collect::<Vec<_>>()
        };
        image.topics().flat_map(keys_of).collect()
    }

    fn produce_somewhere(&mut self) {
        let keys = self.keys();
        if !keys.is_empty() {
            let key = keys[self.ctx.random.index(keys.len())];
            let acks = self.ctx.random.pick(&[Acks::All, Acks::All, Acks::Leader, Acks::None]);
            // Not only where the leader is: there may be one that does not know that it is none any more.
            let leads: Vec<usize> = (0..self.nodes.len()).filter(|index| self.leads(*index, &key)).collect();
            if let Some(node) = leads.get(self.ctx.random.index(leads.len())) {
                self.produce(*node, key, acks);
            }
        }
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * self.ctx.plan.produce_every_ms);
        self.ctx.queue.put(at_ms, Event::Produces);
    }

    /// Sends a batch to a node; its value.
    pub(super) fn produce(&mut self, node: usize, key: PartitionKey, acks: Acks) -> u64 {
        self.values += 1;
        let value = self.values;
        let at_ms = self.ctx.now_ms + self.ctx.random.between(0, self.ctx.plan.links.delay_ms_max);
        self.ctx.queue.put(at_ms, Event::Produced { node, key, acks, value });
        value
    }

    fn leads(&self, node: usize, key: &PartitionKey) -> bool {
        let replica = self.nodes[node].broker().and_then(|broker| broker.replicas.get(key));
        replica.is_some_and(|replica| matches!(replica.role, Role::Leader(_)))
    }

    fn take_snapshot(&mut self) {
        let node = self.ctx.random.index(self.nodes.len());
        if self.nodes[node].paused_until_ms <= self.ctx.now_ms {
            self.nodes[node].take_snapshot(&mut self.ctx);
            self.check(node);
        }
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * self.ctx.plan.snapshot_every_ms);
        self.ctx.queue.put(at_ms, Event::Snapshots);
    }

    /// Somebody wants something of a node that takes itself for the active controller.
    fn administer(&mut self) {
        let leads = |process: &Process| process.active.is_some() && process.raft.role() == RoleName::Leader;
        let is_active = |node: &&Node| node.process.as_ref().is_some_and(leads);
        let active: Vec<usize> = self.nodes.iter().filter(is_active).map(|node| node.index).collect();
        if let Some(node) = active.get(self.ctx.random.index(active.len())).copied()
            && self.nodes[node].paused_until_ms <= self.ctx.now_ms
        {
            let records = self.wish(node);
            let now = self.nodes[node].ticks(self.ctx.now_ms);
            self.nodes[node].store_batch(&mut self.ctx, now, &records);
            self.nodes[node].pump(&mut self.ctx);
            self.check(node);
        }
        let has_topic = !self.keys().is_empty();
        let every_ms = if has_topic { self.ctx.plan.admin_every_ms } else { 100 };
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * every_ms);
        self.ctx.queue.put(at_ms, Event::Administers);
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
        match random.below(6) {
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
                let value = Some(random.between(1, 2).to_string());
                let change = ConfigEdit { name: "min.insync.replicas".to_owned(), operation: 0, value };
                let resource = IncrementalResource { kind: 2, name: TOPIC.to_owned(), changes: vec![change] };
                let request = IncrementalAlterConfigs { resources: vec![resource], validate_only: false };
                controller.incremental_alter_configs(&request).records
            }
            _ => Vec::new(),
        }
    }

    /// Safety, judged from outside, after every event; `node` is where it happened.
    pub(super) fn check(&mut self, node: usize) {
        self.note_losses();
        let Self { nodes, ctx, .. } = self;
        let image = ctx.judge.metadata.image().clone();
        let this = &mut nodes[node];
        let id = this.id();
        let broker = this.process.as_ref().and_then(|process| process.broker.as_ref());
        for (key, replica) in broker.into_iter().flat_map(|broker| &broker.replicas) {
            let log = this.disk.logs.get_mut(key).expect("a replica has a log");
            if let Role::Leader(leader) = &replica.role {
                let state = partition_of(&image, key);
                let is_current = state.is_some_and(|state| state.leader_epoch == leader.leader_epoch());
                if let Some(state) = state.filter(|_| is_current) {
                    // Eligible leaders have what is committed, and while too few are in sync nothing more is.
                    let required = (min_insync_replicas(&image, key) as usize).min(state.replicas.len());
                    let eligible = state.elr.iter().filter(|_| required <= leader.isr().len());
                    let mut electable = state.isr.iter().chain(eligible);
                    let missing = electable.find(|member| !leader.maximal_isr().any(|known| known == **member));
                    assert_eq!(missing, None, "R2: {id} does not reckon with it: {state:?}");
                }
                let marks = (leader.high_watermark().value(), leader.knows_high_watermark());
                let judge = &mut ctx.judge.partitions;
                judge.check_leader(key, (id, leader.leader_epoch()), marks, is_current, log);
            }
            ctx.judge.partitions.check_replica(key, id, replica.high_watermark, log);
        }
        for key in self.keys() {
            let Some(state) = partition_of(&image, &key).filter(|_| !self.ctx.judge.partitions.is_lost(&key)) else {
                continue;
            };
            let electable = state.isr.iter().chain(&state.elr).map(|member| index_of(*member));
            if let Some(member) = electable.clone().find(|member| !self.is_complete(*member, &key)) {
                let log = self.nodes[member].disk.logs.get(&key).map(|log| log.matched);
                let committed = self.ctx.judge.partitions.committed_end(&key);
                let has_lost = |member: usize| self.nodes[member].has_lost_records;
                assert!(has_lost(member), "R3: {member} has {log:?} of {committed}, in {state:?}");
                // The controller has taken all others for dead, before it could hear that this one has lost records: the
                // last replica standing, against which only a larger `min.insync.replicas` helps (KIP-966).
                if electable.clone().all(has_lost) {
                    self.ctx.judge.partitions.lose(&key);
                }
            }
        }
        self.note_registrations(&image);
    }

    /// Whether a node has everything that is committed.
    pub(super) fn is_complete(&mut self, node: usize, key: &PartitionKey) -> bool {
        self.ctx.judge.partitions.is_complete(key, self.nodes[node].disk.logs.get_mut(key))
    }

    /// An unclean election loses what the leader lacks.
    fn note_losses(&mut self) {
        for (key, leader, epoch) in std::mem::take(&mut self.ctx.judge.metadata.unclean) {
            self.ctx.judge.partitions.elected_uncleanly(&key, epoch);
            if !self.is_complete(index_of(leader), &key) {
                self.ctx.judge.partitions.lose(&key);
            }
        }
    }

    /// Who has lost records is known to have once it is registered anew.
    fn note_registrations(&mut self, image: &highwater_metadata::MetadataImage) {
        for node in self.nodes.iter_mut().filter(|node| node.has_lost_records) {
            let registered = image.broker(node.id()).map(|broker| broker.incarnation);
            if node.broker().is_some_and(|broker| Some(broker.incarnation) == registered) {
                node.has_lost_records = false;
            }
        }
    }

    fn heal(&mut self) {
        self.ctx.say(|| "the world heals".to_owned());
        self.ctx.links.heal();
        self.ctx.plan.links.delay_ms_max = 5;
        self.ctx.plan.disk_ms_max = self.ctx.plan.disk_ms_max.min(5);
        self.ctx.plan.batches_max = 1000;
        self.ctx.is_healed = true;
        self.ctx.queue.retain(|event| {
            !matches!(
                event,
                Event::Breaks | Event::Produces | Event::Snapshots | Event::Restarts { .. } | Event::Flushes { .. }
            )
        });
        for index in 0..self.nodes.len() {
            self.nodes[index].paused_until_ms = 0;
            self.nodes[index].start(&mut self.ctx);
            self.check(index);
        }
    }

    /// Liveness: everybody is let in, in sync, and has another record that is acknowledged.
    fn converge(&mut self) {
        let healed_ms = self.ctx.now_ms;
        self.wait(healed_ms + CONVERGE_MS, |world| world.trouble().map_or(Ok(()), Err));
        let acknowledged = |world: &Self, key: &PartitionKey| world.ctx.judge.partitions.acknowledged_count(key);
        let before: Vec<(PartitionKey, u64)> =
            self.keys().into_iter().map(|key| (key, acknowledged(self, &key))).collect();
        self.wait(healed_ms + CONVERGE_MS + WRITE_MS, |world| {
            let waits = |(key, count): &&(PartitionKey, u64)| acknowledged(world, key) == *count;
            let Some((key, _)) = before.iter().find(waits) else { return Ok(()) };
            // Leaderships may still be on their way to the preferred replicas.
            if let Some(leader) = (0..world.nodes.len()).find(|node| world.leads(*node, key)) {
                world.produce(leader, *key, Acks::All);
            }
            Err(format!("no write to {} is acknowledged", key.partition))
        });
        self.wait(healed_ms + CONVERGE_MS + 2 * WRITE_MS, |world| world.trouble().map_or(Ok(()), Err));
    }

    fn wait(&mut self, until_ms: u64, mut is_done: impl FnMut(&mut Self) -> Result<(), String>) {
        loop {
            match is_done(self) {
                Ok(()) => return,
                Err(trouble) => assert!(self.ctx.now_ms < until_ms, "no progress after healing: {trouble}"),
            }
            self.run_until(self.ctx.now_ms + LOOK_EVERY_MS);
        }
    }

    /// What is not yet as it should be.
    fn trouble(&self) -> Option<String> {
        let image = self.ctx.judge.metadata.image();
        for node in self.nodes.iter().filter(|node| node.is_broker) {
            let registered = image.broker(node.id());
            if !registered.is_some_and(|broker| broker.is_active()) {
                return Some(format!("{} is not let in: {registered:?}", node.key));
            }
            if node.process.as_ref().is_none_or(|process| process.applied != self.ctx.judge.metadata.end()) {
                return Some(format!("{} does not know the metadata", node.key));
            }
        }
        let keys = self.keys();
        if keys.is_empty() {
            return Some("there is no topic".to_owned());
        }
        keys.iter().find_map(|key| {
            let state = partition_of(image, key)?;
            let is_well = state.leader.is_some()
                && state.isr.len() == state.replicas.len()
                && state.adding.is_empty()
                && state.removing.is_empty();
            let replicas: Vec<_> = state.replicas.iter().map(|node| self.marks(index_of(*node), key)).collect();
            let is_equal = replicas.iter().all(|marks| {
                marks.is_some_and(|(high_watermark, end)| Some((end, end)) == replicas[0] && high_watermark == end)
            });
            (!is_well || !is_equal).then(|| format!("{state:?} with {replicas:?}"))
        })
    }

    /// High watermark and end of a replica.
    fn marks(&self, node: usize, key: &PartitionKey) -> Option<(u64, u64)> {
        let high_watermark = self.nodes[node].broker()?.replicas.get(key)?.high_watermark;
        Some((high_watermark, self.nodes[node].disk.logs.get(key)?.end()))
    }
}

pub(super) fn index_of(node: NodeId) -> usize {
    usize::try_from(node.value()).expect("there are few nodes")
}

fn node_id(index: usize) -> NodeId {
    NodeId::new(u32::try_from(index).expect("there are few nodes"))
}

/// The topic that everything is about.
const TOPIC: &str = "t";

/// Time for the cluster to come up.
const BEGIN_MS: u64 = 4_000;

/// Within this time after all is well everybody must be in sync.
const CONVERGE_MS: u64 = 40_000;

/// Within this time after that a write must be acknowledged, and then be everywhere.
const WRITE_MS: u64 = 5_000;

/// How often to look whether it is.
const LOOK_EVERY_MS: u64 = 200;
