//! A quorum and what happens to it.

use std::collections::BTreeMap;

use highwater_raft::{
    AddVoter, Content, CorrelationId, Endpoint, FetchedBatch, KRaftVersion, KRaftVersions, Membership, Output, Payload,
    RaftConfig, RemoveVoter, ReplicaKey, Request, Response, RoleName, SnapshotId, Voter, VoterSet, VoterSetup, Write,
};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};

use super::book::Book;
use super::disk::{Batch, Disk};
use super::judge::Judge;
use super::node::{Node, Token};
use super::plan::{Changes, Plan};
use crate::links::Links;
use crate::queue::Queue;
use crate::{Random, Trace};

/// Something that happens. What is about a process says which incarnation of the node it was.
#[derive(Debug)]
enum Event {
    /// A request reaches a node.
    Arrives { node: usize, token: Token, request: Request },
    /// An answer reaches the node that asked.
    Answers { node: usize, from: usize, token: Token, response: Response, batches: Vec<Batch>, bytes: u64 },
    /// Nobody has answered in time.
    Fails { node: usize, token: Token },
    /// A state is on the disk.
    Stored { node: usize, incarnation: u64 },
    /// The log is on the disk.
    Synced { node: usize, incarnation: u64, generation: u64, end: Offset },
    /// A node that is to be a voter has said what it supports.
    Versions { node: usize, incarnation: u64, correlation: CorrelationId },
    /// An administrator wants a voter more, or less.
    Changes,
    /// A snapshot that was fetched is loaded.
    Loaded { node: usize, incarnation: u64, id: SnapshotId },
    /// Somebody takes a snapshot.
    Snapshots,
    /// A node does what it has to do by time.
    Wakes { node: usize },
    /// A node starts again.
    Restarts { node: usize },
    /// Somebody wants something appended.
    Appends,
    /// Something breaks.
    Breaks,
}

struct World<'t, 'f> {
    random: Random,
    plan: Plan,
    now_ms: u64,
    queue: Queue<Event>,
    links: Links,
    nodes: Vec<Node>,
    /// Who decides as configured.
    voters: VoterSet,
    /// Who decides by what is in the logs.
    book: Book,
    judge: Judge,
    /// What was asked for by each request for a vote.
    votes: BTreeMap<Token, (ReplicaKey, LeaderEpoch)>,
    values: u64,
    /// Disks that may still be replaced: the others must be a majority of the voters.
    spare_disks: usize,
    lost_disks: Vec<(ReplicaKey, Disk)>,
    trace: &'t mut Trace<'f>,
}

/// Plays the history that belongs to `seed`.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    play(random, plan, trace);
}

/// Plays the history that belongs to `seed`, with voters that come and go.
pub(crate) fn run_voters(seed: u64, trace: &mut Trace<'_>) {
    let mut random = Random::new(seed);
    let plan = Plan::draw_changes(&mut random);
    play(random, plan, trace);
}

fn play(mut random: Random, plan: Plan, trace: &mut Trace<'_>) {
    trace.say(|| format!("{plan:?}"));
    let key = |id: usize| {
        let id = u32::try_from(id).expect("there are few nodes");
        let directory = plan.has_directories.then(|| directory(u64::from(id) + 1));
        ReplicaKey { id: NodeId::new(id), directory }
    };
    let nodes: Vec<Node> =
        (0..plan.voters + plan.observers).map(|id| Node::new(key(id), random.pick(&[1000, 1000, 900, 1100]))).collect();
    let mut nodes = nodes;
    let mut voters = VoterSet::new((0..plan.voters).map(key).collect());
    let mut first = Membership::default();
    if let Some(changes) = &plan.changes {
        nodes.iter_mut().for_each(|node| node.endpoints = vec![endpoint(1)]);
        let voter = |node: &Node| Voter {
            key: node.key,
            endpoints: node.endpoints.clone(),
            kraft_versions: KRaftVersions::SUPPORTED,
        };
        if changes.begins_fixed {
            voters = VoterSet::new(voters.iter().map(|key| ReplicaKey { directory: None, ..key }).collect());
        } else {
            let described = VoterSet::of(nodes.iter().take(plan.voters).map(voter).collect());
            first = Membership { kraft_version: KRaftVersion::DYNAMIC, voters: described };
            voters = VoterSet::default();
        }
    }
    // Voters are removed and added while some disks are gone: a majority of those that are left could be lost.
    let spare_disks = if plan.has_directories && plan.changes.is_none() { (plan.voters - 1) / 2 } else { 0 };
    let mut world = World {
        random,
        now_ms: 0,
        queue: Queue::default(),
        links: Links::new(plan.links),
        nodes,
        voters,
        book: Book::new(first),
        judge: Judge::default(),
        votes: BTreeMap::new(),
        values: 0,
        spare_disks,
        lost_disks: Vec::new(),
        trace,
        plan,
    };
    world.play();
}

