//! Reading records.

mod builder;
mod core;
mod driver;
mod embedded;
mod event;
mod next;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use highwater_consumer::{GroupMembership, OffsetAndMetadata, Progress, SeekTo, Stats};
use highwater_types::{Offset, TopicName, TopicPartition};

pub use builder::ConsumerBuilder;
pub use event::{Event, Revocation};
pub use next::Next;

use self::core::{Core, Token};
use crate::ClientError;
use crate::pending::Pending;

/// Reads records, as a member of a group or by itself. Made by [`Client::consumer`](crate::Client::consumer).
///
/// An application asks for one event after the other with [`next`](Self::next), which also says that it is done with the
/// one before. Records are owned: they can go to other threads, be kept, and outlive the consumer. So can the
/// [`Progress`] that is to be committed for them.
///
/// Dropping it never blocks: it leaves its group in the background, for as long as the process lives.
/// [`close`](Self::close) waits for that.
#[derive(Debug)]
pub struct Consumer(Arc<Core>);

impl Drop for Consumer {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.0.with(|now, machine| machine.close(now, None));
    }
}

impl Consumer {
    /// The next event. One application thread or task asks at a time.
    pub const fn next(&self) -> Next<'_> {
        Next::new(&self.0)
    }

    /// Reads these topics from now on, as a member of the group, instead of whatever was before.
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] without a group, [`ClientError::Closed`].
    pub fn subscribe(&self, topics: impl IntoIterator<Item = TopicName>) -> Result<(), ClientError> {
        let topics: BTreeSet<TopicName> = topics.into_iter().collect();
        Ok(self.0.with(|now, machine| machine.subscribe(now, topics))??)
    }

    /// Reads the topics whose whole name matches, also those to come, as a member of the group.
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] without a group or for a bad pattern, [`ClientError::Closed`].
    pub fn subscribe_pattern(&self, pattern: &str) -> Result<(), ClientError> {
        Ok(self.0.with(|now, machine| machine.subscribe_pattern(now, pattern))??)
    }

    /// Reads these partitions, without any group deciding so.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn assign(&self, partitions: impl IntoIterator<Item = TopicPartition>) -> Result<(), ClientError> {
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        Ok(self.0.with(|now, machine| machine.assign(now, partitions))??)
    }

    /// Reads nothing any more, and leaves the group.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn unsubscribe(&self) -> Result<(), ClientError> {
        self.0.with(|now, machine| machine.unsubscribe(now))
    }

    /// The partitions that it has.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn assignment(&self) -> Result<Vec<TopicPartition>, ClientError> {
        self.0.with(|_, machine| machine.assignment().cloned().collect())
    }

    /// Gives no records of these partitions until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] if it has not all of them, [`ClientError::Closed`].
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        Ok(self.0.with(|_, machine| machine.pause(partitions))??)
    }

    /// Goes on with partitions that were paused.
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] if it has not all of them, [`ClientError::Closed`].
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ClientError> {
        Ok(self.0.with(|now, machine| machine.resume(now, partitions))??)
    }

    /// Goes on elsewhere in a partition.
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] if it has not the partition, [`ClientError::Closed`].
    pub fn seek(&self, partition: &TopicPartition, to: SeekTo) -> Result<(), ClientError> {
        Ok(self.0.with(|now, machine| machine.seek(now, partition, to))??)
    }

    /// The offset of the next record that is to be given; `None` while that is not known.
    ///
    /// # Errors
    ///
    /// [`ClientError::Usage`] if it has not the partition, [`ClientError::Closed`].
    pub fn position(&self, partition: &TopicPartition) -> Result<Option<Offset>, ClientError> {
        Ok(self.0.with(|_, machine| machine.position(partition))??)
    }

    /// How far everything is that has been given, the last event included.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn progress(&self) -> Result<Progress, ClientError> {
        self.0.with(|_, machine| machine.progress())
    }

    /// The membership in the group, while there is one.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn membership(&self) -> Result<Option<GroupMembership>, ClientError> {
        self.0.with(|_, machine| machine.membership())
    }

    /// Stores how far the group is. Ends when the coordinator has it.
    pub fn commit(&self, progress: Progress) -> Pending<()> {
        let (completer, pending) = Pending::new();
        // The completer tells if it is closed.
        let _ = self.0.with(|now, machine| machine.commit(now, progress, Token::Commit(completer)));
        pending
    }

    /// Stores how far everything is that has been given, the last event included.
    pub fn commit_now(&self) -> Pending<()> {
        match self.progress() {
            Ok(progress) => self.commit(progress),
            Err(error) => Pending::ready(Err(error)),
        }
    }

    /// What is stored for partitions, whoever has them.
    pub fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Pending<BTreeMap<TopicPartition, Option<OffsetAndMetadata>>> {
        let (completer, pending) = Pending::new();
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().collect();
        // The completer tells if it is closed.
        let _ = self.0.with(|now, machine| machine.committed(now, partitions, Token::Committed(completer)));
        pending
    }

    /// Stores what has been read, if that is automatic, and leaves the group; gives up after `timeout`. Ends when that is
    /// done.
    pub fn close(&self, timeout: Duration) -> Pending<()> {
        let (completer, pending) = Pending::new();
        let mut state = self.0.state.lock();
        let now = self.0.io.now();
        let deadline = now.plus_ms(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        match &mut state.machine {
            Some(machine) => machine.close(now, Some(deadline)),
            None => return Pending::ready(Ok(())),
        }
        state.closing.push(completer);
        drop(state);
        self.0.work.notify();
        pending
    }

    /// What it has done so far.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`].
    pub fn stats(&self) -> Result<Stats, ClientError> {
        self.0.with(|_, machine| machine.stats())
    }
}
