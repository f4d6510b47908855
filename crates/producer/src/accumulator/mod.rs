//! Batches by partition: where records gather until they are sent.

mod batch;
mod batches;
mod compression_ratio;
mod memory;
mod split;
mod topics;

pub use memory::WaiterId;
pub use topics::{PartitionUpdate, TopicUpdate};

pub(crate) use batch::{Batch, BatchId, Identity, Outcome, Slot, Stamp};
pub(crate) use memory::Memory;
pub(crate) use topics::{PartitionRef, TopicRef, Topics};

use std::sync::Arc;

use highwater_records::{BatchHeader, BatchOptions, BuildError, HeaderView};
use highwater_types::{NodeId, PartitionIndex, Ticks};

use crate::output::{CompletedBatch, FlushId};
use crate::partitioner::{Queue, choose};
use crate::{CheckedProducerConfig, SerializedRecord};
use batch::Content;
use batches::Batches;

/// All that was given to the producer and has not ended.
#[derive(Debug)]
pub(crate) struct Accumulator<T> {
    pub(crate) config: CheckedProducerConfig,
    pub(crate) topics: Topics,
    pub(crate) batches: Batches<T>,
    pub(crate) memory: Memory,
    /// Batches made so far.
    made: u64,
    /// Batches whose records have not been told how they ended.
    untold: u64,
    flushes: Vec<Flush>,
    flushes_made: u64,
}

/// Somebody who waits for all batches before a certain one.
#[derive(Debug)]
struct Flush {
    id: FlushId,
    /// Number of the first batch that does not matter.
    end: u64,
    left: u64,
}

/// What became of a record.
#[derive(Debug)]
pub(crate) enum Append<T> {
    /// It is in a batch; in a new one, or in one that is full by now, or neither, so that nothing is to be done.
    Added { is_urgent: bool },
    /// There is not that much memory.
    Full { token: T, bytes: u64 },
    /// It cannot be in a batch.
    Unwritable { token: T, reason: BuildError },
}

impl<T> Accumulator<T> {
    pub(crate) fn new(config: CheckedProducerConfig) -> Self {
        let options = BatchOptions { compression: config.compression(), ..BatchOptions::default() };
        let kept_bytes_max = (config.batch_bytes as usize).saturating_mul(2).max(64 << 10);
        Self {
            topics: Topics::default(),
            batches: Batches::new(options, kept_bytes_max),
            memory: Memory::new(config.buffer_memory_bytes),
            made: 0,
            untold: 0,
            flushes: Vec::new(),
            flushes_made: 0,
            config,
        }
    }

    /// Batches whose records have not been told how they ended.
    pub(crate) const fn untold(&self) -> u64 {
        self.untold
    }

