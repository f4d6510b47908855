//! What takes too long, and what is given up.

use highwater_types::{NodeId, Ticks};

use crate::accumulator::{BatchId, Outcome, PartitionRef};
use crate::{Output, ProduceError, Producer};

impl<T> Producer<T> {
    /// Gives up what was not acknowledged within `delivery.timeout.ms`.
    pub(crate) fn expire(&mut self, now: Ticks) {
        let timeout_ms = self.accumulator.config.delivery_timeout_ms();
        for at in self.accumulator.topics.refs() {
            while let Some(id) = self.oldest(at).filter(|id| self.is_expired(*id, now)) {
                let partition = self.accumulator.topics.partition_mut(at);
                let batch = self.accumulator.batches.at(id);
                let was_sent = batch.is_on_wire || 0 < batch.attempts;
                if let Some(after) = batch.sequence_after().filter(|_| was_sent) {
                    partition.sequences.doubt(after);
                    self.is_gap_suspected = true;
                }
                self.stats.expiries += 1;
                let error = ProduceError::Expired {
                    records: batch.record_count(),
                    topic: self.accumulator.topics.name_of(at).clone(),
                    partition: self.accumulator.topics.partition(at).index,
                    waited_ms: now.ms_since(batch.created).max(timeout_ms),
                };
                self.accumulator.end(id, Outcome::Failed(error));
                self.tell(at);
            }
        }
    }

    fn oldest(&self, at: PartitionRef) -> Option<BatchId> {
        self.accumulator.topics.partition(at).untold.front().copied()
    }

    pub(crate) fn is_expired(&self, id: BatchId, now: Ticks) -> bool {
        self.expires_at(id) <= now
    }

    pub(crate) fn expires_at(&self, id: BatchId) -> Ticks {
        self.accumulator.batches.at(id).created.plus_ms(self.accumulator.config.delivery_timeout_ms())
    }

    /// Gives up the connections that have not answered within `request.timeout.ms`.
    pub(crate) fn time_out_requests(&mut self, now: Ticks) {
        for index in 0..self.node_ids.len() {
            let Some(node) = self.node_ids.get(index).copied() else { break };
            if self.request_deadline(node).is_some_and(|deadline| deadline <= now) {
                self.outputs.push_back(Output::Disconnect(node));
                self.disconnect(now, node);
            }
        }
    }

    /// When a broker's oldest request takes too long.
    pub(crate) fn request_deadline(&self, node: NodeId) -> Option<Ticks> {
        let oldest = self.nodes.get(&node)?.requests.front()?;
        let sent = self.requests.get(oldest)?.sent;
        Some(sent.plus_ms(self.accumulator.config.request_timeout_ms.into()))
    }

    /// Ends every batch, whatever it is waiting for.
    pub(crate) fn end_all(&mut self, outcome: impl Fn() -> Outcome) {
        self.end_some(|_, _| true, outcome);
    }

    /// Ends every batch that was never sent.
    pub(crate) fn end_unsent(&mut self, outcome: impl Fn() -> Outcome) {
        let is_unsent = |producer: &Self, id: BatchId| {
            let batch = producer.accumulator.batches.at(id);
            !batch.is_on_wire && batch.attempts == 0 && batch.stamp.is_none()
        };
        self.end_some(is_unsent, outcome);
    }

    fn end_some(&mut self, which: impl Fn(&Self, BatchId) -> bool, outcome: impl Fn() -> Outcome) {
        for at in self.accumulator.topics.refs() {
            for index in 0..self.accumulator.topics.partition(at).untold.len() {
                let Some(id) = self.accumulator.topics.partition(at).untold.get(index).copied() else { break };
                if which(self, id) {
                    self.accumulator.end(id, outcome());
                }
            }
            self.tell(at);
        }
    }

    /// Tells the records of a partition how they ended, as far as everything before them has.
    pub(crate) fn tell(&mut self, at: PartitionRef) {
        while let Some(completed) = self.accumulator.tell(at) {
            let records = completed.len() as u64;
            if completed.is_acknowledged() {
                self.stats.records_acknowledged += records;
            } else {
                self.stats.records_failed += records;
            }
            self.outputs.push_back(Output::Completed(completed));
        }
    }
}
