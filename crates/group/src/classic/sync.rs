//! Handing out the leader's assignment.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::{Change, ClassicGroup};
use crate::describe::GroupState;
use crate::protocol::MemberAssignment;
use crate::record::GroupRecord;
use crate::request::SyncGroup;
use crate::response::{Response, SyncGroupResponse};
use crate::shard::Turn;

impl ClassicGroup {
    pub(crate) fn sync(&mut self, turn: &mut Turn<'_>, token: Token, sync: &SyncGroup<'_>) {
        if let Err(error) = self.try_sync(turn, token, sync) {
            turn.step.reply(token, Response::Sync(SyncGroupResponse::refused(error)));
        }
    }

    fn try_sync(&mut self, turn: &mut Turn<'_>, token: Token, sync: &SyncGroup<'_>) -> Result<(), ErrorCode> {
        self.validate_member(sync.member, sync.instance_id)?;
        if sync.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        let is_type_same = sync.protocol_type.is_none_or(|said| *said == *self.protocol_type);
        let is_name_same = sync.protocol_name.is_none_or(|said| self.protocol.as_deref() == Some(said));
        if !is_type_same || !is_name_same {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance => {
                self.wait_for_assignment(turn, token, sync.member);
                if self.is_leader(sync.member) {
                    self.assign(turn, &sync.assignments);
                }
                Ok(())
            }
            GroupState::Stable => {
                self.arm_session(turn, sync.member);
                let member = self.members.get_mut(sync.member).ok_or(ErrorCode::UnknownMemberId)?;
                member.has_synced = true;
                let assignment = Arc::clone(&member.assignment);
                let response = self.synced(assignment);
                turn.step.reply(token, Response::Sync(response));
                Ok(())
            }
            _ => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn wait_for_assignment(&mut self, turn: &mut Turn<'_>, token: Token, id: &str) {
        // It may have asked before, on another connection perhaps.
        self.refuse_sync(turn, id, ErrorCode::RebalanceInProgress);
        if let Some(member) = self.members.get_mut(id) {
            member.syncing = Some(token);
            member.has_synced = true;
        }
    }

    /// Stores what the leader gives to each member, and answers those that wait for it.
    fn assign(&mut self, turn: &mut Turn<'_>, assignments: &[(&str, &[u8])]) {
        let assignments: BTreeMap<&str, &[u8]> = assignments.iter().copied().collect();
        let mut value = self.value(Some(turn.now.wall));
        for member in &mut value.members {
            // A member that the leader leaves out gets nothing.
            member.assignment = Arc::from(assignments.get(&*member.id).copied().unwrap_or_default());
            let waiting = self.members.get_mut(&member.id).and_then(|known| known.syncing.take());
            if let Some(token) = waiting {
                let response = self.synced(Arc::clone(&member.assignment));
                turn.step.reply(token, Response::Sync(response));
                self.arm_session(turn, &member.id);
            }
        }
        turn.step.record(GroupRecord::Classic { group: Arc::clone(&self.id), value: Some(value) });
        self.remind(turn, Change::Assigned);
    }

    fn synced(&self, assignment: Arc<[u8]>) -> SyncGroupResponse {
        SyncGroupResponse {
            error: ErrorCode::None,
            protocol_type: Some(Arc::clone(&self.protocol_type)),
            protocol_name: self.protocol.clone(),
            assignment: MemberAssignment::Opaque(assignment),
        }
    }

    /// Answers the sync that a member waits in, if it does.
    pub(super) fn refuse_sync(&mut self, turn: &mut Turn<'_>, id: &str, error: ErrorCode) {
        if let Some(token) = self.members.get_mut(id).and_then(|member| member.syncing.take()) {
            turn.step.reply(token, Response::Sync(SyncGroupResponse::refused(error)));
        }
    }

    /// The generation has no assignment, and will get none.
    pub(super) fn refuse_syncs(&mut self, turn: &mut Turn<'_>, error: ErrorCode) {
        let ids: Vec<Arc<str>> = self.members.iter().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            let Some(member) = self.members.get_mut(id) else { continue };
            member.assignment = Arc::from([]);
            if member.syncing.is_some() {
                self.refuse_sync(turn, id, error);
                // Its session had been left alone while it waited.
                self.arm_session(turn, id);
            }
        }
    }

    /// Members have had their time to sync: those that have not are taken for dead.
    pub(super) fn expire_sync(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            return;
        }
        let late = self.members.iter().filter(|member| !member.has_synced);
        let late: Vec<Arc<str>> = late.map(|member| Arc::clone(&member.id)).collect();
        for id in &late {
            self.remove_member(turn, id);
        }
        if !late.is_empty() {
            self.prepare_rebalance(turn);
        }
    }
}
