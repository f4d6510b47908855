//! Answers from short texts, by what was asked.

use bytes::Bytes;
use highwater_consumer::{
    AbortedTransaction, Answer, ConsumerGroupHeartbeatAnswer, FetchAnswer, FetchedPartition, GroupMember,
    JoinGroupAnswer, ListOffsetsAnswer, MemberSubscription, OffsetAndMetadata, OffsetFetchAnswer,
    OffsetForLeaderEpochAnswer, PartitionsById, Request,
};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, ProducerId, TimestampMs, TopicName, TopicPartition};

use crate::batches::record_set;
use crate::bench::{number, partition, topic_id};

pub(crate) fn code(name: &str) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|code| code.name() == name)
}

type At = (Offset, Option<LeaderEpoch>);

/// `t-0=10@5`, `t-0=-` or `t-0!ERROR`.
fn place(text: &str) -> (TopicPartition, Result<Option<At>, ErrorCode>) {
    if let Some((name, error)) = text.split_once('!') {
        return (partition(name), Err(code(error).unwrap()));
    }
    let (name, at) = text.split_once('=').unwrap();
    let at = (at != "-").then(|| match at.split_once('@') {
        Some((offset, epoch)) => (Offset::new(number(offset)), Some(LeaderEpoch::new(number(epoch)))),
        None => (Offset::new(number(at)), None),
    });
    (partition(name), Ok(at))
}

fn by_id(texts: &[&str]) -> PartitionsById {
    let mut found = PartitionsById::new();
    for name in texts.iter().map(|text| partition(text)) {
        let id = topic_id(&name.topic);
        match found.iter_mut().find(|(other, _)| *other == id) {
            Some((_, indexes)) => indexes.push(name.partition),
            None => found.push((id, vec![name.partition])),
        }
    }
    found
}

pub(crate) fn parse(request: &Request, words: &[&str]) -> Answer {
    let error = words.first().and_then(|word| code(word));
    match request {
        Request::FindCoordinator(_) => Answer::FindCoordinator(match error {
            Some(code) => Err(code),
            None => Ok(NodeId::new(number(words[0]))),
        }),
        Request::JoinGroup(request) => Answer::JoinGroup(joined(request.protocols[0].0, error, words)),
        Request::SyncGroup(_) => Answer::SyncGroup(match error {
            Some(code) => Err(code),
            None => Ok(words.iter().map(|word| partition(word)).collect()),
        }),
        Request::Heartbeat(_) => Answer::Heartbeat(error.unwrap()),
        Request::LeaveGroup(_) => Answer::LeaveGroup(error.unwrap()),
        Request::ConsumerGroupHeartbeat(_) => Answer::ConsumerGroupHeartbeat(beaten(error, words)),
        Request::OffsetCommit(request) => {
            let code = error.unwrap();
            Answer::OffsetCommit(request.offsets.iter().map(|(partition, _)| (partition.clone(), code)).collect())
        }
        Request::OffsetFetch(_) => Answer::OffsetFetch(match error {
            Some(error) => OffsetFetchAnswer { error, partitions: Vec::new() },
            None => {
                let partitions = words.iter().map(|word| place(word)).map(|(partition, at)| {
                    let at = at.map(|at| {
                        at.map(|(offset, leader_epoch)| OffsetAndMetadata { offset, leader_epoch, metadata: None })
                    });
                    (partition, at)
                });
                OffsetFetchAnswer { error: ErrorCode::None, partitions: partitions.collect() }
            }
        }),
        Request::ListOffsets(_) => Answer::ListOffsets(words.iter().map(|word| listed(word)).collect()),
        Request::OffsetForLeaderEpoch(_) => {
            Answer::OffsetForLeaderEpoch(words.iter().map(|word| epoch_end(word)).collect())
        }
        Request::Fetch(_) => Answer::Fetch(fetched(error, words)),
    }
}

