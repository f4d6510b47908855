//! A cluster that is driven by a script instead of by chance, for tests of single rules.

use std::fmt;

use highwater_metadata::{
    AlterReassignments, ConfigEdit, Election, IncrementalAlterConfigs, IncrementalResource, PartitionImage,
    ReassignPartition,
};
use highwater_raft::RoleName;
use highwater_replication::fetcher::PartitionKey;
use highwater_replication::leader::Acks;
use highwater_types::{ErrorCode, NodeId, PartitionIndex};

use super::administrator::TOPIC;
use super::broker::{Role, partition_of};
use super::faults::Loss;
use super::message::Event;
use super::plan::{Plan, Timing};
use super::world::{World, index_of};
use crate::links::LinkRates;
use crate::{Random, Trace};

/// What a scripted cluster is like. Nodes 0 to 2 are the controllers; the brokers come after them.
#[derive(Clone, Copy, Debug)]
pub struct ClusterSetup {
    /// Number of brokers. Default 3.
    pub brokers: usize,
    /// Replicas of the one partition. Default 3.
    pub replication_factor: i16,
    /// `min.insync.replicas` of its topic. Default 2.
    pub min_insync_replicas: u32,
    /// Whether replicas that leave the in-sync set too early stay eligible (KIP-966). Default no.
    pub has_elr: bool,
    /// `unclean.leader.election.enable` of the topic. Default no.
    pub may_be_unclean: bool,
    /// Longest delay of a message, in milliseconds. Default 2.
    pub delay_ms_max: u64,
}

impl Default for ClusterSetup {
    fn default() -> Self {
        Self {
            brokers: 3,
            replication_factor: 3,
            min_insync_replicas: 2,
            has_elr: false,
            may_be_unclean: false,
            delay_ms_max: 2,
        }
    }
}

/// A cluster with one topic of one partition. The judge looks on after every event, as it does in the histories by chance.
///
/// Nothing happens but what the script says, and what follows from it. `replica.lag.time.max.ms` is
/// [`LAG_MS`](Self::LAG_MS), the session timeout of brokers [`SESSION_MS`](Self::SESSION_MS).
pub struct Cluster<'t, 'f> {
    world: World<'t, 'f>,
    key: PartitionKey,
}

impl fmt::Debug for Cluster<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl<'t, 'f> Cluster<'t, 'f> {
    /// How long a follower may lag and count as in sync.
    pub const LAG_MS: u64 = 1_000;

    /// After how long a silence the controller takes a broker for dead.
    pub const SESSION_MS: u64 = 4_000;

    /// A cluster in which everybody is let in and in sync.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    #[must_use]
    pub fn new(setup: ClusterSetup, trace: &'t mut Trace<'f>) -> Self {
        let world = World::new(plan_of(setup), Random::new(1), trace);
        let key = PartitionKey {
            topic: highwater_types::TopicId(highwater_types::Uuid::ZERO),
            partition: PartitionIndex::ZERO,
        };
        let mut cluster = Self { world, key };
        for node in 0..cluster.world.nodes.len() {
            cluster.start(node);
        }
        cluster.world.ctx.queue.put(500, Event::Administers);
        cluster.wait(20_000, |cluster| cluster.world.trouble());
        cluster.world.ctx.queue.retain(|event| !matches!(event, Event::Administers));
        cluster.key = cluster.world.keys()[0];
        cluster
    }

    /// Lets time pass.
    pub fn run_ms(&mut self, ms: u64) {
        let end_ms = self.world.ctx.now_ms + ms;
        self.world.run_until(end_ms);
    }

    /// Lets time pass until `trouble` finds none.
    ///
    /// # Panics
    ///
    /// If it still does after `ms`.
    pub fn wait(&mut self, ms: u64, trouble: impl Fn(&Self) -> Option<String>) {
        let until_ms = self.world.ctx.now_ms + ms;
        while let Some(trouble) = trouble(self) {
            assert!(self.world.ctx.now_ms < until_ms, "{trouble}: {self:?}");
            self.run_ms(10);
        }
    }

