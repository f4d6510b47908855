//! What the producer asks of its driver, and tells it.

use std::sync::Arc;

use highwater_types::{NodeId, Offset, PartitionIndex, TimestampMs, TopicName};

use crate::accumulator::{Outcome, Slot, WaiterId};
use crate::{Acks, ProduceError, RecordMetadata};

/// Something to be done.
#[derive(Debug)]
pub enum Output<T> {
    /// Records have ended: tell whoever sent them.
    Completed(CompletedBatch<T>),
    /// Send a request, on the broker's connection and after those that went before.
    Send(ProduceRequest),
    /// Connect to a broker, and report when that is done.
    Connect(NodeId),
    /// Close the connection to a broker, which has not answered in time. Its requests have failed already.
    Disconnect(NodeId),
    /// Metadata of another topic are needed, from now on.
    WantTopic(TopicName),
    /// The metadata are not right any more: fetch them anew.
    RefreshMetadata,
    /// Get a producer id (InitProducerId, without a transactional id), and report it.
    InitProducerId,
    /// Somebody need not wait any more.
    Wake(WaiterId, Wake),
    /// All records that were sent before this flush have ended.
    Flushed(FlushId),
    /// The producer has nothing more to do, as asked for.
    Closed,
}

/// Why somebody need not wait any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Try again with [`send_after`](crate::Producer::send_after): what was missing is there.
    Ready,
    /// It took too long.
    TimedOut,
    /// The topic cannot be sent to: the broker says why.
    Refused(highwater_types::ErrorCode),
    /// The producer is closed.
    Closed,
}

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlushId(pub u64);

/// A Produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// To be given back with the answer.
    pub id: RequestId,
    /// The broker.
    pub node: NodeId,
    /// Whom the broker waits for. With [`Acks::Zero`] it does not answer: report when the request is sent.
    pub acks: Acks,
    /// How long the broker may wait, in milliseconds.
    pub timeout_ms: u32,
    /// One batch for each of some partitions.
    pub batches: Vec<ProduceBatch>,
}

/// One batch of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceBatch {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The batch as it goes onto the wire. Drop it when it is sent, so that its memory can be used again.
    pub bytes: Arc<Vec<u8>>,
}

/// Where a batch is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) base_offset: Option<Offset>,
    pub(crate) append_time: Option<TimestampMs>,
}

/// Records of one batch that have ended. An iterator over them, in order; dropping it early loses the others' tokens.
#[derive(Debug)]
pub struct CompletedBatch<T> {
    topic: TopicName,
    partition: PartitionIndex,
    outcome: Outcome,
    slots: Vec<Slot<T>>,
    position: usize,
}

impl<T> CompletedBatch<T> {
    pub(crate) fn new(topic: TopicName, partition: PartitionIndex, outcome: Outcome, mut slots: Vec<Slot<T>>) -> Self {
        // Taken from the end, so that the vector can be used again.
        slots.reverse();
        Self { topic, partition, outcome, slots, position: 0 }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The partition.
    #[must_use]
    pub const fn partition_index(&self) -> PartitionIndex {
        self.partition
    }

    /// Whether the brokers have the records.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }

    pub(crate) fn into_slots(self) -> Vec<Slot<T>> {
        self.slots
    }

    fn result(&self, slot: &Slot<T>, position: usize) -> Result<RecordMetadata, ProduceError> {
        match &self.outcome {
            Outcome::Acknowledged(acknowledged) => Ok(RecordMetadata {
                partition: self.partition,
                offset: acknowledged.base_offset.and_then(|base| base.checked_plus(position as u64)),
                timestamp: acknowledged.append_time.unwrap_or(TimestampMs(slot.timestamp)),
                key_bytes: u32::try_from(slot.key_bytes).ok(),
                value_bytes: u32::try_from(slot.value_bytes).ok(),
            }),
            Outcome::Failed(error) => Err(error.clone()),
            Outcome::Refused(errors) => Err(errors.get(position).cloned().unwrap_or(ProduceError::InvalidNeighbour)),
        }
    }
}

impl<T> Iterator for CompletedBatch<T> {
    type Item = (T, Result<RecordMetadata, ProduceError>);

    fn next(&mut self) -> Option<Self::Item> {
        let slot = self.slots.pop()?;
        let result = self.result(&slot, self.position);
        self.position += 1;
        Some((slot.token, result))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.slots.len(), Some(self.slots.len()))
    }
}

impl<T> ExactSizeIterator for CompletedBatch<T> {}
