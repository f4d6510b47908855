//! Which batches go into the next request.

use std::sync::Arc;

use highwater_types::{NodeId, Ticks};

use super::Request;
use crate::accumulator::{BatchId, PartitionRef};
use crate::output::{ProduceBatch, ProduceRequest};
use crate::{Output, Producer, ProducerConfig, RequestId};

/// Whether a partition has something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Nothing, or nothing before something else happens.
    Idle,
    /// Not before then.
    At(Ticks),
    /// Yes.
    Now,
}

impl<T> Producer<T> {
    /// The batch of a partition that is to be sent next, if its order and sequence numbers let it.
    fn candidate(&self, at: PartitionRef) -> Option<BatchId> {
        let partition = self.accumulator.topics.partition(at);
        // With one request at a time a partition has one batch at a time, on whatever broker it is.
        if self.accumulator.config.in_flight_max() == 1 && 0 < partition.on_wire {
            return None;
        }
        let first = *partition.queue.front()?;
        if self.idempotence.is_none() {
            return Some(first);
        }
        let identity = self.identity()?;
        let batches = &self.accumulator.batches;
        if partition.sequences.must_restart() {
            // Only to learn whether it is stored, under its old stamp; it gets a new one if it is not.
            let is_in_doubt = |id: &&BatchId| {
                let batch = batches.at(**id);
                batch.outcome.is_none() && batch.is_uncertain
            };
            return if partition.on_wire == 0 { partition.untold.iter().find(is_in_doubt).copied() } else { None };
        }
        let oldest = partition.untold.front().copied();
        if batches.at(first).stamp.is_some() {
            // A repeat waits until everything before it is settled.
            return (oldest == Some(first)).then_some(first);
        }
        let is_in_flight = oldest.is_some_and(|id| batches.at(id).stamp.is_some());
        // Brokers remember this many batches. One more, and they would not know the oldest again if it has to be repeated.
        let window = ProducerConfig::IDEMPOTENT_IN_FLIGHT_MAX as usize;
        // Those that were aborted unsent lie between.
        let outstanding = partition.untold.iter().map(|id| batches.at(*id));
        let outstanding = outstanding.take_while(|batch| batch.stamp.is_some() || batch.outcome.is_some());
        let is_window_full = window <= outstanding.filter(|batch| batch.stamp.is_some()).count();
        let must_wait = is_window_full
            || is_in_flight && !partition.sequences.is_established(identity)
            || partition.sequences.is_unresolved();
        (!must_wait).then_some(first)
    }

    /// Whether a partition's next batch is to be sent: it is full, has waited long enough, or is in somebody's way.
    pub(crate) fn readiness(&self, at: PartitionRef, now: Ticks) -> Readiness {
        let Some(id) = self.candidate(at) else { return Readiness::Idle };
        let batch = self.accumulator.batches.at(id);
        if now < batch.retry_at {
            return Readiness::At(batch.retry_at);
        }
        let linger_end = batch.created.plus_ms(self.accumulator.config.linger_ms);
        let is_ready = 0 < batch.attempts
            || linger_end <= now
            || self.accumulator.topics.partition(at).queue.len() > 1
            || self.accumulator.is_full(id)
            || self.accumulator.memory.is_exhausted()
            || self.accumulator.is_flushing()
            || self.is_closing();
        if is_ready { Readiness::Now } else { Readiness::At(linger_end) }
    }

    /// Whether a broker takes another request. If not, an input will say when it does.
    pub(crate) fn can_send(&self, node: NodeId) -> bool {
        let in_flight_max = self.accumulator.config.in_flight_max() as usize;
        self.nodes.get(&node).is_some_and(|node| node.is_connected && node.requests.len() < in_flight_max)
    }

    /// Sends whatever is ready.
    pub(crate) fn send_ready(&mut self, now: Ticks) {
        for index in 0..self.node_ids.len() {
            let Some(node) = self.node_ids.get(index).copied() else { break };
            while self.is_node_ready(node, now) {
                if !self.can_send(node) {
                    self.block(node, now);
                    break;
                }
                let batches = self.drain(node, now);
                if batches.is_empty() {
                    break;
                }
                self.request(now, node, batches);
            }
        }
    }