/// `3 m-1 range`, and for a leader `leader a=t,u b=t,u/t-0,t-1@2`: members with topics, what they own, the generation.
fn joined(first: &str, error: Option<ErrorCode>, words: &[&str]) -> JoinGroupAnswer {
    if let Some(error) = error {
        return JoinGroupAnswer {
            error,
            member: words.get(1).copied().unwrap_or_default().into(),
            generation: 0,
            protocol: "".into(),
            is_leader: false,
            skip_assignment: false,
            members: Vec::new(),
        };
    }
    let protocol = words.get(2).copied().unwrap_or(first).into();
    let members = words.iter().skip(4).map(|word| {
        let (id, said) = word.split_once('=').unwrap();
        let (topics, owned) = said.split_once('/').map_or((said, None), |(topics, owned)| (topics, Some(owned)));
        let (owned, generation) = owned.and_then(|owned| owned.split_once('@')).unzip();
        let owned = owned.into_iter().flat_map(|owned| owned.split(',')).map(partition).collect();
        let topics = topics.split(',').map(|topic| TopicName::new(topic).unwrap()).collect();
        let subscription = MemberSubscription { topics, owned, generation: generation.map(number), rack: None };
        GroupMember { id: id.into(), instance: None, subscription }
    });
    JoinGroupAnswer {
        error: ErrorCode::None,
        member: words[1].into(),
        generation: number(words[0]),
        protocol,
        is_leader: 3 < words.len(),
        skip_assignment: words.get(3) == Some(&"skip"),
        members: members.collect(),
    }
}

/// `3 5000 =`, or instead of the last what is assigned, `-` for nothing.
fn beaten(error: Option<ErrorCode>, words: &[&str]) -> ConsumerGroupHeartbeatAnswer {
    let (error, epoch, interval_ms, assignment) = match error {
        Some(error) => (error, 0, 0, None),
        None => {
            let assignment = match words[2..] {
                ["="] => None,
                ["-"] => Some(PartitionsById::new()),
                _ => Some(by_id(&words[2..])),
            };
            (ErrorCode::None, number(words[0]), number(words[1]), assignment)
        }
    };
    ConsumerGroupHeartbeatAnswer { error, message: None, epoch, interval_ms, assignment }
}

fn listed(text: &str) -> ListOffsetsAnswer {
    let (partition, at) = place(text);
    let (error, at) = at.map_or_else(|code| (code, None), |at| (ErrorCode::None, at));
    let (offset, leader_epoch) = at.map_or((None, None), |(offset, epoch)| (Some(offset), epoch));
    ListOffsetsAnswer { partition, error, offset, timestamp: TimestampMs::NONE, leader_epoch }
}

fn epoch_end(text: &str) -> OffsetForLeaderEpochAnswer {
    let (partition, at) = place(text);
    let (error, at) = at.map_or_else(|code| (code, None), |at| (ErrorCode::None, at));
    let (end_offset, leader_epoch) = at.map_or((None, None), |(offset, epoch)| (Some(offset), epoch));
    OffsetForLeaderEpochAnswer { partition, error, leader_epoch, end_offset }
}

/// The session, then partitions: `t-0:BATCHES;hw=20;lso=15;abort=7@10;prefer=3` or `t-0!ERROR;leader=2@6`.
fn fetched(error: Option<ErrorCode>, words: &[&str]) -> FetchAnswer {
    if let Some(error) = error {
        return FetchAnswer { error, session: 0, partitions: Vec::new() };
    }
    let partitions = words[1..].iter().map(|word| {
        let mut parts = word.split(';');
        let head = parts.next().unwrap();
        let (name, error, records) = match (head.split_once(':'), head.split_once('!')) {
            (Some((name, batches)), _) => (name, ErrorCode::None, record_set(batches)),
            (None, Some((name, error))) => (name, code(error).unwrap(), Bytes::new()),
            (None, None) => (head, ErrorCode::None, Bytes::new()),
        };
        let name = partition(name);
        let mut fetched = FetchedPartition::new(name.topic, name.partition, error, records);
        for (key, value) in parts.map(|part| part.split_once('=').unwrap()) {
            let pair = value.split_once('@').unwrap_or((value, "0"));
            match key {
                "hw" => fetched.high_watermark = Some(Offset::new(number(value))),
                "lso" => fetched.last_stable = Some(Offset::new(number(value))),
                "prefer" => fetched.preferred_replica = Some(NodeId::new(number(value))),
                "leader" => fetched.leader = Some((NodeId::new(number(pair.0)), LeaderEpoch::new(number(pair.1)))),
                "abort" => fetched.aborted.push(AbortedTransaction {
                    producer_id: ProducerId::new(number(pair.0)),
                    first_offset: Offset::new(number(pair.1)),
                }),
                _ => panic!("unknown {key}"),
            }
        }
        fetched
    });
    FetchAnswer { error: ErrorCode::None, session: number(words[0]), partitions: partitions.collect() }
}
