//! One history from its first event to its end.

use std::sync::Arc;

use highwater_group::Response;
use highwater_types::Uuid;

use super::Held;
use super::ask::Ask;
use super::book::Book;
use super::classic_member::ClassicMember;
use super::consumer_member::{ConsumerMember, Subscription};
use super::member::{Counters, Member, Next, Protocol};
use super::network::Event;
use super::plan::Plan;
use super::server::{Effects, Server};
use super::topics::SimTopics;
use crate::Random;
use crate::fuzz::Trace;
use crate::queue::Queue;

/// Everything there is.
struct World<'t, 'f> {
    plan: Plan,
    random: Random,
    now_ms: u64,
    queue: Queue<Event>,
    server: Server,
    topics: SimTopics,
    members: Vec<Member>,
    counters: Counters,
    calls: u64,
    instances: u64,
    book: Book,
    /// When the coordinator will be asked what it has to do.
    timer_at: Option<u64>,
    trace: &'t mut Trace<'f>,
}

/// Plays the history that belongs to `seed`.
pub(crate) fn run(seed: u64, trace: &mut Trace<'_>) {
    let mut random = Random::new(seed);
    let plan = Plan::draw(&mut random);
    trace.say(|| format!("{plan:?}"));
    let mut topics = SimTopics::default();
    topics.put("t-0", u32::try_from(random.between(1, 6)).expect("small"));
    topics.put("t-1", u32::try_from(random.between(1, 4)).expect("small"));
    let server = Server::new(&plan, random.fork());
    let mut world = World {
        random,
        now_ms: 0,
        queue: Queue::default(),
        server,
        topics,
        members: Vec::new(),
        counters: Counters::default(),
        calls: 0,
        instances: 0,
        book: Book::default(),
        timer_at: None,
        trace,
        plan,
    };
    world.play();
}

impl World<'_, '_> {
    fn play(&mut self) {
        let effects = self.server.elect(0, &self.topics, &mut self.book);
        self.follow(effects);
        for group in 0..self.plan.groups.len() {
            for _ in 0..self.plan.members {
                self.add_member(group);
            }
        }
        self.queue.put(self.plan.crash_every_ms, Event::Crashes);
        self.queue.put(self.plan.change_every_ms, Event::Changes);
        let chaos_ms = self.plan.chaos_ms;
        self.run_until(chaos_ms);
        self.trace.say(|| format!("{chaos_ms}: the world heals"));
        self.plan.heal();
        self.server.heal(&self.plan);
        self.queue.retain(Event::is_harmless);
        for member in &mut self.members {
            member.paused_until = 0;
        }
        self.run_until(chaos_ms + HEALING_MS);
        self.check_settled();
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some((at_ms, event)) = self.queue.pop() {
            if end_ms <= at_ms {
                self.queue.put(at_ms, event);
                break;
            }
            self.now_ms = at_ms;
            self.happen(event);
            self.server.check(self.now_ms, &self.book);
            self.arm();
        }
        self.now_ms = end_ms;
    }

    fn happen(&mut self, event: Event) {
        let now_ms = self.now_ms;
        match event {
            Event::Arrives { member, call, mut ask } => {
                if let Ask::Commit { commits, .. } = &mut ask {
                    // As the broker does before it asks the coordinator.
                    commits.retain(|commit| self.topics.id_of(&commit.topic) == commit.topic_id);
                }
                self.trace.say(|| format!("{now_ms}: member {member} asks {ask:?}"));
                let effects = self.server.ask(now_ms, member, call, ask, &mut self.book);
                self.follow(effects);
            }
            Event::Answers { member, call, response } => {
                if self.members[member].waiting.is_some_and(|(waiting, _)| waiting == call) {
                    self.trace.say(|| format!("{now_ms}: member {member} hears {response:?}"));
                    self.hear(member, *response);
                }
            }
            Event::Wakes { member, wake } => {
                if self.members[member].wake == wake {
                    self.act(member);
                }
            }
            Event::Timer => {
                self.timer_at = None;
                if self.server.next_timeout().is_some_and(|due| due <= now_ms) {
                    let effects = self.server.time_out(now_ms, &mut self.book);
                    self.follow(effects);
                }
            }
            Event::Commits { epoch, end } => {
                let effects = self.server.commit(now_ms, epoch, end, &mut self.book);
                self.follow(effects);
            }
            Event::Loads { epoch } => {
                let effects = self.server.load(now_ms, epoch, &mut self.book);
                self.trace.say(|| format!("{now_ms}: loaded in epoch {epoch}"));
                self.follow(effects);
                // Events that come during a load are lost: its driver tells of them afterwards.
                let effects = self.server.topics_changed(now_ms, &self.topics, Vec::new(), &mut self.book);
                self.follow(effects);
            }
            Event::Crashes => {
                let effects = self.server.crash(now_ms, &self.topics, self.plan.compacts, &mut self.book);
                let epoch = self.server.epoch;
                self.trace.say(|| format!("{now_ms}: crash, epoch {epoch}"));
                self.follow(effects);
                let next_ms = now_ms + self.random.between(1, 2 * self.plan.crash_every_ms);
                self.queue.put(next_ms, Event::Crashes);
            }
            Event::Changes => {
                self.change();
                let next_ms = now_ms + self.random.between(1, 2 * self.plan.change_every_ms);
                self.queue.put(next_ms, Event::Changes);
            }
        }
    }

