//! A member of a KIP-848 group: the coordinator assigns, the member reconciles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_types::{ErrorCode, PartitionIndex, Ticks, TopicId, TopicName, TopicPartition};

use super::classic::Classic;
use super::{Group, Protocol};
use crate::pending::Pending;
use crate::retry::Retry;
use crate::{
    Consumer, ConsumerError, ConsumerGroupHeartbeatAnswer, ConsumerGroupHeartbeatRequest, Event, Failure, Membership,
    PartitionsById, Request, RequestId, Target,
};

#[derive(Debug)]
pub(super) struct Modern {
    pub(super) member: Arc<str>,
    /// `None` if it is to join.
    pub(super) epoch: Option<u32>,
    pub(super) request: Option<RequestId>,
    /// When the coordinator wants to hear of it.
    due: Ticks,
    retry: Retry,
    /// What the coordinator was told of subscriptions; `None` if it is to be told everything anew.
    told_topics: Option<Vec<TopicName>>,
    /// Whether it was told what the member has.
    pub(super) is_owned_told: bool,
    /// What the member shall have.
    target: PartitionsById,
    /// Whether that may not be what it has.
    pub(super) is_unreconciled: bool,
}

impl Modern {
    pub(super) const fn new(member: Arc<str>) -> Self {
        Self {
            member,
            epoch: None,
            request: None,
            due: Ticks(0),
            retry: Retry::NONE,
            told_topics: None,
            is_owned_told: false,
            target: Vec::new(),
            is_unreconciled: false,
        }
    }

    fn heartbeat(&self, group: &Group, membership: Membership) -> ConsumerGroupHeartbeatRequest {
        ConsumerGroupHeartbeatRequest {
            group: group.id.clone(),
            member: self.member.clone(),
            membership,
            instance: group.instance.clone(),
            rack: None,
            rebalance_timeout_ms: None,
            topics: None,
            assignor: None,
            owned: None,
        }
    }

    /// The last heartbeat.
    pub(super) fn farewell(&self, group: &Group) -> ConsumerGroupHeartbeatRequest {
        self.heartbeat(group, if group.instance.is_some() { Membership::LeaveForNow } else { Membership::Leave })
    }
}

impl<T> Consumer<T> {
    pub(super) fn step_modern(&mut self, now: Ticks) {
        self.reconcile(now);
        let Some(group) = &self.group else { return };
        let Protocol::Modern(modern) = &group.protocol else { return };
        let Some(topics) = self.subscription.topics() else { return };
        if modern.request.is_some() {
            return;
        }
        // A member without topics is none; a pattern may match some later.
        if modern.epoch.is_none() && topics.is_empty() {
            return;
        }
        if !modern.retry.is_due(now) {
            let at = modern.retry.at();
            at.into_iter().for_each(|at| self.hurry(at));
            return;
        }
        let is_whole = modern.told_topics.is_none();
        let are_topics_told = modern.told_topics.as_ref().is_some_and(|told| told.iter().eq(topics));
        // What is being given back is told once it is.
        let is_owned_told = modern.is_owned_told || self.revocation.is_some();
        if !is_whole && are_topics_told && is_owned_told && now < modern.due {
            let due = modern.due;
            return self.hurry(due);
        }
        let Some(coordinator) = group.coordinator else { return };
        let membership = modern.epoch.map_or(Membership::Join, Membership::Stay);
        let mut request = modern.heartbeat(group, membership);
        let topics: Vec<TopicName> = topics.iter().cloned().collect();
        if is_whole {
            request.rack = self.config.client_rack.as_deref().map(Into::into);
            request.rebalance_timeout_ms = Some(self.config.poll_interval_ms_max);
            request.assignor = self.config.group_remote_assignor.as_deref().map(Into::into);
        }
        if !are_topics_told {
            request.topics = Some(topics.clone());
        }
        if is_whole || !is_owned_told {
            request.owned = Some(self.owned_by_id());
        }
        let to = Target::Coordinator(coordinator);
        let id = self.request(to, Request::ConsumerGroupHeartbeat(request), Pending::GroupHeartbeat);
        let is_revoking = self.revocation.is_some();
        if let Some(modern) = self.modern() {
            modern.request = Some(id);
            modern.told_topics = Some(topics);
            modern.is_owned_told = modern.is_owned_told || !is_revoking;
        }
    }

    fn owned_by_id(&self) -> PartitionsById {
        let mut owned: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
        for (name, partition) in &self.partitions {
            if let Some(id) = partition.topic_id {
                owned.entry(id).or_default().push(name.partition);
            }
        }
        owned.into_iter().collect()
    }

