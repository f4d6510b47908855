//! The consumer: what it is given, its clock, its outputs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use highwater_types::{Offset, Ticks, TimestampMs, TopicName, TopicPartition};

use crate::{CheckedConsumerConfig, Event, Input, Output, Progress, RevocationId, Stats, UsageError};

/// A consumer: agrees with its group on partitions, knows its position in each, fetches their records ahead, gives them
/// out as [events](Event), and commits.
///
/// `T` is what the driver knows a call of the application by: a commit, or a question. It comes back exactly once, in an
/// [`Output`].
///
/// The driver's contract:
///
/// 1. Calls of the application become calls of the methods here, in any order. The application asks for an event with
///    [`poll_event`](Self::poll_event). If there is none it waits until [`Output::EventReady`], and asks again; if it gives
///    up waiting, the driver calls [`stop_waiting`](Self::stop_waiting). While it works on an event, and after it has given
///    up, `max.poll.interval.ms` runs.
/// 2. After every call take outputs until there are none, and carry them out in order. Then sleep until
///    [`poll_timeout`](Self::poll_timeout), which any call may have changed, and call
///    [`handle_timeout`](Self::handle_timeout). Look at the deadline before anything else that has come, so that load
///    cannot starve it. `now` never goes backwards.
/// 3. Each [`Output::Request`] ends in exactly one [`Input::Answered`] or [`Input::Failed`]; to see to
///    `request.timeout.ms` is the driver's part, from when the request is sent: a fetch may take `wait_ms_max` of it, and a
///    JoinGroup its rebalance timeout on top. Requests to one [`Target`](crate::Target) go out in the order of their
///    outputs. A failure that comes at once may come again at once: the consumer waits before it tries again.
/// 4. After [`Output::WantTopics`] metadata of those topics are reported again and again, by `metadata.max.age.ms`, and
///    soon after [`Output::RefreshMetadata`], until they come: it is not repeated before they do. The driver waits between
///    two tries. Topics that do not exist are reported as such.
/// 5. [`close`](Self::close) ends in [`Output::Closed`]. Then the machine does nothing more, and what has not been
///    answered need not be.
pub struct Consumer<T> {
    config: CheckedConsumerConfig,
    outputs: VecDeque<Output<T>>,
    stats: Stats,
}

/// Where to go on in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// This offset.
    Offset(Offset),
    /// The start of the log.
    Beginning,
    /// The end of what the isolation level shows.
    End,
    /// The first record that is not older; the end if there is none.
    Timestamp(TimestampMs),
}

/// What a transaction needs to know to commit offsets for a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMembership {
    /// The group.
    pub group: Arc<str>,
    /// The member's id.
    pub member: Arc<str>,
    /// Its generation, or epoch.
    pub generation: u32,
    /// `group.instance.id` of a static member.
    pub instance: Option<Arc<str>>,
}

impl<T> Consumer<T> {
    /// Most commits under way.
    pub const COMMITS_MAX: usize = 64;
    /// Most questions under way.
    pub const QUERIES_MAX: usize = 64;

