//! What a consumer gives its application.

use std::sync::Arc;
use std::time::Duration;

use highwater_consumer as machine;
use highwater_consumer::{ConsumerError, Records, RevocationId};
use highwater_types::{Offset, TopicPartition};

use super::core::Core;

/// Something for the application. Asking for the next one says that it is done with this one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Records: at most `max.poll.records`, those of a partition in order.
    Records(Records),
    /// Partitions are the consumer's from now on.
    Assigned {
        /// Those that are new.
        partitions: Vec<TopicPartition>,
    },
    /// Partitions will be somebody else's. Nothing more comes of them.
    Revoking(Revocation),
    /// Partitions are somebody else's already: commits for them would be refused.
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
    /// Something is wrong. The consumer goes on with everything that the error does not name.
    Error(ConsumerError),
}

/// Partitions that are being given back. The group waits, for a while: finish what is to be done, commit, and call
/// [`done`](Self::done). Dropping it says the same.
pub struct Revocation {
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// How long the group waits at the most, from when the event was given.
    pub time_left: Duration,
    id: RevocationId,
    core: Arc<Core>,
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation")
            .field("partitions", &self.partitions)
            .field("time_left", &self.time_left)
            .finish_non_exhaustive()
    }
}

impl Revocation {
    /// The partitions can be given to others.
    pub fn done(self) {}
}

impl Drop for Revocation {
    fn drop(&mut self) {
        // Nothing to acknowledge if the consumer is closed.
        let _ = self.core.with(|now, machine| machine.acknowledge(now, self.id));
    }
}

impl Event {
    pub(super) fn of(core: &Arc<Core>, event: machine::Event) -> Self {
        match event {
            machine::Event::Records(records) => Self::Records(core.interceptors.on_consume(records)),
            machine::Event::Assigned { partitions } => Self::Assigned { partitions },
            machine::Event::Revoking(revoking) => Self::Revoking(Revocation {
                partitions: revoking.partitions,
                time_left: Duration::from_millis(revoking.deadline.ms_since(core.io.now())),
                id: revoking.id,
                core: Arc::clone(core),
            }),
            machine::Event::Lost { partitions } => Self::Lost { partitions },
            machine::Event::Eof { partition, offset } => Self::Eof { partition, offset },
            machine::Event::Error(error) => Self::Error(error),
        }
    }
}
