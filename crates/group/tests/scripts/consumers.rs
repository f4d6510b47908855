//! Consumers of the consumer protocol, with everything that can go wrong, and then nothing does.

use std::collections::{BTreeMap, BTreeSet};

use highwater_group::{ConsumerHeartbeatResponse, GroupState, Response};
use highwater_types::ErrorCode;
use proptest::prelude::*;

use crate::commands::run;
use crate::names::short;
use crate::topics::letter;
use crate::world::World;

type Owned = BTreeSet<(char, u32)>;

/// One consumer of group `g`.
#[derive(Debug)]
struct Consumer {
    name: &'static str,
    instance: Option<&'static str>,
    /// How many ids it has had.
    lives: u32,
    epoch: i32,
    subscription: &'static str,
    /// The coordinator has not confirmed the subscription.
    is_news: bool,
    /// What it consumes.
    owned: Owned,
    /// What it shall consume; it gets there in its own time.
    target: Owned,
    /// What the coordinator knows that it owns; `None` once an answer was lost.
    reported: Option<Owned>,
}

impl Consumer {
    fn new(name: &'static str, instance: Option<&'static str>) -> Self {
        Self {
            name,
            instance,
            lives: 0,
            epoch: 0,
            subscription: SUBSCRIPTIONS[0],
            is_news: true,
            owned: Owned::new(),
            target: Owned::new(),
            reported: None,
        }
    }

    fn id(&self) -> String {
        format!("{}.{}", self.name, self.lives)
    }

    /// Stops to consume, and has to join.
    fn reset(&mut self) {
        (self.epoch, self.is_news, self.reported) = (0, true, None);
        (self.owned, self.target) = (Owned::new(), Owned::new());
    }

    fn beat(&mut self, world: &mut World, is_lost: bool) {
        let says_all = self.epoch == 0 || self.reported.is_none();
        let subscription = if says_all || self.is_news { self.subscription } else { "" };
        let timeout = if says_all { "timeout=20000" } else { "" };
        let owned = (self.reported.as_ref() != Some(&self.owned)).then(|| format!("owned={}", words(&self.owned)));
        let owned = owned.unwrap_or_default();
        let Some(answer) = self.send(world, self.epoch, &format!("{subscription} {timeout} {owned}")) else { return };
        if is_lost {
            self.reported = None;
            return;
        }
        match answer.error {
            ErrorCode::None => self.take(&answer),
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch | ErrorCode::GroupIdNotFound => self.reset(),
            ErrorCode::CoordinatorNotAvailable => self.reported = None,
            ErrorCode::UnreleasedInstanceId => assert_eq!(self.epoch, 0),
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, answer: &ConsumerHeartbeatResponse) {
        assert_eq!(answer.member.as_deref().map(short), Some(self.id()));
        assert!(self.epoch <= answer.member_epoch, "the epoch of a member goes back");
        (self.epoch, self.is_news, self.reported) = (answer.member_epoch, false, Some(self.owned.clone()));
        if let Some(assignment) = &answer.assignment {
            let each = assignment.iter().flat_map(|(topic, all)| {
                all.iter().map(|index| (letter(*topic), u32::try_from(index.to_wire()).unwrap()))
            });
            self.target = each.collect();
        }
    }

    fn send(&self, world: &mut World, epoch: i32, rest: &str) -> Option<ConsumerHeartbeatResponse> {
        let instance = self.instance.map(|instance| format!("instance={instance}")).unwrap_or_default();
        let (name, id, token) = (self.name, self.id(), world.next_token());
        run(world, &format!("consumer g {name} {id} {epoch} {instance} {rest}"));
        world.answers.drain(..).find_map(|(other, response)| match response {
            Response::ConsumerHeartbeat(response) if other == token => Some(response),
            _ => None,
        })
    }

    /// Goes, and begins a new life some time; a static one may say that it does.
    fn go(&mut self, world: &mut World, epoch: Option<i32>) {
        if let Some(epoch) = epoch
            && self.epoch != 0
        {
            self.send(world, epoch, "");
        }
        self.reset();
        self.lives += 1;
    }

    fn may_commit(&self, world: &mut World, (letter, partition): (char, u32)) -> bool {
        let (epoch, id) = (self.epoch, self.id());
        run(world, &format!("commit g {epoch} {id} version=9 topic={letter} partition={partition}"));
        let codes = world.answers.drain(..).find_map(|(_, response)| match response {
            Response::OffsetCommit(codes) => Some(codes),
            _ => None,
        });
        codes.is_some_and(|codes| codes == [ErrorCode::None])
    }
}

/// `t:0,1+u:0`.
fn words(owned: &Owned) -> String {
    let mut topics: BTreeMap<char, Vec<String>> = BTreeMap::new();
    for (letter, partition) in owned {
        topics.entry(*letter).or_default().push(partition.to_string());
    }
    let topics = topics.iter().map(|(letter, all)| format!("{letter}:{}", all.join(",")));
    topics.collect::<Vec<_>>().join("+")
}

#[derive(Clone, Debug)]
enum Op {
    /// A consumer heartbeats, and may not hear the answer.
    Beat(usize, bool),
    /// It stops and starts to consume as it was told.
    Settle(usize),
    Subscribe(usize, &'static str),
    /// It goes without a word, for good, or for now.
    Go(usize, Option<i32>),
    Grow,
    /// A topic is deleted and made anew.
    Renew,
    /// The other topic comes or goes.
    Other,
    Pass(u64),
    Line(&'static str),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (0..CONSUMERS, prop::bool::weighted(0.2)).prop_map(|(at, is_lost)| Op::Beat(at, is_lost)),
        12 => (0..CONSUMERS).prop_map(Op::Settle),
        1 => (0..CONSUMERS, prop::sample::select(&SUBSCRIPTIONS)).prop_map(|(at, topics)| Op::Subscribe(at, topics)),
        1 => (0..CONSUMERS, prop::sample::select(vec![None, Some(-1), Some(-2)])).prop_map(|(at, to)| Op::Go(at, to)),
        1 => prop::sample::select(vec![Op::Grow, Op::Renew, Op::Other]),
        3 => prop::sample::select(vec![0, 100, 1000, 20_000, 45_000]).prop_map(Op::Pass),
        1 => prop::sample::select(vec!["fail", "reload", "config interval=0", "config interval=1000"])
            .prop_map(Op::Line),
    ]
}

/// The consumers, their topics, and their coordinator.
struct Scene {
    world: World,
    consumers: Vec<Consumer>,
    /// Partitions of topic t, and the letter that is its id.
    topic: (u32, char),
    has_other: bool,
}

impl Scene {
    fn new() -> Self {
        let consumers = vec![
            Consumer::new("a", None),
            Consumer::new("b", None),
            Consumer::new("c", Some("i")),
            Consumer::new("d", Some("j")),
        ];
        let mut scene = Self { world: World::new(), consumers, topic: (2, 'A'), has_other: false };
        scene.tell_topics();
        scene
    }

