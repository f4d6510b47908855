//! SyncGroup and Heartbeat.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::stored::EffectKind;
use super::{ClassicGroup, Phase};
use crate::protocol::MemberAssignment;
use crate::request::{Heartbeat, SyncGroup};
use crate::response::{Response, SyncGroupResponse};
use crate::shard::{Timer, Turn};

impl ClassicGroup {
    /// SyncGroup. Answered at once, or when the leader has brought the assignment.
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, token: Token, sync: &SyncGroup<'_>) {
        let result = self.validate_sync(sync).and_then(|id| match self.phase {
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
            Phase::Preparing { .. } => Err(ErrorCode::RebalanceInProgress),
            Phase::Completing | Phase::Stable => Ok(id),
        });
        let id = match result {
            Ok(id) => id,
            Err(error) => {
                turn.step.reply(token, Response::Sync(SyncGroupResponse::refused(error)));
                return;
            }
        };
        let session = self.session(&id);
        let member = self.members.get_mut(&id).expect("it was looked up");
        member.has_synced = true;
        turn.step.replies.extend(member.interrupt_sync(ErrorCode::RebalanceInProgress));
        if self.phase == Phase::Stable {
            let assignment = Arc::clone(&member.assignment);
            turn.step.reply(token, Response::Sync(self.synced(assignment)));
            self.arm_session(turn, &id);
        } else {
            member.syncing = Some(token);
            turn.timers.cancel(&session);
            if self.leader.as_ref() == Some(&id) {
                self.assign(turn, sync);
            }
        }
        if self.members.values().all(|member| member.has_synced) {
            turn.timers.cancel(&Timer::ClassicSync { group: Arc::clone(&self.id) });
        }
    }

    fn validate_sync(&self, sync: &SyncGroup<'_>) -> Result<Arc<str>, ErrorCode> {
        let id = self.validate_member(sync.member, sync.instance_id)?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |said: Option<&str>, known: &Option<Arc<str>>| said.is_some() && said != known.as_deref();
        if differs(sync.protocol_type, &self.protocol_type) || differs(sync.protocol_name, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(id)
    }

    /// The leader has brought the assignment: everybody who waits gets its own once it is stored.
    fn assign(&mut self, turn: &mut Turn<'_>, sync: &SyncGroup<'_>) {
        let assignments: BTreeMap<&str, &[u8]> = sync.assignments.iter().copied().collect();
        let assignment_of = |id: &str| assignments.get(id).map_or_else(Arc::default, |bytes| Arc::from(*bytes));
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        let mut value = self.value();
        for member in &mut value.members {
            member.assignment = assignment_of(&member.id);
        }
        for id in ids {
            let Some(token) = self.members.get_mut(&id).and_then(|member| member.syncing.take()) else { continue };
            turn.step.reply(token, Response::Sync(self.synced(assignment_of(&id))));
            self.arm_session(turn, &id);
        }
        self.store_value(turn, value, EffectKind::Assigned);
    }

    fn synced(&self, assignment: Arc<[u8]>) -> SyncGroupResponse {
        SyncGroupResponse {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: MemberAssignment::Opaque(assignment),
        }
    }

    /// Everybody who waits for an assignment has to join again.
    pub(super) fn interrupt_syncs(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        let mut answered = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = Arc::default();
            if let Some(reply) = member.interrupt_sync(error) {
                turn.step.replies.push(reply);
                answered.push(Arc::clone(id));
            }
        }
        for id in answered {
            self.arm_session(turn, &id);
        }
    }

    /// Heartbeat.
    pub(crate) fn heartbeat(&mut self, turn: &mut Turn<'_>, token: Token, heartbeat: &Heartbeat<'_>) {
        let error = self.check_heartbeat(turn, heartbeat).err().unwrap_or(ErrorCode::None);
        turn.step.reply(token, Response::Heartbeat(error));
    }

    fn check_heartbeat(&self, turn: &mut Turn<'_>, heartbeat: &Heartbeat<'_>) -> Result<(), ErrorCode> {
        let id = self.validate_member(heartbeat.member, heartbeat.instance_id)?;
        if heartbeat.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if self.phase == Phase::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        if !self.members[&id].is_waiting() {
            self.arm_session(turn, &id);
        }
        if matches!(self.phase, Phase::Preparing { .. }) {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }
}
