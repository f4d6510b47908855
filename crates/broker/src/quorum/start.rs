//! Starting the quorum on this node.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use highwater_metadata::{Controller, ControllerConfig, HeartbeatConfig, MetadataImage, StaticConfig};
use highwater_raft::{Endpoint, Raft, RaftConfig, ReplicaKey, Setup, VoterSet, VoterSetup};
use highwater_types::{DirectoryId, NodeId, Offset};
use parking_lot::Mutex;

use super::active::ControllerTimers;
use super::addresses::Addresses;
use super::handle::QuorumHandle;
use super::lanes::{LaneSetup, Lanes};
use super::log::{MetadataLog, MetadataLogError};
use super::messages::Address;
use super::snapshots::{SnapshotConfig, SnapshotSchedule};
use super::state::SharedState;
use super::thread::{Change, QuorumThread, ThreadSetup};
use crate::lifecycle::{Event as BrokerEvent, spawn};
use crate::net::{Now, Wakers};
use crate::random::random_u64;

/// What the quorum is started with.
pub(crate) struct QuorumSetup {
    pub(crate) node: NodeId,
    /// The directory of the metadata log.
    pub(crate) directory: DirectoryId,
    pub(crate) cluster_id: String,
    pub(crate) static_config: StaticConfig,
    /// Whether the node has the role of a controller.
    pub(crate) is_controller: bool,
    /// Who decides unless the log says so, with where each is reached.
    pub(crate) voters: Vec<(NodeId, Address)>,
    /// Whether this node alone decides if neither the configuration nor the log names anybody.
    pub(crate) is_own_cluster: bool,
    /// Who is asked for the leader as well.
    pub(crate) bootstrap: Vec<Address>,
    /// Name of the listener on which this node looks for controllers.
    pub(crate) controller_listener: String,
    /// Where this node is reached as a controller.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Why the quorum could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumStartError {
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    #[error("the quorum's thread could not be started: {0}")]
    Thread(io::Error),
}

impl QuorumSetup {
    /// The metadata as this node's log has it, committed or not: good enough to know how logs are stored.
    pub(crate) fn preview(&self, log: &MetadataLog) -> Result<MetadataImage, MetadataLogError> {
        let mut controller = Controller::new(self.controller_config());
        let newest = log.newest_snapshot()?;
        if let Some(id) = newest {
            log.load_snapshot(id, &mut |_, record| controller.apply(record))?;
        }
        let from = newest.map_or(Offset::ZERO, |id| id.end);
        log.replay(from, log.log_end(), &mut |_, record| controller.apply(record))?;
        Ok(controller.image())
    }

    /// Starts the thread. What is committed goes to `broker`; if the node cannot go on, `fail` is told why.
    pub(crate) fn start(
        self,
        log: MetadataLog,
        broker: Option<Sender<Change>>,
        wakers: &Arc<Wakers>,
        broker_events: Sender<BrokerEvent>,
        fail: impl Fn(String) + Send + 'static,
    ) -> Result<QuorumHandle, QuorumStartError> {
        let now = Now::read();
        let (sender, events) = bounded(EVENTS_MAX);
        let shared = Arc::new(SharedState::default());
        let raft = self.raft(&log, now)?;
        let key = raft.key();
        let is_alone = raft.voters().len() == 1 && raft.voters().contains(key);
        let lanes = LaneSetup {
            cluster_id: self.cluster_id.clone(),
            endpoints: self.endpoints.clone(),
            request_timeout: Duration::from_millis(self.ms("controller.quorum.request.timeout.ms", 2000)),
            events: sender.clone(),
        };
        let addresses = Addresses::new(
            self.controller_listener.clone(),
            (self.node, self.endpoints.clone()),
            self.voters.iter().cloned(),
            self.bootstrap.clone(),
        );
        let thread = QuorumThread::new(ThreadSetup {
            raft,
            lanes: Lanes::new(lanes),
            addresses,
            events,
            sender: sender.clone(),
            is_controller: self.is_controller,
            controller: self.controller_config(),
            heartbeats: HeartbeatConfig { session_timeout_ms: self.ms("broker.session.timeout.ms", 9000) },
            timers: self.timers(),
            snapshots: SnapshotSchedule::new(self.snapshot_config(), log.size_bytes(), now.ticks()),
            broker,
            shared: Arc::clone(&shared),
            fail: Box::new(fail),
            log,
        })?;
        let thread = spawn("quorum".to_owned(), "the quorum's thread", broker_events, move || thread.run());
        Ok(QuorumHandle {
            events: sender,
            thread: Mutex::new(Some(thread.map_err(QuorumStartError::Thread)?)),
            shared,
            wakers: Arc::clone(wakers),
            node: self.node,
            is_alone,
        })
    }

