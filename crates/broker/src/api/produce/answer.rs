//! From outcomes to answers.

use std::sync::Arc;
use std::time::Duration;

use highwater_log::AppendError;
use highwater_replication::leader::Acks;
use highwater_types::{ErrorCode, LeaderEpoch, Offset, TimestampMs};
use highwater_wire::messages::ProduceRequest;
use highwater_wire::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use highwater_wire::{Message, Reader};

use super::parked::{ParkedProduce, PendingAnswer, PendingTopic, Wait};
use super::staged::{Batch, Item, Staged};
use crate::api::error_map::ToCode;
use crate::api::leader_hint::{LeaderHints, has_produce_hint};
use crate::api::request::{Cx, Outcome, Refused};
use crate::net::Out;
use crate::partition::PartitionError;

/// What became of one partition's records.
pub(super) enum ItemOutcome {
    /// Nothing yet.
    Staged,
    Appended(Appended),
    Failed(Box<Failure>),
}

/// Records that are in the log.
pub(super) struct Appended {
    pub(super) base_offset: Offset,
    /// [`TimestampMs::NONE`] unless the topic stamps records itself.
    pub(super) append_time: TimestampMs,
    pub(super) log_start: Offset,
    /// Set if they have to be synced, or stored by replicas, before they are acknowledged.
    pub(super) wait_for: Option<(Acks, LeaderEpoch, Offset)>,
}

/// Records that are not in the log, or must not be acknowledged.
pub(super) struct Failure {
    code: ErrorCode,
    message: Option<String>,
    /// Index in the batch and reason, for records that are at fault themselves.
    records: Vec<(i32, Option<String>)>,
    log_start: Option<Offset>,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, message: Option<String>) -> Self {
        Self { code, message, records: Vec::new(), log_start: None }
    }

    pub(super) fn of_partition(error: &PartitionError) -> Self {
        Self::new(error.to_code(), None)
    }

    pub(super) fn of_append(error: &AppendError, log_start: Offset) -> Self {
        let records = match error {
            AppendError::Invalid(invalid) => invalid
                .rejected()
                .iter()
                .map(|record| (i32::try_from(record.index).unwrap_or(i32::MAX), Some(record.reason.to_string())))
                .collect(),
            _ => Vec::new(),
        };
        Self { code: error.error_code(), message: Some(error.to_string()), records, log_start: Some(log_start) }
    }
}

impl Batch<'_> {
    /// Answers the requests in order. If one has to wait, those behind it wait with it.
    pub(super) fn answer(mut self, cx: &mut Cx<'_>, out: &mut Out) -> Result<Outcome, Refused> {
        let mut pending = Vec::new();
        let mut outcome = Outcome::Answered;
        for request in &self.requests {
            let items = &mut self.items[request.parsed.items.clone()];
            if request.parsed.acks == 0 {
                // No answer is due, so the end of the connection is the only way to tell of a failure.
                if items.iter().any(|item| matches!(item.outcome, ItemOutcome::Failed(_))) {
                    outcome = Outcome::Close;
                    break;
                }
                continue;
            }
            let waits =
                items.iter().any(|item| matches!(&item.outcome, ItemOutcome::Appended(a) if a.wait_for.is_some()));
            if pending.is_empty() && !waits {
                send(cx, request, items, out)?;
            } else {
                pending.push(pend(request, items, cx)?);
            }
        }
        self.recycle(cx);
        match (pending.is_empty(), outcome) {
            (true, outcome) => Ok(outcome),
            // The failure of an unacknowledged request ends the connection, with what still waits before it.
            (false, Outcome::Close) => Ok(Outcome::Close),
            (false, _) => Ok(ParkedProduce::new(pending).park(cx)),
        }
    }
}

