//! A consumer of the classic protocol, by Kafka's rules for clients: eager, with the range of each topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{JoinGroupResponse, MemberAssignment, Response, SyncGroupResponse};
use highwater_types::{ErrorCode, Uuid};

use super::Held;
use super::ask::Ask;
use super::member::{Next, is_away};
use super::topics::SimTopics;

/// A member of the classic protocol.
#[derive(Debug)]
pub(super) struct ClassicMember {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) topics: Vec<Arc<str>>,
    pub(super) generation: i32,
    pub(super) phase: Phase,
    /// As the leader: the partitions of each topic when it last assigned them.
    assigned_for: Option<Vec<(Arc<str>, u32)>>,
    /// It wants other topics than it has joined for, and joins again once it is stable.
    has_resubscribed: bool,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Has to join.
    Joining,
    /// Has joined; a leader has assignments to bring.
    Syncing(Vec<(String, Vec<u8>)>),
    Stable,
}

impl ClassicMember {
    pub(super) fn new(instance: Option<String>, topics: Vec<Arc<str>>) -> Self {
        Self {
            id: String::new(),
            instance,
            topics,
            generation: -1,
            phase: Phase::Joining,
            assigned_for: None,
            has_resubscribed: false,
        }
    }

    pub(super) fn is_stable(&self) -> bool {
        matches!(self.phase, Phase::Stable)
    }

    /// Whether it has to join again because it wants other topics, or, as the leader, because there are others.
    pub(super) fn rejoins(&mut self, topics: &SimTopics) -> bool {
        let is_stable = self.is_stable();
        if is_stable && std::mem::take(&mut self.has_resubscribed) {
            self.phase = Phase::Joining;
            return true;
        }
        let Some(known) = self.assigned_for.as_ref().filter(|_| is_stable) else { return false };
        if *known == counts(topics) {
            return false;
        }
        self.phase = Phase::Joining;
        true
    }

    /// Wants other topics from now on.
    pub(super) fn resubscribe(&mut self, topics: Vec<Arc<str>>) {
        if self.topics != topics {
            self.topics = topics;
            self.has_resubscribed = true;
        }
    }

    /// The request that its phase asks for.
    pub(super) fn next(&self, group: &Arc<str>, new_member: Uuid) -> Ask {
        let (group, member, instance) = (Arc::clone(group), self.id.clone(), self.instance.clone());
        match &self.phase {
            Phase::Joining => Ask::Join { group, member, instance, topics: self.topics.clone(), new_member },
            Phase::Syncing(assignments) => {
                let generation = self.generation;
                Ask::Sync { group, member, instance, generation, assignments: assignments.clone() }
            }
            Phase::Stable => Ask::Heartbeat { group, member, instance, generation: self.generation },
        }
    }

    /// Takes an answer. What it holds now, if that has changed, and what to do next.
    pub(super) fn answered(&mut self, response: Response, topics: &SimTopics) -> (Option<Held>, Next) {
        match response {
            Response::Join(joined) => self.joined(&joined, topics),
            Response::Sync(synced) => self.synced(&synced),
            Response::Heartbeat(ErrorCode::None) => (None, Next::Wait(HEARTBEAT_MS)),
            Response::Heartbeat(error) => self.failed(error),
            Response::OffsetCommit(codes) => match codes.into_iter().find(|code| *code != ErrorCode::None) {
                // It has to join again, which its next heartbeat tells it; only what is fatal counts here.
                Some(error @ (ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration)) => self.failed(error),
                _ => (None, Next::Wait(HEARTBEAT_MS / 2)),
            },
            _ => (None, Next::Wait(HEARTBEAT_MS / 2)),
        }
    }

