//! Requests of members of the classic protocol.

use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{GroupShard, GroupStep, Timer, answer};
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, Request, SyncGroup};

impl GroupShard {
    pub(super) fn join(&mut self, _now: Now, token: Token, join: &JoinGroup<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::Join(join.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn sync(&mut self, _now: Now, token: Token, sync: &SyncGroup<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::Sync(sync.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn heartbeat(&mut self, _now: Now, token: Token, heartbeat: &Heartbeat<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::Heartbeat(*heartbeat), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn leave(&mut self, _now: Now, token: Token, leave: &LeaveGroup<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::Leave(leave.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn classic_timed_out(&mut self, _now: Now, _group: &Arc<str>, _timer: &Timer, _step: &mut GroupStep) {}

    /// Replay is over: arms the timers of classic groups.
    pub(super) fn start_classic(&mut self, _now: Now, _step: &mut GroupStep) {}
}
