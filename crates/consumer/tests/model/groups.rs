//! The real coordinator, before a log that never fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_consumer::{
    Answer, ConsumerGroupHeartbeatAnswer, GroupMember, JoinGroupAnswer, MemberSubscription, Membership,
    OffsetAndMetadata, OffsetFetchAnswer, Request as Asked,
};
use highwater_coordinator::{Coordinator, CoordinatorConfig, Now, Output, Ticks, Token};
use highwater_group::{
    ClassicProtocol, Client, ConsumerHeartbeat, GroupConfig, GroupShard, Heartbeat, JoinGroup, LeaveGroup,
    LeavingMember, MemberAssignment, OffsetCommit, OffsetFetch, OffsetToCommit, Request, Response, SyncGroup, Topics,
};
use highwater_types::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition, Uuid};

/// The topic that all subscribe to, and its partitions.
#[derive(Clone, Debug)]
pub(crate) struct OneTopic(pub(crate) u32);

pub(crate) fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_bytes([7; 16]))
}

impl Topics for OneTopic {
    fn version(&self) -> i64 {
        self.0.into()
    }

    fn by_name(&self, name: &str) -> Option<(TopicId, u32)> {
        (name == "t").then_some((topic_id(), self.0))
    }

    fn by_id(&self, id: TopicId) -> Option<(&str, u32)> {
        (id == topic_id()).then_some(("t", self.0))
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        visit("t");
    }

    fn racks(&self, _: TopicId, _: PartitionIndex) -> Vec<&str> {
        Vec::new()
    }
}

/// A request that waits, and who made it.
pub(crate) struct Waiting<C> {
    pub(crate) caller: C,
    request: Asked,
}

pub(crate) struct Groups<C> {
    machine: Coordinator<GroupShard>,
    end: u64,
    tokens: u64,
    waiting: BTreeMap<Token, Waiting<C>>,
}

fn now(now_ms: u64) -> Now {
    Now { ticks: Ticks(now_ms), wall: TimestampMs(1_700_000_000_000 + now_ms as i64) }
}

/// The committed offset, if an answer accepts one.
pub(crate) type Stored = Vec<(TopicPartition, u64)>;

impl<C> Groups<C> {
    pub(crate) fn new(topics: &OneTopic) -> Self {
        let config = GroupConfig {
            initial_rebalance_delay_ms: 100,
            consumer_session_timeout_ms: 6_000,
            consumer_heartbeat_interval_ms: 500,
            consumer_assignment_interval_ms: 0,
            ..GroupConfig::default()
        };
        let mut machine = Coordinator::new(CoordinatorConfig::default());
        let shard = GroupShard::new(Arc::new(config), Arc::new(topics.clone()) as Arc<dyn Topics>);
        machine.elect(LeaderEpoch::ZERO, shard);
        while machine.poll_output().is_some() {}
        machine.loaded(now(0), LeaderEpoch::ZERO, Offset::ZERO);
        Self { machine, end: 0, tokens: 0, waiting: BTreeMap::new() }
    }

    pub(crate) fn next_timeout(&self) -> Option<u64> {
        self.machine.next_timeout().map(|due| due.0)
    }

    pub(crate) fn handle_timeout(&mut self, now_ms: u64) -> Vec<(C, Answer, Stored)> {
        self.machine.handle_timeout(now(now_ms));
        self.drain(now_ms)
    }

    pub(crate) fn ask(&mut self, now_ms: u64, caller: C, request: Asked, new_member: Uuid) -> Vec<(C, Answer, Stored)> {
        self.tokens += 1;
        let token = Token(self.tokens);
        translate(&request, new_member, |request| self.machine.handle(now(now_ms), token, request));
        self.waiting.insert(token, Waiting { caller, request });
        self.drain(now_ms)
    }

