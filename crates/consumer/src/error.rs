//! What can go wrong, by who has to act.

use std::sync::Arc;

use highwater_records::RecordError;
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TopicName, TopicPartition};

/// What an application is told as an event. The consumer goes on with everything that is not named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// Nothing is committed for a partition, and `auto.offset.reset` is `none`. The application has to seek.
    #[error("nothing is committed for {partition}, and auto.offset.reset is none")]
    NoOffset {
        /// The partition, which stands until then.
        partition: TopicPartition,
    },
    /// The position is outside the log, and `auto.offset.reset` is `none`. The application has to seek.
    #[error("offset {position} of {partition} is outside its log, and auto.offset.reset is none")]
    OutOfRange {
        /// The partition, which stands until then.
        partition: TopicPartition,
        /// Where the consumer was.
        position: Offset,
    },
    /// The log was cut below the position, and `auto.offset.reset` is `none`: records that were consumed are no more
    /// (KIP-320). The application has to seek.
    #[error("{partition} was cut below offset {position}{}", parting(diverging))]
    Truncated {
        /// The partition, which stands until then.
        partition: TopicPartition,
        /// Where the consumer was.
        position: Offset,
        /// Where the logs part, and the epoch before that, if the leader knows.
        diverging: Option<(Offset, LeaderEpoch)>,
    },
    /// Records are not as they should be. The application may seek past them.
    #[error("{partition} is corrupt from offset {position}")]
    Corrupt {
        /// The partition, which stands until then.
        partition: TopicPartition,
        /// Where the consumer is.
        position: Offset,
        /// What is wrong.
        source: RecordError,
    },
    /// A batch is longer than what came of it: `fetch.max.bytes` of an old broker. The application may seek past it.
    #[error("the batch at offset {position} of {partition} did not come whole")]
    Cut {
        /// The partition, which stands until then.
        partition: TopicPartition,
        /// Where the consumer is.
        position: Offset,
    },
    /// A topic cannot be used, such as without the right to. Whoever runs the cluster has to act.
    #[error("topic {topic}: {}", code.name())]
    Topic {
        /// The topic.
        topic: TopicName,
        /// Why.
        code: ErrorCode,
    },
    /// A partition cannot be read, and trying again would not help.
    #[error("partition {partition}: {}", code.name())]
    Partition {
        /// The partition, which stands until the application seeks.
        partition: TopicPartition,
        /// Why.
        code: ErrorCode,
    },
    /// The group does not take this consumer. It stays outside until it subscribes again.
    #[error("group {group}: {}", code.name())]
    Group {
        /// The group.
        group: Arc<str>,
        /// Why.
        code: ErrorCode,
        /// The same in the coordinator's words.
        message: Option<Arc<str>>,
    },
}

fn parting(diverging: &Option<(Offset, LeaderEpoch)>) -> String {
    diverging.map_or_else(String::new, |(offset, _)| format!(", to offset {offset}"))
}

/// Why something was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The consumer has no group. Set `group.id`.
    #[error("there is no group.id to commit for")]
    NoGroup,
    /// The consumer is not a member of the group any more, or not of this generation: somebody else may have the
    /// partitions. Go on with what is assigned next.
    #[error("the consumer has been replaced in its group: {}", code.name())]
    Stale {
        /// What the coordinator said.
        code: ErrorCode,
    },
    /// A partition is not the consumer's, or not any more: somebody else may have it.
    #[error("partition {partition} is not assigned to the consumer")]
    NotOwned {
        /// The first such partition.
        partition: TopicPartition,
    },
    /// The brokers do not take it.
    #[error("offset of {partition} is refused: {}", code.name())]
    Refused {
        /// The first partition that was refused.
        partition: TopicPartition,
        /// Why.
        code: ErrorCode,
    },
    /// It took longer than `default.api.timeout.ms`; it may be stored or not.
    #[error("no coordinator has confirmed within default.api.timeout.ms")]
    TimedOut,
    /// [`Consumer::COMMITS_MAX`](crate::Consumer::COMMITS_MAX) commits are under way. Wait for one.
    #[error("too many commits are under way")]
    TooMany,
    /// The consumer is closed.
    #[error("the consumer is closed")]
    Closed,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The consumer has no group. Set `group.id`.
    #[error("there is no group.id to ask for")]
    NoGroup,
    /// The brokers do not say.
    #[error("the brokers refuse: {}", code.name())]
    Refused {
        /// Why.
        code: ErrorCode,
    },
    /// It took longer than `default.api.timeout.ms`.
    #[error("no answer within default.api.timeout.ms")]
    TimedOut,
    /// [`Consumer::QUERIES_MAX`](crate::Consumer::QUERIES_MAX) questions are under way. Wait for one.
    #[error("too many questions are under way")]
    TooMany,
    /// The consumer is closed.
    #[error("the consumer is closed")]
    Closed,
}

/// Why a call is refused. Blames the application.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Subscriptions need `group.id`.
    #[error("subscribing needs a group.id")]
    NoGroup,
    /// The pattern is no regular expression, or would take too much memory.
    #[error("bad pattern {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The consumer does not have the partition.
    #[error("partition {partition} is not assigned")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// The consumer is closed.
    #[error("the consumer is closed")]
    Closed,
}