    /// Whether somebody waits for batches to be gone, so that none should linger.
    pub(crate) const fn is_flushing(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// Adds a record to the last batch of its partition, or to a new one if that is full.
    #[inline]
    pub(crate) fn append(&mut self, now: Ticks, at: PartitionRef, record: &SizedRecord<'_>, token: T) -> Append<T> {
        if let Some(id) = self.last_open(at) {
            if self.has_room(id, record.bytes) {
                return self.append_to(id, record, token);
            }
            self.seal(id);
        }
        self.append_new(now, at, record, token)
    }

    #[inline]
    fn append_to(&mut self, id: BatchId, sized: &SizedRecord<'_>, token: T) -> Append<T> {
        let SizedRecord { record, headers, .. } = *sized;
        let batch = self.batches.at_mut(id);
        let Content::Open(builder) = &mut batch.content else { unreachable!("the last open batch is open") };
        let before = builder.size_uncompressed();
        if let Err(reason) = builder.append(record.timestamp.value(), record.key, record.value, headers) {
            return Append::Unwritable { token, reason };
        }
        let added = builder.size_uncompressed() - before;
        batch.slots.push(slot(record, token));
        let partition = batch.partition;
        self.topics.partition_mut(partition).records += 1;
        let is_full = self.is_full(id);
        self.count_sticky(partition, added, is_full);
        Append::Added { is_urgent: is_full }
    }

    fn append_new(&mut self, now: Ticks, at: PartitionRef, sized: &SizedRecord<'_>, token: T) -> Append<T> {
        let SizedRecord { record, headers, bytes } = *sized;
        let bytes = BatchHeader::SIZE + bytes;
        let reserved_bytes = u64::from(self.config.batch_bytes).min(self.memory.total_bytes()).max(bytes as u64);
        if !self.memory.take(reserved_bytes) {
            return Append::Full { token, bytes: reserved_bytes };
        }
        let limit_bytes = bytes.max(self.config.batch_bytes as usize);
        let mut builder = self.batches.builder(limit_bytes);
        if let Err(reason) = builder.append(record.timestamp.value(), record.key, record.value, headers) {
            self.memory.give(reserved_bytes);
            return Append::Unwritable { token, reason };
        }
        let added = builder.size_uncompressed();
        let mut slots = self.batches.slots();
        slots.push(slot(record, token));
        let partition = self.topics.partition_mut(at);
        let position = partition.records;
        partition.records += 1;
        let batch = Batch {
            position,
            slots,
            reserved_bytes,
            limit_bytes,
            ..Batch::new(at, self.made, now, Content::Open(builder))
        };
        let id = self.batches.insert(batch);
        partition.queue.push_back(id);
        partition.untold.push_back(id);
        self.made += 1;
        self.untold += 1;
        let is_full = self.is_full(id);
        self.count_sticky(at, added, is_full);
        Append::Added { is_urgent: true }
    }

    /// The batch that still takes records.
    fn last_open(&self, at: PartitionRef) -> Option<BatchId> {
        let last = *self.topics.partition(at).queue.back()?;
        self.batches.at(last).is_open().then_some(last)
    }

    /// Whether a record of at most so many bytes may be added. A batch that compresses well may outgrow what it is charged
    /// for, if there is memory to spare.
    fn has_room(&mut self, id: BatchId, bytes: usize) -> bool {
        let batch = self.batches.at(id);
        if batch.limit_bytes < self.estimate(id).saturating_add(bytes) {
            return false;
        }
        let missing = (batch.size_bytes() + bytes) as u64;
        let missing = missing.saturating_sub(batch.reserved_bytes);
        let more = missing.max(self.config.batch_bytes.into());
        if missing == 0 {
            return true;
        }
        let is_granted = self.memory.take(more);
        if is_granted {
            self.batches.at_mut(id).reserved_bytes += more;
        }
        is_granted
    }

    /// Whether a batch takes no more records.
    pub(crate) fn is_full(&self, id: BatchId) -> bool {
        let batch = self.batches.at(id);
        !batch.is_open() || batch.limit_bytes <= self.estimate(id)
    }

    /// What a batch will have on the wire, as far as one can tell.
    pub(crate) fn estimate(&self, id: BatchId) -> usize {
        let batch = self.batches.at(id);
        let size = batch.size_bytes();
        if !batch.is_open() || !self.config.codec.is_compressed() {
            return size;
        }
        let topic = self.topics.partition(batch.partition).topic;
        let records = size.saturating_sub(BatchHeader::SIZE);
        BatchHeader::SIZE + self.topics.topic(topic).ratio.estimate(records)
    }

    /// Whether no record can be added to any batch of a partition.
    fn is_all_full(&self, at: PartitionRef) -> bool {
        self.topics.partition(at).queue.back().is_none_or(|last| self.is_full(*last))
    }

    /// The partition that a record without a key goes to at present. `is_slow` says which brokers have not taken anything
    /// for too long.
    pub(crate) fn sticky_partition(
        &mut self,
        topic: TopicRef,
        random: u64,
        is_slow: impl Fn(NodeId) -> bool,
    ) -> PartitionIndex {
        let batch_bytes = u64::from(self.config.batch_bytes.max(1));
        if let Some(at) = self.topics.topic(topic).sticky.partition().and_then(|index| self.find(topic, index)) {
            // A batch that was not full when enough had been added may be gone by now.
            let is_full = self.is_all_full(at);
            self.topics.topic_mut(topic).sticky.add(0, batch_bytes, is_full);
        }
        if let Some(index) = self.topics.topic(topic).sticky.partition() {
            return index;
        }
        let chosen = self.choose_partition(topic, random, is_slow);
        self.topics.topic_mut(topic).sticky.set(chosen);
        chosen
    }

    fn choose_partition(&self, topic: TopicRef, random: u64, is_slow: impl Fn(NodeId) -> bool) -> PartitionIndex {
        let is_adaptive = self.config.adaptive_partitioning;
        let partitions = || self.topics.topic(topic).partitions.iter().map(|at| self.topics.partition(*at));
        let queue = |partition: &topics::Partition| Queue {
            partition: partition.index,
            batches: if is_adaptive { partition.queue.len() as u64 } else { 0 },
        };
        let led = || partitions().filter(|partition| partition.leader.is_some());
        let quick = || led().filter(|partition| !is_adaptive || !partition.leader.is_some_and(&is_slow));
        let near = quick().filter(|partition| self.config.rack_aware && partition.is_near);
        choose(near.map(queue), random)
            .or_else(|| choose(quick().map(queue), random))
            .or_else(|| choose(led().map(queue), random))
            .or_else(|| choose(partitions().map(queue), random))
            .unwrap_or(PartitionIndex::ZERO)
    }

    /// The partition of a topic with this number, if there is one.
    pub(crate) fn find(&self, topic: TopicRef, index: PartitionIndex) -> Option<PartitionRef> {
        self.topics.topic(topic).partitions.get(index.value() as usize).copied()
    }

    fn count_sticky(&mut self, at: PartitionRef, bytes: usize, is_full: bool) {
        let batch_bytes = self.config.batch_bytes.max(1).into();
        let partition = self.topics.partition(at);
        let (topic, index) = (partition.topic, partition.index);
        let topic = self.topics.topic_mut(topic);
        if topic.sticky.partition() == Some(index) {
            topic.sticky.add(bytes as u64, batch_bytes, is_full);
        }
    }

    /// Closes a batch and puts its bytes in order. One that cannot be written has its outcome afterwards.
    pub(crate) fn seal(&mut self, id: BatchId) {
        let mut bytes = self.batches.buffer();
        let batch = self.batches.at_mut(id);
        let Content::Open(builder) = core::mem::replace(&mut batch.content, Content::Gone) else {
            unreachable!("only an open batch is sealed");
        };
        let uncompressed_bytes = builder.size_uncompressed();
        let out = Arc::make_mut(&mut bytes);
        if !self.config.codec.is_compressed() {
            out.reserve_exact(uncompressed_bytes);
        }
        match builder.finish_into(out) {
            Ok(()) => {
                let size = bytes.len();
                let batch_bytes = u64::from(self.config.batch_bytes);
                let kept = batch.reserved_bytes.min(batch_bytes.max(size as u64)).max(size as u64);
                if batch.reserved_bytes < kept {
                    self.memory.take_over(kept - batch.reserved_bytes);
                } else {
                    self.memory.give(batch.reserved_bytes - kept);
                }
                batch.reserved_bytes = kept;
                batch.content = Content::Sealed(bytes);
                if self.config.codec.is_compressed() {
                    let topic = self.topics.partition(batch.partition).topic;
                    let records = [size, uncompressed_bytes].map(|size| size.saturating_sub(BatchHeader::SIZE));
                    self.topics.topic_mut(topic).ratio.observe(records[0], records[1]);
                }
            }
            Err(reason) => batch.outcome = Some(Outcome::Failed(crate::ProduceError::Unwritable { reason })),
        }
        self.batches.keep_builder(builder);
    }

    /// Puts a batch that has to be sent again back where it was.
    pub(crate) fn requeue(&mut self, id: BatchId) {
        let Self { batches, topics, .. } = self;
        let batch = batches.at(id);
        let queue = &mut topics.partition_mut(batch.partition).queue;
        let at = queue.partition_point(|other| batches.at(*other).position < batch.position);
        queue.insert(at, id);
    }

    /// A batch has ended. Its records are told by [`tell`](Self::tell), once all before them have been.
    pub(crate) fn end(&mut self, id: BatchId, outcome: Outcome) {
        let batch = self.batches.at_mut(id);
        let at = batch.partition;
        batch.outcome.get_or_insert(outcome);
        self.topics.partition_mut(at).queue.retain(|other| *other != id);
    }

    /// The next batch of a partition whose records are to be told how they ended.
    pub(crate) fn tell(&mut self, at: PartitionRef) -> Option<CompletedBatch<T>> {
        let id = *self.topics.partition(at).untold.front()?;
        let batch = self.batches.at_mut(id);
        let outcome = batch.outcome.take()?;
        batch.is_told = true;
        let slots = core::mem::take(&mut batch.slots);
        let (number, is_on_wire) = (batch.number, batch.is_on_wire);
        let partition = self.topics.partition_mut(at);
        partition.untold.pop_front();
        let index = partition.index;
        let topic = self.topics.name_of(at).clone();
        self.count_ended(number);
        if !is_on_wire {
            self.release(id);
        }
        Some(CompletedBatch::new(topic, index, outcome, slots))
    }

    /// Drops a batch and what it was charged for.
    pub(crate) fn release(&mut self, id: BatchId) {
        let batch = self.batches.remove(id);
        self.memory.give(batch.reserved_bytes);
        self.batches.keep_content(batch.content);
    }

    /// Somebody waits for every batch that there is.
    pub(crate) fn begin_flush(&mut self) -> FlushId {
        self.flushes_made += 1;
        let id = FlushId(self.flushes_made);
        self.flushes.push(Flush { id, end: self.made, left: self.untold });
        id
    }

    /// A flush whose batches have all ended.
    pub(crate) fn poll_flushed(&mut self) -> Option<FlushId> {
        let at = self.flushes.iter().position(|flush| flush.left == 0)?;
        Some(self.flushes.remove(at).id)
    }

    fn count_ended(&mut self, number: u64) {
        self.untold -= 1;
        self.flushes.iter_mut().filter(|flush| number < flush.end).for_each(|flush| flush.left -= 1);
    }

    /// A batch is `pieces` ones from now on.
    fn count_split(&mut self, number: u64, pieces: u64) {
        self.untold += pieces - 1;
        self.flushes.iter_mut().filter(|flush| number < flush.end).for_each(|flush| flush.left += pieces - 1);
    }
}

impl<T> Batch<T> {
    fn new(partition: PartitionRef, number: u64, created: Ticks, content: Content) -> Self {
        Self {
            partition,
            number,
            position: 0,
            created,
            retry_at: created,
            attempts: 0,
            sent_to: None,
            content,
            slots: Vec::new(),
            reserved_bytes: 0,
            limit_bytes: 0,
            stamp: None,
            is_piece: false,
            is_on_wire: false,
            is_uncertain: false,
            outcome: None,
            is_told: false,
        }
    }
}

/// A record with what is often asked about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizedRecord<'a> {
    pub(crate) record: &'a SerializedRecord<'a>,
    /// Its headers as batches take them.
    pub(crate) headers: &'a [HeaderView<'a>],
    /// How much it adds to a batch at most.
    pub(crate) bytes: usize,
}

impl SizedRecord<'_> {
    /// Size that a batch of this one record may have at most, as Kafka counts it, in bytes.
    pub(crate) fn batch_bytes(&self) -> u64 {
        let count_bytes = 1 + usize::BITS.saturating_sub((self.headers.len() >> 6).leading_zeros()).div_ceil(7);
        (BatchHeader::SIZE + self.bytes - 5).saturating_add(count_bytes as usize) as u64
    }
}

fn slot<T>(record: &SerializedRecord<'_>, token: T) -> Slot<T> {
    // A record fits a batch, whose size fits 31 bits.
    let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i32);
    Slot { token, timestamp: record.timestamp.value(), key_bytes: size(record.key), value_bytes: size(record.value) }
}
