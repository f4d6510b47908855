//! The events, and what is checked after each.

use crate::controller::{Broker, Controller};
use crate::log::{Log, Record};
use crate::node::{Node, Response, Role};
use highwater_replication::fetcher::FetchRequest;
use highwater_replication::follower::{FetchPosition, LeaderOffsets};
use highwater_replication::leader::{Acknowledgement, Acks, Input, IsrAnswer, IsrProposal, LeaderConfig, ProposalId};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};
use std::collections::BTreeMap;

/// SplitMix64: a seed is a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// Faults for one run, themselves drawn from the seed so that runs differ in kind.
struct Faults {
    drop_percent: u64,
    crash_permille: u64,
    move_permille: u64,
    metadata_percent: u64,
    session_percent: u64,
}

/// What happened, so that a run in which nothing does is noticed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    committed: u64,
    acknowledged: u64,
    truncations: u64,
    leaders: u64,
    joined: u64,
    crashes: u64,
    questions: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.acknowledged += other.acknowledged;
        self.truncations += other.truncations;
        self.leaders += other.leaders;
        self.joined += other.joined;
        self.crashes += other.crashes;
        self.questions += other.questions;
    }

    pub(crate) fn is_rich(&self) -> bool {
        let Self { committed, acknowledged, truncations, leaders, joined, crashes, questions } = *self;
        [committed, acknowledged, truncations, leaders, joined, crashes].iter().all(|count| 100 < *count)
            && 0 < questions
    }
}

/// A process: a broker and its registration.
type Process = (NodeId, BrokerEpoch);

enum Message {
    /// `None` for a request whose sender has given it up.
    Fetch {
        from: Process,
        awaited: bool,
        to: NodeId,
        request: FetchRequest,
    },
    Fetched {
        from: NodeId,
        to: Process,
        response: Response,
    },
    FetchFailed {
        from: NodeId,
        to: Process,
    },
    Question {
        from: Process,
        to: NodeId,
        position: FetchPosition,
    },
    Offsets {
        to: Process,
        position: FetchPosition,
        answer: Result<LeaderOffsets, ErrorCode>,
    },
    Proposal {
        from: Process,
        proposal: IsrProposal,
    },
    Answer {
        to: Process,
        epoch: LeaderEpoch,
        id: ProposalId,
        answer: IsrAnswer,
    },
}