    pub(crate) fn group_heart_beaten(
        &mut self,
        now: Ticks,
        id: RequestId,
        outcome: Result<ConsumerGroupHeartbeatAnswer, Failure>,
    ) {
        let Some(group) = &mut self.group else { return };
        let is_auto = group.is_auto;
        let Some(modern) = group.modern().filter(|modern| modern.request == Some(id)) else { return };
        modern.request = None;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                modern.told_topics = None;
                return match failure {
                    Failure::Unsupported if is_auto => self.become_classic(),
                    Failure::Unsupported => self.be_refused(ErrorCode::UnsupportedVersion, None),
                    Failure::Disconnected | Failure::TimedOut => {
                        self.back_off_modern(now);
                        self.lose_coordinator(now);
                    }
                };
            }
        };
        if !answer.error.is_none() {
            return self.group_heartbeat_failed(now, answer);
        }
        modern.retry.clear();
        modern.epoch = Some(answer.epoch);
        modern.due = now.plus_ms(answer.interval_ms.max(HEARTBEAT_MS_MIN).into());
        if let Some(assignment) = answer.assignment {
            modern.target = assignment;
            modern.is_unreconciled = true;
        }
        self.go_round();
    }

    fn group_heartbeat_failed(&mut self, now: Ticks, answer: ConsumerGroupHeartbeatAnswer) {
        let Some(group) = &mut self.group else { return };
        let is_auto = group.is_auto;
        let Some(modern) = group.modern() else { return };
        modern.told_topics = None;
        let is_joining = modern.epoch.is_none();
        match answer.error {
            ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId => {
                group.forget();
                self.lose_partitions();
                // At once the first time: others may be waiting for the partitions.
                if is_joining {
                    self.back_off_modern(now);
                }
            }
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.back_off_modern(now);
                self.lose_coordinator(now);
            }
            ErrorCode::UnsupportedVersion | ErrorCode::GroupIdNotFound | ErrorCode::InconsistentGroupProtocol
                if is_auto && is_joining =>
            {
                self.become_classic();
            }
            // Rights may come.
            ErrorCode::TopicAuthorizationFailed => {
                self.back_off_modern(now);
                let (group, code) = (self.group.as_ref().map(|group| group.id.clone()), answer.error);
                let is_told = |event: &Event| matches!(event, Event::Error(ConsumerError::Group { .. }));
                if let Some(group) = group.filter(|_| !self.events.iter().any(is_told)) {
                    let error = ConsumerError::Group { group, code, message: answer.message };
                    self.events.push_back(Event::Error(error));
                }
            }
            code if code.is_retriable() => self.back_off_modern(now),
            code => self.be_refused(code, answer.message),
        }
    }

    fn back_off_modern(&mut self, now: Ticks) {
        let Self { group, random, backoff, .. } = self;
        if let Some(modern) = group.as_mut().and_then(Group::modern) {
            modern.retry.fail(now, *backoff, random);
        }
    }

    /// The coordinator has only the classic protocol for this group.
    fn become_classic(&mut self) {
        self.lose_partitions();
        if let Some(group) = &mut self.group {
            group.is_auto = false;
            group.protocol = Protocol::Classic(Classic::default());
        }
        self.go_round();
    }

    /// Gives back what the member shall not have, and when that is done takes what it shall.
    fn reconcile(&mut self, now: Ticks) {
        if self.revocation.is_some() {
            return;
        }
        let Some(modern) = self.modern().filter(|modern| modern.is_unreconciled) else { return };
        modern.is_unreconciled = false;
        let target = modern.target.clone();
        let mut wanted: BTreeMap<TopicPartition, TopicId> = BTreeMap::new();
        let mut are_all_known = true;
        for (id, indexes) in &target {
            match self.metadata.name_of(*id) {
                Some(name) => {
                    let partitions = indexes.iter().map(|index| TopicPartition::new(name.clone(), *index));
                    wanted.extend(partitions.map(|partition| (partition, *id)));
                }
                None => are_all_known = false,
            }
        }
        let shall: BTreeSet<(TopicId, PartitionIndex)> =
            target.iter().flat_map(|(id, indexes)| indexes.iter().map(|index| (*id, *index))).collect();
        let revoked = self.partitions.iter().filter(|(name, partition)| match partition.topic_id {
            Some(id) => !shall.contains(&(id, name.partition)),
            None => !wanted.contains_key(*name),
        });
        let revoked: Vec<TopicPartition> = revoked.map(|(name, _)| name.clone()).collect();
        if !revoked.is_empty() {
            return self.begin_revocation(now, revoked);
        }
        if !are_all_known {
            // Looked at again when they come.
            self.refresh_metadata();
        }
        wanted.retain(|name, _| !self.partitions.contains_key(name));
        if wanted.is_empty() {
            return;
        }
        self.gain_partitions(wanted.keys().cloned().collect());
        for (name, id) in wanted {
            if let Some(partition) = self.partitions.get_mut(&name) {
                partition.topic_id = Some(id);
            }
        }
        if let Some(modern) = self.modern() {
            modern.is_owned_told = false;
        }
        self.go_round();
    }
}

/// Between two heartbeats, whatever the coordinator says, in milliseconds.
const HEARTBEAT_MS_MIN: u32 = 10;
