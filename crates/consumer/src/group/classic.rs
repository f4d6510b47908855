//! A member of a classic group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use highwater_types::{ErrorCode, Ticks, TopicName, TopicPartition};

use super::Protocol;
use crate::pending::Pending;
use crate::retry::Retry;
use crate::subscription::Subscription;
use crate::{
    AssignmentStrategy, Consumer, Failure, GroupMember, HeartbeatRequest, JoinGroupAnswer, JoinGroupRequest,
    MemberSubscription, Request, RequestId, SyncGroupRequest, Target,
};

#[derive(Debug)]
pub(super) struct Classic {
    /// Empty for none yet.
    pub(super) member: Arc<str>,
    pub(super) generation: Option<u32>,
    pub(super) state: State,
    /// The strategy that was chosen.
    protocol: Arc<str>,
    pub(super) retry: Retry,
    heartbeat: Option<RequestId>,
    heartbeat_due: Ticks,
    /// Since when the coordinator has not been heard of.
    heard_at: Ticks,
    /// What was assigned last, for the sticky strategy.
    previous: Vec<TopicPartition>,
    /// Topics of all members, for the leader.
    pub(super) led_topics: BTreeSet<TopicName>,
    /// Their partitions when the leader assigned them.
    pub(super) led_counts: BTreeMap<TopicName, Option<u32>>,
}

/// `Unjoined` → `Joining` → `Assigning` (the leader) → `Syncing` → `Stable` → `Unjoined` at the next rebalance; any
/// error goes to `Unjoined`.
#[derive(Debug)]
pub(super) enum State {
    /// Is to join, once everything is given back that has to be.
    Unjoined,
    Joining(RequestId),
    /// Leads, and waits for metadata.
    Assigning {
        members: Vec<GroupMember>,
        since: Ticks,
    },
    Syncing(RequestId),
    Stable,
}

impl Default for Classic {
    fn default() -> Self {
        Self {
            member: "".into(),
            generation: None,
            state: State::Unjoined,
            protocol: "".into(),
            retry: Retry::default(),
            heartbeat: None,
            heartbeat_due: Ticks(0),
            heard_at: Ticks(0),
            previous: Vec::new(),
            led_topics: BTreeSet::new(),
            led_counts: BTreeMap::new(),
        }
    }
}

impl Classic {
    /// Joins again, as the same member.
    pub(super) fn rejoin(&mut self) {
        if matches!(self.state, State::Stable) {
            self.state = State::Unjoined;
        }
    }
}

impl<T> Consumer<T> {
    fn is_cooperative(&self) -> bool {
        self.config.assignment_strategies.iter().all(|strategy| strategy.is_cooperative())
    }

    pub(super) fn step_classic(&mut self, now: Ticks) {
        self.step_heartbeat(now);
        let is_matched = !matches!(self.subscription, Subscription::Pattern { .. }) || self.metadata.has_all;
        let is_cooperative = self.is_cooperative();
        let is_revoking = self.revocation.is_some();
        let has_partitions = !self.partitions.is_empty();
        let Some(classic) = self.classic() else { return };
        match &classic.state {
            State::Unjoined if is_revoking || !is_matched => {}
            State::Unjoined if has_partitions && !is_cooperative => {
                let all = self.partitions.keys().cloned().collect();
                self.begin_revocation(now, all);
            }
            State::Unjoined if !classic.retry.is_due(now) => {
                let at = classic.retry.at();
                at.into_iter().for_each(|at| self.hurry(at));
            }
            State::Unjoined => self.join(),
            State::Assigning { since, .. } => {
                let deadline = since.plus_ms(LEADER_WAIT_MS_MAX);
                if deadline <= now || self.knows_led_topics() { self.assign_all() } else { self.hurry(deadline) }
            }
            State::Joining(_) | State::Syncing(_) | State::Stable => {}
        }
    }

    fn join(&mut self) {
        let Some(group) = &self.group else { return };
        let (Some(coordinator), Protocol::Classic(classic)) = (group.coordinator, &group.protocol) else { return };
        let request = JoinGroupRequest {
            group: group.id.clone(),
            session_timeout_ms: self.config.session_timeout_ms,
            rebalance_timeout_ms: self.config.poll_interval_ms_max,
            member: classic.member.clone(),
            instance: group.instance.clone(),
            protocols: self.protocols(classic),
        };
        let id = self.request(Target::Coordinator(coordinator), Request::JoinGroup(request), Pending::Join);
        if let Some(classic) = self.classic() {
            classic.state = State::Joining(id);
            classic.heartbeat = None;
        }
    }

