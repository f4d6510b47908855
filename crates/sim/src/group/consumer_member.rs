//! A consumer of the consumer protocol (KIP-848), by its rules for clients.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_group::{ConsumerHeartbeatResponse, Response};
use highwater_types::{ErrorCode, TopicId};

use super::Held;
use super::ask::{Ask, ConsumerAsk, REBALANCE_TIMEOUT_MS};
use super::member::{Next, is_away};
use super::topics::SimTopics;

/// A member of the consumer protocol.
#[derive(Debug)]
pub(super) struct ConsumerMember {
    pub(super) id: String,
    pub(super) instance: Option<String>,
    pub(super) subscription: Subscription,
    pub(super) epoch: i32,
    /// Its last heartbeat was not answered, or it has something new to say: the next one says everything.
    pub(super) says_all: bool,
    /// It is about to leave, for good or not.
    pub(super) leaving: Option<i32>,
}

#[derive(Clone, Debug)]
pub(super) enum Subscription {
    Names(Vec<Arc<str>>),
    Regex(String),
}

impl ConsumerMember {
    pub(super) fn new(id: String, instance: Option<String>, subscription: Subscription) -> Self {
        Self { id, instance, subscription, epoch: 0, says_all: true, leaving: None }
    }

    /// Wants other topics from now on.
    pub(super) fn resubscribe(&mut self, subscription: Subscription) {
        self.subscription = subscription;
        self.says_all = true;
    }

    /// Its next heartbeat.
    pub(super) fn next(
        &mut self,
        group: &Arc<str>,
        held: impl Iterator<Item = (Arc<str>, u32)>,
        topics: &SimTopics,
    ) -> Ask {
        let joins = self.epoch == 0;
        // What gets lost is said again, as the world sees to.
        let says_all = std::mem::take(&mut self.says_all) || joins;
        let mut owned: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in held.filter(|_| !joins) {
            if let Some(id) = topics.id_of(&topic) {
                owned.entry(id).or_default().push(i32::try_from(partition).expect("few partitions"));
            }
        }
        let (names, regex) = match &self.subscription {
            Subscription::Names(names) => (Some(names.clone()), Some(String::new())),
            Subscription::Regex(regex) => (Some(Vec::new()), Some(regex.clone())),
        };
        Ask::Consumer(ConsumerAsk {
            group: Arc::clone(group),
            member: self.id.clone(),
            epoch: self.leaving.unwrap_or(self.epoch),
            instance: self.instance.clone(),
            topics: names.filter(|_| says_all),
            regex: regex.filter(|_| says_all),
            owned: Some(owned.into_iter().collect()),
            rebalance_timeout_ms: if says_all { REBALANCE_TIMEOUT_MS } else { -1 },
        })
    }

    /// Takes an answer. What it holds now, if that has changed, and what to do next.
    pub(super) fn answered(&mut self, response: Response, topics: &SimTopics) -> (Option<Held>, Next) {
        match response {
            Response::ConsumerHeartbeat(answer) => self.heard(answer, topics),
            _ => (None, Next::Wait(HEARTBEAT_MS / 2)),
        }
    }

    fn heard(&mut self, answer: ConsumerHeartbeatResponse, topics: &SimTopics) -> (Option<Held>, Next) {
        if self.leaving.is_some() && !is_away(answer.error) {
            return (Some(Held::new()), Next::Die);
        }
        match answer.error {
            ErrorCode::None => {}
            error if is_away(error) => {
                self.says_all = true;
                return (None, Next::Wait(RETRY_MS));
            }
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                self.epoch = 0;
                return (Some(Held::new()), Next::Wait(RETRY_MS));
            }
            ErrorCode::FencedInstanceId => return (Some(Held::new()), Next::Die),
            // The static member before it has not said goodbye, or the group cannot be converted now.
            _ => {
                self.epoch = 0;
                return (Some(Held::new()), Next::Wait(RETRY_MS * 5));
            }
        }
        self.epoch = answer.member_epoch;
        let held = answer.assignment.map(|assignment| {
            let named = assignment.into_iter().filter_map(|(topic, partitions)| {
                let name = topics.name_of(topic)?;
                Some(partitions.into_iter().map(move |partition| (Arc::clone(&name), partition.value())))
            });
            named.flatten().collect()
        });
        (held, Next::Wait(HEARTBEAT_MS))
    }
}

const HEARTBEAT_MS: u64 = 1000;
const RETRY_MS: u64 = 200;
