//! Writes the answer to a fetch.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use highwater_log::{AbortedTxn, FileHandle};
use highwater_wire::frame::encode_response;
use highwater_wire::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use highwater_wire::{Array, Records};

use super::ParkedFetch;
use super::read::{Ends, Limits, PartitionRead, Reads};
use super::want::PartitionKey;
use crate::api::leader_hint::{LeaderHints, has_fetch_hint};
use crate::api::request::{Cx, Outcome, Refused};
use crate::net::{Out, SendFile};
use crate::session::Report;

/// Encodes the answer, with the slices of files between its fields.
pub(super) fn send(cx: &Cx<'_>, fetch: ParkedFetch, reads: Reads, out: &mut Out) -> Result<Outcome, Refused> {
    let ParkedFetch { to, session, limits, .. } = fetch;
    cx.node.quotas.leader.record(cx.now.ticks(), reads.throttled_bytes);
    let reports: Vec<Report> = reads.partitions.iter().map(PartitionRead::report).collect();
    let keys: Vec<PartitionKey> = session.wanted().iter().map(|(key, _)| key.clone()).collect();
    let answer = session.answer(&cx.node.sessions, &reports, cx.node.uptime_ms(cx.now));
    let told: Vec<(&PartitionKey, &PartitionRead)> = keys
        .iter()
        .zip(&reads.partitions)
        .enumerate()
        .filter_map(|(index, told)| answer.includes(index).then_some(told))
        .collect();
    let mut hints = LeaderHints::new(cx);
    let responses = told
        .chunk_by(|(a, _), (b, _)| a.topic == b.topic)
        .map(|group| FetchableTopicResponse {
            topic: group[0].0.topic.name().into(),
            topic_id: group[0].0.topic.id(),
            partitions: group
                .iter()
                .map(|(key, read)| {
                    let data = partition(key.index, read, &limits);
                    match read {
                        PartitionRead::Failed(code) if has_fetch_hint(to.version, *code) => {
                            let hint = hints.leader_of(key.topic.name(), key.topic.id(), key.index);
                            PartitionData { current_leader: hint.into(), ..data }
                        }
                        _ => data,
                    }
                })
                .collect(),
            ..FetchableTopicResponse::default()
        })
        .collect();
    let node_endpoints = hints.fetch_endpoints().into();
    let response =
        FetchResponse { session_id: answer.session_id, responses, node_endpoints, ..FetchResponse::default() };
    let external = encode_response(out.buf(), to.key, to.version, to.correlation_id, &response)?;
    // Whatever has records is told, so the slices and their places match.
    let slices = reads.partitions.into_iter().filter_map(|read| match read {
        PartitionRead::Records { slice, .. } if slice.length > 0 => {
            slice.file.map(|file| (file, slice.position, slice.length))
        }
        _ => None,
    });
    for (place, (file, position, length)) in external.iter().zip(slices) {
        out.file_at(place.position, Arc::new(Slices(file)), position, length);
    }
    Ok(Outcome::Answered)
}

fn partition(index: i32, read: &PartitionRead, limits: &Limits) -> PartitionData<'static> {
    let data = PartitionData {
        partition_index: index,
        // Empty, never null: librdkafka takes null for a broken message set.
        records: Records::Bytes(&[]),
        // Null tells that the client did not ask for committed records only.
        aborted_transactions: limits.committed_only.then(Array::new),
        ..PartitionData::default()
    };
    let bounded = |data: PartitionData<'static>, ends: Ends| PartitionData {
        high_watermark: ends.high_watermark.to_wire(),
        last_stable_offset: ends.last_stable.to_wire(),
        log_start_offset: ends.log_start.to_wire(),
        ..data
    };
    match read {
        PartitionRead::Failed(code) => PartitionData { error_code: *code as i16, high_watermark: -1, ..data },
        PartitionRead::Diverged { epoch, end, ends } => {
            let diverging_epoch =
                EpochEndOffset { epoch: epoch.to_wire(), end_offset: end.to_wire(), ..EpochEndOffset::default() };
            PartitionData { diverging_epoch, ..bounded(data, *ends) }
        }
        PartitionRead::Elsewhere { node, ends } => {
            PartitionData { preferred_read_replica: node.to_wire(), ..bounded(data, *ends) }
        }
        PartitionRead::Records { slice, aborted } => {
            let records = if slice.length > 0 { Records::External(slice.length) } else { Records::Bytes(&[]) };
            let aborted_transactions = limits.committed_only.then(|| aborted.iter().map(aborted_transaction).collect());
            PartitionData { records, aborted_transactions, ..bounded(data, Ends::of(slice)) }
        }
    }
}

fn aborted_transaction(txn: &AbortedTxn) -> AbortedTransaction<'static> {
    AbortedTransaction {
        producer_id: txn.producer.to_wire(),
        first_offset: txn.first.to_wire(),
        ..AbortedTransaction::default()
    }
}

/// A segment file, as the network sends it.
struct Slices(FileHandle);

impl SendFile for Slices {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_fd()
    }

    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buf, position)
    }
}
