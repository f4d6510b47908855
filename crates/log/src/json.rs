//! A log's state as JSON, with the `json` feature.

use highwater_types::Offset;
use serde_json::{Value, json};

use crate::index::AbortedTxn;
use crate::log::{LogState, SegmentState};
use crate::producer::ProducerSummary;

/// A log's state as a JSON object.
///
/// Offsets and times are numbers, `-1` where there is none; index entries and batches are arrays of numbers: `[offset,
/// position]`, `[timestamp, offset]`, and `[position, size, base offset, last offset, largest timestamp]`.
#[must_use]
pub fn state_json(state: &LogState) -> Value {
    json!({
        "log_start_offset": state.log_start.value(),
        "log_end_offset": state.log_end.value(),
        "recovery_point": state.recovery_point.value(),
        "high_watermark": state.high_watermark.value(),
        "last_stable_offset": state.last_stable.value(),
        "segments": state.segments.iter().map(segment).collect::<Vec<_>>(),
        "leader_epochs": state.epochs.iter().map(|e| json!([e.epoch.value(), e.start.value()])).collect::<Vec<_>>(),
        "producers": state.producers.iter().map(producer).collect::<Vec<_>>(),
        "producer_map_end_offset": state.producers_end.value(),
    })
}

fn segment(segment: &SegmentState) -> Value {
    let offsets = segment.offset_index.iter().map(|(offset, position)| json!([offset.value(), position]));
    let times = segment.time_index.iter().map(|(timestamp, offset)| json!([timestamp.value(), offset.value()]));
    let batches = segment.batches.iter().map(|batch| {
        let base = batch.base_offset.map_or(-1, Offset::to_wire);
        json!([batch.position, batch.size, base, batch.last_offset.value(), batch.max_timestamp.value()])
    });
    json!({
        "base_offset": segment.base.value(),
        "size": segment.size,
        "next_offset": segment.next_offset.value(),
        "max_timestamp": segment.max_timestamp.value(),
        "offset_of_max_timestamp": segment.max_timestamp_offset.value(),
        "offset_index": offsets.collect::<Vec<_>>(),
        "time_index": times.collect::<Vec<_>>(),
        "offset_index_file_len": segment.offset_index_file_size,
        "time_index_file_len": segment.time_index_file_size,
        "log_file_len": segment.log_file_size,
        "aborted_txns": segment.aborted.iter().map(aborted).collect::<Vec<_>>(),
        "batches": batches.collect::<Vec<_>>(),
    })
}

fn aborted(txn: &AbortedTxn) -> Value {
    json!({
        "producer_id": txn.producer.value(),
        "first_offset": txn.first.value(),
        "last_offset": txn.last.value(),
        "last_stable_offset": txn.last_stable.value(),
    })
}

fn producer(producer: &ProducerSummary) -> Value {
    json!({
        "producer_id": producer.producer_id.value(),
        "epoch": producer.epoch.value(),
        "first_seq": producer.sequences.map_or(-1, |range| range.first.to_wire()),
        "last_seq": producer.sequences.map_or(-1, |range| range.last.to_wire()),
        "last_offset": producer.last_offset.map_or(-1, Offset::to_wire),
        "offset_delta": producer.last_offset_delta,
        "timestamp": producer.last_timestamp.value(),
        "coordinator_epoch": producer.coordinator_epoch.map_or(-1, i64::from),
        "current_txn_first_offset": producer.txn_first_offset.map_or(-1, Offset::to_wire),
    })
}
