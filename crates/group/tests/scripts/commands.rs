//! The commands of the scripts.

use std::borrow::Cow;
use std::sync::Arc;

use highwater_group::{
    ClassicProtocol, Client, ConsumerHeartbeat, GroupState, GroupType, Heartbeat, JoinGroup, LeaveGroup, LeavingMember,
    OffsetCommit, OffsetDelete, OffsetFetch, OffsetToCommit, Request, Subscription, SyncGroup,
};
use highwater_types::{Offset, PartitionIndex, TopicId};

use crate::names::{full, random};
use crate::topics::id;
use crate::world::World;

pub(crate) fn run(world: &mut World, line: &str) -> String {
    let (plain, named): (Vec<&str>, Vec<&str>) = line.split_whitespace().partition(|word| !word.contains('='));
    let named: Vec<(&str, &str)> = named.iter().filter_map(|word| word.split_once('=')).collect();
    let option = |name: &str| named.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let number = |name: &str, otherwise: i32| option(name).map_or(otherwise, |value| value.parse().unwrap());
    let text = match plain.as_slice() {
        ["config"] => configure(world, &named),
        ["pass", ms] => world.pass(ms.parse().unwrap()),
        ["reload"] => world.reload(),
        ["fail"] => {
            world.fails = true;
            String::new()
        }
        ["hold"] => {
            world.is_held = true;
            String::new()
        }
        ["release"] => world.release(),
        ["join", group, client] => {
            let member = option("member").map(full).unwrap_or_default();
            let token = world.next_token();
            let version = number("version", 9);
            let join = JoinGroup {
                group: unquote(group),
                member: &member,
                instance_id: option("instance"),
                client: Client { id: client, host: "/h" },
                session_timeout_ms: number("session", 10_000),
                rebalance_timeout_ms: number("rebalance", 60_000),
                protocol_type: unquote(option("type").unwrap_or("consumer")),
                protocols: option("protocols").unwrap_or("range:t").split_terminator(',').map(protocol).collect(),
                requires_known_member_id: 4 <= version && option("instance").is_none(),
                supports_skipping_assignment: 9 <= version,
                reason: None,
                new_member: random(token),
            };
            world.request(Request::Join(join))
        }
        ["sync", group, generation, member, assign @ ..] => {
            let member = full(member);
            let assign: Vec<(String, &str)> = assign
                .iter()
                .map(|word| word.split_once(':').map(|(id, assignment)| (full(id), assignment)).unwrap())
                .collect();
            let sync = SyncGroup {
                group: unquote(group),
                generation: generation.parse().unwrap(),
                member: &member,
                instance_id: option("instance"),
                protocol_type: option("type"),
                protocol_name: option("protocol"),
                assignments: assign.iter().map(|(id, assignment)| (id.as_str(), assignment.as_bytes())).collect(),
            };
            world.request(Request::Sync(sync))
        }
        ["heartbeat", group, generation, member] => {
            let member = full(member);
            let (group, generation) = (unquote(group), generation.parse().unwrap());
            let instance_id = option("instance");
            world.request(Request::Heartbeat(Heartbeat { group, generation, member: &member, instance_id }))
        }
        ["leave", group, members @ ..] => leave(world, unquote(group), members),
        ["commit", group, generation, member] => {
            let member = if *member == "-" { String::new() } else { full(member) };
            let knows_epochs = option("version") == Some("9");
            let partition = (option("topic").unwrap_or("t"), number("partition", 0).unsigned_abs());
            commit(world, group, generation.parse().unwrap(), &member, (option("instance"), knows_epochs, partition))
        }
        ["consumer", group, client, member, epoch] => consumer(world, [group, client, member, epoch], &named),
        ["fetch", group, member, epoch] => world.request(Request::OffsetFetch(OffsetFetch {
            group,
            member: Some(member),
            member_epoch: epoch.parse().unwrap(),
            topics: None,
            require_stable: false,
        })),
        ["topics"] => world.set_topics(&named),
        ["delete-offset", group, topic] => {
            let topics = vec![(*topic, vec![PartitionIndex::new(0)])];
            world.request(Request::OffsetDelete(OffsetDelete { group, topics }))
        }
        ["delete", group] => world.request(Request::DeleteGroup { group }),
        ["describe", group] => world.request(Request::Describe { group }),
        ["consumer-describe", group] => world.request(Request::ConsumerDescribe { group }),
        ["list", words @ ..] => {
            let states = words.iter().filter_map(|word| state(word)).collect();
            let types = words.iter().filter_map(|word| kind(word)).collect();
            world.request(Request::List { states, types })
        }
        _ => panic!("unknown command: {line}"),
    };
    world.check();
    text
}

/// A word, where `""` stands for an empty one.
fn unquote(word: &str) -> &str {
    if word == "\"\"" { "" } else { word }
}