/// Answers a request whose partitions are all settled.
fn send(cx: &Cx<'_>, request: &Staged<'_>, items: &[Item], out: &mut Out) -> Result<(), Refused> {
    let body = body_of(request)?;
    let version = request.parsed.to.version;
    let mut hints = LeaderHints::new(cx);
    let mut items = items.iter();
    let responses = body
        .topic_data
        .iter()
        .map(|topic| TopicProduceResponse {
            partition_responses: topic
                .partition_data
                .iter()
                .zip(items.by_ref())
                .map(|(partition, item)| {
                    let response = partition_response(partition.index, &item.outcome);
                    if !has_produce_hint(version, response.error_code) {
                        return response;
                    }
                    let hint = hints.leader_of(&topic.name, topic.topic_id, partition.index);
                    PartitionProduceResponse { current_leader: hint.into(), ..response }
                })
                .collect(),
            name: topic.name,
            topic_id: topic.topic_id,
            ..TopicProduceResponse::default()
        })
        .collect();
    let node_endpoints = hints.produce_endpoints().into();
    request.parsed.to.send(out, &ProduceResponse { responses, node_endpoints, ..ProduceResponse::default() })?;
    Ok(())
}

/// Keeps the answer of a request until its partitions are settled.
fn pend(request: &Staged<'_>, items: &mut [Item], cx: &Cx<'_>) -> Result<PendingAnswer, Refused> {
    let body = body_of(request)?;
    let mut waits = Vec::new();
    let mut items = items.iter_mut();
    let topics = body
        .topic_data
        .iter()
        .enumerate()
        .map(|(topic_at, topic)| {
            let partitions = topic.partition_data.iter().zip(items.by_ref()).enumerate();
            let partitions = partitions
                .map(|(partition_at, (partition, item))| {
                    if let (ItemOutcome::Appended(appended), Some(waited)) = (&item.outcome, &item.partition)
                        && let Some((acks, epoch, end)) = appended.wait_for
                    {
                        let partition = Arc::clone(waited);
                        waits.push(Wait { partition, acks, epoch, end, topic_at, partition_at });
                    }
                    owned(partition_response(partition.index, &item.outcome))
                })
                .collect();
            PendingTopic { name: topic.name.into_owned(), id: topic.topic_id, partitions }
        })
        .collect();
    let timeout = Duration::from_millis(u64::try_from(request.parsed.timeout_ms).unwrap_or(0));
    Ok(PendingAnswer { to: request.parsed.to, topics, waits, deadline: Some(cx.now.instant + timeout) })
}

fn body_of<'r>(request: &'r Staged<'_>) -> Result<ProduceRequest<'r>, Refused> {
    let body = request.frame.get(request.parsed.body_at..).unwrap_or_default();
    Ok(ProduceRequest::decode(&mut Reader::new(body), request.parsed.to.version)?)
}

fn partition_response(index: i32, outcome: &ItemOutcome) -> PartitionProduceResponse<'_> {
    match outcome {
        ItemOutcome::Appended(appended) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset.to_wire(),
            log_append_time_ms: appended.append_time.value(),
            log_start_offset: appended.log_start.to_wire(),
            ..PartitionProduceResponse::default()
        },
        ItemOutcome::Failed(failure) => PartitionProduceResponse {
            index,
            error_code: failure.code as i16,
            base_offset: -1,
            log_start_offset: failure.log_start.map_or(-1, Offset::to_wire),
            record_errors: failure
                .records
                .iter()
                .map(|(batch_index, message)| BatchIndexAndErrorMessage {
                    batch_index: *batch_index,
                    batch_index_error_message: message.as_deref().map(Into::into),
                    ..BatchIndexAndErrorMessage::default()
                })
                .collect(),
            error_message: failure.message.as_deref().map(Into::into),
            ..PartitionProduceResponse::default()
        },
        ItemOutcome::Staged => PartitionProduceResponse {
            index,
            error_code: ErrorCode::UnknownServerError as i16,
            base_offset: -1,
            ..PartitionProduceResponse::default()
        },
    }
}

fn owned(response: PartitionProduceResponse<'_>) -> PartitionProduceResponse<'static> {
    PartitionProduceResponse {
        index: response.index,
        error_code: response.error_code,
        base_offset: response.base_offset,
        log_append_time_ms: response.log_append_time_ms,
        log_start_offset: response.log_start_offset,
        record_errors: response
            .record_errors
            .iter()
            .map(|record| BatchIndexAndErrorMessage {
                batch_index: record.batch_index,
                batch_index_error_message: record.batch_index_error_message.map(|text| text.into_owned().into()),
                ..BatchIndexAndErrorMessage::default()
            })
            .collect(),
        error_message: response.error_message.map(|text| text.into_owned().into()),
        ..PartitionProduceResponse::default()
    }
}
