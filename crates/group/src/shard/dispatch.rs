//! Which part of the shard handles what.

use highwater_coordinator::{Now, Token};

use super::{GroupShard, GroupStep, Timer, Turn};
use crate::request::Request;

impl GroupShard {
    /// Handles a request with the part that knows it.
    pub(super) fn dispatch(&mut self, now: Now, token: Token, request: &Request<'_>, step: &mut GroupStep) {
        match request {
            Request::Join(join) => self.join(now, token, join, step),
            Request::Sync(sync) => self.sync(now, token, sync, step),
            Request::Heartbeat(heartbeat) => self.heartbeat(now, token, heartbeat, step),
            Request::Leave(leave) => self.leave(now, token, leave, step),
            Request::ConsumerHeartbeat(heartbeat) => self.consumer_heartbeat(now, token, heartbeat, step),
            Request::OffsetCommit(commit) => self.offset_commit(now, token, commit, step),
            Request::OffsetFetch(fetch) => self.offset_fetch(token, fetch, step),
            Request::OffsetDelete(delete) => self.offset_delete(token, delete, step),
            Request::DeleteGroup { group } => self.delete_group(token, group, step),
            Request::Describe { group } => self.describe(token, group, step),
            Request::ConsumerDescribe { group } => self.consumer_describe(token, group, step),
            Request::List { states, types } => self.list(token, states, types, step),
        }
    }

    /// Does what a timer was set for. The group, or the member, may be gone or changed since.
    pub(super) fn timed_out(&mut self, now: Now, timer: &Timer, step: &mut GroupStep) {
        match timer {
            Timer::ClassicSession { group, .. }
            | Timer::ClassicPending { group, .. }
            | Timer::ClassicJoin { group }
            | Timer::ClassicSync { group }
            | Timer::ClassicRebalance { group } => self.classic_timed_out(now, group, timer, step),
            Timer::ConsumerSession { group, .. }
            | Timer::ConsumerRebalance { group, .. }
            | Timer::ConsumerSync { group, .. }
            | Timer::ConsumerAssign { group } => self.consumer_timed_out(now, group, timer, step),
            Timer::ExpireOffsets => self.expire_offsets(now, step),
        }
    }

    /// Replay is over: arms the timers.
    pub(super) fn start(&mut self, now: Now, step: &mut GroupStep) {
        self.start_classic(now, step);
        self.start_consumer(now, step);
        self.start_offsets(now);
    }

    /// What groups work with while one input is handled, beside the groups.
    pub(super) fn turn<'a>(&'a mut self, now: Now, step: &'a mut GroupStep) -> (&'a mut super::Groups, Turn<'a>) {
        let Self { config, topics, groups, timers, .. } = self;
        (groups, Turn { now, config, topics: &**topics, timers, step })
    }
}