    /// A consumer that has nothing to consume yet. `seed` is anything, and has to differ between consumers: member ids
    /// are made from it.
    #[must_use]
    pub fn new(config: CheckedConsumerConfig, _seed: u64, _now: Ticks) -> Self {
        Self { config, outputs: VecDeque::new(), stats: Stats::default() }
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &CheckedConsumerConfig {
        &self.config
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Consumes these topics as a member of the group, instead of whatever was before. No topics is
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors
    ///
    /// [`UsageError::NoGroup`], [`UsageError::Closed`].
    pub fn subscribe(&mut self, _now: Ticks, _topics: BTreeSet<TopicName>) -> Result<(), UsageError> {
        Ok(())
    }

    /// Consumes the topics whose whole name matches, also those to come, as a member of the group, instead of whatever was
    /// before. The pattern is one of the crate `regex`, matched against what metadata report.
    ///
    /// # Errors
    ///
    /// [`UsageError::Pattern`], [`UsageError::NoGroup`], [`UsageError::Closed`].
    pub fn subscribe_pattern(&mut self, _now: Ticks, _pattern: &str) -> Result<(), UsageError> {
        Ok(())
    }

    /// Consumes these partitions, without any group deciding so, instead of whatever was before. Positions of partitions
    /// that stay are kept. Offsets can be committed and are fetched if there is a `group.id`.
    ///
    /// # Errors
    ///
    /// [`UsageError::Closed`].
    pub fn assign(&mut self, _now: Ticks, _partitions: BTreeSet<TopicPartition>) -> Result<(), UsageError> {
        Ok(())
    }

    /// Consumes nothing any more, and leaves the group. What was consumed is committed first if that is automatic.
    pub fn unsubscribe(&mut self, _now: Ticks) {}

    /// The partitions it has, in order. Those that are being given back are among them until that is done.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        [].into_iter()
    }

    /// Gives no records of these partitions, and fetches none, until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`], with nothing changed.
    pub fn pause(&mut self, _partitions: &[TopicPartition]) -> Result<(), UsageError> {
        Ok(())
    }

    /// Goes on with partitions that were paused.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`], with nothing changed.
    pub fn resume(&mut self, _now: Ticks, _partitions: &[TopicPartition]) -> Result<(), UsageError> {
        Ok(())
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        [].into_iter()
    }

    /// Goes on elsewhere in a partition. Takes effect with the next event.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`].
    pub fn seek(&mut self, _now: Ticks, _partition: &TopicPartition, _to: SeekTo) -> Result<(), UsageError> {
        Ok(())
    }

    /// The offset of the next record that is to be given; `None` while that is not known.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`].
    pub fn position(&self, partition: &TopicPartition) -> Result<Option<Offset>, UsageError> {
        Err(UsageError::NotAssigned { partition: partition.clone() })
    }

    /// How far everything is that has been given, the last event included: what `commitSync` without arguments stores.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress::new()
    }

    /// The membership in the group, while there is one.
    #[must_use]
    pub fn membership(&self) -> Option<GroupMembership> {
        None
    }

    /// The next event. With that, the events before are taken to be dealt with: automatic commits store what they had.
    ///
    /// `None` if there is none yet: then the application is taken to wait, until it asks again or
    /// [`stop_waiting`](Self::stop_waiting).
    pub fn poll_event(&mut self, _now: Ticks) -> Option<Event> {
        None
    }

    /// The application does not wait any more, and has no event: from now on it has `max.poll.interval.ms` to ask again.
    pub fn stop_waiting(&mut self, _now: Ticks) {}

    /// The partitions of [`Event::Revoking`] are dealt with. Late and repeated ones change nothing.
    pub fn acknowledge(&mut self, _now: Ticks, _revocation: RevocationId) {}

    /// Stores how far partitions have been consumed. Ends in an [`Output::Committed`]. Commits are stored in order.
    pub fn commit(&mut self, _now: Ticks, _progress: Progress, _token: T) {}

    /// Asks what is stored for partitions, whoever has them. Ends in an [`Output::CommittedOffsets`].
    pub fn committed(&mut self, _now: Ticks, _partitions: BTreeSet<TopicPartition>, _token: T) {}

    /// Stores what has been consumed if that is automatic, leaves the group, and ends in an [`Output::Closed`], at
    /// `deadline` at the latest, which may have come already; `None` for `default.api.timeout.ms`.
    ///
    /// The event that was given last counts as dealt with. No more are given.
    pub fn close(&mut self, _now: Ticks, _deadline: Option<Ticks>) {
        self.outputs.push_back(Output::Closed);
    }

    /// Takes note of something that has happened.
    pub fn handle(&mut self, _now: Ticks, _input: Input) {}

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, _now: Ticks) {}

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for not before something else happens.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Ticks> {
        None
    }
}
