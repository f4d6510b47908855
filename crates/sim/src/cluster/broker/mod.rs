//! A broker: its replicas, its fetchers, its life with the controller.

mod apply;
mod follow;
mod lead;
mod life;
mod serve;

pub(super) use apply::{min_insync_replicas, partition_of};

use std::collections::BTreeMap;

use highwater_replication::fetcher::{Fetcher, PartitionKey, SessionId};
use highwater_replication::follower::{FetchPosition, Follower};
use highwater_replication::leader::{Leader, ProposalId};
use highwater_types::{BrokerEpoch, LeaderEpoch, NodeId, Offset, Ticks, Uuid};

use super::context::Context;
use super::log::Record;
use super::message::{Call, Caller, Reply};
use super::node::Node;
use super::quorum::leader_of;

/// The process of a broker.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) incarnation: Uuid,
    /// Under which registration the process before ended, if it ended cleanly.
    previous_epoch: Option<BrokerEpoch>,
    /// Its registration.
    pub(super) epoch: Option<BrokerEpoch>,
    /// When to register, or to send the next heartbeat.
    call_at: Ticks,
    is_calling: bool,
    /// Whether its replicas follow the metadata, which they do once its registration is in it.
    pub(super) is_loaded: bool,
    /// It wants to end.
    pub(super) is_leaving: bool,
    /// The controller lets it end.
    pub(super) may_end: bool,
    pub(super) replicas: BTreeMap<PartitionKey, Replica>,
    fetchers: BTreeMap<NodeId, Fetcher>,
    sessions: BTreeMap<usize, Session>,
    sessions_made: u32,
    parked: Vec<ParkedFetch>,
    /// Something has happened that those who are parked may wait for.
    is_woken: bool,
    calls: BTreeMap<u64, Pending>,
    calls_made: u64,
}

/// A replica of a partition.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) role: Role,
    /// As the log knows it.
    pub(super) high_watermark: u64,
    /// Records that a producer waits for, with the offset of each.
    parked: Vec<(u64, Record)>,
}

#[derive(Debug)]
pub(super) enum Role {
    Leader(Box<Leader>),
    Follower(Box<Follower>),
}

/// A call without an answer.
#[derive(Debug)]
enum Pending {
    Register,
    Heartbeat,
    Alter { key: PartitionKey, leader_epoch: LeaderEpoch, id: ProposalId },
    Fetch { from: NodeId },
    Offsets { key: PartitionKey, position: FetchPosition },
}

/// The serving end of a fetch session.
#[derive(Debug)]
struct Session {
    id: SessionId,
    next_epoch: u32,
    partitions: BTreeMap<PartitionKey, Told>,
}

/// What a session knows of a partition.
#[derive(Clone, Copy, Debug)]
struct Told {
    position: FetchPosition,
    /// High watermark and log start as they were said last.
    marks: Option<(Offset, Offset)>,
}

/// A fetch that waits for records.
#[derive(Debug)]
struct ParkedFetch {
    caller: Caller,
    epoch: BrokerEpoch,
    until: Ticks,
    is_full: bool,
    session: Option<SessionId>,
}

impl Broker {
    /// A broker that starts on this node.
    pub(super) fn new(node: &mut Node, ctx: &mut Context<'_, '_>) -> Self {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&(node.index as u64).to_be_bytes());
        bytes[8..].copy_from_slice(&node.incarnation.to_be_bytes());
        Self {
            incarnation: Uuid::from_bytes(bytes),
            previous_epoch: node.disk.clean_shutdown.take(),
            epoch: None,
            call_at: node.ticks(ctx.now_ms),
            is_calling: false,
            is_loaded: false,
            is_leaving: false,
            may_end: false,
            replicas: BTreeMap::new(),
            fetchers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sessions_made: 0,
            parked: Vec::new(),
            is_woken: false,
            calls: BTreeMap::new(),
            calls_made: 0,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Ticks> {
        let call_at = (!self.is_calling && !self.may_end).then_some(self.call_at);
        let leaders = self.replicas.values().filter_map(|replica| match &replica.role {
            Role::Leader(leader) => leader.poll_timeout(),
            Role::Follower(_) => None,
        });
        // Who is not registered does not fetch.
        let fetchers = self.fetchers.values().filter(|_| self.epoch.is_some());
        let fetchers = fetchers.filter_map(|fetcher| fetcher.poll_timeout(None));
        let parked = self.parked.iter().map(|parked| parked.until);
        call_at.into_iter().chain(leaders).chain(fetchers).chain(parked).min()
    }
}

impl Node {
    pub(super) fn broker(&self) -> Option<&Broker> {
        self.process.as_ref()?.broker.as_ref()
    }

    fn broker_mut(&mut self) -> Option<&mut Broker> {
        self.process.as_mut()?.broker.as_mut()
    }

    /// A call has reached this node.
    pub(super) fn handle_call(&mut self, ctx: &mut Context<'_, '_>, caller: Caller, call: Call) {
        match call {
            Call::Fetch(epoch, request) => self.serve_fetch(ctx, caller, epoch, &request),
            Call::Offsets(key, epoch) => self.serve_offsets(ctx, caller, key, epoch),
            call => self.decide(ctx, caller, &call),
        }
    }

    /// A call has been answered, or has not in time. An answer that comes later is dropped, as its connection is closed.
    pub(super) fn handle_reply(&mut self, ctx: &mut Context<'_, '_>, call: u64, reply: Option<Reply>) {
        let Some(pending) = self.broker_mut().and_then(|broker| broker.calls.remove(&call)) else { return };
        ctx.say(|| format!("{} is answered to {pending:?}: {reply:?}", self.index));
        match pending {
            Pending::Register => self.registered(ctx, reply.as_ref()),
            Pending::Heartbeat => self.heartbeat_answered(ctx, reply.as_ref()),
            Pending::Alter { key, leader_epoch, id } => self.isr_answered(ctx, key, leader_epoch, id, reply),
            Pending::Fetch { from } => self.fetched(ctx, from, reply),
            Pending::Offsets { key, position } => self.offsets_answered(ctx, key, &position, reply.as_ref()),
        }
    }

    /// Does what is due for the broker.
    pub(super) fn drive_broker(&mut self, ctx: &mut Context<'_, '_>) {
        if self.broker().is_none() {
            return;
        }
        self.apply_metadata(ctx);
        self.drive_life(ctx);
        self.drive_leaders(ctx);
        self.drive_fetchers(ctx);
        self.answer_parked(ctx);
    }

    fn call(&mut self, ctx: &mut Context<'_, '_>, to: usize, call: Call, pending: Pending) {
        let (node, incarnation) = (self.index, self.incarnation);
        let Some(broker) = self.broker_mut() else { return };
        broker.calls_made += 1;
        let caller = Caller { node, incarnation, call: broker.calls_made };
        broker.calls.insert(caller.call, pending);
        ctx.call(to, caller, call);
    }

    /// The node to call about the metadata.
    fn controller(&self) -> Option<usize> {
        leader_of(&self.process.as_ref()?.raft)
    }
}

/// Position of a broker among the nodes.
fn index_of(node: NodeId) -> usize {
    usize::try_from(node.value()).expect("there are few nodes")
}
