//! Requests that wait for their replicas (`acks=all`) or for a sync (`flush.messages`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use highwater_replication::leader::{Acknowledgement, Acks};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, Uuid};
use highwater_wire::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};

use crate::api::error_map::ToCode;
use crate::api::leader_hint::{LeaderHints, has_produce_hint};
use crate::api::parked::Parked;
use crate::api::request::{Cx, Outcome, Refused, ReplyTo};
use crate::net::{Out, Wake};
use crate::partition::{Awaited, Partition};

/// Answers that wait, in the order of their requests.
pub(crate) struct ParkedProduce {
    answers: VecDeque<PendingAnswer>,
}

pub(super) struct PendingAnswer {
    pub(super) to: ReplyTo,
    pub(super) topics: Vec<PendingTopic>,
    /// Partitions whose records are not synced yet, or whose replicas are not there yet.
    pub(super) waits: Vec<Wait>,
    /// When to give up on replicas; `None` once that has passed. A sync has no deadline: in Kafka it is part of the
    /// append.
    pub(super) deadline: Option<Instant>,
}

pub(super) struct PendingTopic {
    pub(super) name: String,
    pub(super) id: Uuid,
    pub(super) partitions: Vec<PartitionProduceResponse<'static>>,
}

pub(super) struct Wait {
    pub(super) partition: Arc<Partition>,
    pub(super) acks: Acks,
    /// The leader epoch in which they were appended.
    pub(super) epoch: LeaderEpoch,
    pub(super) end: Offset,
    pub(super) topic_at: usize,
    pub(super) partition_at: usize,
}

impl ParkedProduce {
    pub(super) fn new(answers: Vec<PendingAnswer>) -> Self {
        Self { answers: answers.into() }
    }

    /// Watches the partitions of the first answer, and looks once more in case one has moved in between.
    pub(super) fn park(mut self, cx: &Cx<'_>) -> Outcome {
        let deadline = self.answers.front().and_then(|answer| answer.deadline);
        if let Some(answer) = self.answers.front_mut() {
            answer.waits.iter().for_each(|wait| wait.partition.watch(Awaited::Committed, cx.peer.token()));
            answer.settle();
            if answer.waits.is_empty() {
                cx.node.wakers.wake(cx.peer.token());
            }
        }
        Outcome::Park { parked: Parked::Produce(Box::new(self)), deadline }
    }
}

impl PendingAnswer {
    /// Drops the waits that are over.
    fn settle(&mut self) {
        let Self { topics, waits, .. } = self;
        waits.retain(|wait| {
            let acknowledgement =
                wait.partition.lock().and_then(|locked| locked.acknowledge(wait.acks, wait.epoch, wait.end));
            let error = match acknowledgement {
                Ok(Acknowledgement::Wait) => return true,
                Ok(Acknowledgement::Ready) => return false,
                Ok(Acknowledgement::Refused(error)) => error.code(),
                Err(error) => error.to_code(),
            };
            fail(topics, wait, error);
            false
        });
    }

    /// Fails the waits that are too late: those for replicas, and when the broker stops those for a sync too.
    fn give_up(&mut self, why: Wake) {
        let Self { topics, waits, deadline, .. } = self;
        *deadline = None;
        waits.retain(|wait| {
            let is_syncing = || wait.partition.lock().is_ok_and(|locked| locked.awaits_sync(wait.end));
            if why != Wake::Stopping && is_syncing() {
                return true;
            }
            fail(topics, wait, ErrorCode::RequestTimedOut);
            false
        });
    }

    fn send(self, cx: &Cx<'_>, out: &mut Out) -> Result<Outcome, Refused> {
        let mut hints = LeaderHints::new(cx);
        let responses = self
            .topics
            .into_iter()
            .map(|mut topic| {
                for partition in &mut topic.partitions {
                    if has_produce_hint(self.to.version, partition.error_code) {
                        let hint = hints.leader_of(&topic.name, topic.id, partition.index);
                        partition.current_leader = hint.into();
                    }
                }
                topic
            })
            .map(|topic| TopicProduceResponse {
                name: topic.name.into(),
                topic_id: topic.id,
                partition_responses: topic.partitions.into(),
                ..TopicProduceResponse::default()
            })
            .collect();
        let node_endpoints = hints.produce_endpoints().into();
        self.to.send(out, &ProduceResponse { responses, node_endpoints, ..ProduceResponse::default() })
    }
}

fn fail(topics: &mut [PendingTopic], wait: &Wait, code: ErrorCode) {
    let partition = topics.get_mut(wait.topic_at).and_then(|topic| topic.partitions.get_mut(wait.partition_at));
    if let Some(partition) = partition {
        partition.error_code = code as i16;
        partition.base_offset = -1;
        partition.log_append_time_ms = -1;
        partition.log_start_offset = -1;
    }
}

/// Answers what is settled by now.
pub(in crate::api) fn resume(
    cx: &mut Cx<'_>,
    mut parked: ParkedProduce,
    why: Wake,
    out: &mut Out,
) -> Result<Outcome, Refused> {
    while let Some(mut answer) = parked.answers.pop_front() {
        answer.settle();
        let is_late = answer.deadline.is_none_or(|deadline| deadline <= cx.now.instant);
        if why == Wake::Stopping || is_late {
            answer.give_up(why);
        }
        if !answer.waits.is_empty() {
            parked.answers.push_front(answer);
            return Ok(parked.park(cx));
        }
        answer.send(cx, out)?;
    }
    Ok(Outcome::Answered)
}
