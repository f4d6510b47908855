//! A coordinator with a log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use highwater_coordinator::{Coordinator, CoordinatorConfig, Entry, Now, Output, Reply, Ticks, Token};
use highwater_group::{
    ConsumerGroupDescription, Event, GroupConfig, GroupDescription, GroupRecord, GroupShard, GroupState, Heartbeat,
    Request, Response, Topics as _,
};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};

use crate::show;
use crate::topics::FakeTopics;

type Machine = Coordinator<GroupShard>;

/// A coordinator, the log it writes to, and the clock of both.
pub(crate) struct World {
    machine: Machine,
    config: GroupConfig,
    topics: Arc<FakeTopics>,
    log: Vec<Entry<GroupRecord>>,
    now_ms: u64,
    epoch: u32,
    tokens: u64,
    /// Requests that have no answer yet, with their groups.
    waiting: BTreeMap<u64, String>,
    /// The high watermark stays where it is.
    pub(crate) is_held: bool,
    /// The next append fails.
    pub(crate) fails: bool,
    /// The log need not say what the coordinator knows: an append has failed since the last that has not.
    is_behind: bool,
    /// What was answered, until somebody takes it.
    pub(crate) answers: Vec<(u64, Response)>,
    /// The last generation that each member has joined, by group and member.
    generations: BTreeMap<(String, String), i32>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = GroupConfig::default();
        let topics = Arc::default();
        let machine = loaded(1, 0, &config, &topics, &[]);
        Self {
            machine,
            config,
            topics,
            log: Vec::new(),
            now_ms: 0,
            epoch: 1,
            tokens: 0,
            waiting: BTreeMap::new(),
            is_held: false,
            fails: false,
            is_behind: false,
            answers: Vec::new(),
            generations: BTreeMap::new(),
        }
    }

    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut GroupConfig)) -> String {
        change(&mut self.config);
        self.machine.handle_event(now(self.now_ms), Event::Config(Arc::new(self.config.clone())));
        self.drain()
    }

    /// From now on there are these topics.
    pub(crate) fn set_topics(&mut self, words: &[(&str, &str)]) -> String {
        let topics = Arc::new(FakeTopics::parse(self.topics.version() + 1, words));
        let is_gone = |name: &&str| !topics.names().any(|other| other == *name);
        let deleted = self.topics.names().filter(is_gone).map(Arc::from).collect();
        self.topics = Arc::clone(&topics);
        self.machine.handle_event(now(self.now_ms), Event::Topics { topics, deleted });
        self.drain()
    }

    /// Number of the next request, from 1.
    pub(crate) fn next_token(&self) -> u64 {
        self.tokens + 1
    }

    pub(crate) fn request(&mut self, request: Request<'_>) -> String {
        self.tokens += 1;
        let group = if let Request::Join(join) = &request { join.group } else { "" };
        self.waiting.insert(self.tokens, group.to_owned());
        self.machine.handle(now(self.now_ms), Token(self.tokens), request);
        self.drain()
    }

    pub(crate) fn reload(&mut self) -> String {
        self.machine.resign(Some(LeaderEpoch::new(self.epoch)));
        let text = self.drain();
        assert_eq!(self.waiting, BTreeMap::new(), "requests are never answered");
        self.epoch += 1;
        self.is_behind = false;
        // What was joined but never assigned is not in the log.
        self.generations.clear();
        self.machine = loaded(self.epoch, self.now_ms, &self.config, &self.topics, &self.log);
        text
    }

    /// Lets time pass, and has everything done that is due on the way.
    pub(crate) fn pass(&mut self, ms: u64) -> String {
        let until = self.now_ms + ms;
        let mut text = String::new();
        while let Some(Ticks(due)) = self.machine.next_timeout()
            && due <= until
        {
            self.now_ms = self.now_ms.max(due);
            self.machine.handle_timeout(now(self.now_ms));
            let done = self.drain();
            if !done.is_empty() {
                writeln!(text, "at {}", self.now_ms).unwrap();
            }
            text += &done;
        }
        self.now_ms = until;
        text
    }

    pub(crate) fn release(&mut self) -> String {
        self.is_held = false;
        self.drain()
    }

    /// Does what the machine wants done, and says what that was.
    fn drain(&mut self) -> String {
        let mut text = String::new();
        while let Some(output) = self.next_output() {
            match output {
                Output::Reply(Reply { token, response }) => {
                    let group = self.waiting.remove(&token.0).expect("a request is answered once");
                    if let Response::Join(join) = &response
                        && join.error == ErrorCode::None
                    {
                        self.generations.insert((group, join.member.to_string()), join.generation);
                    }
                    writeln!(text, "#{}: {}", token.0, show::response(&response)).unwrap();
                    self.answers.push((token.0, response));
                }
                Output::Append(append) if std::mem::take(&mut self.fails) => {
                    writeln!(text, "append fails").unwrap();
                    self.is_behind = true;
                    self.machine.appended(now(self.now_ms), append, Err(ErrorCode::NotEnoughReplicas));
                }
                Output::Append(append) => {
                    for record in &append.records {
                        writeln!(text, "append {}", show::record(record)).unwrap();
                        if let GroupRecord::Consumer { group, value: None } = record {
                            // Whoever stays in a group that changes its kind has to join again.
                            self.generations.retain(|(of, _), _| **of != **group);
                        }
                    }
                    self.is_behind = false;
                    let first = Offset::new(self.log.len() as u64);
                    self.log.extend(append.records.iter().cloned().map(Entry::Record));
                    self.machine.appended(now(self.now_ms), append, Ok(first));
                }
                Output::Load { .. } => panic!("nobody was elected"),
            }
        }
        text
    }

    /// The next output, and once there is none what comes of all that is appended being committed.
    fn next_output(&mut self) -> Option<Output<GroupShard>> {
        self.machine.poll_output().or_else(|| {
            if self.is_held {
                return None;
            }
            self.machine.commit(LeaderEpoch::new(self.epoch), Offset::new(self.log.len() as u64));
            self.machine.poll_output()
        })
    }

    /// A coordinator that has read the log must know what this one knows of groups that are in no rebalance.
    pub(crate) fn check(&mut self) {
        if self.is_held || self.is_behind {
            return;
        }
        // A group that has become too large would begin a rebalance.
        let config = GroupConfig { classic_size_max: u32::MAX, ..self.config.clone() };
        let mut other = loaded(self.epoch, self.now_ms, &config, &self.topics, &self.log);
        self.check_consumer_groups(&mut other);
        for group in groups(&mut self.machine, self.now_ms) {
            let Some(mine) = describe(&mut self.machine, self.now_ms, &group) else { continue };
            let theirs = describe(&mut other, self.now_ms, &group);
            // One that nobody has joined yet is nothing to the log.
            let is_new = mine.protocol_type.is_empty() && mine.members.is_empty();
            let is_assigned = mine.members.iter().any(|member| !member.assignment.is_empty());
            match mine.state {
                GroupState::Empty if is_new => {}
                GroupState::Empty => assert_eq!(Some(&mine), theirs.as_ref(), "group {group} after a reload"),
                GroupState::Stable if is_assigned => {
                    assert_eq!(Some(&mine), theirs.as_ref(), "group {group} after a reload");
                    self.check_generations(&mut other, &group, &mine);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn consumer_group(&mut self, group: &str) -> Option<ConsumerGroupDescription> {
        describe_consumer(&mut self.machine, self.now_ms, group)
    }

    /// All of a consumer group is in the log, also once that is compacted.
    fn check_consumer_groups(&mut self, other: &mut Machine) {
        let mut compacted = loaded(self.epoch, self.now_ms, &self.config, &self.topics, &compact(&self.log));
        let mut all = groups(&mut self.machine, self.now_ms);
        all.extend(groups(&mut compacted, self.now_ms));
        for group in all {
            let mine = describe_consumer(&mut self.machine, self.now_ms, &group);
            assert_eq!(mine, describe_consumer(other, self.now_ms, &group), "group {group} after a reload");
            let theirs = describe_consumer(&mut compacted, self.now_ms, &group);
            assert_eq!(mine, theirs, "group {group} after compaction");
        }
    }

    /// Members that have joined the last generation must be in it by the word of `other`. A static one may be late.
    fn check_generations(&self, other: &mut Machine, group: &str, description: &GroupDescription) {
        let generation_of = |id: &str| self.generations.get(&(group.to_owned(), id.to_owned())).copied();
        let last = description.members.iter().filter_map(|member| generation_of(&member.id)).max();
        for member in description.members.iter().filter(|member| last.is_some() && generation_of(&member.id) == last) {
            let heartbeat = Heartbeat {
                group,
                generation: last.unwrap(),
                member: &member.id,
                instance_id: member.instance_id.as_deref(),
            };
            let answer = ask(other, self.now_ms, Request::Heartbeat(heartbeat));
            assert_eq!(answer, Response::Heartbeat(ErrorCode::None), "{} of {group} after a reload", member.id);
        }
    }
}

/// Time in ticks, and on a wall clock that is ahead of them.
fn now(ms: u64) -> Now {
    Now { ticks: Ticks(ms), wall: TimestampMs(1_000_000 + i64::try_from(ms).unwrap()) }
}

/// A coordinator that has read `log`.
fn loaded(
    epoch: u32,
    at_ms: u64,
    config: &GroupConfig,
    topics: &Arc<FakeTopics>,
    log: &[Entry<GroupRecord>],
) -> Machine {
    let epoch = LeaderEpoch::new(epoch);
    let mut machine = Coordinator::new(CoordinatorConfig::default());
    machine.elect(epoch, GroupShard::new(Arc::new(config.clone()), Arc::<FakeTopics>::clone(topics)));
    assert!(matches!(machine.poll_output(), Some(Output::Load { .. })), "an election asks for a load");
    for (offset, entry) in (0..).zip(log) {
        machine.replay(now(at_ms), epoch, Offset::new(offset), entry.clone()).unwrap();
    }
    let end = Offset::new(log.len() as u64);
    machine.loaded(now(at_ms), epoch, end);
    machine.commit(epoch, end);
    machine
}

/// The answer to a request that changes nothing.
fn ask(machine: &mut Machine, now_ms: u64, request: Request<'_>) -> Response {
    machine.handle(now(now_ms), Token(0), request);
    match machine.poll_output() {
        Some(Output::Reply(Reply { token: Token(0), response })) => response,
        other => panic!("no answer but {other:?}"),
    }
}

fn groups(machine: &mut Machine, now_ms: u64) -> Vec<String> {
    let list = Request::List { states: Vec::new(), types: Vec::new() };
    let Response::List(Ok(groups)) = ask(machine, now_ms, list) else { panic!("no list") };
    groups.into_iter().map(|group| group.group.to_string()).collect()
}

fn describe(machine: &mut Machine, now_ms: u64, group: &str) -> Option<GroupDescription> {
    let Response::Describe(description) = ask(machine, now_ms, Request::Describe { group }) else {
        panic!("no description")
    };
    description.ok()
}

fn describe_consumer(machine: &mut Machine, now_ms: u64, group: &str) -> Option<ConsumerGroupDescription> {
    let Response::ConsumerDescribe(description) = ask(machine, now_ms, Request::ConsumerDescribe { group }) else {
        panic!("no description")
    };
    description.ok()
}

/// The last record of each key, without those that delete.
fn compact(log: &[Entry<GroupRecord>]) -> Vec<Entry<GroupRecord>> {
    let mut last = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        if let Entry::Record(record) = entry {
            last.insert(show::key(record), at);
        }
    }
    let is_kept = |(at, entry): &(usize, &Entry<GroupRecord>)| {
        let Entry::Record(record) = entry else { return true };
        last[&show::key(record)] == *at && !record.is_tombstone()
    };
    log.iter().enumerate().filter(is_kept).map(|(_, entry)| entry.clone()).collect()
}
