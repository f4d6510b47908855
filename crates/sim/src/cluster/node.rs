//! One node: its disk always, its process while it runs.

use std::collections::BTreeMap;

use highwater_metadata::{Controller, ControllerConfig, MetadataDelta, MetadataImage, StaticConfig};
use highwater_raft::{CorrelationId, Raft, RaftConfig, ReplicaKey, RoleName, Setup, SnapshotId, VoterSet};
use highwater_replication::fetcher::PartitionKey;
use highwater_types::{BrokerEpoch, NodeId, Offset, Ticks};

use super::active::Active;
use super::broker::Broker;
use super::context::Context;
use super::log::Log;
use super::message::{Event, Token};
use crate::Random;
use crate::raft::{Batch, Disk};

/// A node of the cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) index: usize,
    pub(super) key: ReplicaKey,
    pub(super) voters: VoterSet,
    pub(super) is_broker: bool,
    /// The metadata log, with the state of the quorum.
    pub(super) metadata: Disk,
    pub(super) disk: BrokerDisk,
    /// `None` while it is down.
    pub(super) process: Option<Process>,
    /// Counts its starts.
    pub(super) incarnation: u64,
    /// Nothing happens to it before.
    pub(super) paused_until_ms: u64,
    /// Milliseconds of its clock in a thousand of the world's.
    pub(super) clock_permille: u64,
    /// It has lost records, and the controller does not know yet.
    pub(super) has_lost_records: bool,
    wakes_at_ms: Option<u64>,
}

/// What a broker keeps on its disk.
#[derive(Debug, Default)]
pub(super) struct BrokerDisk {
    /// Where the chance of the next log's disk comes from, where logs have files.
    pub(super) files: Option<Random>,
    pub(super) logs: BTreeMap<PartitionKey, Log>,
    /// High watermarks, as they were written last.
    pub(super) checkpoint: BTreeMap<PartitionKey, u64>,
    /// Under which registration the broker has ended cleanly.
    pub(super) clean_shutdown: Option<BrokerEpoch>,
}

impl BrokerDisk {
    /// The log of a replica, an empty one if there is none.
    pub(super) fn log(&mut self, key: PartitionKey) -> &mut Log {
        let files = &mut self.files;
        self.logs.entry(key).or_insert_with(|| match files {
            Some(random) => Log::with_files(random.bits()),
            None => Log::default(),
        })
    }
}

/// What is gone when the process ends.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) raft: Raft<Token>,
    /// Answers to fetches of the quorum, of which the machine may take a part.
    pub(super) answers: BTreeMap<CorrelationId, Vec<Batch>>,
    /// A snapshot that is being fetched, and how many bytes of it are there.
    pub(super) part: Option<(SnapshotId, u64)>,
    /// Bytes that came with the last part.
    pub(super) bytes: u64,
    /// What is committed of the metadata, as far as this node knows.
    pub(super) committed: Controller,
    /// End of that.
    pub(super) applied: Offset,
    /// What has changed of it since the broker looked.
    pub(super) delta: MetadataDelta,
    /// The broker has not looked since something was applied.
    pub(super) has_news: bool,
    /// The broker has to look at everything.
    pub(super) is_reloaded: bool,
    /// Where the epoch begins that this node leads: once that is committed, it is the active controller.
    pub(super) active_from: Option<Offset>,
    pub(super) active: Option<Active>,
    pub(super) broker: Option<Broker>,
}

