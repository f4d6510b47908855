//! Which group handles what.

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{GroupShard, GroupStep, Timer, answer};
use crate::request::Request;

impl GroupShard {
    pub(super) fn dispatch(&mut self, now: Now, token: Token, request: &Request<'_>, step: &mut GroupStep) {
        // Until the kinds of groups are here.
        step.reply(token, answer::refuse(request, ErrorCode::CoordinatorNotAvailable));
        let _ = now;
    }

    /// The metadata has changed: consumer groups may have to assign anew.
    pub(super) fn topics_changed(&mut self, _now: Now, _step: &mut GroupStep) {}

    pub(super) fn timed_out(&mut self, _now: Now, _timer: Timer, _step: &mut GroupStep) {}

    /// Replay is over: arms the timers.
    pub(super) fn start(&mut self, _now: Now, _step: &mut GroupStep) {}
}