    fn drain(&mut self, now_ms: u64) -> Vec<(C, Answer, Stored)> {
        let mut answers = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Load { .. } => {}
                Output::Append(append) => {
                    let first = self.end;
                    self.end += append.records.len() as u64;
                    self.machine.appended(now(now_ms), append, Ok(Offset::new(first)));
                    self.machine.commit(LeaderEpoch::ZERO, Offset::new(self.end));
                }
                Output::Reply(reply) => {
                    let Waiting { caller, request } = self.waiting.remove(&reply.token).unwrap();
                    let (answer, stored) = answer(&request, reply.response);
                    answers.push((caller, answer, stored));
                }
            }
        }
        answers
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn partitions(text: &str) -> Vec<TopicPartition> {
    text.split(',').filter_map(TopicPartition::from_dir_name).collect()
}

fn encode(said: &MemberSubscription) -> String {
    let topics: Vec<&str> = said.topics.iter().map(TopicName::as_str).collect();
    let generation = said.generation.map_or_else(String::new, |generation| generation.to_string());
    format!("{}|{}|{generation}", topics.join(","), names(&said.owned))
}

fn decode(bytes: &[u8]) -> MemberSubscription {
    let text = std::str::from_utf8(bytes).unwrap();
    let parts: Vec<&str> = text.split('|').collect();
    let topics = parts[0].split(',').map(|topic| TopicName::new(topic).unwrap()).collect();
    MemberSubscription { topics, owned: partitions(parts[1]), generation: parts[2].parse().ok(), rack: None }
}

