//! One partition that the consumer has.

use highwater_types::{LeaderEpoch, NodeId, Offset, Ticks, TopicId};

use crate::buffer::Buffer;
use crate::retry::Retry;
use crate::{OffsetAndMetadata, OffsetSpec, PartitionUpdate, RequestId};

/// Where the consumer is in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The next offset to be given out.
    pub(crate) offset: Offset,
    /// Epoch of the record before, if known.
    pub(crate) epoch: Option<LeaderEpoch>,
}

impl Position {
    pub(crate) const fn to_commit(self) -> OffsetAndMetadata {
        OffsetAndMetadata { offset: self.offset, leader_epoch: self.epoch, metadata: None }
    }
}

/// What is known of the position.
///
/// `Committed` → `Reset` or `Validate` or `Ready`; `Reset` → `Ready` or `Stopped`; `Validate` ↔ `Ready`; `Ready` →
/// `Reset` or `Stopped`; a seek goes anywhere from anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing: what is committed is to be asked for.
    Committed,
    /// It is to be found in the log.
    Reset(OffsetSpec),
    /// There is one, but the log may have been cut below it.
    Validate(Position),
    /// It is right.
    Ready(Position),
    /// The application has been told that something is wrong, and has to seek.
    Stopped,
}

impl Stage {
    pub(crate) const fn position(&self) -> Option<Position> {
        match self {
            Self::Validate(position) | Self::Ready(position) => Some(*position),
            Self::Committed | Self::Reset(_) | Self::Stopped => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Partition {
    /// Another one after every seek: answers to earlier questions are of no use.
    pub(crate) version: u64,
    /// When the consumer got it, in numbers as versions are.
    pub(crate) assigned: u64,
    pub(crate) topic_id: Option<TopicId>,
    /// Who leads it, as metadata say.
    pub(crate) leader: PartitionUpdate,
    pub(crate) is_paused: bool,
    pub(crate) is_revoking: bool,
    pub(crate) stage: Stage,
    /// Up to where the application is done; committed if that is automatic.
    pub(crate) consumed: Option<Position>,
    /// What is known to be committed.
    pub(crate) stored: Option<Offset>,
    /// The leader's epoch for which the position was found to be right.
    pub(crate) validated_epoch: Option<LeaderEpoch>,
    pub(crate) buffer: Option<Buffer>,
    /// Whether it is among those that have records to be given.
    pub(crate) is_queued: bool,
    pub(crate) retry: Retry,
    /// A request that is about to tell something of the position.
    pub(crate) question: Option<RequestId>,
    /// The leader's epoch when that was asked.
    pub(crate) asked_epoch: Option<LeaderEpoch>,
    /// A replica nearby, and until when it is used.
    pub(crate) preferred: Option<(NodeId, Ticks)>,
    /// The end as its broker said last, of what the isolation level shows. A session says it again only when it moves.
    pub(crate) end: Option<Offset>,
    /// The end that the application was told.
    pub(crate) eof_told: Option<Offset>,
}

impl Partition {
    pub(crate) fn new(version: u64, topic_id: Option<TopicId>, stage: Stage) -> Self {
        Self {
            version,
            assigned: version,
            topic_id,
            leader: PartitionUpdate::default(),
            is_paused: false,
            is_revoking: false,
            stage,
            consumed: None,
            stored: None,
            validated_epoch: None,
            buffer: None,
            is_queued: false,
            retry: Retry::default(),
            question: None,
            asked_epoch: None,
            preferred: None,
            end: None,
            eof_told: None,
        }
    }

    /// Goes on elsewhere; whatever was fetched or asked is of no use.
    pub(crate) fn go(&mut self, version: u64, stage: Stage) {
        self.version = version;
        self.stage = stage;
        self.consumed = stage.position();
        self.buffer = None;
        self.retry.clear();
        self.question = None;
        self.eof_told = None;
    }

    pub(crate) const fn is_given(&self) -> bool {
        !self.is_paused && !self.is_revoking && matches!(self.stage, Stage::Ready(_))
    }

    /// What is to be committed, if that is not committed already.
    pub(crate) fn uncommitted(&self) -> Option<Position> {
        self.consumed.filter(|consumed| Some(consumed.offset) != self.stored)
    }
}