impl Node {
    pub(super) fn new(index: usize, key: ReplicaKey, voters: VoterSet, is_broker: bool, clock_permille: u64) -> Self {
        Self {
            index,
            key,
            voters,
            is_broker,
            metadata: Disk::default(),
            disk: BrokerDisk::default(),
            process: None,
            incarnation: 0,
            paused_until_ms: 0,
            clock_permille,
            has_lost_records: false,
            wakes_at_ms: None,
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.key.id
    }

    /// The node's own clock.
    pub(super) fn ticks(&self, now_ms: u64) -> Ticks {
        Ticks(now_ms * self.clock_permille / 1000)
    }

    /// When its clock will show `ticks`.
    fn world_ms(&self, ticks: Ticks) -> u64 {
        ticks.0.saturating_mul(1000).div_ceil(self.clock_permille)
    }

    pub(super) fn start(&mut self, ctx: &mut Context<'_, '_>) {
        if self.process.is_some() {
            return;
        }
        ctx.say(|| format!("{} starts", self.index));
        self.incarnation += 1;
        self.wakes_at_ms = None;
        let now = self.ticks(ctx.now_ms);
        let shape = self.metadata.shape();
        let loaded = shape.snapshots.last().map_or(Offset::ZERO, |last| last.end);
        let setup = Setup {
            key: self.key,
            voters: self.voters.clone(),
            state: self.metadata.state,
            log: shape,
            config: RaftConfig::default(),
            seed: ctx.random.bits(),
        };
        let broker = self.is_broker.then(|| Broker::new(self, ctx));
        self.process = Some(Process {
            raft: Raft::new(setup, now),
            answers: BTreeMap::new(),
            part: None,
            bytes: 0,
            committed: controller_of(ctx.judge.metadata.image_at(loaded)),
            applied: loaded,
            delta: MetadataDelta::default(),
            has_news: true,
            is_reloaded: true,
            active_from: None,
            active: None,
            broker,
        });
        self.pump(ctx);
    }

    /// The process dies, and with it what is in memory. The disks stay as they are.
    pub(super) fn die(&mut self, ctx: &mut Context<'_, '_>) {
        self.process = None;
        self.paused_until_ms = 0;
        self.metadata.crash(&mut ctx.random);
    }

    /// Gives an event to the process, if it runs and is meant.
    pub(super) fn handle(&mut self, ctx: &mut Context<'_, '_>, event: Event) {
        if self.process.is_none() || !self.is_meant(&event) {
            return;
        }
        match event {
            Event::Called { caller, call, .. } => self.handle_call(ctx, caller, *call),
            Event::Replied { caller, reply, .. } => self.handle_reply(ctx, caller.call, Some(*reply)),
            Event::CallFailed { caller } => self.handle_reply(ctx, caller.call, None),
            Event::Produced { key, acks, value, .. } => self.produce(ctx, key, acks, value),
            Event::Wakes { .. } => {
                self.wakes_at_ms = None;
                let now = self.ticks(ctx.now_ms);
                self.process.as_mut().expect("it runs").raft.handle_timeout(now);
            }
            event => self.handle_quorum(ctx, event),
        }
        self.pump(ctx);
    }

    /// Whether this process is the one that an event is about.
    fn is_meant(&self, event: &Event) -> bool {
        match event {
            Event::Answered { token, .. } | Event::Unanswered { token } => token.incarnation == self.incarnation,
            Event::Replied { caller, .. } | Event::CallFailed { caller } => caller.incarnation == self.incarnation,
            Event::Synced { incarnation, generation, .. } => {
                *incarnation == self.incarnation && *generation == self.metadata.generation
            }
            Event::Stored { incarnation, .. } | Event::Loaded { incarnation, .. } => *incarnation == self.incarnation,
            _ => true,
        }
    }

    /// Does everything that has to be done now, and says when there is more.
    pub(super) fn pump(&mut self, ctx: &mut Context<'_, '_>) {
        loop {
            self.carry_out(ctx);
            self.drive_controller(ctx);
            self.drive_broker(ctx);
            if !self.has_outputs() {
                break;
            }
        }
        self.schedule(ctx);
    }

    fn schedule(&mut self, ctx: &mut Context<'_, '_>) {
        let Some(process) = &self.process else { return };
        let due = process.raft.next_timeout();
        let active = process.active.as_ref().filter(|_| process.raft.role() == RoleName::Leader);
        let due = due.into_iter().chain(active.and_then(Active::next_timeout));
        let Some(due) = due.chain(process.broker.as_ref().and_then(Broker::next_timeout)).min() else { return };
        let at_ms = self.world_ms(due).max(ctx.now_ms);
        if self.wakes_at_ms.is_none_or(|known| at_ms < known || known < ctx.now_ms) {
            self.wakes_at_ms = Some(at_ms);
            ctx.queue.put(at_ms, Event::Wakes { node: self.index });
        }
    }
}

/// A controller with this state behind it, by way of the records that a snapshot of it holds.
pub(super) fn controller_of(image: &MetadataImage) -> Controller {
    let mut controller = Controller::new(controller_config());
    for record in image.to_records() {
        controller.apply(&record).expect("a snapshot applies to an empty image");
    }
    controller
}

/// The same on every node, so that equal logs give equal images.
pub(super) fn controller_config() -> ControllerConfig {
    ControllerConfig { cluster_id: "sim".to_owned(), node: NodeId::ZERO, static_config: StaticConfig::default() }
}
