//! Where a follower's log stands, and where it fetches.

use highwater_types::{LeaderEpoch, Offset, Ticks};

/// What a follower has to know of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// First offset that is not deleted.
    pub start: Offset,
    /// Offset that the next record will get.
    pub end: Offset,
    /// The newest leader epoch that the log knows; `None` if it knows none.
    pub latest_epoch: Option<LeaderEpoch>,
}

/// What a follower asks for, and by which the answer is known to be to its current question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    /// The end of its log.
    pub offset: Offset,
    /// Epoch of the last record before it, by which the leader sees whether the logs have parted (KIP-595).
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The leader epoch that it follows.
    pub leader_epoch: LeaderEpoch,
    /// Where its log begins.
    pub log_start: Offset,
}

impl FetchPosition {
    /// Whether an answer to `request` is still one to this position. Only what has been deleted at the front
    /// in the meantime makes no difference.
    pub(super) fn is_answered_by(&self, request: &Self) -> bool {
        Self { log_start: self.log_start, ..*request } == *self
    }
}

/// The next fetch of a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchDue {
    /// What to ask for.
    pub position: FetchPosition,
    /// When, at the earliest.
    pub not_before: Ticks,
    /// Whether the follower has yet to take over the leader's high watermark and log start in this epoch and
    /// for this log. In a fetch session the leader says them only when they have changed since it said them
    /// last, be it in an answer that came too late or was a diverging one: another session has to begin.
    pub needs_marks: bool,
}
