//! Finds what there is for a fetch.

use std::sync::Arc;

use highwater_log::{AbortedTxn, ReadBound, ReadSlice};
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
    Records {
        slice: ReadSlice,
        /// What a reader of committed records has to leave out; empty for others.
        aborted: Vec<AbortedTxn>,
    },
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
            Self::Records { slice, .. } => Report { has_records: slice.length > 0, ..Ends::of(slice).report() },
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
                PartitionRead::Records { slice, .. } => reads.bytes += u64::from(slice.length),
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
    let aborted = match bound {
        ReadBound::LastStable => locked.with_log(|log| log.aborted_transactions(offset, &slice)),
        ReadBound::HighWatermark | ReadBound::LogEnd => Ok(Vec::new()),
    };
    Ok(PartitionRead::Records { slice, aborted: aborted.map_err(|error| error.to_code())? })
}

const READ_COMMITTED: i8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use highwater_log::{AppendOrigin, AppendSet, CheckedLogConfig, DirOptions, LogDir, MemDisk, OpenedDir};
    use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, ProducerStamp};
    use highwater_replication::leader::{Leader, LeaderConfig, LeaderSetup, RecoveryState, Ticks};
    use highwater_types::{
        DirectoryId, NodeId, PartitionEpoch, PartitionIndex, TimestampMs, TopicName, TopicPartition, Uuid,
    };

    use super::super::want::TopicKey;
    use crate::partition::Directory;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    /// The only replica of a partition, on a disk in memory.
    fn partition() -> Arc<Partition> {
        let options = DirOptions { recovery_threads: 1, now: NOW };
        let config = |_: &TopicPartition| CheckedLogConfig::default();
        let opened = LogDir::open(MemDisk::new().shared(), Path::new("/logs"), options, &config);
        let OpenedDir { dir, .. } = opened.unwrap();
        let name = TopicPartition::new(TopicName::new("t").unwrap(), PartitionIndex::new(0));
        let log = dir.create_log(&name, None, CheckedLogConfig::default(), NOW).unwrap();
        let (events, _) = crossbeam_channel::bounded(1);
        let directory = Arc::new(Directory::new(dir, DirectoryId(Uuid::METADATA_TOPIC), 1, events));
        let node = NodeId::new(1);
        let setup = LeaderSetup {
            node,
            leader_epoch: LeaderEpoch::new(0),
            partition_epoch: PartitionEpoch::new(0),
            replicas: vec![node],
            isr: vec![node],
            recovery: RecoveryState::Recovered,
            log_end: Offset::ZERO,
            high_watermark: Offset::ZERO,
            config: LeaderConfig::default(),
        };
        let leader = Leader::new(setup, Ticks(0));
        Arc::new(Partition::new(name, directory, log, leader, NOW))
    }

    fn append(partition: &Partition, mut bytes: Vec<u8>, origin: AppendOrigin) {
        let mut sets = [AppendSet::new(&mut bytes, origin)];
        partition.lock().unwrap().append(&mut sets, NOW).unwrap();
        sets[0].take_result().unwrap();
    }

    fn batch(producer: ProducerStamp, transactional: bool) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions { producer, transactional, ..BatchOptions::default() });
        builder.append(NOW.value(), None, Some(b"value"), &[]).unwrap();
        builder.finish().unwrap()
    }

    fn fetch(partition: &Arc<Partition>, offset: i64, committed_only: bool) -> (Reads, Limits) {
        let limits = Limits { min_bytes: 1, max_bytes: 1 << 20, committed_only };
        let want = Want { offset, max_bytes: 1 << 20, current_leader_epoch: -1, last_fetched_epoch: -1 };
        let key = PartitionKey { topic: TopicKey::Name("t".into()), index: 0 };
        (Reads::collect(&[(key, want)], &[Ok(Arc::clone(partition))], &limits), limits)
    }

    /// Bytes found, the aborted transactions by producer and first offset, and whether they end the wait.
    fn found(partition: &Arc<Partition>, offset: i64, committed_only: bool) -> (u32, Vec<(i64, i64)>, bool) {
        let (reads, limits) = fetch(partition, offset, committed_only);
        let [PartitionRead::Records { slice, aborted }] = &reads.partitions[..] else { panic!("records") };
        let aborted = aborted.iter().map(|txn| (txn.producer.to_wire(), txn.first.to_wire()));
        (slice.length, aborted.collect(), reads.is_enough(&limits))
    }

    #[test]
    fn a_fetch_of_committed_records_waits_until_the_transaction_has_ended() {
        let partition = partition();
        let transactional = batch(ProducerStamp { producer_id: 7, producer_epoch: 0, base_sequence: 0 }, true);
        let plain = batch(ProducerStamp::NONE, false);
        let size = u32::try_from(transactional.len()).unwrap();
        append(&partition, transactional, AppendOrigin::Client);
        append(&partition, plain.clone(), AppendOrigin::Client);
        let both = size + u32::try_from(plain.len()).unwrap();
        assert_eq!(found(&partition, 0, false), (both, vec![], true));
        assert_eq!(found(&partition, 0, true), (0, vec![], false));
        let marker = EndTxnMarker { committed: false, coordinator_epoch: 0 }.to_batch(7, 0, NOW.value());
        let all = both + u32::try_from(marker.len()).unwrap();
        append(&partition, marker, AppendOrigin::Coordinator);
        assert_eq!(found(&partition, 0, true), (all, vec![(7, 0)], true));
        assert_eq!(found(&partition, 0, false), (all, vec![], true), "others do not ask what was aborted");
        assert_eq!(found(&partition, 3, true), (0, vec![], false));
    }
}
