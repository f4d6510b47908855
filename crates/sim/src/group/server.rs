//! The coordinator and its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::{
    Append, Coordinator, CoordinatorConfig, Entry as LogEntry, Now, Output, Reply, Ticks, Token,
};
use highwater_group::{Event, GroupConfig, GroupRecord, GroupShard, Response, Topics};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};

use super::ask::Ask;
use super::book::{Book, key_of};
use super::plan::Plan;
use super::topics::SimTopics;
use crate::Random;

/// A record and where it lies.
pub(super) type Entry = (u64, GroupRecord);

/// The coordinator under test, with the log that it writes to.
pub(super) struct Server {
    machine: Coordinator<GroupShard>,
    config: Arc<GroupConfig>,
    pub(super) log: Vec<Entry>,
    end: u64,
    pub(super) committed: u64,
    pub(super) epoch: u32,
    /// The last record of each partition's offset that is no tombstone.
    latest: BTreeMap<(Arc<str>, Arc<str>, u32), u64>,
    /// Requests that are not answered yet.
    asked: BTreeMap<Token, Asked>,
    tokens: u64,
    pub(super) random: Random,
    append_failure_percent: u64,
}

struct Asked {
    member: usize,
    call: u64,
    ask: Ask,
    since_ms: u64,
}

/// What the world has to do about an input.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) answers: Vec<(usize, u64, Response)>,
    /// The log has grown up to there.
    pub(super) appended: Option<u64>,
    /// The log is to be read for this term.
    pub(super) loads: Option<u32>,
}

impl Server {
    pub(super) fn new(plan: &Plan, random: Random) -> Self {
        let config = GroupConfig {
            initial_rebalance_delay_ms: plan.initial_delay_ms,
            consumer_session_timeout_ms: 6000,
            consumer_assignment_interval_ms: plan.assignment_interval_ms,
            ..GroupConfig::default()
        };
        Self {
            machine: Coordinator::new(CoordinatorConfig::default()),
            config: Arc::new(config),
            log: Vec::new(),
            end: 0,
            committed: 0,
            epoch: 0,
            latest: BTreeMap::new(),
            asked: BTreeMap::new(),
            tokens: 0,
            random,
            append_failure_percent: plan.append_failure_percent,
        }
    }

    pub(super) fn heal(&mut self, plan: &Plan) {
        self.append_failure_percent = plan.append_failure_percent;
    }

    fn shard(&self, topics: &SimTopics) -> GroupShard {
        GroupShard::new(Arc::clone(&self.config), Arc::new(topics.clone()) as Arc<dyn Topics>)
    }

    /// This node leads, in a new term.
    pub(super) fn elect(&mut self, now_ms: u64, topics: &SimTopics, book: &mut Book) -> Effects {
        self.epoch += 1;
        let shard = self.shard(topics);
        self.machine.elect(LeaderEpoch::new(self.epoch), shard);
        self.drain(now_ms, None, book)
    }

    /// The process dies: of what was not committed any part from the front may be left. Then it leads again.
    pub(super) fn crash(&mut self, now_ms: u64, topics: &SimTopics, compacts: bool, book: &mut Book) -> Effects {
        let mut effects = if self.random.chance(30) {
            // It only loses the leadership, and all of the log is kept.
            self.epoch += 1;
            self.machine.resign(Some(LeaderEpoch::new(self.epoch)));
            self.drain(now_ms, None, book)
        } else {
            self.machine = Coordinator::new(CoordinatorConfig::default());
            self.asked.clear();
            let kept = self.random.between(self.committed, self.end);
            self.log.retain(|(at, _)| *at < kept);
            self.end = kept;
            Effects::default()
        };
        if compacts && self.random.chance(50) {
            self.compact();
        }
        self.index();
        book.crashed(&self.log);
        let elected = self.elect(now_ms, topics, book);
        effects.answers.extend(elected.answers);
        effects.loads = elected.loads;
        effects
    }

    /// Keeps the last record of each key below the high watermark, and sometimes drops tombstones.
    fn compact(&mut self) {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        for (at, record) in self.log.iter().filter(|(at, _)| *at < self.committed) {
            last.insert(name_of(record), *at);
        }
        let drops_tombstones = self.random.chance(50);
        let committed = self.committed;
        self.log.retain(|(at, record)| {
            committed <= *at || (last[&name_of(record)] == *at && !(drops_tombstones && record.is_tombstone()))
        });
    }

    fn index(&mut self) {
        self.latest.clear();
        for (at, record) in &self.log {
            if let Some(key) = key_of(record) {
                if record.is_tombstone() {
                    self.latest.remove(&key);
                } else {
                    self.latest.insert(key, *at);
                }
            }
        }
    }

    /// Feeds the whole log.
    pub(super) fn load(&mut self, now_ms: u64, epoch: u32, book: &mut Book) -> Effects {
        let epoch = LeaderEpoch::new(epoch);
        for (at, record) in &self.log {
            let entry = LogEntry::Record(record.clone());
            match self.machine.replay(now(now_ms), epoch, Offset::new(*at), entry) {
                Ok(()) => {}
                Err(highwater_coordinator::ReplayError::Stale) => return Effects::default(),
                Err(error) => panic!("what was written cannot be replayed: {error:?}"),
            }
        }
        self.machine.commit(epoch, Offset::new(self.committed));
        let mut effects = self.drain(now_ms, None, book);
        self.machine.loaded(now(now_ms), epoch, Offset::new(self.end));
        let loaded = self.drain(now_ms, None, book);
        effects.answers.extend(loaded.answers);
        effects.appended = loaded.appended.or(effects.appended);
        effects
    }

