//! Joining a group.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::{ErrorCode, Uuid};

use super::members::Member;
use super::{Change, ClassicGroup, millis};
use crate::describe::GroupState;
use crate::record::GroupRecord;
use crate::request::JoinGroup;
use crate::response::{JoinGroupResponse, JoinedMember, Response};
use crate::shard::Turn;

impl ClassicGroup {
    pub(crate) fn join(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) {
        if !self.accepts(turn, join.member) {
            self.drop_refused(turn, join.member);
            refuse(turn, token, "", ErrorCode::GroupMaxSizeReached);
            return;
        }
        let joined = match join.member {
            "" => self.join_new(turn, token, join),
            _ => self.join_known(turn, token, join),
        };
        if let Err(error) = joined {
            refuse(turn, token, join.member, error);
        }
    }

    /// Whether there is room. In a rebalance those count that have joined it, so that a group that has become too
    /// large, since `group.max.size` was lowered, loses those that come last.
    fn accepts(&self, turn: &Turn<'_>, member: &str) -> bool {
        let size_max = usize::try_from(turn.config.classic_size_max).unwrap_or(usize::MAX);
        let known = self.members.get(member);
        match self.state {
            GroupState::PreparingRebalance => {
                known.is_some_and(Member::is_joining) || self.members.joining() < size_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => known.is_some() || self.members.len() < size_max,
            _ => true,
        }
    }

    /// Forgets a member for which there is no room; the others of a rebalance need not wait for it.
    fn drop_refused(&mut self, turn: &mut Turn<'_>, member: &str) {
        if let Some(id) = self.pending.take(member) {
            turn.timers.cancel(&self.pending_timer(&id));
        }
        self.remove_member(turn, member);
        self.complete_unless_initial(turn);
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        self.validate_protocols(join)?;
        let id = new_member_id(join);
        match join.instance_id {
            Some(instance_id) => match self.members.of_instance(instance_id).cloned() {
                Some(older) => self.join_returned(turn, token, join, &older, &id),
                None => self.add_member(turn, token, join, &id),
            },
            None if join.requires_known_member_id => {
                if PENDING_MAX <= self.pending.len() {
                    return Err(ErrorCode::GroupMaxSizeReached);
                }
                let due = turn.now.ticks.plus_ms(millis(join.session_timeout_ms));
                turn.timers.set(self.pending_timer(&id), due);
                self.pending.insert(Arc::clone(&id));
                refuse(turn, token, &id, ErrorCode::MemberIdRequired);
            }
            None => self.add_member(turn, token, join, &id),
        }
        Ok(())
    }

    fn join_known(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        self.validate_protocols(join)?;
        if let Some(id) = self.pending.get(join.member).cloned() {
            // An id is held back from dynamic members alone.
            if join.instance_id.is_some() {
                return Err(ErrorCode::UnknownMemberId);
            }
            self.add_member(turn, token, join, &id);
            return Ok(());
        }
        self.validate_member(join.member, join.instance_id)?;
        let member = self.members.get(join.member).ok_or(ErrorCode::UnknownMemberId)?;
        let is_same = member.says(&join.protocols);
        let is_leader = self.is_leader(join.member);
        match self.state {
            // Its answer was lost: it is told again.
            GroupState::CompletingRebalance if is_same => {
                let response = self.joined(join.member);
                turn.step.reply(token, Response::Join(response));
            }
            // The leader joins when it has noticed something that is no member's metadata, say new partitions.
            GroupState::Stable if is_same && !is_leader => {
                let response = self.joined(join.member);
                turn.step.reply(token, Response::Join(response));
            }
            GroupState::PreparingRebalance | GroupState::CompletingRebalance | GroupState::Stable => {
                self.update_member(turn, token, join, join.member);
                self.rebalance_or_complete(turn);
            }
            _ => return Err(ErrorCode::UnknownMemberId),
        }
        Ok(())
    }

    fn validate_protocols(&self, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        let is_consistent = match self.state {
            GroupState::Empty => !join.protocol_type.is_empty() && !join.protocols.is_empty(),
            _ => *self.protocol_type == *join.protocol_type && self.members.share_a_protocol(&join.protocols),
        };
        if is_consistent { Ok(()) } else { Err(ErrorCode::InconsistentGroupProtocol) }
    }

    fn add_member(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>, id: &Arc<str>) {
        if self.pending.remove(id) {
            turn.timers.cancel(&self.pending_timer(id));
        }
        if self.members.is_empty() {
            self.protocol_type = Arc::from(join.protocol_type);
        }
        if let Some(delay) = &mut self.initial_delay {
            delay.has_grown = true;
        }
        self.leader.get_or_insert_with(|| Arc::clone(id));
        let member = Member::new(Arc::clone(id), join);
        self.arm_session_of(turn, &member);
        self.members.insert(member);
        self.members.start_joining(id, token);
        self.rebalance_or_complete(turn);
    }

    /// Takes what a member says of itself, and lets it wait for the rebalance.
    fn update_member(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>, id: &str) {
        self.members.update(id, join);
        if let Some(older) = self.members.start_joining(id, token) {
            // It has asked again, on another connection perhaps.
            refuse(turn, older, id, ErrorCode::RebalanceInProgress);
        }
    }

    /// A static member has come back, under a new id (KIP-345).
    fn join_returned(
        &mut self,
        turn: &mut Turn<'_>,
        token: Token,
        join: &JoinGroup<'_>,
        older: &Arc<str>,
        id: &Arc<str>,
    ) {
        let Some(known) = self.members.get(older) else { return };
        let mut member = Member::new(Arc::clone(id), join);
        member.assignment = Arc::clone(&known.assignment);
        member.is_new = known.is_new;
        member.has_synced = known.has_synced;
        if self.state == GroupState::Stable
            && let Some((record, response)) = self.decide_return(join, older, &member)
        {
            // Nothing changes before the log has it.
            turn.step.record(record);
            turn.step.reply(token, Response::Join(response));
            self.arm_session_of(turn, &member);
            self.remind(turn, Change::Returned(Box::new(member)));
            return;
        }
        self.arm_session_of(turn, &member);
        self.swap(turn, older, member);
        self.members.start_joining(id, token);
        match self.state {
            // The leader may have been told of the older id, and the new one would get nothing.
            GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(turn),
            _ => self.complete_unless_initial(turn),
        }
    }

    /// What to store and to answer if `member` can stand in the place of `older` without a rebalance: the vote must
    /// come out the same.
    fn decide_return(
        &mut self,
        join: &JoinGroup<'_>,
        older: &Arc<str>,
        member: &Member,
    ) -> Option<(GroupRecord, JoinGroupResponse)> {
        let is_leader = self.is_leader(older);
        let leader = self.leader.clone();
        let known = self.members.remove(older)?;
        self.members.insert(member.clone());
        if is_leader {
            self.leader = Some(Arc::clone(&member.id));
        }
        let keeps_protocol = self.protocol.is_some() && self.members.vote(self.leader.as_deref()) == self.protocol;
        let decided = keeps_protocol.then(|| (self.record(self.state_timestamp), self.joined(&member.id)));
        self.members.remove(&member.id);
        self.members.insert(known);
        self.leader = leader;

        let (record, mut response) = decided?;
        if join.supports_skipping_assignment {
            response.skip_assignment = is_leader;
        } else {
            // It must not think that it leads: it would assign, and nobody would sync with it.
            response.leader = self.leader.clone().unwrap_or_else(|| Arc::from(""));
            response.members = Vec::new();
        }
        Some((record, response))
    }

    /// Puts `member` in the place of `older`. Whoever still waits under the older id is fenced.
    fn swap(&mut self, turn: &mut Turn<'_>, older: &Arc<str>, member: Member) {
        if let Some(token) = self.members.stop_joining(older) {
            refuse(turn, token, older, ErrorCode::FencedInstanceId);
        }
        self.refuse_sync(turn, older, ErrorCode::FencedInstanceId);
        turn.timers.cancel(&self.session_timer(older));
        if self.is_leader(older) {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.members.remove(older);
        self.members.insert(member);
    }

    pub(super) fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    /// What a member is told that has joined the current generation.
    pub(super) fn joined(&self, member: &str) -> JoinGroupResponse {
        let id = self.members.get(member).map_or_else(|| Arc::from(member), |member| Arc::clone(&member.id));
        let members = if self.is_leader(member) { self.joined_members() } else { Vec::new() };
        JoinGroupResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: Some(Arc::clone(&self.protocol_type)),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| Arc::from("")),
            skip_assignment: false,
            member: id,
            members,
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let show = |member: &Member| JoinedMember {
            id: Arc::clone(&member.id),
            instance_id: member.instance_id.clone(),
            metadata: self.metadata_of(member),
        };
        self.members.iter().map(show).collect()
    }
}

/// Answers a join with an error.
pub(super) fn refuse(turn: &mut Turn<'_>, token: Token, member: &str, error: ErrorCode) {
    turn.step.reply(token, Response::Join(JoinGroupResponse::refused(member, error)));
}

/// `<instance id or client id>-<uuid>`, as in Kafka, but never longer than a string of the protocol may be.
fn new_member_id(join: &JoinGroup<'_>) -> Arc<str> {
    let name = join.instance_id.unwrap_or(join.client.id);
    let name = &name[..name.floor_char_boundary(STRING_LENGTH_MAX - HYPHENATED_LENGTH - 1)];
    Arc::from(format!("{name}-{}", hyphenated(join.new_member)))
}

/// The form of an id that Java prints: `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`.
fn hyphenated(id: Uuid) -> String {
    let hex = id.to_hex();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Ids of a group that may be out: a client that asks again and again gets new ones.
const PENDING_MAX: usize = 100_000;

/// Longest string with a length of 16 bits.
const STRING_LENGTH_MAX: usize = i16::MAX as usize;

const HYPHENATED_LENGTH: usize = 36;
