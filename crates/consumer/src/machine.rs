//! The consumer: what it is given, its clock, its outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use highwater_types::{NodeId, Offset, Ticks, TimestampMs, TopicName, TopicPartition};

use crate::backoff::Backoff;
use crate::commit::Commits;
use crate::fetch::Node;
use crate::group::{Group, Revocation};
use crate::metadata::Metadata;
use crate::partition::{Partition, Position, Stage};
use crate::pending::Pending;
use crate::poll::Poll;
use crate::query::Query;
use crate::random::Random;
use crate::subscription::Subscription;
use crate::{
    Answer, CheckedConsumerConfig, Event, Failure, Input, OffsetSpec, Output, Progress, Request, RequestId, Stats,
    Target, UsageError,
};

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
    pub(crate) config: CheckedConsumerConfig,
    pub(crate) random: Random,
    pub(crate) backoff: Backoff,
    pub(crate) metadata: Metadata,
    pub(crate) subscription: Subscription,
    /// Whether what is wanted of metadata may have changed.
    pub(crate) is_want_stale: bool,
    /// What it has, by whomever that was decided.
    pub(crate) partitions: BTreeMap<TopicPartition, Partition>,
    /// Partitions with records to be given, in turn.
    pub(crate) fetched: VecDeque<TopicPartition>,
    /// Topics of which the application knows that they cannot be used.
    pub(crate) told_topics: BTreeSet<TopicName>,
    /// Partitions whose position has moved since the application was done with everything.
    pub(crate) unsettled: Vec<(TopicPartition, u64, Position)>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// `None` without `group.id`.
    pub(crate) group: Option<Group>,
    pub(crate) revocation: Option<Revocation>,
    pub(crate) commits: Commits<T>,
    pub(crate) queries: Vec<Query<T>>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) poll: Poll,
    pub(crate) pending: BTreeMap<RequestId, Pending>,
    pub(crate) outputs: VecDeque<Output<T>>,
    pub(crate) life: Life,
    pub(crate) stats: Stats,
    numbers: u64,
    /// When to look again, at the latest.
    due: Option<Ticks>,
    /// Whether something has changed that an earlier step of the same turn would act on.
    is_turn_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    Closing { deadline: Ticks },
    Closed,
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
    /// Most commits of the application under way.
    pub const COMMITS_MAX: usize = 64;
    /// Most questions under way.
    pub const QUERIES_MAX: usize = 64;

    /// A consumer that has nothing to consume yet. `seed` is anything, and has to differ between consumers: member ids
    /// are made from it.
    #[must_use]
    pub fn new(config: CheckedConsumerConfig, seed: u64, now: Ticks) -> Self {
        let mut random = Random::new(seed);
        Self {
            group: Group::new(&config, &mut random),
            random,
            backoff: Backoff { first_ms: config.retry_backoff_ms, longest_ms: config.retry_backoff_ms_max },
            metadata: Metadata::default(),
            subscription: Subscription::Nothing,
            is_want_stale: false,
            partitions: BTreeMap::new(),
            fetched: VecDeque::new(),
            told_topics: BTreeSet::new(),
            unsettled: Vec::new(),
            nodes: BTreeMap::new(),
            revocation: None,
            commits: Commits::new(now.plus_ms(config.auto_commit_interval_ms.into())),
            queries: Vec::new(),
            events: VecDeque::new(),
            poll: Poll::new(now),
            pending: BTreeMap::new(),
            outputs: VecDeque::new(),
            life: Life::Open,
            stats: Stats::default(),
            numbers: 0,
            due: None,
            is_turn_open: false,
            config,
        }
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
    pub fn subscribe(&mut self, now: Ticks, topics: BTreeSet<TopicName>) -> Result<(), UsageError> {
        if topics.is_empty() {
            self.unsubscribe(now);
            return Ok(());
        }
        self.subscribe_to(now, Subscription::Topics(topics))
    }

    /// Consumes the topics whose whole name matches, also those to come, as a member of the group, instead of whatever was
    /// before. The pattern is one of the crate `regex`, matched against what metadata report.
    ///
    /// # Errors
    ///
    /// [`UsageError::Pattern`], [`UsageError::NoGroup`], [`UsageError::Closed`].
    pub fn subscribe_pattern(&mut self, now: Ticks, pattern: &str) -> Result<(), UsageError> {
        self.subscribe_to(now, Subscription::pattern(pattern)?)
    }

    fn subscribe_to(&mut self, now: Ticks, mut subscription: Subscription) -> Result<(), UsageError> {
        self.check_open()?;
        if self.group.is_none() {
            return Err(UsageError::NoGroup);
        }
        if !self.subscription.is_by_group() {
            self.drop_manual(now);
            self.poll.touch(now);
        }
        if self.metadata.has_all {
            subscription.rematch(&self.metadata, self.config.exclude_internal_topics);
        }
        self.subscription = subscription;
        self.is_want_stale = true;
        self.group_subscribed(now);
        self.run(now);
        Ok(())
    }

    /// Consumes these partitions, without any group deciding so, instead of whatever was before. Positions of partitions
    /// that stay are kept. Offsets can be committed and are fetched if there is a `group.id`.
    ///
    /// # Errors
    ///
    /// [`UsageError::Closed`].
    pub fn assign(&mut self, now: Ticks, partitions: BTreeSet<TopicPartition>) -> Result<(), UsageError> {
        self.check_open()?;
        self.settle();
        if self.subscription.is_by_group() {
            self.leave_group(now);
        }
        self.group_reconsidered();
        let gone: Vec<TopicPartition> =
            self.partitions.keys().filter(|partition| !partitions.contains(*partition)).cloned().collect();
        self.commit_by_itself(now, |partition| !partitions.contains(partition));
        self.remove_partitions(&gone);
        self.subscription = if partitions.is_empty() { Subscription::Nothing } else { Subscription::Manual };
        for partition in partitions {
            if !self.partitions.contains_key(&partition) {
                self.add_partition(&partition);
            }
        }
        self.is_want_stale = true;
        self.run(now);
        Ok(())
    }

    /// Consumes nothing any more, and leaves the group. What was consumed is committed first if that is automatic.
    pub fn unsubscribe(&mut self, now: Ticks) {
        if self.life != Life::Open {
            return;
        }
        self.settle();
        if self.subscription.is_by_group() {
            self.leave_group(now);
        } else {
            self.drop_manual(now);
        }
        self.subscription = Subscription::Nothing;
        self.is_want_stale = true;
        self.run(now);
    }

    /// Gives up what was assigned by hand.
    fn drop_manual(&mut self, now: Ticks) {
        self.commit_by_itself(now, |_| true);
        let gone: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.remove_partitions(&gone);
    }

    /// The partitions it has, in order. Those that are being given back are among them until that is done.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Gives no records of these partitions, and fetches none, until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`], with nothing changed.
    pub fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), UsageError> {
        self.set_paused(partitions, true)
    }

    /// Goes on with partitions that were paused.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`], with nothing changed.
    pub fn resume(&mut self, now: Ticks, partitions: &[TopicPartition]) -> Result<(), UsageError> {
        self.set_paused(partitions, false)?;
        self.run(now);
        Ok(())
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], is_paused: bool) -> Result<(), UsageError> {
        if let Some(other) = partitions.iter().find(|partition| !self.partitions.contains_key(*partition)) {
            return Err(UsageError::NotAssigned { partition: other.clone() });
        }
        for partition in partitions {
            if let Some(known) = self.partitions.get_mut(partition) {
                known.is_paused = is_paused;
            }
        }
        Ok(())
    }

    /// The partitions that are paused.
    pub fn paused(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().filter(|(_, partition)| partition.is_paused).map(|(name, _)| name)
    }

    /// Goes on elsewhere in a partition. Takes effect with the next event.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`].
    pub fn seek(&mut self, now: Ticks, partition: &TopicPartition, to: SeekTo) -> Result<(), UsageError> {
        let version = self.number();
        let known = self.partitions.get_mut(partition);
        let known = known.ok_or_else(|| UsageError::NotAssigned { partition: partition.clone() })?;
        let stage = match to {
            SeekTo::Offset(offset) => Stage::Ready(Position { offset, epoch: None }),
            SeekTo::Beginning => Stage::Reset(OffsetSpec::Earliest),
            SeekTo::End => Stage::Reset(OffsetSpec::Latest),
            SeekTo::Timestamp(timestamp) => Stage::Reset(OffsetSpec::Timestamp(timestamp)),
        };
        known.go(version, stage);
        self.forget_events_of(|name| name == partition);
        self.run(now);
        Ok(())
    }

    /// The offset of the next record that is to be given; `None` while that is not known.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAssigned`].
    pub fn position(&self, partition: &TopicPartition) -> Result<Option<Offset>, UsageError> {
        let known = self.partitions.get(partition);
        let known = known.ok_or_else(|| UsageError::NotAssigned { partition: partition.clone() })?;
        Ok(known.stage.position().map(|position| position.offset))
    }

    /// How far everything is that has been given, the last event included: what `commitSync` without arguments stores.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let positions = self.partitions.iter();
        let positions = positions.filter_map(|(name, known)| Some((name.clone(), known.stage.position()?.to_commit())));
        positions.collect()
    }

    /// The membership in the group, while there is one.
    #[must_use]
    pub fn membership(&self) -> Option<GroupMembership> {
        let group = self.group.as_ref()?;
        let (member, generation) = group.membership()?;
        let (group, instance) = (Arc::clone(&group.id), group.instance.clone());
        Some(GroupMembership { group, member, generation, instance })
    }

    /// Stores what has been consumed if that is automatic, leaves the group, and ends in an [`Output::Closed`], at
    /// `deadline` at the latest, which may have come already; `None` for `default.api.timeout.ms`.
    ///
    /// The event that was given last counts as dealt with. No more are given.
    pub fn close(&mut self, now: Ticks, deadline: Option<Ticks>) {
        if self.life != Life::Open {
            return;
        }
        let deadline = deadline.unwrap_or(now.plus_ms(self.config.default_api_timeout_ms.into()));
        self.unsubscribe(now);
        self.events.clear();
        self.life = Life::Closing { deadline };
        self.run(now);
    }

    /// Takes note of something that has happened.
    pub fn handle(&mut self, now: Ticks, input: Input) {
        if self.life == Life::Closed {
            return;
        }
        match input {
            Input::Metadata(update) => self.handle_metadata(now, update),
            Input::Answered(id, answer) => self.handle_outcome(now, id, Ok(answer)),
            Input::Failed(id, failure) => self.handle_outcome(now, id, Err(failure)),
        }
        self.run(now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Ticks) {
        self.run(now);
    }

    /// Whether there is something to be done.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for not before something else happens.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Ticks> {
        self.due
    }

    /// What to do next, everywhere. Cheap if there is nothing.
    pub(crate) fn run(&mut self, now: Ticks) {
        if self.life == Life::Closed {
            return;
        }
        for _ in 0..STEPS_MAX {
            (self.due, self.is_turn_open) = (None, false);
            self.step_poll(now);
            self.step_revocation(now);
            self.step_group(now);
            self.step_commits(now);
            self.step_queries(now);
            self.step_coordinator(now);
            self.step_wants();
            self.step_positions(now);
            self.step_fetches(now);
            self.step_life(now);
            if !self.is_turn_open || self.life == Life::Closed {
                break;
            }
        }
        if self.is_turn_open && self.life != Life::Closed {
            self.hurry(now);
        }
        self.step_wake(now);
    }

    /// Has an earlier step see what has changed.
    pub(crate) const fn go_round(&mut self) {
        self.is_turn_open = true;
    }

    /// Looks again at `at`, at the latest.
    pub(crate) fn hurry(&mut self, at: Ticks) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn step_life(&mut self, now: Ticks) {
        let Life::Closing { deadline } = self.life else { return };
        let is_out = self.group.as_ref().is_none_or(Group::is_out);
        if deadline <= now || (is_out && self.commits.is_empty() && self.queries.is_empty()) {
            self.end_commits();
            self.end_queries();
            self.pending.clear();
            self.life = Life::Closed;
            self.due = None;
            self.outputs.push_back(Output::Closed);
        } else {
            self.hurry(deadline);
        }
    }

    pub(crate) const fn check_open(&self) -> Result<(), UsageError> {
        match self.life {
            Life::Open => Ok(()),
            Life::Closing { .. } | Life::Closed => Err(UsageError::Closed),
        }
    }

    /// A number that was not there before.
    pub(crate) const fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn request(&mut self, to: Target, request: Request, pending: Pending) -> RequestId {
        let id = RequestId(self.number());
        self.pending.insert(id, pending);
        self.outputs.push_back(Output::Request { id, to, request });
        id
    }

    fn handle_outcome(&mut self, now: Ticks, id: RequestId, outcome: Result<Answer, Failure>) {
        let Some(pending) = self.pending.remove(&id) else { return };
        self.conclude(now, id, pending, outcome);
    }
}

/// Steps of a turn in a row; what is left then is done in another turn at once.
const STEPS_MAX: u32 = 16;
