//! A batch on its way: its records, who wants to know of them, and what has happened to it.

use std::sync::Arc;

use highwater_records::{BatchBuilder, BatchMut, ProducerStamp};
use highwater_types::{LeaderEpoch, NodeId, ProducerEpoch, ProducerId, Sequence, Ticks};

use super::topics::PartitionRef;
use crate::ProduceError;
use crate::output::Acknowledged;

/// Where a batch is in the [`Batches`](super::batches::Batches).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BatchId(pub(super) usize);

/// Who an idempotent producer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

/// What makes a batch one that a broker knows again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) base_sequence: Sequence,
}

impl Stamp {
    fn to_wire(self) -> ProducerStamp {
        ProducerStamp {
            producer_id: self.identity.id.to_wire(),
            producer_epoch: self.identity.epoch.to_wire(),
            base_sequence: self.base_sequence.to_wire(),
        }
    }
}

/// One record of a batch, but for its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Slot<T> {
    pub(crate) token: T,
    pub(crate) timestamp: i64,
    /// Sizes, -1 for null.
    pub(crate) key_bytes: i32,
    pub(crate) value_bytes: i32,
}

/// The bytes of a batch.
#[derive(Debug)]
pub(crate) enum Content {
    /// Takes records.
    Open(BatchBuilder),
    /// Takes none. Whoever sends it shares the bytes.
    Sealed(Arc<Vec<u8>>),
    /// Not any more.
    Gone,
}

/// How a batch ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Acknowledged(Acknowledged),
    Failed(ProduceError),
    /// Each record has an error of its own.
    Refused(Vec<ProduceError>),
}

#[derive(Debug)]
pub(crate) struct Batch<T> {
    pub(crate) partition: PartitionRef,
    /// How many batches were made before it. Pieces of a batch share its number.
    pub(crate) number: u64,
    /// How many records of the partition came before its first one: the order of batches.
    pub(crate) position: u64,
    pub(crate) created: Ticks,
    /// Not to be sent before.
    pub(crate) retry_at: Ticks,
    /// How often it was sent and has to be sent again.
    pub(crate) attempts: u32,
    /// Whom it was sent to last.
    pub(crate) sent_to: Option<(NodeId, Option<LeaderEpoch>)>,
    pub(crate) content: Content,
    pub(crate) slots: Vec<Slot<T>>,
    /// What it is charged for.
    pub(crate) reserved_bytes: u64,
    /// Size at which it is full.
    pub(crate) limit_bytes: usize,
    pub(crate) stamp: Option<Stamp>,
    /// Whether it was made of one that was too large.
    pub(crate) is_piece: bool,
    /// Whether a request with it has not been answered yet.
    pub(crate) is_on_wire: bool,
    /// Whether a broker may have it under its present stamp.
    pub(crate) is_uncertain: bool,
    /// How it ended. Its records are told once all before them have been.
    pub(crate) outcome: Option<Outcome>,
    /// Whether its records have been told; it is only here until its request is answered.
    pub(crate) is_told: bool,
}

impl<T> Batch<T> {
    pub(crate) fn record_count(&self) -> u32 {
        // Offsets in a batch fit 31 bits.
        self.slots.len() as u32
    }

    /// Size on the wire; of an open one, without compression.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.content {
            Content::Open(builder) => builder.size_uncompressed(),
            Content::Sealed(bytes) => bytes.len(),
            Content::Gone => 0,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.content, Content::Open(_))
    }

    pub(crate) fn bytes(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.content {
            Content::Sealed(bytes) => Some(bytes),
            Content::Open(_) | Content::Gone => None,
        }
    }

    /// Sequence number after its last record.
    pub(crate) fn sequence_after(&self) -> Option<Sequence> {
        self.stamp.map(|stamp| stamp.base_sequence.plus(self.record_count()))
    }

    /// Sequence number of its last record.
    pub(crate) fn sequence_last(&self) -> Option<Sequence> {
        self.stamp.map(|stamp| stamp.base_sequence.plus(self.record_count().saturating_sub(1)))
    }

    /// Gives it a stamp, also in its bytes, which must be sealed. Costs a checksum; and a copy, if somebody still sends
    /// the old bytes.
    pub(crate) fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = Some(stamp);
        let Content::Sealed(bytes) = &mut self.content else { return };
        if let Ok(mut batch) = BatchMut::parse(Arc::<Vec<u8>>::make_mut(bytes)) {
            let is_transactional = batch.header().is_transactional();
            batch.set_producer(stamp.to_wire(), is_transactional);
        }
    }
}
