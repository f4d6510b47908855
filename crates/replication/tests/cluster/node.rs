//! A broker: its log, its machine, its fetchers, and the other end of fetch sessions.

use crate::controller::{Broker, News, Partition};
use crate::log::{Log, Record};
use highwater_replication::divergence;
use highwater_replication::fetcher::{
    Assignment, FetchRequest, FetchResponse, Fetcher, FetcherConfig, PartitionKey, SessionId,
};
use highwater_replication::follower::{
    FetchPosition, FetchedPartition, Follower, FollowerConfig, FollowerSetup, LeaderOffsets, Plan,
};
use highwater_replication::leader::{
    FollowerFetch, Input, IsrProposal, Leader, LeaderConfig, LeaderSetup, Output, RecoveryState,
};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, Ticks, TopicId};
use std::collections::BTreeMap;

const KEY: PartitionKey = PartitionKey { topic: TopicId(highwater_types::Uuid::ZERO), partition: PartitionIndex::ZERO };

pub(crate) enum Role {
    None,
    Leader(Box<Leader>),
    Follower(Box<Follower>),
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) epoch: BrokerEpoch,
    pub(crate) up: bool,
    pub(crate) log: Log,
    /// As the log knows it.
    pub(crate) high_watermark: u64,
    /// As it was written to disk last.
    pub(crate) checkpoint: u64,
    pub(crate) role: Role,
    /// One for each broker that it has fetched from.
    pub(crate) fetchers: BTreeMap<NodeId, Fetcher>,
    sessions: BTreeMap<NodeId, ServedSession>,
    sessions_made: u32,
    /// Entries of the metadata log that it has read.
    pub(crate) applied: usize,
    brokers: BTreeMap<NodeId, Broker>,
    replicas: Vec<NodeId>,
    config: LeaderConfig,
    /// Records that a producer waits for, with the offset of each.
    pub(crate) parked: Vec<(u64, Record)>,
    /// Removed by truncation since the last look, with the offset of each.
    pub(crate) removed: Vec<(u64, Record)>,
}

/// The leader's end of a session.
struct ServedSession {
    id: SessionId,
    next_epoch: u32,
    position: Option<FetchPosition>,
    told: Option<Offset>,
}

/// An answer to a fetch.
pub(crate) struct Response {
    pub(crate) error: ErrorCode,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) partition: Option<(FetchPosition, FetchedPartition, Vec<Record>)>,
}

