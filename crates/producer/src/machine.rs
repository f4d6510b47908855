//! The producer: what it is given, its clock, its outputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use highwater_records::BatchBuilder;
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, Ticks, TopicName};

use crate::accumulator::{Accumulator, Append, Outcome, PartitionRef, SizedRecord, TopicRef};
use crate::backoff::Backoff;
use crate::output::{CompletedBatch, FlushId};
use crate::random::Random;
use crate::record::with_views;
use crate::sender::{Idempotence, Node, Readiness, Request};
use crate::{
    CheckedProducerConfig, Input, Output, PartitionChoice, PartitionQuery, Partitioner, ProduceError, Refusal,
    RequestId, SendError, SerializedRecord, Stats, TopicUpdate, TransactionState, WaitFor, WaiterId, Wake,
};

/// A producer: gathers records into batches, sends them to the leaders of their partitions, again if need be, and says
/// how each record ended.
///
/// `T` is what the driver knows a record by. It comes back exactly once: in a [`SendError`] at once, or in an
/// [`Output::Completed`] later, in the order of the records of a partition.
///
/// The driver's contract:
///
/// 1. [`send`](Self::send) records whenever there are some. A record that has to wait is not taken: the driver keeps it,
///    calls [`wait`](Self::wait) with what is missing and a deadline, and [`send_after`](Self::send_after) once an
///    [`Output::Wake`] says so, or [`cancel`](Self::cancel).
/// 2. After every call take outputs until there are none, and carry them out in order. Then sleep until
///    [`poll_timeout`](Self::poll_timeout), which any call may have changed, and call
///    [`handle_timeout`](Self::handle_timeout). Look at the deadline before anything else that has come, so that load
///    cannot starve it. `now` never goes backwards.
/// 3. [`Output::Connect`] is answered by [`Input::Connected`] or [`Input::Disconnected`]. Requests to a broker go out in
///    the order of their outputs, over one connection; each is answered by [`Input::Answered`], [`Input::Sent`] (with
///    `acks=0`) or [`Input::Failed`], unless the connection is lost before: then [`Input::Disconnected`] is for all.
///    Answers that come later than that are ignored. A connection that is opened again should not overtake what the
///    broker may still read from the former one.
/// 4. After [`Output::WantTopic`] metadata of the topic are reported again and again, by `metadata.max.age.ms`, and soon
///    after [`Output::RefreshMetadata`], until they come: it is not repeated before they do.
/// 5. [`Output::InitProducerId`] is answered by [`Input::ProducerId`], also if it fails.
/// 6. [`close`](Self::close) ends in [`Output::Closed`]. Then the machine does nothing more.
pub struct Producer<T> {
    pub(crate) accumulator: Accumulator<T>,
    partitioner: Box<dyn Partitioner + Send>,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    /// The keys of `nodes`.
    pub(crate) node_ids: Vec<NodeId>,
    pub(crate) requests: BTreeMap<RequestId, Request>,
    /// `None` if the brokers are not to notice repeats.
    pub(crate) idempotence: Option<Idempotence>,
    /// Whether some partition may have a gap in its sequence numbers.
    pub(crate) is_gap_suspected: bool,
    pub(crate) fatal: Option<ErrorCode>,
    pub(crate) random: Random,
    pub(crate) backoff: Backoff,
    pub(crate) outputs: VecDeque<Output<T>>,
    pub(crate) stats: Stats,
    topic_waiters: Vec<TopicWaiter>,
    /// Topics that metadata were asked for.
    wanted: BTreeSet<TopicName>,
    is_refresh_asked: bool,
    life: Life,
    waiters: u64,
    /// When to look again, at the latest.
    due: Option<Ticks>,
}

#[derive(Debug)]
struct TopicWaiter {
    id: WaiterId,
    topic: TopicName,
    partition: Option<PartitionIndex>,
    deadline: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// Takes no records; gives up what is left at the deadline.
    Closing {
        deadline: Option<Ticks>,
    },
    Closed,
}

impl<T> Producer<T> {
    /// A producer that has nothing yet. `seed` is anything, and should differ between producers. It has outputs at once.
    #[must_use]
    pub fn new(config: CheckedProducerConfig, seed: u64, now: Ticks) -> Self {
        let partitioner = config.partitioner.build(&config);
        Self::with_partitioner(config, partitioner, seed, now)
    }

