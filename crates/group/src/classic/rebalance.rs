//! From one generation to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_types::ErrorCode;

use super::join::ms;
use super::stored::EffectKind;
use super::{ClassicGroup, InitialDelay, Phase};
use crate::response::Response;
use crate::shard::{Timer, Turn};

impl ClassicGroup {
    /// Somebody has come, gone or changed its mind.
    pub(super) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Preparing { .. } => self.complete_if_all_joined(turn),
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(turn),
        }
    }

    /// Begins a join phase.
    pub(super) fn prepare(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Completing {
            self.interrupt_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        turn.timers.cancel(&Timer::ClassicSync { group: Arc::clone(&self.id) });
        let timeout_ms = self.rebalance_timeout_ms();
        let delay_ms = u64::from(turn.config.initial_rebalance_delay_ms);
        let initial = (self.phase == Phase::Empty && 0 < delay_ms)
            .then(|| InitialDelay { left_ms: timeout_ms.saturating_sub(delay_ms), has_new_member: false });
        self.become_phase(turn.now, Phase::Preparing { initial });
        self.arm_join(turn, if initial.is_some() { delay_ms } else { timeout_ms });
        self.complete_if_all_joined(turn);
    }

    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        let is_waiting = self.phase == Phase::Preparing { initial: None };
        if is_waiting && self.pending.is_empty() && self.members.values().all(|member| member.joining.is_some()) {
            self.complete_join(turn);
        }
    }

    /// Ends the join phase: who has not come is out, and the others make a new generation.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        turn.timers.cancel(&Timer::ClassicJoin { group: Arc::clone(&self.id) });
        // A static member may be away while it is started again: only its session ends it (KAFKA-8220).
        let is_late = |member: &super::Member| member.joining.is_none() && member.instance_id.is_none();
        let late: Vec<Arc<str>> =
            self.members.iter().filter(|(_, member)| is_late(member)).map(|(id, _)| Arc::clone(id)).collect();
        for id in late {
            self.remove(turn, &id);
        }
        if !self.members.is_empty() && !self.elect_leader() {
            // All members are static, and away.
            self.become_phase(turn.now, Phase::Preparing { initial: None });
            self.arm_join(turn, self.rebalance_timeout_ms());
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.become_phase(turn.now, Phase::Empty);
            (self.protocol, self.leader) = (None, None);
            self.store(turn, EffectKind::Emptied);
            return;
        }
        self.protocol = self.vote();
        self.become_phase(turn.now, Phase::Completing);
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("it is a member");
            (member.is_new, member.has_synced) = (false, false);
            if let Some(token) = member.joining.take() {
                turn.step.reply(token, Response::Join(self.joined(&id, true)));
                self.arm_session(turn, &id);
            }
        }
        let timeout_ms = self.rebalance_timeout_ms();
        let timer = Timer::ClassicSync { group: Arc::clone(&self.id) };
        turn.timers.set(timer, turn.now.ticks.plus_ms(timeout_ms));
    }

    /// Makes sure that the leader has joined; `false` if nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &Arc<str>| self.members.get(id).is_some_and(|member| member.joining.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(leader) = self.members.keys().find(|id| has_joined(id)) else { return false };
        self.leader = Some(Arc::clone(leader));
        true
    }

    /// The protocol that most members like best among those that all support. The first by name wins a draw.
    pub(super) fn vote(&self) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let is_common = |name: &str| self.members.values().all(|other| other.supports(name));
            if let Some(favourite) = member.protocols.iter().find(|protocol| is_common(&protocol.name)) {
                *votes.entry(&favourite.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| Arc::clone(name))
    }

    /// The longest that any member wants.
    fn rebalance_timeout_ms(&self) -> u64 {
        self.members.values().map(|member| ms(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Does what a timer was set for.
    pub(crate) fn timed_out(&mut self, turn: &mut Turn<'_>, timer: &Timer) {
        match timer {
            Timer::ClassicSession { member, .. } => self.session_ended(turn, member),
            Timer::ClassicPending { member, .. } if self.pending.remove(member) => self.complete_if_all_joined(turn),
            Timer::ClassicJoin { .. } => self.join_ended(turn),
            Timer::ClassicSync { .. } => self.sync_ended(turn),
            Timer::ClassicRebalance { .. } if self.phase == Phase::Stable => self.prepare(turn),
            _ => {}
        }
    }

    fn session_ended(&mut self, turn: &mut Turn<'_>, id: &Arc<str>) {
        // Those who wait for an answer do not heartbeat; new ones have a longer time, which is over then.
        if self.members.get(id).is_some_and(|member| member.is_new || !member.is_waiting()) {
            self.remove(turn, id);
            self.rebalance(turn);
        }
    }

    fn join_ended(&mut self, turn: &mut Turn<'_>) {
        let Phase::Preparing { initial } = self.phase else { return };
        match initial {
            Some(InitialDelay { left_ms, has_new_member: true }) if 0 < left_ms => {
                let delay_ms = u64::from(turn.config.initial_rebalance_delay_ms).min(left_ms);
                let initial = InitialDelay { left_ms: left_ms - delay_ms, has_new_member: false };
                self.phase = Phase::Preparing { initial: Some(initial) };
                self.arm_join(turn, delay_ms);
            }
            _ => self.complete_join(turn),
        }
    }

    /// Members that never asked for their assignment are out (KAFKA-12890).
    fn sync_ended(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.phase, Phase::Completing | Phase::Stable) {
            return;
        }
        let silent = self.members.iter().filter(|(_, member)| !member.has_synced);
        let silent: Vec<Arc<str>> = silent.map(|(id, _)| Arc::clone(id)).collect();
        if silent.is_empty() {
            return;
        }
        for id in silent {
            self.remove(turn, &id);
        }
        self.prepare(turn);
    }

    fn arm_join(&self, turn: &mut Turn<'_>, in_ms: u64) {
        let timer = Timer::ClassicJoin { group: Arc::clone(&self.id) };
        turn.timers.set(timer, turn.now.ticks.plus_ms(in_ms));
    }

    /// The shard has been replayed: members have a whole session to show that they live.
    pub(crate) fn start(&mut self, turn: &mut Turn<'_>) {
        for id in self.members.keys() {
            self.arm_session(turn, id);
        }
        if usize::try_from(turn.config.classic_size_max).is_ok_and(|max| max < self.members.len()) {
            self.prepare(turn);
        }
    }
}