    fn is_node_ready(&self, node: NodeId, now: Ticks) -> bool {
        let partitions = self.nodes.get(&node).map(|node| node.partitions.as_slice()).unwrap_or_default();
        partitions.iter().any(|at| self.readiness(*at, now) == Readiness::Now)
    }

    /// A broker does not take what is ready for it.
    fn block(&mut self, id: NodeId, now: Ticks) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.blocked_since.get_or_insert(now);
        if !node.is_connected && !node.is_connecting {
            node.is_connecting = true;
            self.outputs.push_back(Output::Connect(id));
        }
    }

    /// The next batch of each partition that a broker leads, in turn, as far as `max.request.size` allows; of those that
    /// linger as well, since a request is sent anyway.
    fn drain(&mut self, id: NodeId, now: Ticks) -> Vec<BatchId> {
        let (count, first) = match self.nodes.get_mut(&id) {
            Some(node) => (node.partitions.len(), node.first),
            None => return Vec::new(),
        };
        let limit_bytes = self.accumulator.config.request_bytes_max as usize;
        let mut drained = Vec::new();
        let mut bytes = 0;
        for turn in 0..count {
            let index = (first + turn) % count;
            let Some(at) = self.nodes.get(&id).and_then(|node| node.partitions.get(index).copied()) else { break };
            let Some(batch) = self.candidate(at).filter(|id| self.accumulator.batches.at(*id).retry_at <= now) else {
                continue;
            };
            let size = self.accumulator.estimate(batch);
            if !drained.is_empty() && limit_bytes < bytes + size {
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.first = index;
                }
                break;
            }
            bytes += self.take(at, batch);
            if self.accumulator.batches.at(batch).outcome.is_none() {
                drained.push(batch);
            } else {
                // It cannot be compressed.
                self.tell(at);
            }
        }
        drained
    }

    /// Takes a batch out of its queue, closes and numbers it. Says its size.
    fn take(&mut self, at: PartitionRef, id: BatchId) -> usize {
        let identity = self.identity();
        let partition = self.accumulator.topics.partition_mut(at);
        partition.queue.retain(|other| *other != id);
        if self.accumulator.batches.at(id).is_open() {
            self.accumulator.seal(id);
        }
        let partition = self.accumulator.topics.partition_mut(at);
        let batch = self.accumulator.batches.at_mut(id);
        if batch.outcome.is_none() {
            batch.is_on_wire = true;
            batch.is_uncertain = true;
            batch.sent_to = partition.leader.map(|leader| (leader, partition.leader_epoch));
            partition.on_wire += 1;
            if let (Some(identity), None) = (identity, batch.stamp) {
                batch.set_stamp(partition.sequences.stamp(identity, batch.record_count()));
            }
        }
        batch.size_bytes()
    }

    fn request(&mut self, now: Ticks, node_id: NodeId, batches: Vec<BatchId>) {
        self.stats.requests += 1;
        let id = RequestId(self.stats.requests);
        let accumulator = &self.accumulator;
        let content = |id: &BatchId| {
            let batch = accumulator.batches.at(*id);
            let partition = accumulator.topics.partition(batch.partition).index;
            let topic = accumulator.topics.name_of(batch.partition).clone();
            ProduceBatch { topic, partition, bytes: batch.bytes().map(Arc::clone).unwrap_or_default() }
        };
        let contents: Vec<ProduceBatch> = batches.iter().map(content).collect();
        self.stats.batches += contents.len() as u64;
        self.stats.bytes += contents.iter().map(|batch| batch.bytes.len() as u64).sum::<u64>();
        let (acks, timeout_ms) = (accumulator.config.acks, accumulator.config.request_timeout_ms);
        if let Some(node) = self.nodes.get_mut(&node_id) {
            node.blocked_since = None;
            node.requests.push_back(id);
        }
        self.requests.insert(id, Request { node: node_id, sent: now, batches });
        self.outputs.push_back(Output::Send(ProduceRequest { id, node: node_id, acks, timeout_ms, batches: contents }));
    }
}