impl Node {
    pub(crate) fn new(id: NodeId, replicas: &[NodeId], config: LeaderConfig) -> Self {
        Self {
            id,
            epoch: BrokerEpoch(u64::from(id.value())),
            up: true,
            log: Log::default(),
            high_watermark: 0,
            checkpoint: 0,
            role: Role::None,
            fetchers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            sessions_made: 0,
            applied: 0,
            brokers: BTreeMap::new(),
            replicas: replicas.to_vec(),
            config,
            parked: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Begins with the metadata as it is after `applied` entries of its log.
    pub(crate) fn load(
        &mut self,
        now: Ticks,
        brokers: BTreeMap<NodeId, Broker>,
        partition: &Partition,
        applied: usize,
    ) {
        self.brokers = brokers;
        self.applied = applied;
        assert!(self.apply_partition(now, partition).is_empty(), "nothing to propose at first");
    }

    /// Reads one more entry of the metadata log.
    pub(crate) fn apply(&mut self, now: Ticks, news: &News) -> Vec<IsrProposal> {
        self.applied += 1;
        match news {
            News::Broker(node, broker) => {
                self.brokers.insert(*node, *broker);
                self.tell_broker(now, *node)
            }
            News::Partition(partition) => self.apply_partition(now, partition),
        }
    }

    fn apply_partition(&mut self, now: Ticks, partition: &Partition) -> Vec<IsrProposal> {
        let current = match &self.role {
            Role::None => None,
            Role::Leader(leader) => Some(leader.leader_epoch()),
            Role::Follower(follower) => Some(follower.leader_epoch()),
        };
        if current == Some(partition.leader_epoch) {
            let Partition { partition_epoch, isr, .. } = partition.clone();
            let (replicas, recovery) = (self.replicas.clone(), RecoveryState::Recovered);
            return self.lead(now, Input::PartitionChanged { partition_epoch, replicas, isr, recovery });
        }
        self.parked.clear();
        if partition.leader == Some(self.id) {
            self.become_leader(now, partition)
        } else {
            let setup = FollowerSetup {
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                log: self.log.state(),
                high_watermark: Offset::new(self.high_watermark),
                config: FollowerConfig { backoff_ms: 20, ..FollowerConfig::default() },
            };
            self.role = Role::Follower(Box::new(Follower::new(setup)));
            self.assign();
            Vec::new()
        }
    }

    fn become_leader(&mut self, now: Ticks, partition: &Partition) -> Vec<IsrProposal> {
        self.log.assign(partition.leader_epoch);
        let setup = LeaderSetup {
            node: self.id,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: self.replicas.clone(),
            isr: partition.isr.clone(),
            recovery: RecoveryState::Recovered,
            log_end: Offset::new(self.log.end()),
            high_watermark: Offset::new(self.high_watermark),
            config: self.config,
        };
        let leader = Leader::new(setup, now);
        self.high_watermark = leader.high_watermark().value();
        self.role = Role::Leader(Box::new(leader));
        self.fetchers.values_mut().for_each(|fetcher| fetcher.remove(&KEY));
        let brokers: Vec<NodeId> = self.brokers.keys().copied().collect();
        brokers.into_iter().flat_map(|node| self.tell_broker(now, node)).collect()
    }

    fn tell_broker(&mut self, now: Ticks, node: NodeId) -> Vec<IsrProposal> {
        let Broker { epoch, active } = self.brokers[&node];
        self.lead(now, Input::BrokerChanged { node, epoch: Some(epoch), active })
    }

    /// Feeds the leader, if this node is one.
    pub(crate) fn lead(&mut self, now: Ticks, input: Input) -> Vec<IsrProposal> {
        if let Role::Leader(leader) = &mut self.role {
            leader.handle(now, input);
        }
        self.drain()
    }

    pub(crate) fn tick(&mut self, now: Ticks) -> Vec<IsrProposal> {
        if let Role::Leader(leader) = &mut self.role
            && leader.poll_timeout().is_some_and(|at| at <= now)
        {
            leader.handle_timeout(now);
        }
        self.drain()
    }

    fn drain(&mut self) -> Vec<IsrProposal> {
        let mut proposals = Vec::new();
        let Role::Leader(leader) = &mut self.role else { return proposals };
        while let Some(output) = leader.poll_output() {
            match output {
                Output::ProposeIsr(proposal) => proposals.push(proposal),
                Output::HighWatermark(to) => self.high_watermark = to.value(),
                Output::LowWatermark | Output::IsrChanged => {}
            }
        }
        proposals
    }

    pub(crate) fn produce(&mut self, value: u64, acks: highwater_replication::leader::Acks) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.admit(acks).is_err() {
            return;
        }
        let record = Record { epoch: leader.leader_epoch(), value };
        self.parked.push((self.log.end(), record));
        self.log.append(record);
        if let Some(to) = leader.appended(Offset::new(self.log.end())) {
            self.high_watermark = to.value();
        }
    }

    /// Serves a fetch. `session` is whether one may be made.
    pub(crate) fn serve(
        &mut self,
        now: Ticks,
        from: (NodeId, BrokerEpoch),
        request: &FetchRequest,
        session: bool,
        count_max: u64,
    ) -> (Response, Vec<IsrProposal>) {
        let (node, _) = from;
        let position = request.partitions.first().map(|(_, position)| *position);
        let failed = |error| (Response { error, session_id: None, partition: None }, Vec::new());
        if request.session_epoch == 0 {
            self.sessions_made += 1;
            let id = SessionId(self.sessions_made);
            self.sessions.insert(node, ServedSession { id, next_epoch: 1, position, told: None });
        } else {
            let Some(known) = self.sessions.get_mut(&node).filter(|known| Some(known.id) == request.session_id) else {
                return failed(ErrorCode::FetchSessionIdNotFound);
            };
            if known.next_epoch != request.session_epoch {
                return failed(ErrorCode::InvalidFetchSessionEpoch);
            }
            known.next_epoch += 1;
            known.position = position.or(known.position.filter(|_| request.forgotten.is_empty()));
        }
        let position = self.sessions[&node].position;
        let mut proposals = Vec::new();
        let mut partition = position.map(|position| {
            let (answer, records);
            (answer, records, proposals) = self.read(now, from, position, count_max);
            (position, answer, records)
        });
        let served = self.sessions.get_mut(&node).expect("made above");
        if let Some((_, answer, records)) = &partition {
            let news = !records.is_empty() || answer.diverging.is_some() || answer.error != ErrorCode::None;
            let repeated = request.session_epoch != 0 && !news && served.told == answer.high_watermark;
            served.told = answer.high_watermark.filter(|_| answer.error == ErrorCode::None);
            partition = partition.filter(|_| !repeated);
        }
        let session_id = Some(served.id).filter(|_| session);
        (Response { error: ErrorCode::None, session_id, partition }, proposals)
    }

    fn read(
        &mut self,
        now: Ticks,
        (node, broker_epoch): (NodeId, BrokerEpoch),
        position: FetchPosition,
        count_max: u64,
    ) -> (FetchedPartition, Vec<Record>, Vec<IsrProposal>) {
        let failed = |error| FetchedPartition {
            error,
            diverging: None,
            high_watermark: None,
            log_start: None,
            first_batch: None,
        };
        let Role::Leader(leader) = &self.role else {
            return (failed(ErrorCode::NotLeaderOrFollower), Vec::new(), Vec::new());
        };
        let fetch = FollowerFetch {
            node,
            broker_epoch: Some(broker_epoch),
            leader_epoch: Some(position.leader_epoch),
            offset: position.offset,
            log_start: Some(position.log_start),
        };
        if let Err(refusal) = leader.check_follower(&fetch) {
            return (failed(refusal.code()), Vec::new(), Vec::new());
        }
        let marks = FetchedPartition {
            high_watermark: Some(leader.high_watermark()),
            log_start: Some(Offset::new(self.log.start)),
            ..failed(ErrorCode::None)
        };
        let diverging =
            position.last_fetched_epoch.map_or(Ok(None), |last| divergence(&self.log, last, position.offset));
        let Ok(diverging) = diverging else {
            return (failed(ErrorCode::OffsetOutOfRange), Vec::new(), Vec::new());
        };
        if diverging.is_some() {
            return (FetchedPartition { diverging, ..marks }, Vec::new(), Vec::new());
        }
        let from = position.offset.value();
        if from < self.log.start || self.log.end() < from {
            return (failed(ErrorCode::OffsetOutOfRange), Vec::new(), Vec::new());
        }
        let records = self.log.read(from, count_max);
        let proposals = self.lead(now, Input::FollowerFetch(fetch));
        (FetchedPartition { first_batch: Log::span(position.offset, &records), ..marks }, records, proposals)
    }

    /// The answer to a fetch has come. Returns a question to the leader, if there is one.
    pub(crate) fn fetched(&mut self, now: Ticks, source: NodeId, response: Response) -> Option<FetchPosition> {
        let fetcher = self.fetchers.get_mut(&source).expect("it has been fetched from");
        let partitions: Vec<(PartitionKey, u64)> =
            response.partition.iter().map(|(_, _, records)| (KEY, records.len() as u64)).collect();
        let Response { error, session_id, partition } = response;
        let answers = fetcher.handle_response(now, &FetchResponse { error, session_id, partitions: &partitions });
        let answered = answers.partitions.first()?;
        let (_, answer, records) = partition?;
        let Role::Follower(follower) = &mut self.role else { return None };
        let plan = follower.handle_response(now, &answered.request, &answer, &self.log);
        let question = self.carry_out(now, plan, &records);
        self.assign();
        question
    }

    pub(crate) fn asked(&mut self, now: Ticks, position: &FetchPosition, answer: Result<LeaderOffsets, ErrorCode>) {
        if let Role::Follower(follower) = &mut self.role {
            let plan = follower.offsets_answered(now, position, answer);
            assert_eq!(self.carry_out(now, plan, &[]), None, "one question is enough");
            self.assign();
        }
    }

    /// What a leader says to [`Plan::AskOffsets`].
    pub(crate) fn offsets(&self, epoch: LeaderEpoch) -> Result<LeaderOffsets, ErrorCode> {
        let Role::Leader(leader) = &self.role else { return Err(ErrorCode::NotLeaderOrFollower) };
        leader.check_epoch(Some(epoch)).map_err(highwater_replication::leader::EpochError::code)?;
        Ok(LeaderOffsets { start: Offset::new(self.log.start), end: Offset::new(self.log.end()) })
    }

    fn carry_out(&mut self, now: Ticks, plan: Plan, records: &[Record]) -> Option<FetchPosition> {
        let Role::Follower(follower) = &mut self.role else { return None };
        let marks = match plan {
            Plan::Nothing | Plan::Fail => None,
            Plan::AskOffsets(position) => return Some(position),
            Plan::Truncate { to } => {
                let removed = (to.value()..self.log.end()).filter_map(|at| Some((at, self.log.record(at)?)));
                self.removed.extend(removed);
                self.log.truncate(to.value());
                follower.truncated(now, self.log.state());
                None
            }
            Plan::StartOver { at } => {
                self.log.start_over(at.value());
                follower.truncated(now, self.log.state());
                None
            }
            Plan::Append { start_over_at, epoch_max } => {
                assert_eq!(start_over_at, None, "batches have one record");
                let outcome = self.log.append_fetched(records, epoch_max);
                follower.appended(now, self.log.state(), outcome)
            }
            Plan::Advance(marks) => Some(marks),
        };
        self.high_watermark = follower.high_watermark().value();
        if let Some(marks) = marks {
            self.log.delete_before(marks.log_start.value());
        }
        None
    }

    /// Tells the fetchers what the follower wants.
    pub(crate) fn assign(&mut self) {
        let Role::Follower(follower) = &self.role else { return };
        let source = follower.leader();
        for (node, fetcher) in &mut self.fetchers {
            if Some(*node) != source {
                fetcher.remove(&KEY);
            }
        }
        if let Some(source) = source {
            let fetcher = self.fetchers.entry(source).or_insert_with(|| Fetcher::new(FetcherConfig { backoff_ms: 20 }));
            fetcher.assign(KEY, Assignment { due: follower.next_fetch(), in_sync: false, throttled: false });
        }
    }

    /// The process dies. What was in memory is gone; the log has lost its last `lost` records.
    pub(crate) fn crash(&mut self, lost: u64) {
        self.up = false;
        self.role = Role::None;
        self.fetchers.clear();
        self.sessions.clear();
        self.parked.clear();
        let end = self.log.end().saturating_sub(lost).max(self.log.start);
        if end < self.log.end() {
            self.log.truncate(end);
        }
    }

    /// It comes back as another process, with the high watermark of the checkpoint, if that is still there.
    pub(crate) fn restart(&mut self, epoch: BrokerEpoch, keeps_checkpoint: bool) {
        self.up = true;
        self.epoch = epoch;
        let high_watermark = if keeps_checkpoint { self.checkpoint } else { 0 };
        self.high_watermark = high_watermark.clamp(self.log.start, self.log.end());
    }
}