    fn protocols(&self, classic: &Classic) -> Vec<(&'static str, MemberSubscription)> {
        let topics: Vec<TopicName> = self.subscription.topics().into_iter().flatten().cloned().collect();
        let describe = |strategy: &AssignmentStrategy| {
            let owned: Vec<TopicPartition> = match strategy {
                AssignmentStrategy::CooperativeSticky if self.is_cooperative() => {
                    self.partitions.keys().cloned().collect()
                }
                AssignmentStrategy::Sticky => classic.previous.clone(),
                _ => Vec::new(),
            };
            let rack = self.config.client_rack.as_deref().map(Into::into);
            let subscription =
                MemberSubscription { topics: topics.clone(), owned, generation: classic.generation, rack };
            (strategy.name(), subscription)
        };
        self.config.assignment_strategies.iter().map(describe).collect()
    }

    pub(crate) fn joined(&mut self, now: Ticks, id: RequestId, outcome: Result<JoinGroupAnswer, Failure>) {
        let Some(classic) = self.classic() else { return };
        if !matches!(classic.state, State::Joining(expected) if expected == id) {
            return;
        }
        classic.state = State::Unjoined;
        let Some(answer) = self.group_answered(now, outcome) else { return };
        let interval = u64::from(self.config.heartbeat_interval_ms);
        let Some(classic) = self.classic() else { return };
        match answer.error {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired if classic.member != answer.member && !answer.member.is_empty() => {
                classic.member = answer.member;
                return self.go_round();
            }
            code => return self.group_failed(now, code),
        }
        classic.retry.clear();
        classic.member = answer.member;
        classic.generation = Some(answer.generation);
        classic.protocol = answer.protocol;
        (classic.heard_at, classic.heartbeat_due) = (now, now.plus_ms(interval));
        (classic.led_topics, classic.led_counts) = (BTreeSet::new(), BTreeMap::new());
        if answer.is_leader {
            let topics = answer.members.iter().flat_map(|member| &member.subscription.topics);
            classic.led_topics = topics.cloned().collect();
        }
        if answer.is_leader && answer.skip_assignment {
            self.note_led_counts();
        }
        let Some(classic) = self.classic() else { return };
        if answer.is_leader && !answer.skip_assignment {
            classic.state = State::Assigning { members: answer.members, since: now };
        } else {
            self.sync(Vec::new());
        }
        self.is_want_stale = true;
        self.go_round();
    }

    pub(super) fn sync(&mut self, assignments: Vec<(Arc<str>, Vec<TopicPartition>)>) {
        let Some(group) = &mut self.group else { return };
        let (id, instance) = (group.id.clone(), group.instance.clone());
        let coordinator = group.coordinator;
        let Some(classic) = group.classic() else { return };
        let (Some(coordinator), Some(generation)) = (coordinator, classic.generation) else {
            classic.state = State::Unjoined;
            return self.go_round();
        };
        let (member, protocol) = (classic.member.clone(), classic.protocol.clone());
        let request = SyncGroupRequest { group: id, generation, member, instance, protocol, assignments };
        let id = self.request(Target::Coordinator(coordinator), Request::SyncGroup(request), Pending::Sync);
        if let Some(classic) = self.classic() {
            classic.state = State::Syncing(id);
        }
    }

    /// The strategy that the coordinator chose; `None` for one that was not offered.
    pub(super) fn chosen_strategy(&self) -> Option<AssignmentStrategy> {
        let Some(Protocol::Classic(classic)) = self.group.as_ref().map(|group| &group.protocol) else { return None };
        let strategies = self.config.assignment_strategies.iter();
        strategies.copied().find(|strategy| strategy.name() == &*classic.protocol)
    }

    pub(crate) fn synced(
        &mut self,
        now: Ticks,
        id: RequestId,
        outcome: Result<Result<Vec<TopicPartition>, ErrorCode>, Failure>,
    ) {
        let Some(classic) = self.classic() else { return };
        if !matches!(classic.state, State::Syncing(expected) if expected == id) {
            return;
        }
        classic.state = State::Unjoined;
        let Some(answer) = self.group_answered(now, outcome) else { return };
        let partitions = match answer {
            Ok(partitions) => partitions,
            Err(code) => return self.group_failed(now, code),
        };
        let topics = self.subscription.topics().cloned().unwrap_or_default();
        let mut assigned: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        // Subscriptions may have changed since.
        assigned.retain(|partition| topics.contains(&partition.topic));
        let interval = u64::from(self.config.heartbeat_interval_ms);
        let Some(classic) = self.classic() else { return };
        classic.state = State::Stable;
        classic.previous = assigned.iter().cloned().collect();
        (classic.heard_at, classic.heartbeat_due) = (now, now.plus_ms(interval));
        let revoked: Vec<TopicPartition> =
            self.partitions.keys().filter(|partition| !assigned.contains(*partition)).cloned().collect();
        let added = assigned.into_iter().filter(|partition| !self.partitions.contains_key(partition)).collect();
        self.gain_partitions(added);
        if !revoked.is_empty() {
            self.begin_revocation(now, revoked);
        }
        self.go_round();
    }

