//! LeaveGroup, and members that are removed.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::ClassicGroup;
use crate::request::{LeaveGroup, LeavingMember};
use crate::response::{LeaveGroupResponse, Response};
use crate::shard::{Timer, Turn};

impl ClassicGroup {
    /// LeaveGroup.
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>, token: Token, leave: &LeaveGroup<'_>) {
        let (mut members, mut has_changed) = (Vec::with_capacity(leave.members.len()), false);
        for leaving in &leave.members {
            let left = self.leave_one(turn, leaving);
            has_changed |= left.is_ok();
            let (id, error) = match left {
                Ok(id) => (id, ErrorCode::None),
                Err(error) => (Arc::from(leaving.member), error),
            };
            members.push((id, leaving.instance_id.map(Arc::from), error));
        }
        turn.step.reply(token, Response::Leave(LeaveGroupResponse { error: ErrorCode::None, members }));
        if has_changed && self.state() != crate::GroupState::Empty {
            self.rebalance(turn);
        }
    }

    /// Removes one; its id.
    fn leave_one(&mut self, turn: &mut Turn<'_>, leaving: &LeavingMember<'_>) -> Result<Arc<str>, ErrorCode> {
        if leaving.instance_id.is_none()
            && let Some(id) = self.pending.take(leaving.member)
        {
            turn.timers.cancel(&Timer::ClassicPending { group: Arc::clone(&self.id), member: Arc::clone(&id) });
            return Ok(id);
        }
        let id = match leaving.instance_id {
            // An administrator names a static member by its instance alone.
            Some(instance) if leaving.member.is_empty() => {
                Arc::clone(self.statics.get(instance).ok_or(ErrorCode::UnknownMemberId)?)
            }
            instance => self.validate_member(leaving.member, instance)?,
        };
        self.remove(turn, &id);
        Ok(id)
    }

    /// Removes a member and answers what it waits for. What becomes of the others is the caller's matter.
    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some((id, mut member)) = self.members.remove_entry(id) else { return };
        turn.timers.cancel(&self.session(&id));
        turn.step.replies.extend(member.interrupt(&id, ErrorCode::UnknownMemberId));
        if let Some(instance) = &member.instance_id {
            self.statics.remove(instance);
        }
        if self.leader.as_ref() == Some(&id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Answers everybody who waits, since the group becomes a consumer group: they have to join anew.
    pub(crate) fn dissolve(&mut self, turn: &mut Turn<'_>) {
        for (id, member) in &mut self.members {
            turn.step.replies.extend(member.interrupt(id, ErrorCode::RebalanceInProgress));
        }
    }
}
