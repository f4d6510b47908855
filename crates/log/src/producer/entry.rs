//! The state of one producer.

use highwater_types::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::entry::ProducerBatch;

/// Batches of a producer that are remembered, so that their repetition is recognised.
const BATCHES_MAX: usize = 5;

/// One producer, as far as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProducerEntry {
    pub(crate) epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote the last marker.
    pub(crate) coordinator_epoch: Option<u32>,
    /// Largest timestamp of the last batch or marker.
    pub(crate) last_timestamp: TimestampMs,
    /// First offset of the open transaction.
    pub(crate) txn_first: Option<Offset>,
    /// The last batches, oldest first.
    batches: [Option<BatchFacts>; BATCHES_MAX],
}

/// One batch, as far as duplicates are recognised by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchFacts {
    pub(crate) last_sequence: Sequence,
    pub(crate) last_offset: Offset,
    pub(crate) offset_delta: u32,
    pub(crate) timestamp: TimestampMs,
}

impl BatchFacts {
    pub(crate) fn first_sequence(&self) -> Sequence {
        // Modulo 2^31: adding the complement subtracts.
        let complement = (1u32 << 31) - (self.offset_delta & (i32::MAX as u32));
        self.last_sequence.plus(complement)
    }

    pub(crate) fn first_offset(&self) -> Offset {
        Offset::new(self.last_offset.value().saturating_sub(u64::from(self.offset_delta)))
    }
}

impl ProducerEntry {
    pub(crate) fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            coordinator_epoch: None,
            last_timestamp: TimestampMs::NONE,
            txn_first: None,
            batches: [None; BATCHES_MAX],
        }
    }

    /// The batch with exactly these sequences, if it is one of the last five of this epoch.
    pub(crate) fn find_duplicate(&self, batch: &ProducerBatch) -> Option<BatchFacts> {
        let (first, last) = batch.sequences.filter(|_| batch.epoch == self.epoch)?;
        let same = |facts: &&BatchFacts| facts.first_sequence() == first && facts.last_sequence == last;
        self.batches.iter().flatten().find(same).copied()
    }

    pub(crate) fn last_batch(&self) -> Option<BatchFacts> {
        self.batches.iter().rev().flatten().next().copied()
    }

    fn first_batch(&self) -> Option<BatchFacts> {
        self.batches.iter().flatten().next().copied()
    }

    /// Remembers a batch, forgetting the oldest of more than five.
    pub(crate) fn push_batch(&mut self, facts: BatchFacts) {
        match self.batches.iter().position(Option::is_none) {
            Some(free) => self.batches[free] = Some(facts),
            None => {
                self.batches.rotate_left(1);
                self.batches[BATCHES_MAX - 1] = Some(facts);
            }
        }
    }

    /// Moves to another epoch, whose sequences start anew.
    pub(crate) fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches = [None; BATCHES_MAX];
        }
    }

    pub(crate) fn summary(&self, id: ProducerId) -> ProducerSummary {
        let sequences = self.first_batch().zip(self.last_batch());
        ProducerSummary {
            producer_id: id,
            epoch: self.epoch,
            sequences: sequences
                .map(|(first, last)| SequenceRange { first: first.first_sequence(), last: last.last_sequence }),
            last_offset: self.last_batch().map(|batch| batch.last_offset),
            last_offset_delta: self.last_batch().map_or(0, |batch| batch.offset_delta),
            last_timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            txn_first_offset: self.txn_first,
        }
    }
}

/// What is known of one producer (DescribeProducers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerSummary {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// Sequences of the batches by which duplicates are recognised; `None` if only markers were seen.
    pub sequences: Option<SequenceRange>,
    /// Last offset of its last batch.
    pub last_offset: Option<Offset>,
    /// Records in its last batch, less one.
    pub last_offset_delta: u32,
    /// Largest timestamp of its last batch or marker, by which it expires.
    pub last_timestamp: TimestampMs,
    /// Epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<u32>,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<Offset>,
}

/// First and last sequence of one or more batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The first.
    pub first: Sequence,
    /// The last; smaller than the first after a wrap.
    pub last: Sequence,
}