    /// The same with a partitioner of the application's.
    #[must_use]
    pub fn with_partitioner(
        config: CheckedProducerConfig,
        partitioner: Box<dyn Partitioner + Send>,
        seed: u64,
        now: Ticks,
    ) -> Self {
        let mut producer = Self {
            partitioner,
            nodes: BTreeMap::new(),
            node_ids: Vec::new(),
            requests: BTreeMap::new(),
            idempotence: config.is_idempotent().then(Idempotence::default),
            is_gap_suspected: false,
            fatal: None,
            random: Random::new(seed),
            backoff: Backoff { first_ms: config.retry_backoff_ms, longest_ms: config.retry_backoff_ms_max },
            outputs: VecDeque::new(),
            stats: Stats::default(),
            topic_waiters: Vec::new(),
            wanted: BTreeSet::new(),
            is_refresh_asked: false,
            life: Life::Open,
            waiters: 0,
            due: None,
            accumulator: Accumulator::new(config),
        };
        producer.run(now);
        producer
    }

    /// How it behaves.
    #[must_use]
    pub const fn config(&self) -> &CheckedProducerConfig {
        &self.accumulator.config
    }

    /// What it has done so far.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Bytes of `buffer.memory` that are in use.
    #[must_use]
    pub const fn memory_used_bytes(&self) -> u64 {
        self.accumulator.memory.used_bytes()
    }

    /// Batches that have not ended.
    #[must_use]
    pub const fn batches_unfinished(&self) -> u64 {
        self.accumulator.untold()
    }

