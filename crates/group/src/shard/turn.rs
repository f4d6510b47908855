//! One input, while it is handled.

use std::sync::Arc;

use highwater_coordinator::{Now, Step, Timers};

use crate::config::GroupConfig;
use crate::record::GroupRecord;
use crate::response::Response;
use crate::shard::Effect;
use crate::topics::Topics;

/// What a step of a shard collects.
pub(crate) type GroupStep = Step<GroupRecord, Response, Effect>;

/// What every part of the shard works with while one input is handled.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) config: &'a GroupConfig,
    pub(crate) topics: &'a dyn Topics,
    pub(crate) timers: &'a mut Timers<Timer>,
    pub(crate) step: &'a mut GroupStep,
}

/// What a shard waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A classic member has been silent for too long.
    ClassicSession { group: Arc<str>, member: Arc<str> },
    /// A member that was given an id has not come back with it.
    ClassicPending { group: Arc<str>, member: Arc<str> },
    /// Members have had their time to join.
    ClassicJoin { group: Arc<str> },
    /// Members have had their time to sync.
    ClassicSync { group: Arc<str> },
    /// A group that was a consumer group until now has to rebalance.
    ClassicRebalance { group: Arc<str> },
    /// A member of a consumer group has been silent for too long.
    ConsumerSession { group: Arc<str>, member: Arc<str> },
    /// A member of a consumer group has had its time to revoke.
    ConsumerRebalance { group: Arc<str>, member: Arc<str> },
    /// A classic member of a consumer group has had its time to sync.
    ConsumerSync { group: Arc<str>, member: Arc<str> },
    /// A consumer group may have a new target assignment, or regular expressions to resolve.
    ConsumerAssign { group: Arc<str> },
    /// Offsets may have expired.
    ExpireOffsets,
}
