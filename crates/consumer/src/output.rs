//! What the consumer asks of its driver, and tells it.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{TopicName, TopicPartition};

use crate::{CommitError, OffsetAndMetadata, Progress, QueryError, Request, RequestId, Target};

/// Something to be done. `T` is what the driver knows a call of the application by.
#[derive(Debug)]
pub enum Output<T> {
    /// Send a request. It ends in [`Input::Answered`](crate::Input::Answered) or [`Input::Failed`](crate::Input::Failed).
    Request {
        /// To be given back with either.
        id: RequestId,
        /// Whom to.
        to: Target,
        /// What.
        request: Request,
    },
    /// From now on metadata of just these topics are needed, and soon.
    WantTopics(WantedTopics),
    /// The metadata are not right any more: fetch them anew.
    RefreshMetadata,
    /// Call [`poll_event`](crate::Consumer::poll_event) again: an application that waits may have something. Said once
    /// after `poll_event` gave nothing.
    EventReady,
    /// A commit has ended. Tell whoever made it, and the interceptors if it is stored.
    Committed {
        /// Of [`commit`](crate::Consumer::commit); `None` for one that the consumer made by itself.
        token: Option<T>,
        /// What was to be stored.
        progress: Progress,
        /// Whether it is.
        result: Result<(), CommitError>,
    },
    /// A question has been answered.
    CommittedOffsets {
        /// Of [`committed`](crate::Consumer::committed).
        token: T,
        /// What is committed, by partition; `None` for nothing.
        result: Result<BTreeMap<TopicPartition, Option<OffsetAndMetadata>>, QueryError>,
    },
    /// The consumer has nothing more to do, as asked for.
    Closed,
}

/// Topics whose metadata are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedTopics {
    /// These.
    Names(BTreeSet<TopicName>),
    /// All, since there is a pattern to be matched. Report them as [complete](crate::MetadataUpdate::is_complete).
    All,
}