    /// Everything breaks no more and must become well, with all processes running.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn converge(&mut self) {
        self.world.heal();
        self.world.converge();
    }

    /// The node that leads the partition, as far as the metadata is committed.
    #[must_use]
    pub fn leader(&self) -> Option<usize> {
        self.state().and_then(|state| state.leader).map(index_of)
    }

    /// How often the partition has had a new leader.
    #[must_use]
    pub fn leader_epoch(&self) -> u32 {
        self.state().map_or(0, |state| state.leader_epoch.value())
    }

    /// The replicas of the partition.
    #[must_use]
    pub fn replicas(&self) -> Vec<usize> {
        self.state().map(|state| state.replicas.iter().map(|node| index_of(*node)).collect()).unwrap_or_default()
    }

    /// Those of them that do not lead.
    #[must_use]
    pub fn followers(&self) -> Vec<usize> {
        self.replicas().into_iter().filter(|node| Some(*node) != self.leader()).collect()
    }

    /// The in-sync replicas, in order of their numbers.
    #[must_use]
    pub fn isr(&self) -> Vec<usize> {
        self.state().map(|state| sorted(&state.isr)).unwrap_or_default()
    }

    /// The eligible leader replicas, in order of their numbers.
    #[must_use]
    pub fn elr(&self) -> Vec<usize> {
        self.state().map(|state| sorted(&state.elr)).unwrap_or_default()
    }

    /// Whether a broker may lead and be in sync, as far as the metadata is committed.
    #[must_use]
    pub fn is_active(&self, node: usize) -> bool {
        let id = self.world.nodes[node].id();
        self.world.ctx.judge.metadata.image().broker(id).is_some_and(|broker| broker.is_active())
    }

    /// Offset of the registration of a broker.
    #[must_use]
    pub fn broker_epoch(&self, node: usize) -> Option<u64> {
        let id = self.world.nodes[node].id();
        self.world.ctx.judge.metadata.image().broker(id).map(|broker| broker.epoch.0)
    }

    /// The controllers that take themselves for the active one.
    #[must_use]
    pub fn controllers(&self) -> Vec<usize> {
        let leads = |node: &super::node::Node| {
            let process = node.process.as_ref()?;
            (process.active.is_some() && process.raft.role() == RoleName::Leader).then_some(node.index)
        };
        self.world.nodes.iter().filter_map(leads).collect()
    }

    /// Whether a node takes itself for the leader of the partition.
    #[must_use]
    pub fn leads(&self, node: usize) -> bool {
        self.world.leads(node, &self.key)
    }

    /// The in-sync replicas as a leader knows them, with those that it reckons with too: in order of their numbers.
    #[must_use]
    pub fn maximal_isr(&self, node: usize) -> Vec<usize> {
        let replica = self.world.nodes[node].broker().and_then(|broker| broker.replicas.get(&self.key));
        match replica.map(|replica| &replica.role) {
            Some(Role::Leader(leader)) => sorted(&leader.maximal_isr().collect::<Vec<_>>()),
            _ => Vec::new(),
        }
    }

    /// Sends a record with a value of its own to a node.
    pub fn produce(&mut self, node: usize, acks: Acks) -> u64 {
        self.world.produce(node, self.key, acks)
    }

    /// What the producer of a value was told; `None` for nothing yet, or for records that nobody waits for.
    #[must_use]
    pub fn outcome(&self, value: u64) -> Option<ErrorCode> {
        self.world.ctx.judge.partitions.outcome(value)
    }

    /// The values in the log of a node.
    #[must_use]
    pub fn values(&self, node: usize) -> Vec<u64> {
        let log = self.world.nodes[node].disk.logs.get(&self.key);
        log.map(|log| log.records().iter().map(|record| record.value).collect()).unwrap_or_default()
    }

    /// How much of the log of a running node consumers may read.
    #[must_use]
    pub fn high_watermark(&self, node: usize) -> u64 {
        self.world.marks(node, &self.key).map_or(0, |(high_watermark, _)| high_watermark)
    }

    /// Cuts a link, one way.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.world.ctx.links.set_cut(from, to, true);
    }

    /// Mends a link, one way.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.world.ctx.links.set_cut(from, to, false);
    }

    /// Cuts everything between a node and the `others`, or mends it.
    pub fn isolate(&mut self, node: usize, others: &[usize], is_cut: bool) {
        for other in others.iter().filter(|other| **other != node) {
            self.world.ctx.links.set_cut(node, *other, is_cut);
            self.world.ctx.links.set_cut(*other, node, is_cut);
        }
    }

    /// Every node.
    #[must_use]
    pub fn nodes(&self) -> Vec<usize> {
        (0..self.world.nodes.len()).collect()
    }

    /// Kills a process. What it has written stays.
    pub fn kill(&mut self, node: usize) {
        self.world.take_down(node, Loss::Nothing);
    }

    /// Takes the power of a node: what it has not synced may be gone.
    pub fn lose_power(&mut self, node: usize) {
        self.world.take_down(node, Loss::Unsynced);
    }

    /// Takes the disk of a broker.
    pub fn wipe(&mut self, node: usize) {
        self.world.take_down(node, Loss::Disk);
    }

    /// Starts a node again.
    pub fn start(&mut self, node: usize) {
        self.world.nodes[node].start(&mut self.world.ctx);
        self.world.check(node);
    }

    /// Whether the process of a node runs.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.world.nodes[node].process.is_some()
    }

    /// Lets nothing happen to a node for a while.
    pub fn pause(&mut self, node: usize, ms: u64) {
        self.world.pause(node, ms);
    }

    /// Syncs the logs of a node.
    pub fn sync(&mut self, node: usize) {
        self.world.nodes[node].disk.logs.values_mut().for_each(super::log::Log::sync);
    }

    /// A broker wants to end. When it has, it starts again after two seconds at most.
    pub fn leave(&mut self, node: usize) {
        self.world.leave(node);
    }

    /// Moves the partition, or cancels that.
    pub fn reassign(&mut self, replicas: Option<&[usize]>) {
        let to_wire = |node: &usize| i32::try_from(*node).expect("there are few nodes");
        let replicas = replicas.map(|replicas| replicas.iter().map(to_wire).collect());
        let partition = ReassignPartition { topic: TOPIC.to_owned(), partition: 0, replicas };
        let request = AlterReassignments { partitions: vec![partition], allow_replication_factor_change: true };
        self.decide(|controller| controller.alter_reassignments(&request).records);
    }

    /// Asks for an election.
    pub fn elect(&mut self, election: Election) {
        self.decide(|controller| controller.elect_leaders(election, &[(TOPIC.to_owned(), 0)]).records);
    }

    /// Changes `min.insync.replicas` of the topic.
    pub fn set_min_insync_replicas(&mut self, count: u32) {
        let value = Some(count.to_string());
        let change = ConfigEdit { name: "min.insync.replicas".to_owned(), operation: 0, value };
        let resource = IncrementalResource { kind: 2, name: TOPIC.to_owned(), changes: vec![change] };
        let request = IncrementalAlterConfigs { resources: vec![resource], validate_only: false };
        self.decide(|controller| controller.incremental_alter_configs(&request).records);
    }

    fn decide(
        &mut self,
        decide: impl FnOnce(&highwater_metadata::Controller) -> Vec<highwater_metadata::MetadataRecord>,
    ) {
        let node = *self.controllers().last().expect("there is an active controller");
        let active = self.world.nodes[node].process.as_ref().and_then(|process| process.active.as_ref());
        let records = decide(&active.expect("it is active").controller);
        self.world.write(node, &records);
    }

    fn state(&self) -> Option<&PartitionImage> {
        partition_of(self.world.ctx.judge.metadata.image(), &self.key)
    }
}

