//! Requests of members of the consumer protocol (KIP-848).

use std::sync::Arc;

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{GroupShard, GroupStep, Timer, answer};
use crate::request::{ConsumerHeartbeat, Request};

impl GroupShard {
    pub(super) fn consumer_heartbeat(
        &mut self,
        _now: Now,
        token: Token,
        heartbeat: &ConsumerHeartbeat<'_>,
        step: &mut GroupStep,
    ) {
        let request = Request::ConsumerHeartbeat(heartbeat.clone());
        step.reply(token, answer::refuse(&request, ErrorCode::CoordinatorNotAvailable));
    }

    /// The metadata has changed: consumer groups may have to assign anew.
    pub(super) fn topics_changed(&mut self, _now: Now, _step: &mut GroupStep) {}

    pub(super) fn consumer_timed_out(&mut self, _now: Now, _group: &Arc<str>, _timer: &Timer, _step: &mut GroupStep) {}

    /// Replay is over: arms the timers of consumer groups.
    pub(super) fn start_consumer(&mut self, _now: Now, _step: &mut GroupStep) {}
}