    /// Topics whose metadata are needed.
    pub fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.wanted.iter().chain(self.accumulator.topics.names().filter(|name| !self.wanted.contains(*name)))
    }

    /// Where it stands with the brokers; `None` without idempotence.
    #[must_use]
    pub fn transaction_state(&self) -> Option<TransactionState> {
        self.idempotence.as_ref().map(|idempotence| idempotence.state)
    }

    /// Until when a record that comes now may wait: `max.block.ms`.
    #[must_use]
    pub fn block_deadline(&self, now: Ticks) -> Ticks {
        now.plus_ms(self.config().max_block_ms)
    }

    /// Takes a record, unless something is missing or wrong. Copies its bytes; allocates at most when it begins a batch.
    ///
    /// # Errors
    ///
    /// [`SendError`] with the token: see [`Refusal`].
    pub fn send(&mut self, now: Ticks, record: &SerializedRecord<'_>, token: T) -> Result<(), SendError<T>> {
        with_views(record.headers, |headers| {
            let sized = SizedRecord {
                record,
                headers,
                bytes: BatchBuilder::record_size_max(record.key, record.value, headers),
            };
            match self.place(now, &sized) {
                Ok(at) => self.append(now, at, &sized, token),
                Err(reason) => Err(SendError { token, reason }),
            }
        })
    }

    /// Takes a record for which something was missing, with the memory that was set aside for it. Whatever comes of it,
    /// the waiter is no more.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_after(
        &mut self,
        now: Ticks,
        waiter: WaiterId,
        record: &SerializedRecord<'_>,
        token: T,
    ) -> Result<(), SendError<T>> {
        self.accumulator.memory.begin_redeeming(waiter);
        let sent = self.send(now, record, token);
        self.accumulator.memory.end_redeeming();
        self.cancel(waiter);
        sent
    }

    /// Waits for what a record is missing, until `deadline`. Ends in an [`Output::Wake`].
    pub fn wait(&mut self, now: Ticks, what: &WaitFor, deadline: Ticks) -> WaiterId {
        self.waiters += 1;
        let id = WaiterId(self.waiters);
        match what {
            _ if self.life != Life::Open => self.outputs.push_back(Output::Wake(id, Wake::Closed)),
            WaitFor::Topic { topic, partition } => {
                if self.accumulator.topics.find(topic).is_some() {
                    self.refresh_metadata();
                } else if self.wanted.insert(topic.clone()) {
                    self.outputs.push_back(Output::WantTopic(topic.clone()));
                }
                let waiter = TopicWaiter { id, topic: topic.clone(), partition: *partition, deadline };
                self.topic_waiters.push(waiter);
                self.hurry(deadline);
            }
            WaitFor::Memory { bytes } => {
                self.stats.memory_waits += 1;
                self.accumulator.memory.wait(id, *bytes, deadline);
                self.hurry(deadline);
                // Nothing lingers while somebody waits.
                self.run(now);
            }
        }
        id
    }

    /// Waits no more, or gives back the memory that was set aside.
    pub fn cancel(&mut self, waiter: WaiterId) {
        self.topic_waiters.retain(|other| other.id != waiter);
        self.accumulator.memory.cancel(waiter);
        self.wake_granted();
    }

    /// Sends everything that there is without lingering. Ends in an [`Output::Flushed`], when all of it has ended.
    pub fn flush(&mut self, now: Ticks) -> FlushId {
        let id = self.accumulator.begin_flush();
        self.run(now);
        id
    }

    /// Takes no more records, and sends what there is; gives up what is left at `deadline`, which may have come already;
    /// `None` for not before `delivery.timeout.ms` does. Ends in an [`Output::Closed`].
    pub fn close(&mut self, now: Ticks, deadline: Option<Ticks>) {
        if self.life == Life::Closed {
            return;
        }
        self.life = Life::Closing { deadline };
        let waiters = core::mem::take(&mut self.topic_waiters);
        self.outputs.extend(waiters.into_iter().map(|waiter| Output::Wake(waiter.id, Wake::Closed)));
        while let Some(id) = self.accumulator.memory.poll_waiter() {
            self.outputs.push_back(Output::Wake(id, Wake::Closed));
        }
        self.run(now);
    }

    /// Gives up everything that was never sent.
    pub fn abort(&mut self, now: Ticks) {
        self.end_unsent(|| Outcome::Failed(ProduceError::Aborted));
        self.run(now);
    }

    /// Takes note of something that has happened.
    pub fn handle(&mut self, now: Ticks, input: Input) {
        if self.life == Life::Closed {
            return;
        }
        match input {
            Input::Metadata(topics) => self.handle_metadata(now, &topics),
            Input::Connected(id) => {
                let node = self.nodes.entry(id).or_default();
                (node.is_connected, node.is_connecting, node.blocked_since) = (true, false, None);
                self.collect_nodes();
            }
            Input::Disconnected(id) => {
                self.disconnect(now, id);
                // It may not lead any more.
                self.refresh_metadata();
            }
            Input::Sent(id) => self.handle_sent(now, id),
            Input::Answered(id, answers) => self.handle_answer(now, id, &answers),
            Input::Failed(id, code) => self.handle_failure(now, id, code),
            Input::ProducerId(answer) => self.handle_producer_id(now, answer),
        }
        self.run(now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Ticks) {
        if self.life != Life::Closed {
            self.run(now);
        }
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// Whether there is something to be done.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` for not before something else happens.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Ticks> {
        self.due
    }

    /// Takes the memory of a batch back whose records have all been told, to use it again. Without this the machine
    /// allocates for every batch.
    pub fn recycle(&mut self, completed: CompletedBatch<T>) {
        self.accumulator.batches.keep_slots(completed.into_slots());
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.life != Life::Open
    }

    /// The partition that a record is for.
    #[inline]
    fn place(&mut self, now: Ticks, sized: &SizedRecord<'_>) -> Result<PartitionRef, Refusal> {
        let record = sized.record;
        if self.life != Life::Open {
            return Err(Refusal::Closed);
        }
        if let Some(code) = self.fatal {
            return Err(Refusal::Fatal(code));
        }
        self.check_size(sized)?;
        let topic = record.topic;
        let missing = |partition| Refusal::Wait(WaitFor::Topic { topic: topic.clone(), partition });
        let found = self.accumulator.topics.find(topic).ok_or_else(|| missing(record.partition))?;
        if let Some(partition) = record.partition {
            return self.accumulator.find(found, partition).ok_or_else(|| missing(Some(partition)));
        }
        self.choose(now, found, record)
    }

    fn choose(&mut self, now: Ticks, topic: TopicRef, record: &SerializedRecord<'_>) -> Result<PartitionRef, Refusal> {
        let random = self.random.bits();
        let known = self.accumulator.topics.topic(topic);
        // Counts of partitions fit 31 bits.
        let partition_count = known.partitions.len() as u32;
        let query = PartitionQuery {
            topic: record.topic,
            key: record.key,
            value: record.value,
            partition_count,
            available: &known.available,
            random,
        };
        let partition = match self.partitioner.partition(&query) {
            PartitionChoice::Partition(partition) => partition,
            PartitionChoice::Sticky => self.sticky_partition(now, topic, random),
        };
        self.accumulator.find(topic, partition).ok_or_else(|| Refusal::NoSuchPartition {
            topic: record.topic.clone(),
            partition,
            partition_count,
        })
    }

    fn sticky_partition(&mut self, now: Ticks, topic: TopicRef, random: u64) -> PartitionIndex {
        let Self { accumulator, nodes, .. } = self;
        let timeout_ms = accumulator.config.availability_timeout_ms;
        let is_slow = |id: NodeId| {
            let blocked_since = nodes.get(&id).and_then(|node| node.blocked_since);
            0 < timeout_ms && blocked_since.is_some_and(|since| timeout_ms < now.ms_since(since))
        };
        accumulator.sticky_partition(topic, random, is_slow)
    }

    #[inline]
    fn check_size(&self, record: &SizedRecord<'_>) -> Result<(), Refusal> {
        let bytes = record.batch_bytes();
        let config = self.config();
        let limits =
            [(u64::from(config.request_bytes_max), "max.request.size"), (config.buffer_memory_bytes, "buffer.memory")];
        match limits.into_iter().find(|(limit, _)| *limit < bytes) {
            Some((limit_bytes, key)) => Err(Refusal::TooLarge { bytes, limit_bytes, key }),
            None => Ok(()),
        }
    }

    #[inline]
    fn append(&mut self, now: Ticks, at: PartitionRef, record: &SizedRecord<'_>, token: T) -> Result<(), SendError<T>> {
        match self.accumulator.append(now, at, record, token) {
            Append::Added { is_urgent } => {
                self.stats.records += 1;
                if is_urgent {
                    self.hurry_for(now, at);
                }
                Ok(())
            }
            Append::Full { token, bytes } => Err(SendError { token, reason: Refusal::Wait(WaitFor::Memory { bytes }) }),
            Append::Unwritable { token, reason } => Err(SendError { token, reason: Refusal::Unwritable(reason) }),
        }
    }

    /// A partition has a batch that it had not, or one is full: is that to be looked at sooner?
    fn hurry_for(&mut self, now: Ticks, at: PartitionRef) {
        let oldest = self.accumulator.topics.partition(at).untold.front();
        let expiry = oldest.map(|id| self.expires_at(*id));
        expiry.into_iter().chain(self.ask_identity_at()).for_each(|at| self.hurry(at));
        match self.readiness(at, now) {
            Readiness::Idle => {}
            Readiness::At(at) => self.hurry(at),
            Readiness::Now if self.can_act(at) => self.hurry(now),
            Readiness::Now => {}
        }
    }

    /// Whether anything can be done about a batch that is ready.
    fn can_act(&self, at: PartitionRef) -> bool {
        match self.accumulator.topics.partition(at).leader {
            Some(leader) => {
                let is_connecting = self.nodes.get(&leader).is_some_and(|node| node.is_connecting);
                let is_connected = self.nodes.get(&leader).is_some_and(|node| node.is_connected);
                self.can_send(leader) || !is_connecting && !is_connected
            }
            None => !self.is_refresh_asked,
        }
    }

    fn hurry(&mut self, at: Ticks) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn handle_metadata(&mut self, now: Ticks, topics: &[TopicUpdate]) {
        self.is_refresh_asked = false;
        for update in topics {
            let rack = self.accumulator.config.client_rack.as_deref();
            self.accumulator.topics.update(update, rack);
            if self.accumulator.topics.find(&update.name).is_some() {
                self.wanted.remove(&update.name);
            }
            self.wake_for_topic(update);
        }
        self.hasten_retries(now);
        self.collect_nodes();
    }

    fn wake_for_topic(&mut self, update: &TopicUpdate) {
        let accumulator = &self.accumulator;
        let found = accumulator.topics.find(&update.name);
        let refused = match update.partitions {
            Err(code @ (ErrorCode::InvalidTopicException | ErrorCode::TopicAuthorizationFailed)) => Some(code),
            _ => None,
        };
        let outputs = &mut self.outputs;
        self.topic_waiters.retain(|waiter| {
            if waiter.topic != update.name {
                return true;
            }
            let is_there = found.is_some_and(|topic| {
                waiter.partition.is_none_or(|partition| accumulator.find(topic, partition).is_some())
            });
            let wake = refused.map(Wake::Refused).or(is_there.then_some(Wake::Ready));
            outputs.extend(wake.map(|wake| Output::Wake(waiter.id, wake)));
            wake.is_none()
        });
    }

    /// A repeat to another leader need not wait.
    fn hasten_retries(&mut self, now: Ticks) {
        let accumulator = &mut self.accumulator;
        for at in accumulator.topics.refs() {
            let partition = accumulator.topics.partition(at);
            let Some(leader) = partition.leader.map(|leader| (leader, partition.leader_epoch)) else { continue };
            for id in &partition.queue {
                let batch = accumulator.batches.at_mut(*id);
                if batch.sent_to.is_some_and(|sent_to| sent_to != leader) {
                    batch.retry_at = batch.retry_at.min(now);
                }
            }
        }
    }

    /// An answer names another leader.
    pub(crate) fn learn_leader(&mut self, now: Ticks, at: PartitionRef, leader: NodeId, epoch: LeaderEpoch) {
        if self.accumulator.topics.set_leader(at, leader, epoch) {
            self.hasten_retries(now);
            self.collect_nodes();
        }
    }

    pub(crate) fn refresh_metadata(&mut self) {
        if !self.is_refresh_asked {
            self.is_refresh_asked = true;
            self.outputs.push_back(Output::RefreshMetadata);
        }
    }

    /// Sorts the partitions by their leaders.
    fn collect_nodes(&mut self) {
        self.nodes.values_mut().for_each(|node| node.partitions.clear());
        for at in self.accumulator.topics.refs() {
            if let Some(leader) = self.accumulator.topics.partition(at).leader {
                self.nodes.entry(leader).or_default().partitions.push(at);
            }
        }
        self.nodes.retain(|_, node| !node.is_idle());
        self.node_ids.clear();
        self.node_ids.extend(self.nodes.keys());
    }

    /// Everything that is due.
    fn run(&mut self, now: Ticks) {
        self.time_out_waiters(now);
        self.expire(now);
        self.time_out_requests(now);
        if self.fatal.is_none() {
            self.renew_identity(now);
            self.send_ready(now);
            self.ask_for_leaders(now);
        }
        self.finish(now);
        self.wake_granted();
        self.due = self.next_due(now);
    }

    /// Records wait for a partition that nobody leads.
    fn ask_for_leaders(&mut self, now: Ticks) {
        let topics = &self.accumulator.topics;
        let is_stuck =
            |at: PartitionRef| topics.partition(at).leader.is_none() && self.readiness(at, now) == Readiness::Now;
        if topics.refs().any(is_stuck) {
            self.refresh_metadata();
        }
    }

    fn time_out_waiters(&mut self, now: Ticks) {
        let outputs = &mut self.outputs;
        self.topic_waiters.retain(|waiter| {
            let is_late = waiter.deadline <= now;
            if is_late {
                outputs.push_back(Output::Wake(waiter.id, Wake::TimedOut));
            }
            !is_late
        });
        while let Some(id) = self.accumulator.memory.poll_timed_out(now) {
            self.outputs.push_back(Output::Wake(id, Wake::TimedOut));
        }
    }

    fn wake_granted(&mut self) {
        while let Some(id) = self.accumulator.memory.poll_granted() {
            self.outputs.push_back(Output::Wake(id, Wake::Ready));
        }
    }

    /// Flushes that are done, and the end.
    fn finish(&mut self, now: Ticks) {
        if let Life::Closing { deadline } = self.life {
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.end_all(|| Outcome::Failed(ProduceError::Closed));
            }
            if self.accumulator.untold() == 0 {
                self.life = Life::Closed;
            }
        }
        while let Some(id) = self.accumulator.poll_flushed() {
            self.outputs.push_back(Output::Flushed(id));
        }
        if self.life == Life::Closed {
            self.outputs.push_back(Output::Closed);
        }
    }

    fn next_due(&self, now: Ticks) -> Option<Ticks> {
        if self.life == Life::Closed {
            return None;
        }
        let topics = &self.accumulator.topics;
        let batches = topics.refs().flat_map(|at| {
            let partition = topics.partition(at);
            let expiry = partition.untold.front().map(|id| self.expires_at(*id));
            let at = match self.readiness(at, now) {
                Readiness::At(at) if partition.leader.is_none_or(|leader| self.can_act_for(leader)) => Some(at),
                _ => None,
            };
            expiry.into_iter().chain(at)
        });
        let requests = self.node_ids.iter().filter_map(|node| self.request_deadline(*node));
        let waiters = self.topic_waiters.iter().map(|waiter| waiter.deadline);
        let memory = self.accumulator.memory.next_deadline();
        let identity = self.ask_identity_at();
        let close = match self.life {
            Life::Closing { deadline } => deadline,
            Life::Open | Life::Closed => None,
        };
        batches.chain(requests).chain(waiters).chain(memory).chain(identity).chain(close).min()
    }

    /// Whether a batch for a broker that becomes ready can be sent then, or a connection asked for.
    fn can_act_for(&self, leader: NodeId) -> bool {
        self.can_send(leader) || self.nodes.get(&leader).is_some_and(|node| !node.is_connected)
    }
}

impl<T> core::fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Producer").field("stats", &self.stats).field("life", &self.life).finish_non_exhaustive()
    }
}
