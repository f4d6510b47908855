//! From a change of the members to the next generation.

use std::sync::Arc;

use highwater_types::ErrorCode;

use super::join::refuse;
use super::{Change, ClassicGroup};
use crate::describe::GroupState;
use crate::response::Response;
use crate::shard::Turn;

/// How a group that was Empty waits for more members, so that a service that starts does not rebalance with each of
/// its instances (KIP-134).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialDelay {
    /// The part that is running.
    delay_ms: u64,
    /// What may be added to it, in all.
    remaining_ms: u64,
    /// A member has joined since the part began.
    pub(super) has_grown: bool,
}

impl ClassicGroup {
    /// The members have changed: begins a rebalance, or takes the change into the one that has begun.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            GroupState::PreparingRebalance => self.complete_unless_initial(turn),
            _ => self.prepare_rebalance(turn),
        }
    }

    /// Waits for all members to join.
    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.refuse_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        turn.timers.cancel(&self.sync_timer());
        let was_empty = self.state == GroupState::Empty;
        self.move_to(turn, GroupState::PreparingRebalance);
        if was_empty {
            let delay_ms = u64::from(turn.config.initial_rebalance_delay_ms);
            let remaining_ms = self.members.rebalance_timeout_ms().saturating_sub(delay_ms);
            self.initial_delay = Some(Box::new(InitialDelay { delay_ms, remaining_ms, has_grown: false }));
            turn.timers.set(self.join_timer(), turn.now.ticks.plus_ms(delay_ms));
        } else if self.have_all_joined() {
            self.complete_join(turn);
        } else {
            self.arm_join(turn);
        }
    }

    /// Those that were to come have come, unless more are expected of a group that was Empty.
    pub(super) fn complete_unless_initial(&mut self, turn: &mut Turn<'_>) {
        if self.initial_delay.is_none() {
            self.complete_if_all_joined(turn);
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        if self.state == GroupState::PreparingRebalance && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    fn have_all_joined(&self) -> bool {
        self.members.len() <= self.members.joining() && self.pending.is_empty()
    }

    fn arm_join(&self, turn: &mut Turn<'_>) {
        turn.timers.set(self.join_timer(), turn.now.ticks.plus_ms(self.members.rebalance_timeout_ms()));
    }

    /// Members have had their time to join.
    pub(super) fn expire_join(&mut self, turn: &mut Turn<'_>) {
        if self.state != GroupState::PreparingRebalance {
            return;
        }
        if let Some(delay) = &mut self.initial_delay
            && delay.has_grown
            && 0 < delay.remaining_ms
        {
            let next_ms = u64::from(turn.config.initial_rebalance_delay_ms).min(delay.remaining_ms);
            let remaining_ms = delay.remaining_ms.saturating_sub(delay.delay_ms);
            **delay = InitialDelay { delay_ms: next_ms, remaining_ms, has_grown: false };
            turn.timers.set(self.join_timer(), turn.now.ticks.plus_ms(next_ms));
            return;
        }
        self.complete_join(turn);
    }

    /// Begins the next generation with those who have joined, and with static members, who may be late.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        turn.timers.cancel(&self.join_timer());
        self.initial_delay = None;
        let is_late = |member: &&super::Member| !member.is_joining() && member.instance_id.is_none();
        let late: Vec<Arc<str>> = self.members.iter().filter(is_late).map(|member| Arc::clone(&member.id)).collect();
        for id in late {
            self.remove_member(turn, &id);
        }
        if self.members.is_empty() {
            self.become_empty(turn);
        } else if self.elect_leader() {
            self.begin_generation(turn);
        } else {
            // Nobody has joined: waits on, until sessions have ended or somebody comes.
            self.arm_join(turn);
        }
    }

    /// Sees to it that the leader has joined; `false` if nobody has.
    fn elect_leader(&mut self) -> bool {
        let leader = self.leader.as_deref().and_then(|id| self.members.get(id));
        if leader.is_some_and(super::Member::is_joining) {
            return true;
        }
        let Some(next) = self.members.iter().find(|member| member.is_joining()) else { return false };
        self.leader = Some(Arc::clone(&next.id));
        true
    }

    fn become_empty(&mut self, turn: &mut Turn<'_>) {
        self.move_to(turn, GroupState::Empty);
        self.generation = self.next_generation();
        self.protocol = None;
        self.leader = None;
        self.subscribed = self.subscriptions();
        let record = self.record(self.state_timestamp);
        turn.step.record(record);
        self.remind(turn, Change::Emptied);
    }

    fn begin_generation(&mut self, turn: &mut Turn<'_>) {
        self.generation = self.next_generation();
        self.protocol = self.members.vote(self.leader.as_deref());
        self.subscribed = self.subscriptions();
        self.move_to(turn, GroupState::CompletingRebalance);
        let ids: Vec<Arc<str>> = self.members.iter().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            if let Some(token) = self.members.stop_joining(id) {
                let response = self.joined(id);
                turn.step.reply(token, Response::Join(response));
            }
            if let Some(member) = self.members.get_mut(id) {
                member.is_new = false;
                member.has_synced = false;
            }
            self.arm_session(turn, id);
        }
        turn.timers.set(self.sync_timer(), turn.now.ticks.plus_ms(self.members.rebalance_timeout_ms()));
    }

    fn next_generation(&self) -> i32 {
        // 2^31 rebalances do not happen, but a file may say anything.
        self.generation.checked_add(1).unwrap_or(0)
    }

    /// Takes a member out. Whoever waits under its id is told that it is unknown, so that it joins anew if it is there.
    pub(super) fn remove_member(&mut self, turn: &mut Turn<'_>, id: &str) {
        if let Some(token) = self.members.stop_joining(id) {
            refuse(turn, token, "", ErrorCode::UnknownMemberId);
        }
        self.refuse_sync(turn, id, ErrorCode::UnknownMemberId);
        let Some(member) = self.members.remove(id) else { return };
        turn.timers.cancel(&self.session_timer(&member.id));
        if self.is_leader(id) {
            self.leader = self.members.iter().next().map(|member| Arc::clone(&member.id));
        }
    }

    /// Members were taken out: the others have to share what these had.
    pub(super) fn members_removed(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(turn),
            _ => self.complete_if_all_joined(turn),
        }
    }
}