pub(crate) struct World {
    random: Random,
    faults: Faults,
    now: Ticks,
    nodes: BTreeMap<NodeId, Node>,
    controller: Controller,
    messages: Vec<Message>,
    next_value: u64,
    next_broker_epoch: u64,
    /// What was ever below a leader's high watermark; `None` for what was already deleted then.
    committed: Vec<Option<Record>>,
    /// What no replica need have any more.
    deleted: u64,
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// High watermarks of leaders after the last event.
    high_watermarks: BTreeMap<(NodeId, LeaderEpoch), u64>,
    healed: bool,
    pub(crate) seen: Seen,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let faults = Faults {
            drop_percent: random.below(30),
            crash_permille: random.below(10),
            move_permille: random.below(20),
            metadata_percent: 2 + random.below(30),
            session_percent: random.below(2) * 100,
        };
        let replicas: Vec<NodeId> = (1..=3).map(NodeId::new).collect();
        let config = LeaderConfig {
            lag_ms_max: 20 + random.below(300),
            min_insync_replicas: 1 + u32::try_from(random.below(2)).unwrap(),
        };
        let controller = Controller::new(&replicas);
        let mut nodes: BTreeMap<NodeId, Node> =
            replicas.iter().map(|id| (*id, Node::new(*id, &replicas, config))).collect();
        for node in nodes.values_mut() {
            node.load(Ticks(0), controller.brokers.clone(), &controller.partition, controller.log.len());
        }
        Self {
            random,
            faults,
            now: Ticks(0),
            nodes,
            controller,
            messages: Vec::new(),
            next_value: 0,
            next_broker_epoch: 100,
            committed: Vec::new(),
            deleted: 0,
            leaders: BTreeMap::new(),
            high_watermarks: BTreeMap::new(),
            healed: false,
            seen: Seen::default(),
        }
    }

    /// One event, then the checks.
    pub(crate) fn step(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        let id = self.random.choose(&ids);
        let Faults { crash_permille, move_permille, metadata_percent, .. } = self.faults;
        if self.random.below(1000) < crash_permille {
            self.crash_or_restart(id);
        } else if self.random.below(1000) < move_permille {
            let wanted = self.random.choose(&ids);
            self.controller.elect(Some(wanted));
        } else if !self.nodes[&id].up {
            if self.healed {
                self.crash_or_restart(id);
            }
        } else if self.random.percent(metadata_percent) {
            self.apply(id);
        } else {
            self.act(id);
        }
        self.check();
    }

    fn act(&mut self, id: NodeId) {
        match self.random.below(12) {
            0 => {
                self.now = self.now.plus_ms(self.random.below(10));
                let node = self.nodes.get_mut(&id).unwrap();
                let proposals = node.tick(self.now);
                self.propose(id, proposals);
            }
            1 | 10 | 11 if !self.healed => {
                let acks = self.random.choose(&[Acks::All, Acks::All, Acks::Leader]);
                self.next_value += 1;
                self.nodes.get_mut(&id).unwrap().produce(self.next_value, acks);
            }
            2 => self.maintain(id),
            3..=5 => self.fetch(id),
            _ if !self.messages.is_empty() => {
                let chosen = usize::try_from(self.random.below(self.messages.len() as u64)).unwrap();
                let message = self.messages.swap_remove(chosen);
                self.deliver(message);
            }
            _ => {}
        }
    }

    /// Writes the checkpoint, deletes records, or lets a fenced broker be active again.
    fn maintain(&mut self, id: NodeId) {
        let broker = self.controller.brokers[&id];
        let node = self.nodes.get_mut(&id).unwrap();
        if !broker.active && self.random.percent(30) {
            self.controller.register(id, Broker { active: true, ..broker });
            if self.controller.partition.leader.is_none() {
                self.controller.elect(None);
            }
        } else if self.random.percent(10) && matches!(node.role, Role::Leader(_)) && !self.healed {
            let start = node.high_watermark.saturating_sub(self.random.below(20));
            node.log.delete_before(start);
            self.deleted = self.deleted.max(node.log.start);
        } else {
            node.checkpoint = node.high_watermark;
        }
    }

    fn apply(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        if let Some(news) = self.controller.log.get(node.applied) {
            let proposals = node.apply(self.now, news);
            self.propose(id, proposals);
        }
    }

    fn crash_or_restart(&mut self, id: NodeId) {
        self.next_broker_epoch += 1;
        let epoch = BrokerEpoch(self.next_broker_epoch);
        let keeps_checkpoint = self.random.percent(50);
        let node = self.nodes.get_mut(&id).unwrap();
        if node.up {
            self.seen.crashes += 1;
            // Who is the last in sync loses nothing here: that would be an unclean election.
            let last = self.controller.partition.isr == [id];
            let lost = if last || self.random.percent(50) { 0 } else { self.random.below(10) };
            node.crash(lost);
            self.controller.fence(id);
        } else {
            self.controller.register(id, Broker { epoch, active: false });
            node.restart(epoch, keeps_checkpoint);
            let Controller { brokers, partition, log } = &self.controller;
            node.load(self.now, brokers.clone(), partition, log.len());
        }
    }

    fn fetch(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let from = (id, node.epoch);
        for (to, fetcher) in &mut node.fetchers {
            let Some(request) = fetcher.poll_request(self.now, None) else { continue };
            let (to, given_up) = (*to, self.random.percent(self.faults.drop_percent));
            if given_up {
                self.messages.push(Message::FetchFailed { from: to, to: from });
            }
            // What its sender has given up may yet arrive.
            if !given_up || self.random.percent(30) {
                self.messages.push(Message::Fetch { from, awaited: !given_up, to, request });
            }
        }
    }

    fn propose(&mut self, id: NodeId, proposals: Vec<IsrProposal>) {
        let from = (id, self.nodes[&id].epoch);
        for proposal in proposals {
            if self.random.percent(self.faults.drop_percent) {
                self.answer(from, proposal.leader_epoch, proposal.id, IsrAnswer::Unknown);
            } else {
                self.messages.push(Message::Proposal { from, proposal });
            }
        }
    }

    fn answer(&mut self, to: Process, epoch: LeaderEpoch, id: ProposalId, answer: IsrAnswer) {
        let lost = self.random.percent(self.faults.drop_percent);
        let answer = if lost { IsrAnswer::from_error(ErrorCode::RequestTimedOut) } else { answer };
        self.messages.push(Message::Answer { to, epoch, id, answer });
    }

    /// The process that a message is for, if it still runs.
    fn process(&mut self, (id, epoch): Process) -> Option<&mut Node> {
        self.nodes.get_mut(&id).filter(|node| node.up && node.epoch == epoch)
    }

    fn deliver(&mut self, message: Message) {
        let now = self.now;
        match message {
            Message::Fetch { from, awaited, to, request } => self.deliver_fetch(from, awaited, to, &request),
            Message::Fetched { from, to, response } => self.deliver_fetched(from, to, response),
            Message::FetchFailed { from, to } => {
                if let Some(node) = self.process(to) {
                    node.fetchers.get_mut(&from).unwrap().handle_failure(now);
                }
            }
            Message::Question { from, to, position } => {
                let node = &self.nodes[&to];
                let answer =
                    if node.up { node.offsets(position.leader_epoch) } else { Err(ErrorCode::NetworkException) };
                self.messages.push(Message::Offsets { to: from, position, answer });
            }
            Message::Offsets { to, position, answer } => {
                if let Some(node) = self.process(to) {
                    node.asked(now, &position, answer);
                }
            }
            Message::Proposal { from, proposal } => {
                let (id, epoch) = (proposal.id, proposal.leader_epoch);
                let isr_count = self.controller.partition.isr.len();
                let answer = self.controller.alter(from.0, from.1, &proposal);
                self.seen.joined += u64::from(isr_count < self.controller.partition.isr.len());
                self.answer(from, epoch, id, answer);
            }
            Message::Answer { to, epoch, id, answer } => {
                let Some(node) = self.process(to) else { return };
                // Proposals of an earlier leadership have the same numbers; the driver knows whose they were.
                if matches!(&node.role, Role::Leader(leader) if leader.leader_epoch() == epoch) {
                    let proposals = node.lead(now, Input::IsrAnswered { id, answer });
                    self.propose(to.0, proposals);
                }
            }
        }
    }

    fn deliver_fetch(&mut self, from: Process, awaited: bool, to: NodeId, request: &FetchRequest) {
        let session = self.random.percent(self.faults.session_percent);
        let count_max = if self.healed { 1000 } else { 1 + self.random.below(6) };
        let lost = self.random.percent(self.faults.drop_percent);
        let server = self.nodes.get_mut(&to).unwrap();
        if !server.up {
            if awaited {
                self.messages.push(Message::FetchFailed { from: to, to: from });
            }
            return;
        }
        let (response, proposals) = server.serve(self.now, from, request, session, count_max);
        self.propose(to, proposals);
        match (awaited, lost) {
            (false, _) => {}
            (true, true) => self.messages.push(Message::FetchFailed { from: to, to: from }),
            (true, false) => self.messages.push(Message::Fetched { from: to, to: from, response }),
        }
    }

    fn deliver_fetched(&mut self, from: NodeId, to: Process, mut response: Response) {
        // Records are sent from the file, so what arrives may have been written after the request was answered.
        let server = &self.nodes[&from];
        if let Some((position, answer, records)) = &mut response.partition
            && !records.is_empty()
            && server.up
            && self.random.percent(20)
        {
            *records = server.log.read(position.offset.value(), records.len() as u64);
            answer.first_batch = Log::span(position.offset, records);
        }
        let now = self.now;
        let Some(node) = self.process(to) else { return };
        if let Some(position) = node.fetched(now, from, response) {
            self.seen.questions += 1;
            self.messages.push(Message::Question { from: to, to: from, position });
        }
    }

    /// Safety, judged from outside, after every single event.
    fn check(&mut self) {
        self.check_leaders();
        self.check_committed();
        self.check_acknowledged();
        self.check_pairs();
    }

    fn check_leaders(&mut self) {
        let partition = &self.controller.partition;
        for node in self.nodes.values().filter(|node| node.up) {
            assert!(node.log.start <= node.high_watermark, "R6: {}", node.id);
            assert!(node.high_watermark <= node.log.end(), "R6: {}", node.id);
            let Role::Leader(leader) = &node.role else { continue };
            let epoch = leader.leader_epoch();
            if self.leaders.insert(epoch, node.id).is_none() {
                self.seen.leaders += 1;
            }
            assert_eq!(self.leaders[&epoch], node.id, "R1: two leaders in epoch {epoch}");
            let high_watermark = self.high_watermarks.insert((node.id, epoch), node.high_watermark).unwrap_or_default();
            assert!(high_watermark <= node.high_watermark, "R6: the leader's high watermark went back");
            if epoch == partition.leader_epoch {
                let reckoned: Vec<NodeId> = leader.maximal_isr().collect();
                let all = partition.isr.iter().all(|member| reckoned.contains(member));
                assert!(all, "R2: {:?} in sync, {reckoned:?} reckoned with", partition.isr);
                if leader.knows_high_watermark() {
                    assert!(self.committed.len() as u64 <= node.high_watermark, "R6: visible records vanished");
                }
            }
        }
    }

    fn check_committed(&mut self) {
        for node in self.nodes.values_mut() {
            if !node.up {
                continue;
            }
            if matches!(node.role, Role::Leader(_)) {
                while (self.committed.len() as u64) < node.high_watermark {
                    self.committed.push(node.log.record(self.committed.len() as u64));
                    self.seen.committed += 1;
                }
            }
            assert!(node.high_watermark <= self.committed.len() as u64, "R8: {} shows what is not committed", node.id);
            for offset in node.log.start.max(self.deleted)..node.high_watermark {
                let shown = node.log.record(offset);
                let committed = self.committed[usize::try_from(offset).unwrap()];
                assert_eq!(shown, committed, "R5, R8: node {} at {offset}", node.id);
            }
            for (offset, record) in node.removed.drain(..) {
                self.seen.truncations += 1;
                let committed = self.committed.get(usize::try_from(offset).unwrap());
                assert_ne!(committed, Some(&Some(record)), "R7: node {} at {offset}", node.id);
            }
        }
        for id in &self.controller.partition.isr {
            let end = self.nodes[id].log.end();
            assert!(self.committed.len() as u64 <= end, "R3: {id} ends at {end} of {}", self.committed.len());
        }
    }

    fn check_acknowledged(&mut self) {
        for node in self.nodes.values_mut() {
            let Role::Leader(leader) = &node.role else { continue };
            let mut parked = std::mem::take(&mut node.parked);
            parked.retain(|(offset, record)| match leader.acknowledge(Acks::All, Offset::new(offset + 1)) {
                Acknowledgement::Wait => true,
                Acknowledgement::Refused(_) => false,
                Acknowledgement::Ready => {
                    self.seen.acknowledged += 1;
                    let committed = self.committed[usize::try_from(*offset).unwrap()];
                    assert_eq!(committed, Some(*record), "R4: acknowledged but not committed");
                    false
                }
            });
            node.parked = parked;
        }
    }

    fn check_pairs(&self) {
        let nodes: Vec<&Node> = self.nodes.values().collect();
        for (index, a) in nodes.iter().enumerate() {
            for b in &nodes[index + 1..] {
                let start = a.log.start.max(b.log.start).max(self.deleted);
                let end = a.log.end().min(b.log.end());
                let mut same = false;
                for offset in (start..end).rev() {
                    let (left, right) = (a.log.record(offset), b.log.record(offset));
                    same = same || left.map(|record| record.epoch) == right.map(|record| record.epoch);
                    assert!(!same || left == right, "R5: {} and {} at {offset}", a.id, b.id);
                }
            }
        }
    }

    /// Liveness: heal the world, then insist that everyone is in sync and has everything.
    pub(crate) fn converge(&mut self) {
        self.faults = Faults { drop_percent: 0, crash_permille: 0, move_permille: 0, ..self.faults };
        self.healed = true;
        for _ in 0..20_000 {
            self.step();
            let ends: Vec<u64> = self.nodes.values().map(|node| node.log.end()).collect();
            let agreed = ends.iter().all(|end| *end == ends[0]);
            let shown = self.nodes.values().all(|node| node.high_watermark == node.log.end());
            if self.controller.partition.isr.len() == self.nodes.len() && agreed && shown {
                return;
            }
        }
        panic!("no progress after healing: {:?}", self.controller.partition);
    }
}