/// Where a node is reached.
fn endpoint(port: u16) -> Endpoint {
    Endpoint { listener: "CONTROLLER".to_owned(), host: "localhost".to_owned(), port }
}

/// Bytes of a snapshot.
fn size_of(batches: &[Batch]) -> u64 {
    100 + 10 * batches.len() as u64
}

/// A directory id that nobody has had; the first ones are those that nodes start with.
fn directory(number: u64) -> DirectoryId {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    DirectoryId(Uuid::from_bytes(bytes))
}

impl World<'_, '_> {
    fn play(&mut self) {
        for node in 0..self.nodes.len() {
            let at_ms = self.random.between(0, 3000);
            self.queue.put(at_ms, Event::Restarts { node });
        }
        self.queue.put(self.plan.append_every_ms, Event::Appends);
        self.queue.put(self.plan.fault_every_ms, Event::Breaks);
        self.queue.put(self.plan.snapshot_every_ms, Event::Snapshots);
        if let Some(changes) = &self.plan.changes {
            self.queue.put(changes.every_ms, Event::Changes);
        }
        let chaos_ms = self.plan.chaos_ms;
        self.run_until(chaos_ms);
        self.heal();
        self.run_until(chaos_ms + ELECTION_MS);
        self.check_progress(chaos_ms + ELECTION_MS);
    }

    fn heal(&mut self) {
        self.trace.say(|| format!("{}: the world heals", self.now_ms));
        self.links.heal();
        self.plan.disk_ms_max = self.plan.disk_ms_max.min(5);
        // Who has much to fetch gets it in time.
        self.plan.batches_max = 1000;
        self.queue.retain(|event| {
            let is_over = matches!(
                event,
                Event::Breaks | Event::Appends | Event::Snapshots | Event::Changes | Event::Restarts { .. }
            );
            !is_over
        });
        for index in 0..self.nodes.len() {
            self.nodes[index].paused_until_ms = 0;
            self.start(index);
        }
    }

