//! What an application is given.

use highwater_types::{Offset, Ticks, TopicPartition};

use crate::{ConsumerError, Records};

/// Something for the application, from [`poll_event`](crate::Consumer::poll_event). Asking for the next one says that it
/// is done with this one.
#[derive(Clone, Debug)]
pub enum Event {
    /// Records: at most `max.poll.records`, in the order of their partitions.
    Records(Records),
    /// Partitions are the consumer's from now on.
    Assigned {
        /// Those that are new.
        partitions: Vec<TopicPartition>,
    },
    /// Partitions will be somebody else's. Nothing more comes of them. Commit what was done, then
    /// [`acknowledge`](crate::Consumer::acknowledge).
    Revoking(Revoking),
    /// Partitions are somebody else's already, or were not acknowledged in time: commits for them would be refused.
    Lost {
        /// Those that are gone.
        partitions: Vec<TopicPartition>,
    },
    /// A partition has been read to its end, for now. Only with `enable.partition.eof`.
    Eof {
        /// The partition.
        partition: TopicPartition,
        /// Its end.
        offset: Offset,
    },
    /// Something is wrong.
    Error(ConsumerError),
}

/// Partitions that are being given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoking {
    /// To be acknowledged.
    pub id: RevocationId,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// When the group goes on without an acknowledgement.
    pub deadline: Ticks,
}

/// Names a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevocationId(pub u64);
