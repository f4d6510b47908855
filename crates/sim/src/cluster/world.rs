//! A cluster and what happens to it.

use highwater_raft::{ReplicaKey, VoterSet};
use highwater_replication::fetcher::PartitionKey;
use highwater_replication::leader::Acks;
use highwater_types::{NodeId, Offset};

use super::broker::Role;
use super::context::Context;
use super::judge::Judge;
use super::message::{Call, Event, Reply};
use super::node::Node;
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
                let mut node = Node::new(index, key(index), voters.clone(), plan.is_broker(index), clock_permille);
                node.disk.files = plan.has_files.then(|| Random::new(!random.clone().bits()));
                node
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
        let before = self.knowledge(node);
        let may_matter = !is_of_quorum(&event);
        self.nodes[node].handle(&mut self.ctx, event);
        self.end_if_allowed(node);
        // What the quorum says among itself changes nothing of what is judged here, until something is committed.
        if may_matter || before != self.knowledge(node) {
            self.check(node);
        }
    }

    /// What is committed of the metadata, and what a node has applied of it.
    fn knowledge(&self, node: usize) -> (Offset, Option<Offset>) {
        let applied = self.nodes[node].process.as_ref().map(|process| process.applied);
        (self.ctx.judge.metadata.end(), applied)
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
        if self.ctx.random.chance(self.ctx.plan.sync_failure_percent) {
            // What was to be synced may be gone, whatever the page cache says: nothing but to start anew.
            self.lose_power(node, 500);
        }
        if self.nodes[node].process.is_some() {
            self.nodes[node].disk.logs.values_mut().for_each(super::log::Log::sync);
            self.nodes[node].write_checkpoint();
            if self.ctx.random.chance(self.ctx.plan.delete_percent) {
                self.nodes[node].delete_records(&mut self.ctx);
                self.check(node);
            }
        }
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * self.ctx.plan.flush_every_ms);
        self.ctx.queue.put(at_ms, Event::Flushes { node });
    }

    /// The partitions that there are.
    pub(super) fn keys(&self) -> Vec<PartitionKey> {
        self.ctx.judge.metadata.keys().to_vec()
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

    pub(super) fn leads(&self, node: usize, key: &PartitionKey) -> bool {
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
}

fn is_of_quorum(event: &Event) -> bool {
    matches!(
        event,
        Event::Asked { .. }
            | Event::Answered { .. }
            | Event::Unanswered { .. }
            | Event::Stored { .. }
            | Event::Synced { .. }
    )
}

pub(super) fn index_of(node: NodeId) -> usize {
    usize::try_from(node.value()).expect("there are few nodes")
}

fn node_id(index: usize) -> NodeId {
    NodeId::new(u32::try_from(index).expect("there are few nodes"))
}

/// Time for the cluster to come up.
const BEGIN_MS: u64 = 4_000;