    /// A leader must be there, and what it appends must reach everybody.
    fn check_progress(&mut self, now_ms: u64) {
        let leader = (0..self.nodes.len()).find(|index| self.role(*index) == Some(RoleName::Leader));
        let leader = leader.unwrap_or_else(|| panic!("{ELECTION_MS} ms after the world has healed nobody leads"));
        let end = self.append(leader).expect("a leader appends");
        self.run_until(now_ms + COMMIT_MS);
        for node in &self.nodes {
            let raft = node.raft.as_ref().expect("every node runs");
            let known = raft.high_watermark();
            // Voters may have something to say of themselves.
            let is_behind = known < Some(end) || (self.plan.changes.is_none() && known != Some(end));
            assert!(!is_behind, "{} knows of {known:?} and not of {end}", node.key);
        }
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some((at_ms, event)) = self.queue.pop() {
            if end_ms <= at_ms {
                self.queue.put(at_ms, event);
                break;
            }
            self.now_ms = at_ms;
            self.happen(event);
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        let node = match &event {
            Event::Arrives { node, .. }
            | Event::Answers { node, .. }
            | Event::Fails { node, .. }
            | Event::Stored { node, .. }
            | Event::Synced { node, .. }
            | Event::Loaded { node, .. }
            | Event::Versions { node, .. }
            | Event::Wakes { node } => *node,
            Event::Restarts { node } => return self.start(*node),
            Event::Snapshots => return self.take_snapshot(),
            Event::Appends => return self.append_somewhere(),
            Event::Breaks => return self.break_something(),
            Event::Changes => return self.change_voters(),
        };
        let paused_until_ms = self.nodes[node].paused_until_ms;
        if self.now_ms < paused_until_ms {
            return self.queue.put(paused_until_ms, event);
        }
        let incarnation = self.nodes[node].incarnation;
        let is_current = match &event {
            Event::Answers { token, .. } | Event::Fails { token, .. } => token.incarnation == incarnation,
            Event::Synced { incarnation: of, generation, .. } => {
                *of == incarnation && *generation == self.nodes[node].disk.generation
            }
            Event::Stored { incarnation: of, .. }
            | Event::Loaded { incarnation: of, .. }
            | Event::Versions { incarnation: of, .. } => *of == incarnation,
            _ => true,
        };
        if is_current && self.nodes[node].raft.is_some() {
            self.tell(node, event);
            self.carry_out(node);
        }
    }

    /// Gives an input to the machine of a node that runs.
    fn tell(&mut self, index: usize, event: Event) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        let now = node.ticks(now_ms);
        let raft = node.raft.as_mut().expect("the node runs");
        match event {
            Event::Arrives { token, request, .. } => {
                if self.links.is_up(token.node, index) {
                    self.trace.say(|| format!("{now_ms}: {index} is asked by {}: {request:?}", token.node));
                    raft.handle_request(now, token, request);
                }
            }
            Event::Answers { from, token, response, batches, bytes, .. } => {
                if self.links.is_up(from, index) {
                    self.trace.say(|| format!("{now_ms}: {index} is answered by {from}: {response:?} {batches:?}"));
                    let offered: Vec<FetchedBatch> = batches
                        .iter()
                        .map(|Batch { base, end, epoch, .. }| FetchedBatch { base: *base, end: *end, epoch: *epoch })
                        .collect();
                    let controls = self.book.controls(&batches);
                    node.answers.entry(token.correlation).or_insert(batches);
                    let is_part = matches!(response, Response::FetchSnapshot(_));
                    let payload = if is_part {
                        Payload::Bytes(bytes)
                    } else {
                        Payload::Records { batches: &offered, controls: &controls }
                    };
                    if is_part {
                        node.bytes = bytes;
                    }
                    raft.handle_response(now, token.correlation, response, payload);
                }
            }
            Event::Fails { token, .. } => raft.handle_failure(now, token.correlation),
            Event::Stored { .. } => {
                let before = node.disk.state;
                let state = node.disk.end_store();
                self.judge.stored(node.key, before, state);
                raft.persisted();
            }
            Event::Synced { end, .. } => {
                node.disk.end_sync();
                raft.synced(now, end);
            }
            Event::Loaded { id, .. } => {
                let membership = self.book.membership(&self.judge.snapshot(id));
                raft.snapshot_loaded_with(now, id, membership);
            }
            Event::Versions { correlation, .. } => raft.handle_versions(now, correlation, KRaftVersions::SUPPORTED),
            Event::Wakes { .. } => {
                node.wakes_at_ms = None;
                raft.handle_timeout(now);
            }
            Event::Restarts { .. } | Event::Appends | Event::Snapshots | Event::Breaks | Event::Changes => {
                unreachable!("not about a running node")
            }
        }
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(output) = self.nodes[index].raft.as_mut().and_then(highwater_raft::Raft::poll_output) {
            self.trace.say(|| format!("{}: {index} wants {output:?}", self.now_ms));
            self.do_one(index, output);
        }
        let node = &self.nodes[index];
        let Some(raft) = &node.raft else { return };
        let is_waiting = node.disk.is_storing();
        assert!(is_waiting || node.disk.end() == raft.log_end(), "the machine of {} knows its log", node.key);
        if let Some(due) = raft.next_timeout() {
            let at_ms = node.world_ms(due).max(self.now_ms);
            if node.wakes_at_ms.is_none_or(|known| at_ms < known || known < self.now_ms) {
                self.nodes[index].wakes_at_ms = Some(at_ms);
                self.queue.put(at_ms, Event::Wakes { node: index });
            }
        }
    }

