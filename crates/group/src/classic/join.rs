//! JoinGroup.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::stored::EffectKind;
use super::{ClassicGroup, Member, Phase};
use crate::request::JoinGroup;
use crate::response::{JoinGroupResponse, JoinedMember, Response};
use crate::shard::{Timer, Turn};

impl ClassicGroup {
    /// JoinGroup. Answered at once, or when the join phase ends.
    pub(crate) fn join(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) {
        if !self.has_room(join.member, turn.config.classic_size_max) {
            let known = self.members.contains_key(join.member);
            refuse(turn, token, "", ErrorCode::GroupMaxSizeReached);
            if known {
                self.remove(turn, join.member);
                self.complete_if_all_joined(turn);
            }
            return;
        }
        let result = if !self.supports(join) {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else if join.member.is_empty() {
            self.join_anew(turn, token, join)
        } else {
            self.join_again(turn, token, join)
        };
        if let Err(error) = result {
            refuse(turn, token, join.member, error);
        }
    }

    /// Whether one more may join, by `group.max.size`.
    fn has_room(&self, member: &str, size_max: u32) -> bool {
        let size_max = usize::try_from(size_max).unwrap_or(usize::MAX);
        let known = self.members.get(member);
        match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                let is_joining = known.is_some_and(|member| member.joining.is_some());
                is_joining || self.members.values().filter(|member| member.joining.is_some()).count() < size_max
            }
            Phase::Completing | Phase::Stable => known.is_some() || self.members.len() < size_max,
        }
    }

    /// Whether a member with these protocols goes together with the others.
    fn supports(&self, join: &JoinGroup<'_>) -> bool {
        if self.phase == Phase::Empty {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        let is_common = |name: &str| self.members.values().all(|member| member.supports(name));
        self.protocol_type.as_deref() == Some(join.protocol_type)
            && join.protocols.iter().any(|protocol| is_common(&protocol.name))
    }

    /// A member without an id: it is new, or a static one that was started again.
    fn join_anew(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        let prefix = join.instance_id.unwrap_or(join.client.id);
        let id: Arc<str> = Arc::from(format!("{prefix}-{}", join.new_member));
        match join.instance_id {
            Some(instance) if self.statics.contains_key(instance) => self.replace(turn, token, instance, &id, join),
            None if join.requires_known_member_id => {
                if PENDING_MAX <= self.pending.len() {
                    return Err(ErrorCode::GroupMaxSizeReached);
                }
                let timer = Timer::ClassicPending { group: Arc::clone(&self.id), member: Arc::clone(&id) };
                turn.timers.set(timer, turn.now.ticks.plus_ms(ms(join.session_timeout_ms)));
                refuse(turn, token, &id, ErrorCode::MemberIdRequired);
                self.pending.insert(id);
            }
            _ => self.add(turn, token, &id, join),
        }
        Ok(())
    }

    /// A member with an id: it comes back with the one it was told, or for a new generation, or repeats itself.
    fn join_again(&mut self, turn: &mut Turn<'_>, token: Token, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        if join.instance_id.is_none()
            && let Some(id) = self.pending.take(join.member)
        {
            turn.timers.cancel(&Timer::ClassicPending { group: Arc::clone(&self.id), member: Arc::clone(&id) });
            self.add(turn, token, &id, join);
            return Ok(());
        }
        let id = self.validate_member(join.member, join.instance_id)?;
        let is_leader = self.leader.as_ref() == Some(&id);
        let member = &self.members[&id];
        let is_same = member.protocols == join.protocols;
        match self.phase {
            Phase::Empty => return Err(ErrorCode::UnknownMemberId),
            // It has not got the answer to its join, or its subscription is as it was.
            Phase::Completing if is_same => self.answer_again(turn, token, &id),
            Phase::Stable if is_same && !is_leader => self.answer_again(turn, token, &id),
            Phase::Preparing { .. } | Phase::Completing | Phase::Stable => {
                self.update(turn, token, &id, join);
                self.rebalance(turn);
            }
        }
        Ok(())
    }

    fn add(&mut self, turn: &mut Turn<'_>, token: Token, id: &Arc<str>, join: &JoinGroup<'_>) {
        if let Phase::Preparing { initial: Some(initial) } = &mut self.phase {
            initial.has_new_member = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::from(join.protocol_type));
        }
        let member = Member { joining: Some(token), ..Member::new(join) };
        if let Some(instance) = &member.instance_id {
            self.statics.insert(Arc::clone(instance), Arc::clone(id));
        }
        self.members.insert(Arc::clone(id), member);
        self.leader.get_or_insert_with(|| Arc::clone(id));
        // A client whose join waits does not heartbeat, but one that is gone must not hold the others up for ever.
        turn.timers.set(self.session(id), turn.now.ticks.plus_ms(NEW_MEMBER_JOIN_TIMEOUT_MS));
        self.rebalance(turn);
    }

    /// Lets a known member wait for the next generation.
    fn update(&mut self, turn: &mut Turn<'_>, token: Token, id: &Arc<str>, join: &JoinGroup<'_>) {
        let session = self.session(id);
        let member = self.members.get_mut(id).expect("it was looked up");
        member.update(join);
        // Whoever repeats itself on another connection does not wait for the first answer any more.
        turn.step.replies.extend(member.interrupt(id, ErrorCode::RebalanceInProgress));
        member.joining = Some(token);
        if !member.is_new {
            turn.timers.cancel(&session);
        }
    }

    /// Answers with the generation that is.
    fn answer_again(&mut self, turn: &mut Turn<'_>, token: Token, id: &Arc<str>) {
        self.arm_session(turn, id);
        turn.step.reply(token, Response::Join(self.joined(id, self.phase == Phase::Completing)));
    }

    /// What a member learns of the generation; `may_lead` lets the leader have the list of members.
    pub(super) fn joined(&self, id: &Arc<str>, may_lead: bool) -> JoinGroupResponse {
        let is_leader = may_lead && self.leader.as_ref() == Some(id);
        JoinGroupResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member: Arc::clone(id),
            members: if is_leader { self.joined_members() } else { Vec::new() },
        }
    }

    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        self.members.iter().map(|(id, member)| member.joined(id, protocol)).collect()
    }

    /// A static member was started again: a new id takes the place of the old one (KIP-345).
    fn replace(&mut self, turn: &mut Turn<'_>, token: Token, instance: &str, id: &Arc<str>, join: &JoinGroup<'_>) {
        let old_id = Arc::clone(&self.statics[instance]);
        let old_leader = self.leader.clone();
        let mut member = self.members.remove(&old_id).expect("every static member is a member");
        turn.step.replies.extend(member.interrupt(&old_id, ErrorCode::FencedInstanceId));
        turn.timers.cancel(&self.session(&old_id));
        let old = Box::new(member.clone());
        member.update(join);
        self.members.insert(Arc::clone(id), member);
        self.statics.insert(Arc::from(instance), Arc::clone(id));
        if old_leader.as_ref() == Some(&old_id) {
            self.leader = Some(Arc::clone(id));
        }
        if self.phase != Phase::Stable || self.vote() != self.protocol {
            self.update(turn, token, id, join);
            if old.is_new {
                turn.timers.set(self.session(id), turn.now.ticks.plus_ms(NEW_MEMBER_JOIN_TIMEOUT_MS));
            }
            self.rebalance(turn);
            return;
        }
        // The others need not know: the assignment stays. But the new id must survive a failover (KAFKA-10284).
        self.arm_session(turn, id);
        let is_leader = self.leader.as_ref() == Some(id);
        let mut response = self.joined(id, join.supports_skipping_assignment);
        response.skip_assignment = is_leader && join.supports_skipping_assignment;
        if !join.supports_skipping_assignment {
            // An old client that leads would assign, although nobody waits for that.
            response.leader = old_leader.clone().unwrap_or_default();
        }
        turn.step.reply(token, Response::Join(response));
        self.store(turn, EffectKind::Replaced { old_id, old, old_leader, id: Arc::clone(id) });
    }

    /// The member of that id, if instance id and member id belong together.
    pub(super) fn validate_member(&self, id: &str, instance: Option<&str>) -> Result<Arc<str>, ErrorCode> {
        if let Some(instance) = instance {
            let known = self.statics.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if &**known != id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let known = self.members.get_key_value(id).ok_or(ErrorCode::UnknownMemberId)?;
        Ok(Arc::clone(known.0))
    }

    /// The timer of a member's session.
    pub(super) fn session(&self, member: &Arc<str>) -> Timer {
        Timer::ClassicSession { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    /// A member has shown that it lives.
    pub(super) fn arm_session(&self, turn: &mut Turn<'_>, id: &Arc<str>) {
        if let Some(member) = self.members.get(id) {
            turn.timers.set(self.session(id), turn.now.ticks.plus_ms(ms(member.session_timeout_ms)));
        }
    }
}

fn refuse(turn: &mut Turn<'_>, token: Token, member: &str, error: ErrorCode) {
    turn.step.reply(token, Response::Join(JoinGroupResponse::refused(member, error)));
}

/// Milliseconds of a setting that Kafka keeps signed.
pub(super) fn ms(value: i32) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// How long a new member may wait for its first generation: clients give up after five minutes.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 300_000;
/// New members of a group that were told their id and have not come back.
const PENDING_MAX: usize = 100_000;