    /// Makes sure that the coordinator's next timeout comes.
    fn arm(&mut self) {
        let Some(due) = self.server.next_timeout() else { return };
        let due = due.max(self.now_ms);
        if self.timer_at.is_none_or(|at| due < at) {
            self.timer_at = Some(due);
            self.queue.put(due, Event::Timer);
        }
    }

    /// Sends answers on their way, lets the log be replicated, and reads it.
    fn follow(&mut self, effects: Effects) {
        for (member, call, response) in effects.answers {
            if self.random.chance(self.plan.loss_percent) {
                continue;
            }
            let at_ms = self.now_ms + self.random.between(1, self.plan.delay_ms_max);
            self.queue.put(at_ms, Event::Answers { member, call, response: Box::new(response) });
        }
        let epoch = self.server.epoch;
        if let Some(end) = effects.appended {
            let at_ms = self.now_ms + self.random.below(self.plan.commit_ms_max + 1);
            self.queue.put(at_ms, Event::Commits { epoch, end });
            if self.random.chance(2) {
                self.queue.put(at_ms, Event::Commits { epoch: epoch + self.random.pick(&[1, 2]), end });
            }
        }
        if let Some(epoch) = effects.loads {
            let at_ms = self.now_ms + self.random.between(1, 500);
            self.queue.put(at_ms, Event::Loads { epoch });
        }
        // What was left uncommitted by the term before is committed by this one.
        if effects.loads.is_some() {
            let at_ms = self.now_ms + self.random.between(1, 1000);
            self.queue.put(at_ms, Event::Commits { epoch, end: u64::MAX >> 2 });
        }
    }

    fn add_member(&mut self, group: usize) {
        let is_consumer = self.random.chance(self.plan.groups[group]);
        let instance = self.random.chance(25).then(|| {
            self.instances += 1;
            format!("i{}", self.instances)
        });
        let subscription = self.subscription();
        let protocol = if is_consumer {
            let subscription = match subscription {
                Subscription::Names(names) if self.random.chance(70) => Subscription::Names(names),
                _ => Subscription::Regex("t-.*".to_owned()),
            };
            Protocol::Consumer(ConsumerMember::new(format!("m{}", self.members.len()), instance, subscription))
        } else {
            let Subscription::Names(names) = subscription else { unreachable!("names are drawn first") };
            Protocol::Classic(ClassicMember::new(instance, names))
        };
        let index = self.add(Arc::from(format!("g{group}")), protocol);
        self.trace.say(|| format!("member {index} comes"));
    }

    fn add(&mut self, group: Arc<str>, protocol: Protocol) -> usize {
        let index = self.members.len();
        self.members.push(Member {
            group,
            protocol,
            held: std::collections::BTreeMap::new(),
            waiting: None,
            wake: 0,
            beat_at: 0,
            is_alive: true,
            paused_until: 0,
        });
        let in_ms = self.random.below(2000);
        self.wake_in(index, in_ms);
        index
    }

    fn subscription(&mut self) -> Subscription {
        let names: &[&str] = if self.random.chance(70) { &["t-0", "t-1"] } else { &["t-0"] };
        Subscription::Names(names.iter().map(|name| Arc::from(*name)).collect())
    }

    fn wake_in(&mut self, member: usize, in_ms: u64) {
        let state = &mut self.members[member];
        state.wake += 1;
        let wake = state.wake;
        self.queue.put(self.now_ms + in_ms, Event::Wakes { member, wake });
    }

