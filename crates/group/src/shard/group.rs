//! A group of either kind.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_types::{ErrorCode, TimestampMs};

use super::Turn;
use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::describe::{GroupListing, GroupState};
use crate::record::GroupRecord;
use crate::request::{OffsetCommit, OffsetFetch};

/// A group that has, or had, members.
#[derive(Debug)]
pub(crate) enum Group {
    /// JoinGroup and SyncGroup.
    Classic(ClassicGroup),
    /// ConsumerGroupHeartbeat (KIP-848).
    Consumer(ConsumerGroup),
}

/// When the committed offsets of a group expire (KIP-211). The retention time counts on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expiration {
    /// Not while the group is as it is.
    Never,
    /// All of them, counted from when the group lost its last member.
    Since(TimestampMs),
    /// Each counted from when it was committed, but not those of subscribed topics.
    SinceCommit {
        /// Names of topics that members subscribe to.
        subscribed: BTreeSet<Arc<str>>,
    },
}

impl Group {
    /// How the group shows in a listing.
    pub(crate) fn listing(&self) -> GroupListing {
        match self {
            Self::Classic(group) => group.listing(),
            Self::Consumer(group) => group.listing(),
        }
    }

    /// Whether a commit may be made, by the rules of the group; it counts as a heartbeat of a classic member.
    pub(crate) fn validate_commit(&mut self, turn: &mut Turn<'_>, commit: &OffsetCommit<'_>) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => group.validate_commit(turn, commit),
            Self::Consumer(group) => group.validate_commit(turn, commit),
        }
    }

    /// Whether the offsets may be read, by the rules of the group.
    pub(crate) fn validate_fetch(&self, fetch: &OffsetFetch<'_>) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(_) => Ok(()),
            Self::Consumer(group) => group.validate_fetch(fetch),
        }
    }

    /// Whether an administrator may delete offsets of it.
    pub(crate) fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self {
            Self::Classic(group) => group.validate_offset_delete(),
            Self::Consumer(_) => Ok(()),
        }
    }

    /// Whether an administrator may delete it.
    pub(crate) fn validate_delete(&self) -> Result<(), ErrorCode> {
        match self.listing().state {
            GroupState::Empty => Ok(()),
            GroupState::Dead => Err(ErrorCode::GroupIdNotFound),
            _ => Err(ErrorCode::NonEmptyGroup),
        }
    }

    /// Whether members subscribe to a topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed(topic),
            Self::Consumer(group) => group.is_subscribed(topic),
        }
    }

    /// When its offsets expire.
    pub(crate) fn expiration(&self) -> Expiration {
        match self {
            Self::Classic(group) => group.expiration(),
            Self::Consumer(group) => group.expiration(),
        }
    }

    /// Asks for everything to be deleted that the log has of the group, but for its offsets.
    pub(crate) fn delete(&self, records: &mut Vec<GroupRecord>) {
        match self {
            Self::Classic(group) => group.delete(records),
            Self::Consumer(group) => group.delete(records),
        }
    }
}
