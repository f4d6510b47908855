//! Committed offsets.

use std::sync::Arc;

use highwater_coordinator::TransactionOutcome;
use highwater_types::{Offset, PartitionIndex, ProducerEpoch, ProducerId};

use crate::record::CommittedOffset;
use crate::shard::GroupStep;

/// The committed offsets of all groups of a shard.
#[derive(Debug, Default)]
pub(crate) struct Offsets {}

impl Offsets {
    /// Applies a plain commit, or its deletion, that lies at `at` in the log.
    pub(crate) fn apply(
        &mut self,
        _group: Arc<str>,
        _topic: Arc<str>,
        _partition: PartitionIndex,
        _at: Offset,
        _value: Option<CommittedOffset>,
    ) {
    }

    /// Applies a commit inside a transaction.
    #[expect(clippy::too_many_arguments, reason = "a key, a value and where they come from")]
    pub(crate) fn apply_pending(
        &mut self,
        _producer: ProducerId,
        _epoch: ProducerEpoch,
        _group: Arc<str>,
        _topic: Arc<str>,
        _partition: PartitionIndex,
        _at: Offset,
        _value: CommittedOffset,
    ) {
    }

    /// Applies the end of a transaction.
    pub(crate) fn apply_marker(&mut self, _producer: ProducerId, _epoch: ProducerEpoch, _outcome: TransactionOutcome) {}

    /// Deletes what is committed for topics that are gone.
    pub(crate) fn topics_deleted(&mut self, _topics: &[Arc<str>], _step: &mut GroupStep) {}
}