    /// A member does what it has to do.
    fn act(&mut self, index: usize) {
        let (now_ms, patience_ms) = (self.now_ms, ANSWER_PATIENCE_MS);
        let member = &mut self.members[index];
        if !member.is_alive {
            return;
        }
        if now_ms < member.paused_until {
            let left_ms = member.paused_until - now_ms;
            return self.wake_in(index, left_ms);
        }
        if let Some((_, since_ms)) = member.waiting {
            // Whoever waits for others to join waits longer.
            let joins = matches!(&member.protocol, Protocol::Classic(classic) if !classic.is_stable());
            let patience_ms = if joins { JOIN_PATIENCE_MS } else { patience_ms };
            if now_ms < since_ms + patience_ms {
                return self.wake_in(index, since_ms + patience_ms - now_ms);
            }
            member.waiting = None;
            if let Protocol::Consumer(consumer) = &mut member.protocol {
                consumer.says_all = true;
            }
        }
        if let Protocol::Classic(classic) = &mut member.protocol
            && classic.rejoins(&self.topics)
        {
            member.hold(&Held::new(), &mut self.counters);
        }
        // Heartbeats come first: whoever only commits is out when its session ends.
        let may_wait = now_ms < self.members[index].beat_at + BEAT_MS_MAX;
        let commits = may_wait && self.random.chance(40);
        let fetches = may_wait && self.random.chance(10);
        let member = &mut self.members[index];
        let ask = if commits && let Some(commit) = member.commit(&self.topics, &mut self.counters) {
            commit
        } else if fetches {
            Ask::Fetch { group: Arc::clone(&member.group) }
        } else {
            member.beat_at = now_ms;
            let new_member = Uuid::from_bytes(u128::from(self.random.bits()).to_be_bytes());
            match &mut member.protocol {
                Protocol::Classic(classic) => classic.next(&member.group, new_member),
                Protocol::Consumer(consumer) => consumer.next(&member.group, member.held.keys().cloned(), &self.topics),
            }
        };
        self.send(index, &ask);
    }

    fn send(&mut self, index: usize, ask: &Ask) {
        self.calls += 1;
        let (call, now_ms) = (self.calls, self.now_ms);
        self.members[index].waiting = Some((call, now_ms));
        let arrives_at = self.deliver(index, call, ask);
        // A heartbeat that was answered does not come again: whoever repeats one says everything, and hears everything.
        let may_repeat = !matches!(ask, Ask::Consumer(_));
        if let Some(at_ms) = arrives_at
            && self.random.chance(self.plan.repeat_percent)
            && may_repeat
        {
            // Once more, some time later, on a connection that nobody reads from any more.
            let at_ms = at_ms + self.random.below(self.plan.delay_ms_max);
            self.queue.put(at_ms, Event::Arrives { member: index, call: 0, ask: ask.clone() });
        }
        self.wake_in(index, ANSWER_PATIENCE_MS);
    }

    /// When a request arrives, if it does.
    fn deliver(&mut self, member: usize, call: u64, ask: &Ask) -> Option<u64> {
        if self.random.chance(self.plan.loss_percent) {
            return None;
        }
        let at_ms = self.now_ms + self.random.between(1, self.plan.delay_ms_max);
        self.queue.put(at_ms, Event::Arrives { member, call, ask: ask.clone() });
        Some(at_ms)
    }

    fn hear(&mut self, index: usize, response: Response) {
        let member = &mut self.members[index];
        member.waiting = None;
        let (held, next) = match &mut member.protocol {
            Protocol::Classic(classic) => classic.answered(response, &self.topics),
            Protocol::Consumer(consumer) => consumer.answered(response, &self.topics),
        };
        if let Some(held) = held {
            member.hold(&held, &mut self.counters);
        }
        match next {
            Next::Wait(ms) => self.wake_in(index, ms),
            Next::Die => self.members[index].is_alive = false,
        }
    }

    /// Members come, go and pause; topics come, grow and go.
    fn change(&mut self) {
        let live: Vec<usize> = (0..self.members.len()).filter(|index| self.members[*index].is_alive).collect();
        match self.random.below(10) {
            0 | 1 if live.len() < MEMBERS_MAX => {
                let group = self.random.index(self.plan.groups.len());
                self.add_member(group);
            }
            2 if 1 < live.len() => {
                let victim = self.random.pick(&live);
                self.trace.say(|| format!("member {victim} dies"));
                self.members[victim].is_alive = false;
            }
            3 | 4 if 1 < live.len() => {
                let leaver = self.random.pick(&live);
                self.leave(leaver);
            }
            5 | 6 if !live.is_empty() => {
                let sleeper = self.random.pick(&live);
                let ms = self.random.pick(&[500, 3000, 8000, 20_000]);
                self.trace.say(|| format!("member {sleeper} pauses for {ms} ms"));
                self.members[sleeper].paused_until = self.now_ms + ms;
            }
            7 => self.change_topics(),
            8 if !live.is_empty() => {
                let member = self.random.pick(&live);
                let Subscription::Names(names) = self.subscription() else { return };
                match &mut self.members[member].protocol {
                    Protocol::Classic(classic) => classic.resubscribe(names),
                    Protocol::Consumer(consumer) => consumer.resubscribe(Subscription::Names(names)),
                }
            }
            _ => {}
        }
    }

