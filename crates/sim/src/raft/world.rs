//! A quorum and what happens to it.

use std::collections::BTreeMap;

use highwater_raft::{
    Content, CorrelationId, FetchedBatch, Output, Payload, ReplicaKey, Request, Response, RoleName, SnapshotId,
    VoterSet, Write,
};
use highwater_types::{DirectoryId, ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};

use super::disk::{Batch, Disk};
use super::judge::Judge;
use super::node::{Node, Token};
use super::plan::Plan;
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
    voters: VoterSet,
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
    trace.say(|| format!("{plan:?}"));
    let key = |id: usize| {
        let id = u32::try_from(id).expect("there are few nodes");
        let directory = plan.has_directories.then(|| directory(u64::from(id) + 1));
        ReplicaKey { id: NodeId::new(id), directory }
    };
    let nodes: Vec<Node> =
        (0..plan.voters + plan.observers).map(|id| Node::new(key(id), random.pick(&[1000, 1000, 900, 1100]))).collect();
    let voters = VoterSet::new((0..plan.voters).map(key).collect());
    let spare_disks = if plan.has_directories { (plan.voters - 1) / 2 } else { 0 };
    let mut world = World {
        random,
        now_ms: 0,
        queue: Queue::default(),
        links: Links::new(plan.links),
        nodes,
        voters,
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
            !matches!(event, Event::Breaks | Event::Appends | Event::Snapshots | Event::Restarts { .. })
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
            assert!(known == Some(end), "{} knows of {known:?} and not of {end}", node.key);
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
            | Event::Wakes { node } => *node,
            Event::Restarts { node } => return self.start(*node),
            Event::Snapshots => return self.take_snapshot(),
            Event::Appends => return self.append_somewhere(),
            Event::Breaks => return self.break_something(),
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
            Event::Stored { incarnation: of, .. } | Event::Loaded { incarnation: of, .. } => *of == incarnation,
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
                    node.answers.entry(token.correlation).or_insert(batches);
                    let is_part = matches!(response, Response::FetchSnapshot(_));
                    let payload = if is_part { Payload::Bytes(bytes) } else { Payload::Batches(&offered) };
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
            Event::Loaded { id, .. } => raft.snapshot_loaded(now, id),
            Event::Wakes { .. } => {
                node.wakes_at_ms = None;
                raft.handle_timeout(now);
            }
            Event::Restarts { .. } | Event::Appends | Event::Snapshots | Event::Breaks => {
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
            Output::SendToBootstrap { .. } | Output::AskVersions { .. } => {
                unreachable!("the voters are configured, and nobody is added")
            }
            Output::Reply { token, response } => self.reply(index, token, response),
            Output::HighWatermark(end) => {
                let all = self.nodes.iter().map(|node| (node.key, &node.disk));
                let all = all.chain(self.lost_disks.iter().map(|(key, disk)| (*key, disk)));
                let voters: Vec<&Disk> =
                    all.filter(|(key, _)| self.voters.contains(*key)).map(|(_, disk)| disk).collect();
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
                let records = match content {
                    Content::LeaderChange { .. } => 1,
                    Content::FirstLeaderChange { .. } | Content::Raised { .. } | Content::Voters { .. } => {
                        unreachable!("the voters are fixed")
                    }
                    Content::Batch { records, .. } => records,
                };
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
        self.nodes[index].start(self.now_ms, voters, seed);
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
            let ends: Vec<&Batch> = node.disk.log().iter().filter(|batch| batch.end <= committed).collect();
            if !ends.is_empty() {
                let last = ends[self.random.index(ends.len())];
                let id = SnapshotId { end: last.end, epoch: last.epoch };
                let batches: Vec<Batch> =
                    node.disk.whole().into_iter().take_while(|batch| batch.end <= id.end).collect();
                self.trace.say(|| format!("{}: {index} takes snapshot {id}", self.now_ms));
                self.judge.snapshot_taken(id, &batches);
                node.disk.put_snapshot(id, batches);
                raft.snapshot_taken(id);
                if self.random.chance(50) && raft.has_snapshot(id) {
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

/// How long a request waits for its answer.
const REQUEST_TIMEOUT_MS: u64 = 2000;
/// Within this time after all is well a leader must be there.
const ELECTION_MS: u64 = 30_000;
/// Within this time what it appends must have reached everybody.
const COMMIT_MS: u64 = 10_000;
