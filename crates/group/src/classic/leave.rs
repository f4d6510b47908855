//! Leaving a group, by one's own will or by silence.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::ClassicGroup;
use crate::request::{LeaveGroup, LeavingMember};
use crate::response::{LeaveGroupResponse, Response};
use crate::shard::Turn;

impl ClassicGroup {
    pub(crate) fn leave(&mut self, turn: &mut Turn<'_>, token: Token, leave: &LeaveGroup<'_>) {
        let mut members = Vec::with_capacity(leave.members.len());
        for leaving in &leave.members {
            let code = self.let_go(turn, leaving).err().unwrap_or(ErrorCode::None);
            members.push((Arc::from(leaving.member), leaving.instance_id.map(Arc::from), code));
        }
        if members.iter().any(|(_, _, code)| *code == ErrorCode::None) {
            self.members_removed(turn);
        }
        turn.step.reply(token, Response::Leave(LeaveGroupResponse { error: ErrorCode::None, members }));
    }

    fn let_go(&mut self, turn: &mut Turn<'_>, leaving: &LeavingMember<'_>) -> Result<(), ErrorCode> {
        if leaving.member.is_empty() {
            // An administrator removes a static member.
            let instance_id = leaving.instance_id.ok_or(ErrorCode::UnknownMemberId)?;
            let id = self.members.of_instance(instance_id).cloned().ok_or(ErrorCode::UnknownMemberId)?;
            self.remove_member(turn, &id);
        } else if let Some(id) = self.pending.take(leaving.member) {
            turn.timers.cancel(&self.pending_timer(&id));
        } else {
            self.validate_member(leaving.member, leaving.instance_id)?;
            self.remove_member(turn, leaving.member);
        }
        Ok(())
    }

    /// A member has been silent for too long.
    pub(super) fn expire_session(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(member) = self.members.get(id) else { return };
        // One that waits for the coordinator is not to blame. A new one had its own, longer time.
        if member.is_waiting() && !member.is_new {
            return;
        }
        self.remove_member(turn, id);
        self.members_removed(turn);
    }

    /// Nobody came back with an id that was given out.
    pub(super) fn expire_pending(&mut self, turn: &mut Turn<'_>, id: &str) {
        if self.pending.remove(id) {
            self.complete_if_all_joined(turn);
        }
    }
}