    fn do_one(&mut self, index: usize, output: Output<Token>) {
        let done_at_ms = self.now_ms + self.random.between(0, self.plan.disk_ms_max);
        let incarnation = self.nodes[index].incarnation;
        match output {
            Output::Persist(state) => {
                self.nodes[index].disk.begin_store(state);
                self.queue.put(done_at_ms, Event::Stored { node: index, incarnation });
            }
            Output::Sync { end } => {
                let disk = &mut self.nodes[index].disk;
                disk.begin_sync();
                let generation = disk.generation;
                self.queue.put(done_at_ms, Event::Synced { node: index, incarnation, generation, end });
            }
            Output::Write(write) => self.write(index, write),
            Output::Send { to, request, correlation } => self.send(index, to, &request, correlation),
            Output::SendToBootstrap { server, request, correlation } => {
                self.send(index, NodeId::new(server), &request, correlation);
            }
            Output::AskVersions { correlation, .. } => {
                let at_ms = self.now_ms + self.random.between(0, self.plan.links.delay_ms_max);
                let event = if self.random.chance(90) {
                    Event::Versions { node: index, incarnation, correlation }
                } else {
                    Event::Fails { node: index, token: Token { node: index, incarnation, correlation } }
                };
                self.queue.put(at_ms, event);
            }
            Output::Reply { token, response } => self.reply(index, token, response),
            Output::HighWatermark(end) => {
                let all = self.nodes.iter().map(|node| (node.key, &node.disk));
                let all = all.chain(self.lost_disks.iter().map(|(key, disk)| (*key, disk)));
                // Outputs are carried out in their order: the log says who decides at this moment.
                let said = self.book.membership(&self.nodes[index].disk.whole()).voters;
                let deciding = if said.is_empty() { &self.voters } else { &said };
                let voters: Vec<&Disk> = all.filter(|(key, _)| deciding.contains(*key)).map(|(_, disk)| disk).collect();
                self.judge.committed(&self.nodes[index], end, &voters);
            }
            Output::Role { role: RoleName::Leader, epoch, .. } => self.judge.elected(&self.nodes[index], epoch),
            Output::Role { .. } => {}
            Output::Violation(violation) => panic!("{}: {violation}", self.nodes[index].key),
        }
    }

