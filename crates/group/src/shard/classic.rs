//! Requests of members of the classic protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{Group, GroupShard, GroupStep, Timer, Turn, answer};
use crate::classic::{ClassicEffect, ClassicGroup};
use crate::describe::GroupState;
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, Request, SyncGroup};
use crate::response::{LeaveGroupResponse, Response};

impl GroupShard {
    pub(super) fn join(&mut self, now: Now, token: Token, join: &JoinGroup<'_>, step: &mut GroupStep) {
        if let Err(error) = self.try_join(now, token, join, step) {
            step.reply(token, answer::refuse(&Request::Join(join.clone()), error));
        }
        self.drop_void(join.group, step);
    }

    fn try_join(
        &mut self,
        now: Now,
        token: Token,
        join: &JoinGroup<'_>,
        step: &mut GroupStep,
    ) -> Result<(), ErrorCode> {
        if join.group.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let bounds = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !bounds.contains(&join.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        let (groups, mut turn) = self.turn(now, step);
        if let Some(Group::Consumer(group)) = groups.get(join.group)
            && group.state() != GroupState::Empty
        {
            group.join(&mut turn, token, join);
            return Ok(());
        }
        classic_group_for(groups, &mut turn, join)?.join(&mut turn, token, join);
        Ok(())
    }

    pub(super) fn sync(&mut self, now: Now, token: Token, sync: &SyncGroup<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        let error = match groups.get_mut(sync.group) {
            Some(Group::Classic(group)) => return group.sync(&mut turn, token, sync),
            Some(Group::Consumer(group)) => return group.sync(&mut turn, token, sync),
            None => unknown_group(sync.group),
        };
        step.reply(token, answer::refuse(&Request::Sync(sync.clone()), error));
    }

    pub(super) fn heartbeat(&mut self, now: Now, token: Token, heartbeat: &Heartbeat<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        let error = match groups.get_mut(heartbeat.group) {
            Some(Group::Classic(group)) => return group.heartbeat(&mut turn, token, heartbeat),
            Some(Group::Consumer(group)) => return group.heartbeat(&mut turn, token, heartbeat),
            None => unknown_group(heartbeat.group),
        };
        step.reply(token, Response::Heartbeat(error));
    }

    pub(super) fn leave(&mut self, now: Now, token: Token, leave: &LeaveGroup<'_>, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        match groups.get_mut(leave.group) {
            Some(Group::Classic(group)) => group.leave(&mut turn, token, leave),
            Some(Group::Consumer(group)) => group.leave(&mut turn, token, leave),
            None if leave.group.is_empty() => {
                step.reply(token, answer::refuse(&Request::Leave(leave.clone()), ErrorCode::InvalidGroupId));
            }
            None => {
                let unknown = leave.members.iter().map(|leaving| {
                    (Arc::from(leaving.member), leaving.instance_id.map(Arc::from), ErrorCode::UnknownMemberId)
                });
                let response = LeaveGroupResponse { error: ErrorCode::None, members: unknown.collect() };
                step.reply(token, Response::Leave(response));
            }
        }
        self.drop_void(leave.group, step);
    }

    pub(super) fn classic_timed_out(&mut self, now: Now, id: &Arc<str>, timer: &Timer, step: &mut GroupStep) {
        let (groups, mut turn) = self.turn(now, step);
        if let Some(Group::Classic(group)) = groups.get_mut(id) {
            group.timed_out(&mut turn, timer);
        }
        self.drop_void(id, step);
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

    pub(super) fn classic_append_failed(&mut self, now: Now, effect: &ClassicEffect, step: &mut GroupStep) {
        let id = Arc::clone(effect.group());
        let (groups, mut turn) = self.turn(now, step);
        let Some(Group::Classic(group)) = groups.get_mut(&id) else { return };
        group.append_failed(&mut turn, effect);
        if let Some(consumer) = group.take_replaced() {
            groups.insert(id, Group::Consumer(consumer));
            return;
        }
        self.drop_void(&id, step);
    }

    /// Forgets a group that has nothing: no members, nothing in the log, and nothing on its way there.
    fn drop_void(&mut self, id: &str, step: &GroupStep) {
        if step.records.is_empty()
            && let Some(Group::Classic(group)) = self.groups.get(id)
            && group.is_void()
        {
            self.groups.remove(id);
        }
    }
}

/// The classic group that a member joins. One that does not exist is made for a member that has no id yet.
fn classic_group_for<'a>(
    groups: &'a mut BTreeMap<Arc<str>, Group>,
    turn: &mut Turn<'_>,
    join: &JoinGroup<'_>,
) -> Result<&'a mut ClassicGroup, ErrorCode> {
    if !matches!(groups.get(join.group), Some(Group::Classic(_))) {
        if !join.member.is_empty() {
            return Err(ErrorCode::UnknownMemberId);
        }
        // Nothing is made, or deleted, for a member that a new group would not take.
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let id: Arc<str> = Arc::from(join.group);
        let group = match groups.remove(join.group) {
            Some(Group::Consumer(consumer)) => ClassicGroup::replace(consumer, Arc::clone(&id), turn),
            _ => ClassicGroup::new(Arc::clone(&id), turn.now),
        };
        groups.insert(id, Group::Classic(group));
    }
    match groups.get_mut(join.group) {
        Some(Group::Classic(group)) => Ok(group),
        _ => unreachable!("it was made"),
    }
}

fn unknown_group(id: &str) -> ErrorCode {
    if id.is_empty() { ErrorCode::InvalidGroupId } else { ErrorCode::UnknownMemberId }
}
