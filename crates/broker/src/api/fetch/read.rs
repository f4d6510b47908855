//! Finds what there is for a fetch.

use std::sync::Arc;

use highwater_log::{ReadBound, ReadSlice};
use highwater_types::{ErrorCode, LeaderEpoch, Offset};
use highwater_wire::messages::FetchRequest;

use super::want::{PartitionKey, Want};
use crate::api::error_map::ToCode;
use crate::partition::Partition;
use crate::session::Report;

/// How much a fetch may and must return, and how far it may see.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    min_bytes: u64,
    max_bytes: u32,
    pub(super) committed_only: bool,
}

/// What one partition has for a fetch.
pub(super) enum PartitionRead {
    Failed(ErrorCode),
    /// The client's last epoch ended here, before its offset: it has records that we do not have.
    Diverged {
        epoch: LeaderEpoch,
        end: Offset,
        ends: Ends,
    },
    Records(ReadSlice),
}

/// The offsets that bound a partition.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) high_watermark: Offset,
    pub(super) last_stable: Offset,
    pub(super) log_start: Offset,
}

impl PartitionRead {
    /// What a fetch session has to know of it.
    pub(super) fn report(&self) -> Report {
        match self {
            Self::Failed(_) => Report { high_watermark: -1, log_start: -1, has_error: true, ..Report::default() },
            Self::Diverged { ends, .. } => Report { has_news: true, ..ends.report() },
            Self::Records(slice) => Report { has_records: slice.length > 0, ..Ends::of(slice).report() },
        }
    }
}

impl Ends {
    pub(super) fn of(slice: &ReadSlice) -> Self {
        Self { high_watermark: slice.high_watermark, last_stable: slice.last_stable, log_start: slice.log_start }
    }

    fn report(self) -> Report {
        Report {
            high_watermark: self.high_watermark.to_wire(),
            log_start: self.log_start.to_wire(),
            ..Report::default()
        }
    }
}

/// What there is for a fetch, partition by partition.
pub(super) struct Reads {
    pub(super) partitions: Vec<PartitionRead>,
    bytes: u64,
    at_once: bool,
}

impl Limits {
    pub(super) fn of(body: &FetchRequest<'_>, bytes_max: u32) -> Self {
        let max_bytes = u32::try_from(body.max_bytes).unwrap_or(0).min(bytes_max);
        Self {
            // More than fits an answer would never be there.
            min_bytes: u64::try_from(body.min_bytes).unwrap_or(0).min(u64::from(max_bytes)),
            max_bytes,
            committed_only: body.isolation_level == READ_COMMITTED,
        }
    }

    fn bound(&self) -> ReadBound {
        if self.committed_only { ReadBound::LastStable } else { ReadBound::HighWatermark }
    }
}

impl Reads {
    /// Reads every partition in the order asked for.
    ///
    /// The first batch of the first partition that has any is returned whatever its size, so that a client with small
    /// limits makes progress (KIP-74); everything else stays within the limits.
    pub(super) fn collect(
        wanted: &[(PartitionKey, Want)],
        targets: &[Result<Arc<Partition>, ErrorCode>],
        limits: &Limits,
    ) -> Self {
        let mut reads = Self { partitions: Vec::with_capacity(wanted.len()), bytes: 0, at_once: wanted.is_empty() };
        for ((key, want), target) in wanted.iter().zip(targets) {
            let left = u64::from(limits.max_bytes).saturating_sub(reads.bytes);
            let max_bytes = want.max_bytes.min(u32::try_from(left).unwrap_or(u32::MAX));
            let read = match target {
                Ok(partition) => read(partition, want, max_bytes, reads.bytes == 0, limits.bound()),
                Err(code) => Err(*code),
            };
            let read = read.unwrap_or_else(|code| {
                PartitionRead::Failed(match code {
                    // It was there when the fetch began.
                    ErrorCode::UnknownTopicOrPartition if target.is_ok() => key.topic.unknown(),
                    code => code,
                })
            });
            match &read {
                PartitionRead::Records(slice) => reads.bytes += u64::from(slice.length),
                PartitionRead::Failed(_) | PartitionRead::Diverged { .. } => reads.at_once = true,
            }
            reads.partitions.push(read);
        }
        reads
    }

    /// Whether the answer is due before the fetch's time is over.
    pub(super) fn is_enough(&self, limits: &Limits) -> bool {
        self.at_once || limits.min_bytes <= self.bytes
    }
}

fn read(
    partition: &Partition,
    want: &Want,
    max_bytes: u32,
    min_one: bool,
    bound: ReadBound,
) -> Result<PartitionRead, ErrorCode> {
    let mut locked = partition.lock().map_err(|error| error.to_code())?;
    locked.check_epoch(want.current_leader_epoch).map_err(|error| error.to_code())?;
    let offset = Offset::from_wire(want.offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    if let Some(last_fetched) = LeaderEpoch::from_wire(want.last_fetched_epoch) {
        let log = locked.log();
        let (epoch, end) =
            log.epochs().end_offset_for(last_fetched, log.log_end()).ok_or(ErrorCode::OffsetOutOfRange)?;
        if epoch < last_fetched || end < offset {
            let ends = Ends {
                high_watermark: log.high_watermark(),
                last_stable: log.last_stable(),
                log_start: log.log_start(),
            };
            return Ok(PartitionRead::Diverged { epoch, end, ends });
        }
    }
    let mut slice = locked.read(offset, max_bytes, min_one, bound).map_err(|error| error.to_code())?;
    if slice.first_entry_incomplete {
        // Less than one batch is of no use to anyone.
        slice.file = None;
        slice.length = 0;
    }
    Ok(PartitionRead::Records(slice))
}

const READ_COMMITTED: i8 = 1;