    fn write(&mut self, index: usize, write: Write) {
        let node = &mut self.nodes[index];
        match write {
            Write::Append { base, epoch, content } => {
                self.values += 1;
                let records = match &content {
                    Content::LeaderChange { .. } => 1,
                    Content::FirstLeaderChange { .. } => 3,
                    Content::Raised { .. } => 2,
                    Content::Voters(after) => {
                        let whole = node.disk.whole();
                        let (before, last) = (self.book.membership(&whole).voters, self.book.last_change(&whole));
                        self.judge.voters_change(node, epoch, &before, after, last);
                        1
                    }
                    Content::Batch { records, .. } => *records,
                };
                self.book.write(self.values, &content);
                let end = base.plus(u64::from(records));
                let batch = Batch { base, end, epoch, value: self.values };
                node.disk.append(batch);
                self.judge.written(node, batch);
            }
            Write::Fetched { correlation, batches } => {
                let offered = node.answers.remove(&correlation).expect("there was an answer");
                node.answers.retain(|later, _| correlation < *later);
                for batch in &offered[..batches] {
                    node.disk.append(*batch);
                    self.judge.written(node, *batch);
                }
            }
            Write::Truncate { end } => node.disk.truncate(end),
            Write::DropPrefix { start } => node.disk.drop_prefix(start),
            Write::SnapshotPart { id, position, .. } => {
                let known = node.part.filter(|_| 0 < position);
                assert!(position == 0 || known == Some((id, position)), "parts come one after the other");
                node.part = Some((id, position + node.bytes));
            }
            Write::LoadSnapshot { id } => {
                let batches = self.judge.snapshot(id);
                let fetched = node.part.take().expect("it was fetched");
                assert_eq!(fetched, (id, size_of(&batches)), "it is complete");
                node.disk.load(id, batches);
                let incarnation = node.incarnation;
                let done_at_ms = self.now_ms + self.random.between(0, self.plan.disk_ms_max);
                self.queue.put(done_at_ms, Event::Loaded { node: index, incarnation, id });
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, request: &Request, correlation: CorrelationId) {
        let to = usize::try_from(to.value()).expect("there are few nodes");
        let token = Token { node: from, incarnation: self.nodes[from].incarnation, correlation };
        if let Request::Vote(vote) = request
            && !vote.is_pre_vote
        {
            self.votes.insert(token, (vote.candidate, vote.epoch));
        }
        for at_ms in self.links.arrivals(&mut self.random, self.now_ms, from, to) {
            self.queue.put(at_ms, Event::Arrives { node: to, token, request: request.clone() });
        }
        self.queue.put(self.now_ms + REQUEST_TIMEOUT_MS, Event::Fails { node: from, token });
    }

    fn reply(&mut self, from: usize, token: Token, mut response: Response) {
        if token.node == ADMINISTRATOR {
            return;
        }
        if let Response::Vote(answer) = &response
            && answer.granted
            && let Some((candidate, epoch)) = self.votes.get(&token)
        {
            self.judge.granted(self.nodes[from].key, *candidate, *epoch);
        }
        let mut batches = Vec::new();
        if let Response::Fetch(answer) = &response
            && let Some(first) = answer.records_from
        {
            let count = usize::try_from(self.random.between(1, self.plan.batches_max)).unwrap_or(1);
            batches =
                self.nodes[from].disk.log().iter().copied().filter(|batch| first <= batch.base).take(count).collect();
            assert!(!batches.is_empty(), "there are records");
        }
        let mut bytes = 0;
        if let Response::FetchSnapshot(answer) = &mut response
            && answer.leadership.error == ErrorCode::None
        {
            let snapshot = self.nodes[from].disk.snapshot(answer.id).expect("the machine knows which there are");
            answer.size = size_of(snapshot);
            bytes = self.random.between(1, answer.size.saturating_sub(answer.position).max(1));
        }
        for at_ms in self.links.arrivals(&mut self.random, self.now_ms, from, token.node) {
            let batches = batches.clone();
            self.queue.put(at_ms, Event::Answers { node: token.node, from, token, response, batches, bytes });
        }
    }

    fn role(&self, index: usize) -> Option<RoleName> {
        Some(self.nodes[index].raft.as_ref()?.role())
    }

    fn start(&mut self, index: usize) {
        if self.nodes[index].raft.is_some() {
            return;
        }
        self.trace.say(|| format!("{}: {index} starts", self.now_ms));
        let (voters, seed) = (self.voters.clone(), self.random.bits());
        self.nodes[index].wakes_at_ms = None;
        let (known, config) = self.known_at_start(index);
        self.nodes[index].start(self.now_ms, voters, known, config, seed);
        self.carry_out(index);
    }

    /// What a node finds of the voters on its disk, and how it looks for them.
    fn known_at_start(&mut self, index: usize) -> (VoterSetup, RaftConfig) {
        let Some(changes) = &self.plan.changes else { return (VoterSetup::default(), RaftConfig::default()) };
        if self.random.chance(changes.move_percent) {
            self.nodes[index].endpoints = vec![endpoint(u16::try_from(self.random.between(2, 9)).expect("small"))];
        }
        let bootstrap_servers = u32::try_from(self.plan.voters).expect("small");
        let config = RaftConfig { auto_join: changes.auto_join, bootstrap_servers, ..RaftConfig::default() };
        let Node { disk, endpoints, .. } = &self.nodes[index];
        let (snapshot, from) = match disk.newest_snapshot() {
            Some((id, batches)) => (Some((id.end, self.book.membership(batches))), id.end),
            // Only those that were voters from the beginning have the bootstrap checkpoint.
            None if index < self.plan.voters => (Some((Offset::ZERO, self.book.first().clone())), Offset::ZERO),
            None => (None, Offset::ZERO),
        };
        let behind: Vec<Batch> = disk.log().iter().filter(|batch| from <= batch.base).copied().collect();
        let controls = self.book.controls(&behind);
        let known = VoterSetup { snapshot, controls, endpoints: endpoints.clone() };
        self.nodes[index].known_from = from;
        (known, config)
    }

    /// An administrator asks some leader for a voter more or less. Nobody waits for the answer.
    fn change_voters(&mut self) {
        let Some(Changes { every_ms, add_percent, .. }) = self.plan.changes.clone() else { return };
        let next_ms = self.now_ms + self.random.between(1, 2 * every_ms);
        self.queue.put(next_ms, Event::Changes);
        let leads = |index: &usize| {
            self.role(*index) == Some(RoleName::Leader) && self.nodes[*index].paused_until_ms <= self.now_ms
        };
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(leads).collect();
        if leaders.is_empty() {
            return;
        }
        let index = leaders[self.random.index(leaders.len())];
        let Some(raft) = &self.nodes[index].raft else { return };
        if !raft.kraft_version().is_dynamic() {
            return self.raise(index);
        }
        let voters: Vec<ReplicaKey> = raft.voters().iter().collect();
        let others: Vec<usize> =
            (0..self.nodes.len()).filter(|other| !voters.contains(&self.nodes[*other].key)).collect();
        let adds = !others.is_empty() && (voters.len() < 2 || self.random.chance(add_percent));
        let request = if adds {
            let Node { key, endpoints, .. } = &self.nodes[others[self.random.index(others.len())]];
            let ack_when_committed = self.random.chance(50);
            Request::AddVoter(AddVoter { key: *key, endpoints: endpoints.clone(), ack_when_committed })
        } else {
            Request::RemoveVoter(RemoveVoter { key: voters[self.random.index(voters.len())] })
        };
        self.trace.say(|| format!("{}: {index} is asked by an administrator: {request:?}", self.now_ms));
        let token = Token { node: ADMINISTRATOR, incarnation: 0, correlation: CorrelationId(0) };
        let node = &mut self.nodes[index];
        let now = node.ticks(self.now_ms);
        if let Some(raft) = &mut node.raft {
            raft.handle_request(now, token, request);
        }
        self.carry_out(index);
    }

    /// An administrator wants the voters in the log.
    fn raise(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let now = node.ticks(self.now_ms);
        if let Some(raft) = &mut node.raft {
            let raised = raft.raise_kraft_version(now, KRaftVersion::DYNAMIC, false);
            self.trace.say(|| format!("{}: {index} raises kraft.version: {raised:?}", self.now_ms));
        }
        self.carry_out(index);
    }

    fn append_somewhere(&mut self) {
        let leaders: Vec<usize> =
            (0..self.nodes.len()).filter(|index| self.role(*index) == Some(RoleName::Leader)).collect();
        // There may be two, one of which does not know yet.
        if !leaders.is_empty() {
            let leader = leaders[self.random.index(leaders.len())];
            if self.nodes[leader].paused_until_ms <= self.now_ms {
                let _ = self.append(leader);
            }
        }
        let next_ms = self.now_ms + self.random.between(1, 2 * self.plan.append_every_ms);
        self.queue.put(next_ms, Event::Appends);
    }

    /// End of what was appended, if the node leads.
    fn append(&mut self, index: usize) -> Option<Offset> {
        let node = &mut self.nodes[index];
        let now = node.ticks(self.now_ms);
        let records = u32::try_from(self.random.between(1, 3)).expect("small");
        let appended = node.raft.as_mut()?.append(now, 0, records).ok();
        self.carry_out(index);
        appended.map(|appended| appended.end)
    }

    fn take_snapshot(&mut self) {
        let index = self.random.index(self.nodes.len());
        let node = &mut self.nodes[index];
        if let Some(raft) = &mut node.raft
            && let Some(committed) = raft.high_watermark()
            && node.paused_until_ms <= self.now_ms
        {
            let ends: Vec<&Batch> =
                node.disk.log().iter().filter(|batch| batch.end <= committed && node.known_from <= batch.end).collect();
            if !ends.is_empty() {
                let last = ends[self.random.index(ends.len())];
                let id = SnapshotId { end: last.end, epoch: last.epoch };
                let batches: Vec<Batch> =
                    node.disk.whole().into_iter().take_while(|batch| batch.end <= id.end).collect();
                self.trace.say(|| format!("{}: {index} takes snapshot {id}", self.now_ms));
                self.judge.snapshot_taken(id, &batches);
                let said = self.book.membership(&batches);
                assert_eq!(raft.membership_at(id.end), said, "{} says who decides at {id}", node.key);
                node.disk.put_snapshot(id, batches);
                raft.snapshot_taken(id);
                if self.random.chance(50) && raft.has_snapshot(id) {
                    // The machine forgets at once who decided before, the disk when it is its turn.
                    node.known_from = node.known_from.max(id.end);
                    raft.drop_prefix(id);
                }
                self.carry_out(index);
            }
        }
        let next_ms = self.now_ms + self.random.between(1, 2 * self.plan.snapshot_every_ms);
        self.queue.put(next_ms, Event::Snapshots);
    }

    fn break_something(&mut self) {
        let index = self.random.index(self.nodes.len());
        let lasts_ms = self.random.pick(&[10, 500, 3_000, 15_000]);
        match self.random.below(10) {
            0..=3 => self.kill(index, lasts_ms),
            4 => {
                self.trace.say(|| format!("{}: {index} pauses for {lasts_ms} ms", self.now_ms));
                self.nodes[index].paused_until_ms = self.now_ms + lasts_ms;
            }
            5 if 0 < self.spare_disks => self.replace_disk(index, lasts_ms),
            6 => {
                let now = self.nodes[index].ticks(self.now_ms);
                if let Some(raft) = &mut self.nodes[index].raft {
                    self.trace.say(|| format!("{}: {index} is to resign", self.now_ms));
                    raft.resign(now);
                    self.carry_out(index);
                }
            }
            _ => {
                let how = self.links.cut_somehow(&mut self.random, self.nodes.len());
                self.trace.say(|| format!("{}: the network: {how}", self.now_ms));
            }
        }
        let next_ms = self.now_ms + self.random.between(1, 2 * self.plan.fault_every_ms);
        self.queue.put(next_ms, Event::Breaks);
    }

    fn kill(&mut self, index: usize, down_ms: u64) {
        if self.nodes[index].raft.take().is_none() {
            return;
        }
        self.trace.say(|| format!("{}: {index} is killed for {down_ms} ms", self.now_ms));
        let node = &mut self.nodes[index];
        node.disk.crash(&mut self.random);
        node.answers.clear();
        node.part = None;
        node.paused_until_ms = 0;
        self.queue.put(self.now_ms + down_ms, Event::Restarts { node: index });
    }

    /// The node returns with its old id and an empty disk, which is another replica: no voter any more.
    fn replace_disk(&mut self, index: usize, down_ms: u64) {
        let is_voter = self.voters.contains(self.nodes[index].key);
        if !is_voter || self.nodes[index].raft.is_none() {
            return;
        }
        self.spare_disks -= 1;
        self.kill(index, down_ms);
        self.trace.say(|| format!("{}: {index} gets a new disk", self.now_ms));
        let node = &mut self.nodes[index];
        self.lost_disks.push((node.key, std::mem::take(&mut node.disk)));
        node.key.directory = Some(directory(1000 + self.random.bits() / 2));
    }
}

/// Who asks and is no node.
const ADMINISTRATOR: usize = usize::MAX;
/// How long a request waits for its answer.
const REQUEST_TIMEOUT_MS: u64 = 2000;
/// Within this time after all is well a leader must be there.
const ELECTION_MS: u64 = 30_000;
/// Within this time what it appends must have reached everybody.
const COMMIT_MS: u64 = 10_000;
