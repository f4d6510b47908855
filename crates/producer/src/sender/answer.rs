//! What becomes of a batch that is answered.

use std::sync::Arc;

use highwater_types::{ErrorCode, NodeId, Sequence, Ticks};

use crate::accumulator::{BatchId, Outcome};
use crate::output::Acknowledged;
use crate::sequences::Sequences;
use crate::{Acks, PartitionAnswer, ProduceError, Producer, RequestId};

impl<T> Producer<T> {
    /// A request is answered.
    pub(crate) fn handle_answer(&mut self, now: Ticks, id: RequestId, answers: &[PartitionAnswer]) {
        for (number, batch) in self.end_request(id).into_iter().enumerate() {
            let partition = self.accumulator.topics.partition(self.accumulator.batches.at(batch).partition);
            let topic = &self.accumulator.topics.topic(partition.topic).name;
            let is_for = |answer: &&PartitionAnswer| answer.partition == partition.index && answer.topic == *topic;
            // Brokers answer in the order of the request.
            let answer = answers.get(number).filter(is_for).or_else(|| answers.iter().find(is_for));
            match answer {
                Some(answer) => self.answer(now, batch, answer),
                // Nobody knows what has become of it.
                None => self.answer_code(now, batch, ErrorCode::NetworkException),
            }
        }
    }

    /// A request is answered as a whole, or never will be.
    pub(crate) fn handle_failure(&mut self, now: Ticks, id: RequestId, code: ErrorCode) {
        let batches = self.end_request(id);
        batches.into_iter().for_each(|batch| self.answer_code(now, batch, code));
    }

    /// A request that nobody will answer is on its way.
    pub(crate) fn handle_sent(&mut self, now: Ticks, id: RequestId) {
        if self.accumulator.config.acks == Acks::Zero {
            self.handle_failure(now, id, ErrorCode::None);
        }
    }

    /// Whatever a broker has not answered, it will not.
    pub(crate) fn disconnect(&mut self, now: Ticks, node: NodeId) {
        let requests = match self.nodes.get_mut(&node) {
            Some(node) => {
                (node.is_connected, node.is_connecting) = (false, false);
                core::mem::take(&mut node.requests)
            }
            None => return,
        };
        // Oldest first.
        requests.into_iter().for_each(|id| self.handle_failure(now, id, ErrorCode::NetworkException));
    }

    /// The batches of a request, which is in flight no more. None if it was not: the answer comes too late.
    fn end_request(&mut self, id: RequestId) -> Vec<BatchId> {
        let Some(request) = self.requests.remove(&id) else { return Vec::new() };
        if let Some(node) = self.nodes.get_mut(&request.node) {
            node.requests.retain(|other| *other != id);
            node.blocked_since = None;
        }
        request.batches
    }

    fn answer_code(&mut self, now: Ticks, id: BatchId, code: ErrorCode) {
        let partition = self.accumulator.topics.partition(self.accumulator.batches.at(id).partition);
        let topic = self.accumulator.topics.topic(partition.topic).name.clone();
        let answer = PartitionAnswer::new(topic, partition.index, code);
        self.answer(now, id, &answer);
    }

    /// What a broker, or the network, says of a batch.
    fn answer(&mut self, now: Ticks, id: BatchId, answer: &PartitionAnswer) {
        let batch = self.accumulator.batches.at_mut(id);
        batch.is_on_wire = false;
        let (at, is_told, has_ended) = (batch.partition, batch.is_told, batch.outcome.is_some());
        let acked = batch.stamp.zip(batch.sequence_last());
        let partition = self.accumulator.topics.partition_mut(at);
        partition.on_wire -= 1;
        if let Some((stamp, last)) = acked.filter(|_| answer.error.is_none()) {
            partition.sequences.acked(stamp.identity, last);
        }
        if let Some((leader, epoch)) = answer.leader {
            self.learn_leader(now, at, leader, epoch);
        }
        if needs_metadata(answer.error) {
            self.refresh_metadata();
        }
        if is_told {
            self.accumulator.release(id);
        } else if !has_ended {
            self.judge(now, id, answer);
            self.tell(at);
        }
    }

