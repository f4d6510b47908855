//! Members that leave, or are removed.

use std::sync::Arc;

use highwater_types::ErrorCode;

use super::draft::Draft;
use super::heartbeat::Refusal;
use super::{ConsumerGroup, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use crate::record::{AssignedPartitions, ConsumerCurrentValue, GroupRecord};
use crate::request::ConsumerHeartbeat;
use crate::response::ConsumerHeartbeatResponse;
use crate::shard::Turn;

impl ConsumerGroup {
    /// A member goes and does not come back.
    pub(super) fn leave_for_good(
        &self,
        turn: &mut Turn<'_>,
        heartbeat: &ConsumerHeartbeat<'_>,
    ) -> Result<ConsumerHeartbeatResponse, Refusal> {
        let id = self.leaving(heartbeat)?;
        let response = left(&id, LEAVE_EPOCH);
        self.remove(turn, &[id]);
        Ok(response)
    }

    /// A static member goes and will be back: what it has stays its own for as long as its session lasts.
    pub(super) fn leave_for_now(
        &self,
        turn: &mut Turn<'_>,
        heartbeat: &ConsumerHeartbeat<'_>,
    ) -> Result<ConsumerHeartbeatResponse, Refusal> {
        let id = self.leaving(heartbeat)?;
        let member = &self.members[&id];
        let value = ConsumerCurrentValue {
            epoch: LEAVE_STATIC_EPOCH,
            previous_epoch: member.current.epoch,
            // It has stopped, so it has let go of what it was to give back.
            pending_revocation: AssignedPartitions::new(),
            ..member.current.clone()
        };
        turn.step.record(GroupRecord::ConsumerCurrent {
            group: Arc::clone(&self.id),
            member: Arc::clone(&id),
            value: Some(value),
        });
        turn.timers.cancel(&self.rebalance_timer(&id));
        let session_ms = u64::from(turn.config.consumer_session_timeout_ms(&self.id));
        turn.timers.set(self.session_timer(&id), turn.now.ticks.plus_ms(session_ms));
        Ok(left(&id, LEAVE_STATIC_EPOCH))
    }

    fn leaving(&self, heartbeat: &ConsumerHeartbeat<'_>) -> Result<Arc<str>, Refusal> {
        if let Some(instance) = heartbeat.instance_id {
            let known = self.statics.get(instance).ok_or_else(|| self.unknown(heartbeat.member))?;
            if &**known != heartbeat.member {
                let message = format!("Instance id {instance} belongs to member {known}.");
                return Err((ErrorCode::FencedInstanceId, message.into()));
            }
        }
        let known = self.members.get_key_value(heartbeat.member).ok_or_else(|| self.unknown(heartbeat.member))?;
        Ok(Arc::clone(known.0))
    }

    /// Removes members: a new epoch for the others, or a classic group if those are all that is left.
    pub(super) fn remove(&self, turn: &mut Turn<'_>, ids: &[Arc<str>]) {
        if ids.is_empty() {
            return;
        }
        if self.downgrade(turn, ids) {
            return;
        }
        let mut draft = Draft::new(self, turn.step.records.len());
        for id in ids {
            draft.remove_member(turn, id, None);
        }
        draft.resolve_regexes(turn, false);
        draft.bump(turn);
        // The others learn of it with their next heartbeat; by then it shall be computed.
        if draft.members().next().is_some() {
            turn.timers.set(self.assign_timer(), turn.now.ticks);
        }
    }
}

fn left(id: &Arc<str>, epoch: i32) -> ConsumerHeartbeatResponse {
    ConsumerHeartbeatResponse {
        error: ErrorCode::None,
        message: None,
        member: Some(Arc::clone(id)),
        member_epoch: epoch,
        heartbeat_interval_ms: 0,
        assignment: None,
    }
}