fn configure(world: &mut World, named: &[(&str, &str)]) -> String {
    world.configure(|config| {
        for (name, value) in named {
            match *name {
                "initial-delay" => config.initial_rebalance_delay_ms = value.parse().unwrap(),
                "consumer-size" => config.consumer_size_max = value.parse().unwrap(),
                "interval" => config.consumer_assignment_interval_ms = value.parse().unwrap(),
                "size" => config.classic_size_max = value.parse().unwrap(),
                _ => panic!("unknown setting {name}"),
            }
        }
    })
}

/// `range:t+u` is a protocol with a subscription to these topics; `range!x` one that cannot be understood.
fn protocol(word: &str) -> ClassicProtocol {
    if let Some((name, metadata)) = word.split_once('!') {
        return ClassicProtocol { name: Arc::from(name), metadata: Arc::from(metadata.as_bytes()), subscription: None };
    }
    let (name, topics) = word.split_once(':').unwrap();
    let subscription = Subscription { topics: topics.split('+').map(Arc::from).collect(), ..Subscription::default() };
    let subscription = Some(Arc::new(subscription));
    ClassicProtocol { name: Arc::from(name), metadata: Arc::from(topics.as_bytes()), subscription }
}

/// Members are written `ID`, `ID/INSTANCE`, or `-/INSTANCE`.
fn leave(world: &mut World, group: &str, words: &[&str]) -> String {
    let words = words.iter().map(|word| word.split_once('/').map_or((*word, None), |(id, on)| (id, Some(on))));
    let members: Vec<(String, Option<&str>)> =
        words.map(|(id, instance)| (if id == "-" { String::new() } else { full(id) }, instance)).collect();
    let leaving =
        members.iter().map(|(id, instance_id)| LeavingMember { member: id, instance_id: *instance_id, reason: None });
    world.request(Request::Leave(LeaveGroup { group, members: leaving.collect() }))
}

/// What a member of the consumer protocol says: all of it when it joins, otherwise what is given.
fn consumer(world: &mut World, plain: [&str; 4], named: &[(&str, &str)]) -> String {
    let [group, client, member, epoch] = plain;
    let option = |name: &str| named.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let is_new = epoch == "0";
    let (topics, owned) = (option("topics"), option("owned"));
    let token = world.next_token();
    let list = |words: &'_ str| words.split_terminator(',').map(|word| Cow::Owned(word.to_owned())).collect();
    let topic_names = match topics {
        Some("null") => None,
        Some(names) => Some(list(names)),
        None if is_new && option("regex").is_none() => Some(list("t")),
        None => None,
    };
    let owned = match owned {
        Some("null") => None,
        Some(owned) => Some(owned.split_terminator('+').map(owned_topic).collect()),
        None => is_new.then(Vec::new),
    };
    let timeout_ms = option("timeout").map(|ms| ms.parse().unwrap());
    let member = full(unquote(member));
    world.request(Request::ConsumerHeartbeat(ConsumerHeartbeat {
        group: unquote(group),
        member: &member,
        member_epoch: epoch.parse().unwrap(),
        instance_id: option("instance").map(unquote),
        rack_id: option("rack").map(unquote),
        client: Client { id: client, host: "/h" },
        rebalance_timeout_ms: timeout_ms.unwrap_or(if is_new { 60_000 } else { -1 }),
        topic_names,
        topic_regex: option("regex").map(unquote),
        server_assignor: option("assignor"),
        owned,
        may_choose_member_id: option("version") == Some("0"),
        new_member: random(token),
    }))
}

/// `t:0,1` is what a member owns of the topic with this letter for an id.
fn owned_topic(word: &str) -> (TopicId, Vec<i32>) {
    let (letter, partitions) = word.split_once(':').unwrap();
    (id(letter.chars().next().unwrap()), partitions.split(',').map(|index| index.parse().unwrap()).collect())
}

/// Commits for a partition of t, whose id is the letter `topic`.
fn commit(
    world: &mut World,
    group: &str,
    generation: i32,
    member: &str,
    (instance_id, knows_member_epochs, (topic, partition)): (Option<&str>, bool, (&str, u32)),
) -> String {
    let offset = OffsetToCommit {
        topic: Arc::from("t"),
        topic_id: Some(id(topic.chars().next().unwrap())),
        partition: PartitionIndex::new(partition),
        offset: Offset::new(7),
        leader_epoch: None,
        metadata: Cow::Borrowed(""),
    };
    world.request(Request::OffsetCommit(OffsetCommit {
        group,
        member,
        instance_id,
        generation_or_epoch: generation,
        retention_ms: None,
        offsets: vec![offset],
        knows_member_epochs,
    }))
}

fn state(word: &str) -> Option<GroupState> {
    match word {
        "empty" => Some(GroupState::Empty),
        "preparing" => Some(GroupState::PreparingRebalance),
        "completing" => Some(GroupState::CompletingRebalance),
        "stable" => Some(GroupState::Stable),
        _ => None,
    }
}

fn kind(word: &str) -> Option<GroupType> {
    match word {
        "classic" => Some(GroupType::Classic),
        "consumer" => Some(GroupType::Consumer),
        _ => None,
    }
}