    fn joined(&mut self, joined: &JoinGroupResponse, topics: &SimTopics) -> (Option<Held>, Next) {
        match joined.error {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = joined.member.to_string();
                return (None, Next::Wait(0));
            }
            error => return self.failed(error),
        }
        self.id = joined.member.to_string();
        self.generation = joined.generation;
        let leads = *joined.leader == *joined.member;
        // Whoever need not assign cannot know what the assignment was made for, and looks into it at once.
        self.assigned_for = leads.then(|| if joined.skip_assignment { Vec::new() } else { counts(topics) });
        let leads = leads && !joined.skip_assignment;
        let assignments = if leads { assign(joined, topics) } else { Vec::new() };
        self.phase = Phase::Syncing(assignments);
        (None, Next::Wait(0))
    }

    fn synced(&mut self, synced: &SyncGroupResponse) -> (Option<Held>, Next) {
        if synced.error != ErrorCode::None {
            return self.failed(synced.error);
        }
        self.phase = Phase::Stable;
        let held = match &synced.assignment {
            MemberAssignment::Opaque(bytes) => decode(bytes),
            MemberAssignment::Partitions { partitions, .. } => partitions
                .iter()
                .flat_map(|(topic, partitions)| partitions.iter().map(|each| (Arc::clone(topic), each.value())))
                .collect(),
        };
        (Some(held), Next::Wait(HEARTBEAT_MS))
    }

    fn failed(&mut self, error: ErrorCode) -> (Option<Held>, Next) {
        if is_away(error) {
            return (None, Next::Wait(RETRY_MS));
        }
        match error {
            ErrorCode::FencedInstanceId => return (Some(Held::new()), Next::Die),
            ErrorCode::UnknownMemberId => {
                self.id = String::new();
                self.generation = -1;
            }
            ErrorCode::IllegalGeneration => self.generation = -1,
            ErrorCode::RebalanceInProgress => {}
            // The group has consumers whose protocols do not go with this one's, say: it may change.
            _ => {
                self.phase = Phase::Joining;
                return (Some(Held::new()), Next::Wait(RETRY_MS * 5));
            }
        }
        self.phase = Phase::Joining;
        // Eager: everything is given up before it joins again.
        (Some(Held::new()), Next::Wait(0))
    }
}

fn counts(topics: &SimTopics) -> Vec<(Arc<str>, u32)> {
    topics.names().map(|name| (Arc::clone(name), topics.count(name))).collect()
}

/// What the leader gives to each member: ranges of each topic, over those who subscribe to it.
fn assign(joined: &JoinGroupResponse, topics: &SimTopics) -> Vec<(String, Vec<u8>)> {
    let mut given: BTreeMap<&Arc<str>, Held> = joined.members.iter().map(|member| (&member.id, Held::new())).collect();
    for name in topics.names() {
        let wants = |metadata: &[u8]| metadata.split(|byte| *byte == b',').any(|topic| topic == name.as_bytes());
        let subscribers: Vec<&Arc<str>> =
            joined.members.iter().filter(|member| wants(&member.metadata)).map(|member| &member.id).collect();
        for partition in 0..topics.count(name) {
            if !subscribers.is_empty() {
                let to = subscribers[partition as usize % subscribers.len()];
                given.entry(to).or_default().insert((Arc::clone(name), partition));
            }
        }
    }
    given.into_iter().map(|(member, held)| (member.to_string(), encode(&held))).collect()
}

/// A `ConsumerProtocolAssignment` of version 0.
fn encode(held: &Held) -> Vec<u8> {
    let mut topics: BTreeMap<&Arc<str>, Vec<u32>> = BTreeMap::new();
    for (topic, partition) in held {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut bytes = vec![0, 0];
    bytes.extend(u32::try_from(topics.len()).expect("few topics").to_be_bytes());
    for (topic, partitions) in topics {
        bytes.extend(u16::try_from(topic.len()).expect("short names").to_be_bytes());
        bytes.extend(topic.as_bytes());
        bytes.extend(u32::try_from(partitions.len()).expect("few partitions").to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Held {
    let mut at = 2;
    let mut number = |length: usize| {
        let value = bytes[at..at + length].iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        at += length;
        (value, at)
    };
    let mut held = Held::new();
    if bytes.is_empty() {
        return held;
    }
    let (topics, _) = number(4);
    for _ in 0..topics {
        let (length, from) = number(2);
        let name: Arc<str> = Arc::from(String::from_utf8_lossy(&bytes[from..from + length as usize]));
        number(length as usize);
        let (partitions, _) = number(4);
        for _ in 0..partitions {
            held.insert((Arc::clone(&name), number(4).0));
        }
    }
    held
}

const HEARTBEAT_MS: u64 = 1000;
const RETRY_MS: u64 = 200;