fn sorted(nodes: &[NodeId]) -> Vec<usize> {
    let mut nodes: Vec<usize> = nodes.iter().map(|node| index_of(*node)).collect();
    nodes.sort_unstable();
    nodes
}

fn plan_of(setup: ClusterSetup) -> Plan {
    let never_ms = 1_000_000;
    Plan {
        controllers: 3,
        brokers: setup.brokers,
        is_combined: false,
        partitions: 1,
        replication_factor: setup.replication_factor,
        min_insync_replicas: setup.min_insync_replicas,
        may_be_unclean: setup.may_be_unclean,
        has_elr: setup.has_elr,
        chaos_ms: 0,
        links: LinkRates { loss_percent: 0, repeat_percent: 0, delay_ms_max: setup.delay_ms_max },
        disk_ms_max: 1,
        fault_every_ms: never_ms,
        produce_every_ms: never_ms,
        admin_every_ms: never_ms,
        snapshot_every_ms: never_ms,
        flush_every_ms: never_ms,
        sync_failure_percent: 0,
        delete_percent: 0,
        batches_max: 100,
        late_read_percent: 0,
        kill_percent: 0,
        has_files: true,
        timing: Timing {
            session_timeout_ms: Cluster::SESSION_MS,
            heartbeat_ms: Cluster::SESSION_MS / 4,
            lag_ms_max: Cluster::LAG_MS,
            fetch_wait_ms: 50,
            request_timeout_ms: 500,
            backoff_ms: 20,
        },
    }
}
