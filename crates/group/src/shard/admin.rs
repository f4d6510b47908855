//! Requests of administrators: listing, describing and deleting groups.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::{Group, GroupShard, GroupStep};
use crate::describe::{GroupDescription, GroupListing, GroupState, GroupType};
use crate::response::Response;

impl GroupShard {
    /// DeleteGroups: everything that the log has of a group without members goes, offsets first.
    pub(super) fn delete_group(&mut self, token: Token, id: &str, step: &mut GroupStep) {
        let error = match self.groups.get(id) {
            Some(group) => group.validate_delete().err(),
            None if self.offsets.has_offsets(id) => None,
            None => Some(ErrorCode::GroupIdNotFound),
        };
        if error.is_none() {
            self.offsets.delete_group(id, &mut step.records);
            if let Some(group) = self.groups.get(id) {
                group.delete(&mut step.records);
            }
        }
        step.reply(token, Response::DeleteGroup(error.unwrap_or(ErrorCode::None)));
    }

    /// DescribeGroups.
    pub(super) fn describe(&self, token: Token, id: &str, step: &mut GroupStep) {
        let result = match self.groups.get(id) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            None if self.offsets.has_offsets(id) => Ok(simple_description()),
            // A group of the other kind is not shown in this form.
            Some(Group::Consumer(_)) | None => Err(ErrorCode::GroupIdNotFound),
        };
        step.reply(token, Response::Describe(result));
    }

    /// ConsumerGroupDescribe.
    pub(super) fn consumer_describe(&self, token: Token, id: &str, step: &mut GroupStep) {
        let result = match self.groups.get(id) {
            Some(Group::Consumer(group)) => Ok(group.describe(&*self.topics, &self.config)),
            Some(Group::Classic(_)) | None => Err(ErrorCode::GroupIdNotFound),
        };
        step.reply(token, Response::ConsumerDescribe(result));
    }

    /// ListGroups.
    pub(super) fn list(&self, token: Token, states: &[GroupState], types: &[GroupType], step: &mut GroupStep) {
        let with_members = self.groups.values().map(Group::listing);
        let simple = self.offsets.groups().filter(|id| !self.groups.contains_key(*id)).map(simple_listing);
        let is_asked_for = |listing: &GroupListing| {
            (states.is_empty() || states.contains(&listing.state))
                && (types.is_empty() || types.contains(&listing.kind))
        };
        let listings = with_members.chain(simple).filter(is_asked_for).collect();
        step.reply(token, Response::List(Ok(listings)));
    }
}

/// A group that has offsets and never had members.
fn simple_listing(id: &Arc<str>) -> GroupListing {
    GroupListing {
        group: Arc::clone(id),
        protocol_type: Arc::default(),
        state: GroupState::Empty,
        kind: GroupType::Classic,
    }
}

fn simple_description() -> GroupDescription {
    GroupDescription {
        state: GroupState::Empty,
        protocol_type: Arc::default(),
        protocol: Arc::default(),
        members: Vec::new(),
    }
}