    /// A member says goodbye; a static one of the consumer protocol may come back under a new id.
    fn leave(&mut self, index: usize) {
        let returns = self.random.chance(50);
        let member = &mut self.members[index];
        self.trace.say(|| format!("member {index} leaves"));
        match &mut member.protocol {
            Protocol::Classic(classic) if !classic.id.is_empty() => {
                let ask = Ask::Leave { group: Arc::clone(&member.group), member: classic.id.clone() };
                member.is_alive = false;
                self.calls += 1;
                let call = self.calls;
                self.deliver(index, call, &ask);
            }
            Protocol::Classic(_) => member.is_alive = false,
            // It is about to leave already, and whoever takes its place has been started.
            Protocol::Consumer(consumer) if consumer.leaving.is_some() => {}
            Protocol::Consumer(consumer) => {
                let comes_back = returns && consumer.instance.is_some();
                consumer.leaving = Some(if comes_back { -2 } else { -1 });
                let (group, instance, subscription) =
                    (Arc::clone(&member.group), consumer.instance.clone(), consumer.subscription.clone());
                // It has stopped consuming before it says so.
                member.hold(&Held::new(), &mut self.counters);
                member.waiting = None;
                self.wake_in(index, 0);
                if comes_back {
                    let id = format!("m{}", self.members.len());
                    self.add(group, Protocol::Consumer(ConsumerMember::new(id, instance, subscription)));
                }
            }
        }
    }

    fn change_topics(&mut self) {
        let name = self.random.pick(&["t-0", "t-1", "t-2"]);
        let mut deleted = Vec::new();
        if name == "t-2" && self.random.chance(40) {
            if self.topics.remove(name) {
                deleted.push(Arc::from(name));
                self.book.forget(|(_, topic, _)| **topic == *name);
            }
        } else {
            let count = self.topics.count(name) + u32::try_from(self.random.between(1, 2)).expect("small");
            self.topics.put(name, count.min(PARTITIONS_MAX));
        }
        self.trace.say(|| format!("{name} changes"));
        let effects = self.server.topics_changed(self.now_ms, &self.topics, deleted, &mut self.book);
        self.follow(effects);
    }

    /// After healing: in each group every partition that somebody wants is held once, by somebody who lives.
    fn check_settled(&self) {
        for group in 0..self.plan.groups.len() {
            let name = format!("g{group}");
            let members = self.members.iter().enumerate();
            let live: Vec<(usize, &Member)> =
                members.filter(|(_, member)| member.is_alive && *member.group == *name).collect();
            let mut wanted = Held::new();
            for (_, member) in &live {
                for topic in self.wanted(member) {
                    wanted.extend((0..self.topics.count(&topic)).map(|partition| (Arc::clone(&topic), partition)));
                }
            }
            let mut held = Held::new();
            for (index, member) in &live {
                for partition in member.held.keys() {
                    assert!(
                        held.insert(partition.clone()),
                        "{partition:?} of {name} is held twice, also by member {index}"
                    );
                }
            }
            assert_eq!(held, wanted, "{name} does not come to rest");
        }
    }

    /// Topics that a member subscribes to and that exist.
    fn wanted(&self, member: &Member) -> Vec<Arc<str>> {
        let all = self.topics.names().cloned();
        match &member.protocol {
            Protocol::Classic(classic) => all.filter(|name| classic.topics.contains(name)).collect(),
            Protocol::Consumer(consumer) => match &consumer.subscription {
                Subscription::Names(names) => all.filter(|name| names.contains(name)).collect(),
                Subscription::Regex(_) => all.collect(),
            },
        }
    }
}

/// How long a member waits for an answer.
const ANSWER_PATIENCE_MS: u64 = 3000;
/// How long one waits that joins or syncs.
const JOIN_PATIENCE_MS: u64 = 15_000;
/// In how long a world without faults has to come to rest: sessions end, and groups rebalance a few times.
const HEALING_MS: u64 = 90_000;
/// The longest that a member which is not paused puts its heartbeat off.
const BEAT_MS_MAX: u64 = 2000;
const MEMBERS_MAX: usize = 12;
const PARTITIONS_MAX: u32 = 8;