    fn judge(&mut self, now: Ticks, id: BatchId, answer: &PartitionAnswer) {
        let batch = self.accumulator.batches.at(id);
        match answer.error {
            // The broker has it, but has forgotten where.
            ErrorCode::DuplicateSequenceNumber if batch.stamp.is_some() => {
                self.accumulator.end(id, Outcome::Acknowledged(Acknowledged { base_offset: None, append_time: None }));
            }
            ErrorCode::None => {
                let (base_offset, append_time) = (answer.base_offset, answer.append_time);
                self.accumulator.end(id, Outcome::Acknowledged(Acknowledged { base_offset, append_time }));
            }
            ErrorCode::MessageTooLarge if 1 < batch.record_count() => {
                self.stats.splits += 1;
                self.accumulator.split(id);
            }
            code if self.can_retry(now, id) && self.is_worth_retrying(id, answer) => {
                self.retry(now, id, code);
            }
            code => self.fail(id, code, answer),
        }
    }

    fn can_retry(&self, now: Ticks, id: BatchId) -> bool {
        self.accumulator.batches.at(id).attempts < self.accumulator.config.retries && !self.is_expired(id, now)
    }

    /// Whether the same batch may be taken another time; demands a new epoch if it will not be taken in this one.
    fn is_worth_retrying(&mut self, id: BatchId, answer: &PartitionAnswer) -> bool {
        let batch = self.accumulator.batches.at_mut(id);
        let (Some(stamp), code) = (batch.stamp, answer.error) else { return answer.error.is_retriable() };
        let sequences = &mut self.accumulator.topics.partition_mut(batch.partition).sequences;
        let is_gap = match code {
            // The broker has forgotten the producer. It takes a new epoch from zero on.
            ErrorCode::UnknownProducerId => answer.log_start.is_some(),
            ErrorCode::OutOfOrderSequenceNumber => is_gap(sequences, stamp.base_sequence),
            _ => return code.is_retriable(),
        };
        batch.is_uncertain = false;
        if is_gap {
            sequences.demand_restart();
            self.is_gap_suspected = true;
        }
        true
    }

    fn retry(&mut self, now: Ticks, id: BatchId, code: ErrorCode) {
        self.stats.retries += 1;
        let random = self.random.bits();
        let batch = self.accumulator.batches.at_mut(id);
        batch.attempts += 1;
        let partition = self.accumulator.topics.partition(batch.partition);
        let has_moved = partition.leader.is_some()
            && batch.sent_to != partition.leader.map(|leader| (leader, partition.leader_epoch))
            && code != ErrorCode::OutOfOrderSequenceNumber;
        // Another leader need not be spared.
        let wait_ms = if has_moved { 0 } else { self.backoff.wait_ms(batch.attempts, random) };
        batch.retry_at = now.plus_ms(wait_ms);
        self.accumulator.requeue(id);
    }

    fn fail(&mut self, id: BatchId, code: ErrorCode, answer: &PartitionAnswer) {
        let batch = self.accumulator.batches.at(id);
        if let Some(after) = batch.sequence_after() {
            let sequences = &mut self.accumulator.topics.partition_mut(batch.partition).sequences;
            if code.is_retriable() {
                // It may be stored: what follows will tell.
                sequences.doubt(after);
            } else {
                // It is not, so that what follows has a gap before it.
                sequences.demand_restart();
            }
            self.is_gap_suspected = true;
        }
        let message = answer.message.clone();
        let outcome = if answer.record_errors.is_empty() {
            Outcome::Failed(ProduceError::Broker { code, message })
        } else {
            let count = batch.record_count() as usize;
            let mut errors = vec![ProduceError::InvalidNeighbour; count];
            for (index, said) in &answer.record_errors {
                if let Some(error) = errors.get_mut(*index as usize) {
                    let message = said.clone().or_else(|| message.clone());
                    *error = ProduceError::InvalidRecord { message: message.unwrap_or_else(|| Arc::from(code.name())) };
                }
            }
            Outcome::Refused(errors)
        };
        let is_idempotent = batch.stamp.is_some();
        self.accumulator.end(id, outcome);
        if is_idempotent && is_fatal(code) {
            self.fail_for_good(code);
        }
    }
}

/// Whether a batch that is out of order can never be in order: nothing that is still under way will fill the gap.
fn is_gap(sequences: &Sequences, base: Sequence) -> bool {
    if sequences.is_unresolved() { sequences.is_next_unresolved(base) } else { sequences.is_next(base) }
}

/// Whether metadata may be out of date: Kafka's `InvalidMetadataException` and its kind.
fn needs_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::NetworkException
            | ErrorCode::KafkaStorageError
            | ErrorCode::ListenerNotFound
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::PreferredLeaderNotAvailable
            | ErrorCode::EligibleLeadersNotAvailable
            | ErrorCode::ElectionNotNeeded
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
    )
}

/// Whether an idempotent producer can never send again.
fn is_fatal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::ProducerFenced
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidProducerIdMapping
    )
}
