//! Requests of administrators: listing, describing and deleting groups.

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::{GroupShard, GroupStep, answer};
use crate::describe::{GroupState, GroupType};
use crate::request::Request;

impl GroupShard {
    pub(super) fn delete_group(&mut self, token: Token, group: &str, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::DeleteGroup { group }, ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn describe(&self, token: Token, group: &str, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::Describe { group }, ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn consumer_describe(&self, token: Token, group: &str, step: &mut GroupStep) {
        step.reply(token, answer::refuse(&Request::ConsumerDescribe { group }, ErrorCode::CoordinatorNotAvailable));
    }

    pub(super) fn list(&self, token: Token, states: &[GroupState], types: &[GroupType], step: &mut GroupStep) {
        let request = Request::List { states: states.to_vec(), types: types.to_vec() };
        step.reply(token, answer::refuse(&request, ErrorCode::CoordinatorNotAvailable));
    }
}
