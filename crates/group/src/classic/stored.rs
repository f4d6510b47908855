//! A classic group and its record.

use std::sync::Arc;

use highwater_coordinator::{Now, Reply};
use highwater_types::{ErrorCode, TimestampMs};

use super::members::{Member, Members};
use super::{Change, ClassicEffect, ClassicGroup};
use crate::describe::GroupState;
use crate::protocol::ClassicProtocol;
use crate::record::{ClassicGroupValue, ClassicMemberValue, GroupRecord};
use crate::response::{JoinGroupResponse, Response, SyncGroupResponse};
use crate::shard::Turn;

impl ClassicGroup {
    /// The group as the log shall have it.
    pub(super) fn value(&self, state_timestamp: Option<TimestampMs>) -> ClassicGroupValue {
        let no_protocol = || ClassicProtocol { name: Arc::from(""), metadata: Arc::from([]), subscription: None };
        let with_protocol = |member: &Member| {
            let subscription = self.protocol.as_deref().and_then(|name| member.protocol(name)).cloned();
            value_of(member, subscription.unwrap_or_else(no_protocol))
        };
        ClassicGroupValue {
            protocol_type: Arc::clone(&self.protocol_type),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp,
            members: self.members.iter().map(with_protocol).collect(),
        }
    }

    pub(super) fn record(&self, state_timestamp: Option<TimestampMs>) -> GroupRecord {
        GroupRecord::Classic { group: Arc::clone(&self.id), value: Some(self.value(state_timestamp)) }
    }

    /// A member with the protocol that won or, before the first vote, the one it likes best.
    pub(super) fn member_value(&self, member: &Member) -> Option<ClassicMemberValue> {
        let chosen = self.protocol.as_deref().and_then(|name| member.protocol(name));
        chosen.or_else(|| member.protocols().first()).map(|protocol| value_of(member, protocol.clone()))
    }

    pub(crate) fn delete(&self, records: &mut Vec<GroupRecord>) {
        records.push(GroupRecord::Classic { group: Arc::clone(&self.id), value: None });
    }

    /// Takes the state of a record: at replay all of it, on the leader what it had decided.
    pub(crate) fn apply(&mut self, _now: Now, value: ClassicGroupValue) {
        self.is_stored = true;
        self.initial_delay = None;
        self.state = if value.members.is_empty() { GroupState::Empty } else { GroupState::Stable };
        self.state_timestamp = value.state_timestamp;
        self.generation = value.generation;
        self.protocol_type = value.protocol_type;
        self.protocol = value.protocol;
        self.leader = value.leader;
        let mut older = std::mem::take(&mut self.members);
        for value in value.members {
            let known = older.remove(&value.id);
            self.members.insert(Member::from_value(value, known));
        }
        self.subscribed = self.subscriptions();
    }

    pub(crate) fn appended(&mut self, _now: Now, effect: ClassicEffect) {
        match effect.change {
            // All of it is in the record.
            Change::Emptied | Change::Assigned => {}
            Change::Returned(member) => self.members.insert(*member),
            Change::Replaced => self.replaced = None,
        }
    }

    pub(crate) fn append_failed(&mut self, turn: &mut Turn<'_>, effect: &ClassicEffect) {
        match effect.change {
            // The members have their error as an answer, and have to join again.
            Change::Assigned if self.state == GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            // Nobody is in it, whatever the log says: those who are there after a failover are found silent.
            Change::Emptied | Change::Assigned => {}
            // Nothing has changed yet, and the older id is still good.
            Change::Returned(_) => {}
            Change::Replaced => {
                self.answer_waiting(ErrorCode::CoordinatorNotAvailable, &mut turn.step.replies);
                self.members = Members::default();
                self.pending.clear();
            }
        }
    }

    /// Replay is over: arms the timers.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.iter() {
            self.arm_session(turn, &member.id);
        }
        let size_max = usize::try_from(turn.config.classic_size_max).unwrap_or(usize::MAX);
        // One that was a consumer group until now may not have come to its first rebalance.
        let has_nothing = self.members.iter().all(|member| member.assignment.is_empty());
        if self.state == GroupState::Stable && (has_nothing || size_max < self.members.len()) {
            self.prepare_rebalance(turn);
        }
    }

    /// Answers everybody who waits, since the group becomes a consumer group: they have to join anew.
    pub(crate) fn dissolve(&mut self, turn: &mut Turn<'_>) {
        self.answer_waiting(ErrorCode::RebalanceInProgress, &mut turn.step.replies);
    }

    pub(crate) fn resign(&mut self, error: ErrorCode, replies: &mut Vec<Reply<Response>>) {
        self.answer_waiting(error, replies);
    }

    fn answer_waiting(&mut self, error: ErrorCode, replies: &mut Vec<Reply<Response>>) {
        let ids: Vec<Arc<str>> = self.members.iter().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            if let Some(token) = self.members.stop_joining(id) {
                let response = Response::Join(JoinGroupResponse::refused(id, error));
                replies.push(Reply { token, response });
            }
            if let Some(token) = self.members.get_mut(id).and_then(|member| member.syncing.take()) {
                replies.push(Reply { token, response: Response::Sync(SyncGroupResponse::refused(error)) });
            }
        }
    }
}

fn value_of(member: &Member, subscription: ClassicProtocol) -> ClassicMemberValue {
    ClassicMemberValue {
        id: Arc::clone(&member.id),
        instance_id: member.instance_id.clone(),
        client_id: Arc::clone(&member.client_id),
        client_host: Arc::clone(&member.client_host),
        rebalance_timeout_ms: Some(member.rebalance_timeout_ms),
        session_timeout_ms: member.session_timeout_ms,
        subscription,
        assignment: Arc::clone(&member.assignment),
    }
}