    /// Hands a request over.
    pub(super) fn ask(&mut self, now_ms: u64, member: usize, call: u64, ask: Ask, book: &mut Book) -> Effects {
        self.tokens += 1;
        let token = Token(self.tokens);
        ask.with_request(|request| self.machine.handle(now(now_ms), token, request));
        self.asked.insert(token, Asked { member, call, ask, since_ms: now_ms });
        self.drain(now_ms, Some(token), book)
    }

    pub(super) fn topics_changed(
        &mut self,
        now_ms: u64,
        topics: &SimTopics,
        deleted: Vec<Arc<str>>,
        book: &mut Book,
    ) -> Effects {
        let topics = Arc::new(topics.clone()) as Arc<dyn Topics>;
        self.machine.handle_event(now(now_ms), Event::Topics { topics, deleted });
        self.drain(now_ms, None, book)
    }

    /// When it wants to do something by itself.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        self.machine.next_timeout().map(|due| due.0)
    }

    pub(super) fn time_out(&mut self, now_ms: u64, book: &mut Book) -> Effects {
        self.machine.handle_timeout(now(now_ms));
        self.drain(now_ms, None, book)
    }

    /// The high watermark, as the leader of a term learns it.
    pub(super) fn commit(&mut self, now_ms: u64, epoch: u32, end: u64, book: &mut Book) -> Effects {
        if epoch == self.epoch {
            self.committed = end.min(self.end).max(self.committed);
            self.machine.commit(LeaderEpoch::new(epoch), Offset::new(self.committed));
        } else {
            // Of another term, and as high as it may be: nothing of this term is complete by that.
            self.machine.commit(LeaderEpoch::new(epoch), Offset::new(end + 1000));
        }
        self.drain(now_ms, None, book)
    }

    /// What must hold at any time.
    pub(super) fn check(&self, now_ms: u64, book: &Book) {
        book.check(&self.latest);
        for asked in self.asked.values() {
            let waited_ms = now_ms - asked.since_ms;
            assert!(waited_ms < ANSWER_MS_MAX, "{:?} has waited for {waited_ms} ms", asked.ask);
        }
    }

    fn drain(&mut self, now_ms: u64, token: Option<Token>, book: &mut Book) -> Effects {
        let mut effects = Effects::default();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Load { epoch } => effects.loads = Some(epoch.value()),
                Output::Append(append) => {
                    if self.append(now_ms, token, append, book) {
                        effects.appended = Some(self.end);
                    }
                }
                Output::Reply(Reply { token, response }) => {
                    let asked = self.asked.remove(&token).expect("each request is answered once");
                    book.answered(&asked.ask, &response, &self.log, self.committed);
                    effects.answers.push((asked.member, asked.call, response));
                }
            }
        }
        effects
    }

    /// Appends, or fails to. Whether it has.
    fn append(&mut self, now_ms: u64, token: Option<Token>, append: Append<GroupRecord>, book: &mut Book) -> bool {
        if append.epoch != LeaderEpoch::new(self.epoch) || self.random.chance(self.append_failure_percent) {
            book.has_failures = true;
            self.machine.appended(now(now_ms), append, Err(ErrorCode::NotEnoughReplicas));
            return false;
        }
        let first = self.end;
        let entries: Vec<Entry> = (first..).zip(append.records.iter().cloned()).collect();
        self.end += entries.len() as u64;
        for (at, record) in &entries {
            let Some(key) = key_of(record) else { continue };
            if record.is_tombstone() {
                self.latest.remove(&key);
                book.forget(|gone| *gone == key);
            } else {
                self.latest.insert(key, *at);
            }
        }
        book.appended(token.and_then(|token| self.asked_now(token)), &entries);
        self.log.extend(entries);
        self.machine.appended(now(now_ms), append, Ok(Offset::new(first)));
        true
    }

    fn asked_now(&self, token: Token) -> Option<&Ask> {
        self.asked.get(&token).map(|asked| &asked.ask)
    }
}

fn now(now_ms: u64) -> Now {
    let wall = i64::try_from(now_ms).expect("histories are short");
    Now { ticks: Ticks(now_ms), wall: TimestampMs(wall + 1_700_000_000_000) }
}

/// A record's key, as text.
fn name_of(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { group, topic, partition, .. } => format!("1 {group} {topic} {partition:?}"),
        GroupRecord::Classic { group, .. } => format!("2 {group}"),
        GroupRecord::Consumer { group, .. } => format!("3 {group}"),
        GroupRecord::ConsumerTopics { group, .. } => format!("4 {group}"),
        GroupRecord::ConsumerMember { group, member, .. } => format!("5 {group} {member}"),
        GroupRecord::ConsumerTarget { group, .. } => format!("6 {group}"),
        GroupRecord::ConsumerMemberTarget { group, member, .. } => format!("7 {group} {member}"),
        GroupRecord::ConsumerCurrent { group, member, .. } => format!("8 {group} {member}"),
        GroupRecord::ConsumerRegex { group, regex, .. } => format!("16 {group} {regex}"),
    }
}

/// The longest that a request may wait: a join for a group whose members never come, a new member's five minutes.
const ANSWER_MS_MAX: u64 = 310_000;
