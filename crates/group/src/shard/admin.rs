//! Requests of administrators: listing, describing and deleting groups.

use std::sync::Arc;

use highwater_coordinator::Token;
use highwater_types::ErrorCode;

use super::{Group, GroupShard, GroupStep};
use crate::describe::{GroupDescription, GroupListing, GroupState, GroupType};
use crate::response::Response;

impl GroupShard {
    pub(super) fn delete_group(&mut self, token: Token, id: &str, step: &mut GroupStep) {
        let code = self.try_delete_group(id, step).err().unwrap_or(ErrorCode::None);
        step.reply(token, Response::DeleteGroup(code));
    }

    fn try_delete_group(&self, id: &str, step: &mut GroupStep) -> Result<(), ErrorCode> {
        let group = self.groups.get(id);
        if group.is_none() && !self.offsets.has_offsets(id) {
            return Err(ErrorCode::GroupIdNotFound);
        }
        if let Some(group) = group {
            group.validate_delete()?;
        }
        // The offsets first: a part of them without the group would be a group that only has offsets.
        self.offsets.delete_group(id, &mut step.records);
        if let Some(group) = group {
            group.delete(&mut step.records);
        }
        Ok(())
    }

    pub(super) fn describe(&self, token: Token, id: &str, step: &mut GroupStep) {
        let description = match self.groups.get(id) {
            Some(Group::Classic(group)) => Ok(group.describe()),
            None if self.offsets.has_offsets(id) => Ok(only_offsets()),
            Some(Group::Consumer(_)) | None => Err(ErrorCode::GroupIdNotFound),
        };
        step.reply(token, Response::Describe(description));
    }

    pub(super) fn consumer_describe(&self, token: Token, id: &str, step: &mut GroupStep) {
        let description = match self.groups.get(id) {
            Some(Group::Consumer(group)) => Ok(group.describe(&*self.topics, &self.config)),
            Some(Group::Classic(_)) | None => Err(ErrorCode::GroupIdNotFound),
        };
        step.reply(token, Response::ConsumerDescribe(description));
    }

    pub(super) fn list(&self, token: Token, states: &[GroupState], types: &[GroupType], step: &mut GroupStep) {
        let only_offsets = self.offsets.groups().filter(|id| !self.groups.contains_key(*id)).map(|id| GroupListing {
            group: Arc::clone(id),
            protocol_type: Arc::from(""),
            state: GroupState::Empty,
            kind: GroupType::Classic,
        });
        let mut listings: Vec<GroupListing> = self.groups.values().map(Group::listing).chain(only_offsets).collect();
        listings.retain(|listing| {
            (states.is_empty() || states.contains(&listing.state))
                && (types.is_empty() || types.contains(&listing.kind))
        });
        listings.sort_by(|one, other| one.group.cmp(&other.group));
        step.reply(token, Response::List(Ok(listings)));
    }
}

/// A group that nobody has joined: somebody commits offsets under its id.
fn only_offsets() -> GroupDescription {
    GroupDescription {
        state: GroupState::Empty,
        protocol_type: Arc::from(""),
        protocol: Arc::from(""),
        members: Vec::new(),
    }
}