fn translate(asked: &Asked, new_member: Uuid, handle: impl FnOnce(Request<'_>)) {
    let client = Client { id: "model", host: "/model" };
    match asked {
        Asked::JoinGroup(asked) => {
            let protocols = asked.protocols.iter().map(|(name, said)| ClassicProtocol {
                name: (*name).into(),
                metadata: encode(said).into_bytes().into(),
                subscription: None,
            });
            handle(Request::Join(JoinGroup {
                group: &asked.group,
                member: &asked.member,
                instance_id: asked.instance.as_deref(),
                client,
                session_timeout_ms: asked.session_timeout_ms as i32,
                rebalance_timeout_ms: asked.rebalance_timeout_ms as i32,
                protocol_type: "consumer",
                protocols: protocols.collect(),
                requires_known_member_id: asked.instance.is_none(),
                supports_skipping_assignment: true,
                reason: None,
                new_member,
            }));
        }
        Asked::SyncGroup(asked) => {
            let given: Vec<(&str, String)> =
                asked.assignments.iter().map(|(member, given)| (&**member, names(given))).collect();
            handle(Request::Sync(SyncGroup {
                group: &asked.group,
                generation: asked.generation as i32,
                member: &asked.member,
                instance_id: asked.instance.as_deref(),
                protocol_type: Some("consumer"),
                protocol_name: Some(&asked.protocol),
                assignments: given.iter().map(|(member, given)| (*member, given.as_bytes())).collect(),
            }));
        }
        Asked::Heartbeat(asked) => handle(Request::Heartbeat(Heartbeat {
            group: &asked.group,
            generation: asked.generation as i32,
            member: &asked.member,
            instance_id: asked.instance.as_deref(),
        })),
        Asked::LeaveGroup(asked) => {
            let members = vec![LeavingMember { member: &asked.member, instance_id: None, reason: None }];
            handle(Request::Leave(LeaveGroup { group: &asked.group, members }));
        }
        Asked::ConsumerGroupHeartbeat(asked) => handle(Request::ConsumerHeartbeat(ConsumerHeartbeat {
            group: &asked.group,
            member: &asked.member,
            member_epoch: match asked.membership {
                Membership::Join => 0,
                Membership::Stay(epoch) => epoch as i32,
                Membership::Leave => -1,
                Membership::LeaveForNow => -2,
            },
            instance_id: asked.instance.as_deref(),
            rack_id: None,
            client,
            rebalance_timeout_ms: asked.rebalance_timeout_ms.map_or(-1, |ms| ms as i32),
            topic_names: asked.topics.as_ref().map(|topics| topics.iter().map(|name| name.as_str().into()).collect()),
            topic_regex: None,
            server_assignor: None,
            owned: asked.owned.as_ref().map(|owned| {
                owned.iter().map(|(id, indexes)| (*id, indexes.iter().map(|index| index.to_wire()).collect())).collect()
            }),
            may_choose_member_id: true,
            new_member,
        })),
        Asked::OffsetCommit(asked) => {
            let offsets = asked.offsets.iter().map(|(partition, at)| OffsetToCommit {
                topic: partition.topic.as_str().into(),
                topic_id: Some(topic_id()),
                partition: partition.partition,
                offset: at.offset,
                leader_epoch: at.leader_epoch,
                metadata: "".into(),
            });
            handle(Request::OffsetCommit(OffsetCommit {
                group: &asked.group,
                member: asked.member.as_ref().map_or("", |(member, _)| member),
                instance_id: asked.instance.as_deref(),
                generation_or_epoch: asked.member.as_ref().map_or(-1, |(_, generation)| *generation as i32),
                retention_ms: None,
                offsets: offsets.collect(),
                knows_member_epochs: true,
            }));
        }
        Asked::OffsetFetch(asked) => {
            let indexes = asked.partitions.iter().map(|partition| partition.partition).collect();
            handle(Request::OffsetFetch(OffsetFetch {
                group: &asked.group,
                member: asked.member.as_ref().map(|(member, _)| &**member),
                member_epoch: asked.member.as_ref().map_or(-1, |(_, epoch)| *epoch as i32),
                topics: Some(vec![("t", indexes)]),
                require_stable: asked.require_stable,
            }));
        }
        other => panic!("not for coordinators: {other:?}"),
    }
}

fn answer(asked: &Asked, response: Response) -> (Answer, Stored) {
    let answer = match response {
        Response::Join(said) => Answer::JoinGroup(JoinGroupAnswer {
            error: said.error,
            is_leader: said.error.is_none() && said.leader == said.member,
            member: said.member,
            generation: said.generation.max(0) as u32,
            protocol: said.protocol_name.unwrap_or_default(),
            skip_assignment: said.skip_assignment,
            members: said
                .members
                .iter()
                .map(|member| GroupMember {
                    id: member.id.clone(),
                    instance: member.instance_id.clone(),
                    subscription: decode(&member.metadata),
                })
                .collect(),
        }),
        Response::Sync(said) if said.error.is_none() => {
            let MemberAssignment::Opaque(bytes) = said.assignment else { panic!("nobody converts groups") };
            Answer::SyncGroup(Ok(partitions(std::str::from_utf8(&bytes).unwrap())))
        }
        Response::Sync(said) => Answer::SyncGroup(Err(said.error)),
        Response::Heartbeat(code) => Answer::Heartbeat(code),
        Response::Leave(said) => Answer::LeaveGroup(said.error),
        Response::ConsumerHeartbeat(said) => Answer::ConsumerGroupHeartbeat(ConsumerGroupHeartbeatAnswer {
            error: said.error,
            message: None,
            epoch: said.member_epoch.max(0) as u32,
            interval_ms: said.heartbeat_interval_ms.max(0) as u32,
            assignment: said.assignment,
        }),
        Response::OffsetCommit(codes) => {
            let Asked::OffsetCommit(asked) = asked else { panic!("an answer to something else") };
            let places = asked.offsets.iter().zip(&codes);
            let stored = places.clone().filter(|(_, code)| code.is_none());
            let stored = stored.map(|((partition, at), _)| (partition.clone(), at.offset.value())).collect();
            let said = places.map(|((partition, _), code)| (partition.clone(), *code)).collect();
            return (Answer::OffsetCommit(said), stored);
        }
        Response::OffsetFetch(said) => {
            let partitions = said.topics.into_iter().flat_map(|(_, found)| found).map(|found| {
                let at = found.offset.map(|offset| OffsetAndMetadata {
                    offset,
                    leader_epoch: found.leader_epoch,
                    metadata: None,
                });
                let name = TopicPartition::new(topic(), found.partition);
                (name, if found.error.is_none() { Ok(at) } else { Err(found.error) })
            });
            Answer::OffsetFetch(OffsetFetchAnswer { error: said.error, partitions: partitions.collect() })
        }
        other => panic!("not asked for: {other:?}"),
    };
    (answer, Vec::new())
}