    /// The machine, with what the log and the newest snapshot say of the voters.
    fn raft<T>(&self, log: &MetadataLog, now: Now) -> Result<Raft<T>, MetadataLogError> {
        let key = |id| ReplicaKey { id, directory: None };
        let mut voters: Vec<ReplicaKey> = self.voters.iter().map(|(id, _)| key(*id)).collect();
        if voters.is_empty() && self.is_own_cluster {
            voters.push(key(self.node));
        }
        let setup = Setup {
            key: ReplicaKey { id: self.node, directory: Some(self.directory) },
            voters: VoterSet::new(voters),
            state: log.state()?,
            log: log.shape()?,
            config: self.raft_config(),
            seed: random_u64(),
        };
        let snapshot = log.snapshot_membership()?;
        let controls = log.controls(snapshot.as_ref().map_or(Offset::ZERO, |(end, _)| *end))?;
        // A node that is no controller is never to be a voter.
        let endpoints = if self.is_controller { self.endpoints.clone() } else { Vec::new() };
        Ok(Raft::with_voters(setup, VoterSetup { snapshot, controls, endpoints }, now.ticks()))
    }

    fn controller_config(&self) -> ControllerConfig {
        ControllerConfig {
            cluster_id: self.cluster_id.clone(),
            node: self.node,
            static_config: self.static_config.clone(),
        }
    }

    fn raft_config(&self) -> RaftConfig {
        let defaults = RaftConfig::default();
        RaftConfig {
            election_timeout_ms: self.ms("controller.quorum.election.timeout.ms", defaults.election_timeout_ms),
            fetch_timeout_ms: self.ms("controller.quorum.fetch.timeout.ms", defaults.fetch_timeout_ms),
            election_backoff_ms_max: self
                .ms("controller.quorum.election.backoff.max.ms", defaults.election_backoff_ms_max),
            retry_backoff_ms: self.ms("controller.quorum.retry.backoff.ms", defaults.retry_backoff_ms),
            request_timeout_ms: self.ms("controller.quorum.request.timeout.ms", defaults.request_timeout_ms),
            bootstrap_servers: u32::try_from(self.bootstrap.len()).unwrap_or(u32::MAX),
            auto_join: self.is_controller
                && self.static_config.flag("controller.quorum.auto.join.enable").unwrap_or(defaults.auto_join),
            ..defaults
        }
    }

    fn timers(&self) -> ControllerTimers {
        let balances = self.static_config.flag("auto.leader.rebalance.enable").unwrap_or(true);
        let balance_s = self.ms("leader.imbalance.check.interval.seconds", 300);
        let imbalance = self.static_config.number("leader.imbalance.per.broker.percentage");
        ControllerTimers {
            imbalance_percentage_max: imbalance.and_then(|percentage| u8::try_from(percentage).ok()).unwrap_or(0),
            balance_ms: balances.then_some(balance_s.saturating_mul(1000)),
            elect_ms: self.ms("unclean.leader.election.interval.ms", 300_000),
        }
    }

    fn snapshot_config(&self) -> SnapshotConfig {
        let bound = |name, default: i64| {
            let value = self.static_config.number(name).unwrap_or(default);
            u64::try_from(value).ok()
        };
        SnapshotConfig {
            bytes_between: self.ms("metadata.log.max.record.bytes.between.snapshots", 20 << 20),
            interval_ms: self.ms("metadata.log.max.snapshot.interval.ms", 3_600_000),
            retention_bytes: bound("metadata.max.retention.bytes", 100 << 20),
            retention_ms: bound("metadata.max.retention.ms", 604_800_000),
        }
    }

    /// A number that is not negative.
    fn ms(&self, name: &str, default: u64) -> u64 {
        self.static_config.number(name).and_then(|value| u64::try_from(value).ok()).unwrap_or(default)
    }
}

/// Events that may wait for the thread; the next request is refused with a retriable error.
const EVENTS_MAX: usize = 1000;
