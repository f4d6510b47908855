//! Requests about committed offsets, and their expiration.

use highwater_coordinator::{Now, Token};
use highwater_types::ErrorCode;

use super::{GroupShard, GroupStep, answer};
use crate::request::{OffsetCommit, OffsetDelete, OffsetFetch, Request};

impl GroupShard {
    pub(super) fn offset_commit(&mut self, _now: Now, token: Token, commit: &OffsetCommit<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::OffsetCommit(commit.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn offset_fetch(&self, token: Token, fetch: &OffsetFetch<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::OffsetFetch(fetch.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn offset_delete(&mut self, token: Token, delete: &OffsetDelete<'_>, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::OffsetDelete(delete.clone()), ErrorCode::CoordinatorNotAvailable));
    }

    /// Deletes what has expired, a bounded part at a time, and sets the timer for what is left or for the next check.
    pub(super) fn expire_offsets(&mut self, _now: Now, _step: &mut GroupStep) {}

    /// Replay is over: arms the timer of expiration.
    pub(super) fn start_offsets(&mut self, _now: Now) {}
}
