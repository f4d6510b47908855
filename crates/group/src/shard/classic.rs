//! Requests of members of the classic protocol.

use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{Group, GroupShard, GroupStep, Groups, Timer, answer};
use crate::classic::ClassicGroup;
use crate::describe::GroupState;
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, Request, SyncGroup};
use crate::response::{JoinGroupResponse, LeaveGroupResponse, Response, SyncGroupResponse};

impl GroupShard {
    pub(super) fn join(&mut self, now: Now, token: Token, join: &JoinGroup<'_>, step: &mut GroupStep) {
        if let Err(error) = self.admit(join) {
            step.reply(token, Response::Join(JoinGroupResponse::refused(join.member, error)));
            return;
        }
        let (groups, mut turn) = self.turn(now, step);
        match groups.get_mut(join.group) {
            Some(Group::Classic(group)) => group.join(&mut turn, token, join),
            Some(Group::Consumer(group)) if group.state() != GroupState::Empty => group.join(&mut turn, token, join),
            group => {
                if let Some(Group::Consumer(group)) = group {
                    group.delete(&mut turn.step.records);
                }
                let id: Arc<str> = Arc::from(join.group);
                let mut group = ClassicGroup::new(Arc::clone(&id), now);
                group.join(&mut turn, token, join);
                groups.insert(id, Group::Classic(group));
            }
        }
        remove_void(groups, join.group);
    }

    fn admit(&self, join: &JoinGroup<'_>) -> Result<(), ErrorCode> {
        let limits = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if join.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        if !limits.contains(&join.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let has_members = match self.groups.get(join.group) {
            Some(Group::Classic(_)) => true,
            Some(Group::Consumer(group)) => group.state() != GroupState::Empty,
            None => false,
        };
        // Nobody is there who could know the member.
        if has_members || join.member.is_empty() { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    pub(super) fn sync(&mut self, now: Now, token: Token, sync: &SyncGroup<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        let error = match groups.get_mut(sync.group) {
            Some(Group::Classic(group)) => return group.sync(&mut turn, token, sync),
            Some(Group::Consumer(group)) => return group.sync(&mut turn, token, sync),
            None => unknown(sync.group),
        };
        step.reply(token, Response::Sync(SyncGroupResponse::refused(error)));
    }

    pub(super) fn heartbeat(&mut self, now: Now, token: Token, heartbeat: &Heartbeat<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        let error = match groups.get_mut(heartbeat.group) {
            Some(Group::Classic(group)) => return group.heartbeat(&mut turn, token, heartbeat),
            Some(Group::Consumer(group)) => return group.heartbeat(&mut turn, token, heartbeat),
            None => unknown(heartbeat.group),
        };
        step.reply(token, Response::Heartbeat(error));
    }

    pub(super) fn leave(&mut self, now: Now, token: Token, leave: &LeaveGroup<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        match groups.get_mut(leave.group) {
            Some(Group::Classic(group)) => {
                group.leave(&mut turn, token, leave);
                remove_void(groups, leave.group);
            }
            Some(Group::Consumer(group)) => group.leave(&mut turn, token, leave),
            None if leave.group.is_empty() => {
                step.reply(token, answer::refuse(&Request::Leave(leave.clone()), ErrorCode::InvalidGroupId));
            }
            None => {
                // Each of them is unknown; the request is not at fault.
                let members = leave.members.iter().map(|leaving| {
                    (Arc::from(leaving.member), leaving.instance_id.map(Arc::from), ErrorCode::UnknownMemberId)
                });
                let response = LeaveGroupResponse { error: ErrorCode::None, members: members.collect() };
                step.reply(token, Response::Leave(response));
            }
        }
    }

    pub(super) fn classic_timed_out(&mut self, now: Now, group: &Arc<str>, timer: &Timer, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        if let Some(Group::Classic(classic)) = groups.get_mut(group) {
            classic.timed_out(&mut turn, timer);
            remove_void(groups, group);
        }
    }

    /// Replay is over: arms the timers of classic groups.
    pub(super) fn start_classic(&mut self, now: Now, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        for group in groups.values_mut() {
            if let Group::Classic(group) = group {
                group.start(&mut turn);
            }
        }
    }
}

/// The error for a member of a group that is not there.
fn unknown(group: &str) -> ErrorCode {
    if group.is_empty() { ErrorCode::InvalidGroupId } else { ErrorCode::UnknownMemberId }
}

/// Forgets a group that nobody is in and of which nothing is stored.
fn remove_void(groups: &mut Groups, id: &str) {
    if matches!(groups.get(id), Some(Group::Classic(group)) if group.is_void()) {
        groups.remove(id);
    }
}
