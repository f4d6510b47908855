//! What a consumer group does by time, and when topics change.

use std::sync::Arc;

use super::draft::Draft;
use super::member::Member;
use super::{ConsumerGroup, LEAVE_STATIC_EPOCH};
use crate::record::ConsumerMemberState;
use crate::shard::{Timer, Turn};

impl ConsumerGroup {
    /// Does what a timer was set for.
    pub(crate) fn timed_out(&self, turn: &mut Turn<'_>, timer: &Timer) {
        match timer {
            Timer::ConsumerSession { member, .. } => self.remove_if(turn, member, |_| true),
            // It may speak the consumer protocol by now.
            Timer::ConsumerSync { member, .. } => self.remove_if(turn, member, Member::is_classic),
            Timer::ConsumerRebalance { member, .. } => {
                self.remove_if(turn, member, |member| member.is_classic() || revokes(member));
            }
            Timer::ConsumerAssign { .. } => self.refresh(turn),
            _ => {}
        }
        // If that cannot be appended it is still to be done. Once it is, the timer finds nothing to do.
        if !turn.step.records.is_empty() && turn.timers.due(timer).is_none() {
            turn.timers.set(timer.clone(), turn.now.ticks.plus_ms(RETRY_MS));
        }
    }

    fn remove_if(&self, turn: &mut Turn<'_>, member: &Arc<str>, is_due: impl Fn(&Member) -> bool) {
        if let Some((id, _)) = self.members.get_key_value(member).filter(|(_, member)| is_due(member)) {
            self.remove(turn, &[Arc::clone(id)]);
        }
    }

    /// The metadata has changed. Each group looks at it by itself, so that no one input has to do it for all.
    pub(crate) fn topics_changed(&self, turn: &mut Turn<'_>) {
        if !self.members.is_empty() {
            turn.timers.set(self.assign_timer(), turn.now.ticks);
        }
    }

    /// Takes note of what topics there are, and computes a target assignment if it is out of date.
    fn refresh(&self, turn: &mut Turn<'_>) {
        if self.members.is_empty() {
            return;
        }
        let mut draft = Draft::new(self, turn.step.records.len());
        draft.resolve_regexes(turn, true);
        if draft.metadata_hash(turn.topics) != self.metadata_hash {
            draft.bump(turn);
        }
        draft.assign(turn);
    }

    /// Replay is over: members have a whole session to show that they live.
    pub(crate) fn start(&self, turn: &mut Turn<'_>) {
        let session_ms = u64::from(turn.config.consumer_session_timeout_ms(&self.id));
        for (id, member) in &self.members {
            let classic_ms = member.value.classic.as_ref().map(|classic| classic.session_timeout_ms);
            let session_ms = classic_ms.map_or(session_ms, |ms| u64::try_from(ms).unwrap_or(0));
            turn.timers.set(self.session_timer(id), turn.now.ticks.plus_ms(session_ms));
            if revokes(member) {
                turn.timers.set(self.rebalance_timer(id), turn.now.ticks.plus_ms(member.rebalance_timeout_ms()));
            }
        }
        // Topics may have come and gone while nobody looked.
        self.topics_changed(turn);
    }
}

/// Whether a member has to give partitions back. One that said it will be back has nothing to give while it is away.
fn revokes(member: &Member) -> bool {
    member.current.state == ConsumerMemberState::UnrevokedPartitions && member.current.epoch != LEAVE_STATIC_EPOCH
}

/// How long to wait before something is tried again that could not be appended; as long as Kafka waits.
const RETRY_MS: u64 = 500;
