//! A full description of a log's state, for tools and tests.

use highwater_types::{Offset, TimestampMs};

use super::Log;
use crate::epoch_cache::EpochEntry;
use crate::error::LogError;
use crate::index::AbortedTxn;
use crate::producer::ProducerSummary;
use crate::segment::Segment;

/// Everything that can be said of a log without decompressing records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The log start.
    pub log_start: Offset,
    /// The log end.
    pub log_end: Offset,
    /// First offset not known to be synced.
    pub recovery_point: Offset,
    /// The high watermark.
    pub high_watermark: Offset,
    /// The last stable offset.
    pub last_stable: Offset,
    /// All segments, oldest first.
    pub segments: Vec<SegmentState>,
    /// All leader epochs, oldest first.
    pub epochs: Vec<EpochEntry>,
    /// All producers, by ascending id.
    pub producers: Vec<ProducerSummary>,
    /// The offset up to which producers are known.
    pub producers_end: Offset,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// Base offset.
    pub base: Offset,
    /// Bytes of entries.
    pub size: u64,
    /// The offset after the last entry.
    pub next_offset: Offset,
    /// Largest timestamp of a batch.
    pub max_timestamp: TimestampMs,
    /// Last offset of the first batch that has it.
    pub max_timestamp_offset: Offset,
    /// Offset index: last offset of a batch, and its position.
    pub offset_index: Vec<(Offset, u32)>,
    /// Time index: largest timestamp so far, and last offset of its batch.
    pub time_index: Vec<(TimestampMs, Offset)>,
    /// Aborted transactions whose marker is in the segment, in the order of the markers.
    pub aborted: Vec<AbortedTxn>,
    /// Size of the log file in bytes.
    pub log_file_size: u64,
    /// Size of the offset index file in bytes.
    pub offset_index_file_size: u64,
    /// Size of the time index file in bytes.
    pub time_index_file_size: u64,
    /// Size of the transaction index file in bytes; `None` if there is none.
    pub txn_index_file_size: Option<u64>,
    /// The entries.
    pub batches: Vec<BatchState>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchState {
    /// Where it starts in the log file.
    pub position: u64,
    /// Its size in bytes.
    pub size: u64,
    /// First offset; `None` for v0 and v1, where only decompression tells.
    pub base_offset: Option<Offset>,
    /// Last offset.
    pub last_offset: Offset,
    /// Largest timestamp.
    pub max_timestamp: TimestampMs,
}

impl Log {
    /// Describes the whole state. Reads every index and every header.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`], [`LogError::Io`].
    pub fn describe(&self) -> Result<LogState, LogError> {
        Ok(LogState {
            log_start: self.log_start(),
            log_end: self.log_end(),
            recovery_point: self.recovery_point(),
            high_watermark: self.high_watermark(),
            last_stable: self.last_stable(),
            segments: self.segments.iter().map(describe_segment).collect::<Result<_, _>>()?,
            epochs: self.epochs.entries().to_vec(),
            producers: self.producers().collect(),
            producers_end: self.producers.end(),
        })
    }
}

fn describe_segment(segment: &Segment) -> Result<SegmentState, LogError> {
    let (max_timestamp, max_timestamp_offset) = segment.max_timestamp()?;
    let [log, offset_index, time_index] = segment.handles();
    let size = |(file, path): (crate::disk::FileHandle, std::path::PathBuf)| {
        file.size().map_err(LogError::io("inspect", &path))
    };
    let batch = |entry: Result<(u64, crate::entry::EntryInfo), LogError>| {
        let (position, info) = entry?;
        Ok(BatchState {
            position,
            size: info.size,
            base_offset: info.base,
            last_offset: info.last,
            max_timestamp: info.max_timestamp,
        })
    };
    Ok(SegmentState {
        base: segment.base(),
        size: segment.size(),
        next_offset: segment.end()?.0,
        max_timestamp,
        max_timestamp_offset,
        offset_index: segment.offset_index().entries()?,
        time_index: segment.time_index().entries()?,
        aborted: segment.txn_index().entries()?,
        log_file_size: size(log)?,
        offset_index_file_size: size(offset_index)?,
        time_index_file_size: size(time_index)?,
        txn_index_file_size: segment.txn_handle().map(size).transpose()?,
        batches: segment.scan(0).map(batch).collect::<Result<_, LogError>>()?,
    })
}