    fn tell_topics(&mut self) {
        let (partitions, letter) = self.topic;
        let other = if self.has_other { "u=3" } else { "" };
        run(&mut self.world, &format!("topics t={partitions}/{letter} {other}"));
    }

    fn perform(&mut self, op: &Op) {
        let Self { world, consumers, .. } = self;
        match op {
            Op::Beat(at, is_lost) => consumers[*at].beat(world, *is_lost),
            Op::Settle(at) => consumers[*at].owned = consumers[*at].target.clone(),
            Op::Subscribe(at, topics) => {
                (consumers[*at].subscription, consumers[*at].is_news) = (topics, true);
            }
            // Only static ones can say that they will be back.
            Op::Go(at, Some(-2)) if consumers[*at].instance.is_none() => {}
            Op::Go(at, epoch) => consumers[*at].go(world, *epoch),
            Op::Grow => {
                self.topic.0 = (self.topic.0 + 1).min(9);
                self.tell_topics();
            }
            Op::Renew => {
                self.topic = (2, char::from_u32(self.topic.1 as u32 + 1).filter(|next| *next <= 'Z').unwrap_or('Z'));
                self.tell_topics();
            }
            Op::Other => {
                self.has_other = !self.has_other;
                self.tell_topics();
            }
            Op::Pass(ms) => {
                run(world, &format!("pass {ms}"));
            }
            Op::Line(line) => {
                run(world, line);
            }
        }
        self.check();
    }

    /// Of those that consume a partition, no two may commit for it.
    fn check(&mut self) {
        let all: Owned = self.consumers.iter().flat_map(|consumer| consumer.owned.iter().copied()).collect();
        for partition in all {
            let owners: Vec<&Consumer> =
                self.consumers.iter().filter(|consumer| consumer.owned.contains(&partition)).collect();
            if owners.len() < 2 || self.world.fails {
                continue;
            }
            let may = owners.iter().filter(|owner| owner.may_commit(&mut self.world, partition)).count();
            assert!(may < 2, "two own {partition:?}: {:?}", self.consumers);
        }
    }

    /// Once nothing goes wrong any more, everybody gets a share before long.
    fn converge(&mut self) {
        self.world.fails = false;
        for _ in 0..30 {
            for at in 0..self.consumers.len() {
                self.perform(&Op::Beat(at, false));
                self.perform(&Op::Settle(at));
            }
            self.perform(&Op::Pass(5000));
        }
        let group = self.world.consumer_group("g").unwrap();
        assert_eq!(group.state, GroupState::Stable, "{group:?}");
        assert_eq!(group.members.len(), self.consumers.len(), "{group:?}");
        let (mut owned, mut wanted) = (Vec::new(), Owned::new());
        for consumer in &self.consumers {
            assert_eq!(consumer.epoch, group.epoch, "{:?}", self.consumers);
            owned.extend(consumer.owned.iter().copied());
            if consumer.subscription != SUBSCRIPTIONS[2] {
                wanted.extend((0..self.topic.0).map(|partition| (self.topic.1, partition)));
            }
            if consumer.subscription != SUBSCRIPTIONS[0] && self.has_other {
                wanted.extend((0..3).map(|partition| ('u', partition)));
            }
        }
        owned.sort_unstable();
        assert_eq!(owned, wanted.into_iter().collect::<Vec<_>>(), "{:?}", self.consumers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// No two consumers are ever allowed the same partition, and in the end each partition has its consumer.
    #[test]
    fn consumers_share(ops in prop::collection::vec(op(), 0..150)) {
        let mut scene = Scene::new();
        for op in &ops {
            scene.perform(op);
        }
        scene.converge();
    }
}

const CONSUMERS: usize = 4;
/// To t alone, to all there are, and to u alone.
const SUBSCRIPTIONS: [&str; 4] =
    ["topics=t regex=\"\"", "topics= regex=.*", "topics=u regex=\"\"", "topics=t,u regex=\"\""];
