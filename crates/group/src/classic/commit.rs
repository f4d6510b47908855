//! What offsets ask of a group.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_types::ErrorCode;

use super::ClassicGroup;
use crate::describe::GroupState;
use crate::request::OffsetCommit;
use crate::shard::{Expiration, Turn};

impl ClassicGroup {
    pub(crate) fn validate_commit(&mut self, turn: &mut Turn<'_>, commit: &OffsetCommit<'_>) -> Result<(), ErrorCode> {
        // A consumer that assigns itself, or an administrator.
        if commit.generation_or_epoch < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        let names_member = !commit.member.is_empty() || commit.instance_id.is_some();
        if commit.generation_or_epoch < 0 && !names_member {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate_member(commit.member, commit.instance_id)?;
        if commit.generation_or_epoch != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        // The member has its generation but no assignment in it: what it commits may be another's by then.
        if self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.arm_session(turn, commit.member);
        Ok(())
    }

    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        // Of other than consumers nobody knows which topics they use.
        if self.state == GroupState::Empty || self.is_consumers() { Ok(()) } else { Err(ErrorCode::NonEmptyGroup) }
    }

    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            // Consumers that cannot be understood may subscribe to anything.
            None => self.is_consumers(),
        }
    }

    pub(crate) fn expiration(&self) -> Expiration {
        if self.protocol_type.is_empty() {
            return Expiration::SinceCommit { subscribed: BTreeSet::new() };
        }
        match (self.state, self.state_timestamp, &self.subscribed) {
            (GroupState::Empty, Some(since), _) => Expiration::Since(since),
            // Written by an old coordinator.
            (GroupState::Empty, None, _) => Expiration::SinceCommit { subscribed: BTreeSet::new() },
            (GroupState::Stable, _, Some(subscribed)) if self.is_consumers() => {
                Expiration::SinceCommit { subscribed: (**subscribed).clone() }
            }
            _ => Expiration::Never,
        }
    }

    /// Topics of all members, if all of them are consumers that can be understood.
    pub(super) fn subscriptions(&self) -> Option<Arc<BTreeSet<Arc<str>>>> {
        if !self.is_consumers() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.iter() {
            let subscription = member.protocol(self.protocol.as_deref()?)?.subscription.as_ref()?;
            topics.extend(subscription.topics.iter().cloned());
        }
        Some(Arc::new(topics))
    }
}
