//! What scripts cannot see of a classic group.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_coordinator::{Now, Ticks, Timers, Token};
use highwater_types::{PartitionIndex, TimestampMs, TopicId, Uuid};

use super::ClassicGroup;
use crate::config::GroupConfig;
use crate::describe::GroupState;
use crate::protocol::{ClassicProtocol, Subscription};
use crate::record::{ClassicGroupValue, ClassicMemberValue};
use crate::request::{Client, JoinGroup};
use crate::response::Response;
use crate::shard::{Expiration, GroupStep, Timer, Turn};
use crate::topics::Topics;

struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        0
    }

    fn by_name(&self, _: &str) -> Option<(TopicId, u32)> {
        None
    }

    fn by_id(&self, _: TopicId) -> Option<(&str, u32)> {
        None
    }

    fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}

    fn racks(&self, _: TopicId, _: PartitionIndex) -> Vec<&str> {
        Vec::new()
    }
}

/// Everything around a group.
#[derive(Default)]
struct Bench {
    config: GroupConfig,
    timers: Timers<Timer>,
    step: GroupStep,
}

impl Bench {
    fn turn(&mut self) -> Turn<'_> {
        let Self { config, timers, step } = self;
        Turn { now: NOW, config, topics: &NoTopics, timers, step }
    }
}

fn group() -> ClassicGroup {
    ClassicGroup::new(Arc::from("g"), NOW)
}

fn protocol(name: &str, topic: &str) -> ClassicProtocol {
    let subscription = Subscription { topics: vec![Arc::from(topic)], ..Subscription::default() };
    let metadata = Arc::from(topic.as_bytes());
    ClassicProtocol { name: Arc::from(name), metadata, subscription: Some(Arc::new(subscription)) }
}

fn join<'a>(client: &'a str, protocols: Vec<ClassicProtocol>) -> JoinGroup<'a> {
    JoinGroup {
        group: "g",
        member: "",
        instance_id: None,
        client: Client { id: client, host: "/h" },
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer",
        protocols,
        requires_known_member_id: false,
        supports_skipping_assignment: false,
        reason: None,
        new_member: Uuid::from_bytes([0xab; 16]),
    }
}

/// A group at rest, with a member for each protocol.
fn value(protocol_type: &str, since: Option<i64>, members: &[ClassicProtocol]) -> ClassicGroupValue {
    let members = members.iter().enumerate().map(|(number, subscription)| ClassicMemberValue {
        id: Arc::from(format!("m{number}")),
        instance_id: None,
        client_id: Arc::from("c"),
        client_host: Arc::from("/h"),
        rebalance_timeout_ms: None,
        session_timeout_ms: 10_000,
        subscription: subscription.clone(),
        assignment: Arc::from(*b"its"),
    });
    ClassicGroupValue {
        protocol_type: Arc::from(protocol_type),
        generation: 1,
        protocol: Some(Arc::from("range")),
        leader: Some(Arc::from("m0")),
        state_timestamp: since.map(TimestampMs),
        members: members.collect(),
    }
}

fn expiration(value: ClassicGroupValue) -> Expiration {
    let mut group = group();
    group.apply(NOW, value);
    group.expiration()
}

#[test]
fn offsets_expire_by_what_the_group_is() {
    let by_commit = |topics: &[&str]| {
        let subscribed: BTreeSet<Arc<str>> = topics.iter().copied().map(Arc::from).collect();
        Expiration::SinceCommit { subscribed }
    };
    assert_eq!(group().expiration(), by_commit(&[]), "nobody has joined it yet");
    assert_eq!(expiration(value("consumer", Some(7), &[])), Expiration::Since(TimestampMs(7)));
    assert_eq!(expiration(value("consumer", None, &[])), by_commit(&[]), "an old record does not say since when");
    let both = [protocol("range", "t"), protocol("range", "u")];
    assert_eq!(expiration(value("consumer", Some(7), &both)), by_commit(&["t", "u"]));
    assert_eq!(expiration(value("connect", Some(7), &both)), Expiration::Never);
    let unclear = [protocol("range", "t"), ClassicProtocol { subscription: None, ..protocol("range", "u") }];
    assert_eq!(expiration(value("consumer", Some(7), &unclear)), Expiration::Never);
}

#[test]
fn offsets_do_not_expire_in_a_rebalance() {
    let (mut bench, mut group) = (Bench::default(), group());
    group.apply(NOW, value("consumer", Some(7), &[protocol("range", "t")]));
    group.timed_out(&mut bench.turn(), &Timer::ClassicRebalance { group: Arc::from("g") });
    assert_eq!(group.state(), GroupState::PreparingRebalance);
    assert_eq!(group.expiration(), Expiration::Never);
}

#[test]
fn a_member_id_fits_a_string_of_the_protocol() {
    for name in ["c".repeat(32_767), "\u{20ac}".repeat(10_922)] {
        let (mut bench, mut group) = (Bench::default(), group());
        let mut join = join(&name, vec![protocol("range", "t")]);
        join.requires_known_member_id = true;
        group.join(&mut bench.turn(), Token(1), &join);
        let [reply] = bench.step.replies.as_slice() else { panic!("one answer") };
        let Response::Join(response) = &reply.response else { panic!("of a join") };
        assert!((32_764..=32_767).contains(&response.member.len()), "{} bytes", response.member.len());
        assert!(response.member.ends_with("-abababab-abab-abab-abab-abababababab"), "{}", response.member);
    }
}

#[test]
fn a_protocol_that_is_named_twice_counts_once() {
    let (mut bench, mut group) = (Bench::default(), group());
    group.join(&mut bench.turn(), Token(1), &join("a", vec![protocol("range", "t"), protocol("range", "u")]));
    assert!(group.members.share_a_protocol(&[protocol("range", "t")]));
    let id = Arc::clone(&group.members.iter().next().expect("it has joined").id);
    group.remove_member(&mut bench.turn(), &id);
    group.members.insert(super::Member::new(Arc::from("b"), &join("b", vec![protocol("rr", "t")])));
    assert!(!group.members.share_a_protocol(&[protocol("range", "t")]));
}

#[test]
fn a_record_whose_members_share_nothing_does_no_harm() {
    let (mut bench, mut group) = (Bench::default(), group());
    group.apply(NOW, value("consumer", Some(7), &[protocol("range", "t"), protocol("rr", "t")]));
    group.timed_out(&mut bench.turn(), &Timer::ClassicRebalance { group: Arc::from("g") });
    for (token, id, name) in [(1, "m0", "range"), (2, "m1", "rr")] {
        let join = JoinGroup { member: id, ..join("c", vec![protocol(name, "t")]) };
        group.join(&mut bench.turn(), Token(token), &join);
    }
    assert_eq!(bench.step.replies.len(), 2, "{:?}", bench.step.replies);
    assert_eq!(group.state(), GroupState::PreparingRebalance, "nothing is common to them");
}

const NOW: Now = Now { ticks: Ticks(1000), wall: TimestampMs(5000) };