    fn step_heartbeat(&mut self, now: Ticks) {
        let session_ms = u64::from(self.config.session_timeout_ms);
        let Some(group) = &mut self.group else { return };
        let (id, instance, coordinator) = (group.id.clone(), group.instance.clone(), group.coordinator);
        let Some(classic) = group.classic() else { return };
        let is_quiet = matches!(classic.state, State::Joining(_) | State::Syncing(_));
        let Some(generation) = classic.generation.filter(|_| !is_quiet) else { return };
        let (silent_at, due) = (classic.heard_at.plus_ms(session_ms), classic.heartbeat_due);
        if silent_at <= now {
            classic.heard_at = now;
            classic.heartbeat = None;
            return self.lose_coordinator(now);
        }
        let member = classic.member.clone();
        let is_sent = classic.heartbeat.is_some();
        self.hurry(silent_at);
        let Some(coordinator) = coordinator.filter(|_| !is_sent) else { return };
        if now < due {
            return self.hurry(due);
        }
        let request = HeartbeatRequest { group: id, generation, member, instance };
        let id = self.request(Target::Coordinator(coordinator), Request::Heartbeat(request), Pending::Heartbeat);
        if let Some(classic) = self.classic() {
            classic.heartbeat = Some(id);
        }
    }

    pub(crate) fn heart_beaten(&mut self, now: Ticks, id: RequestId, outcome: Result<ErrorCode, Failure>) {
        let interval = u64::from(self.config.heartbeat_interval_ms);
        let retry_ms = self.config.retry_backoff_ms.min(interval);
        let Some(classic) = self.classic() else { return };
        if classic.heartbeat != Some(id) {
            return;
        }
        classic.heartbeat = None;
        classic.heartbeat_due = now.plus_ms(retry_ms);
        let Some(code) = self.group_answered(now, outcome) else { return };
        let Some(classic) = self.classic() else { return };
        match code {
            ErrorCode::None | ErrorCode::RebalanceInProgress => {
                (classic.heard_at, classic.heartbeat_due) = (now, now.plus_ms(interval));
                if code == ErrorCode::RebalanceInProgress {
                    classic.rejoin();
                    self.go_round();
                }
            }
            ErrorCode::CoordinatorLoadInProgress => {}
            code => self.group_failed(now, code),
        }
    }

    /// What the coordinator has said, if anything.
    fn group_answered<A>(&mut self, now: Ticks, outcome: Result<A, Failure>) -> Option<A> {
        match outcome {
            Ok(answer) => return Some(answer),
            Err(Failure::Unsupported) => self.be_refused(ErrorCode::UnsupportedVersion, None),
            Err(Failure::Disconnected | Failure::TimedOut) => {
                self.back_off(now);
                self.lose_coordinator(now);
            }
        }
        None
    }

    fn back_off(&mut self, now: Ticks) {
        let Self { group, random, backoff, .. } = self;
        if let Some(classic) = group.as_mut().and_then(super::Group::classic) {
            classic.retry.fail(now, *backoff, random);
        }
    }

    fn group_failed(&mut self, now: Ticks, code: ErrorCode) {
        match code {
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable => {
                self.back_off(now);
                self.lose_coordinator(now);
            }
            ErrorCode::RebalanceInProgress => {
                // Whoever syncs too late joins again at once.
                if let Some(classic) = self.classic() {
                    classic.state = State::Unjoined;
                }
                self.go_round();
            }
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
                self.lose_partitions();
                self.back_off(now);
                let Some(classic) = self.classic() else { return };
                let member = if code == ErrorCode::UnknownMemberId { "".into() } else { classic.member.clone() };
                *classic = Classic { member, retry: classic.retry, ..Classic::default() };
                self.is_want_stale = true;
                self.go_round();
            }
            code if code.is_retriable() => self.back_off(now),
            code => self.be_refused(code, None),
        }
    }
}

/// How long a leader waits for metadata of topics that others subscribe to, in milliseconds; then it assigns what it
/// knows.
const LEADER_WAIT_MS_MAX: u64 = 5_000;
