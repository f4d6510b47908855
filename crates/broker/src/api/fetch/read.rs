//! Finds what there is for a fetch.

use std::sync::Arc;

use highwater_log::{AbortedTxn, ReadBound, ReadSlice};
use highwater_metadata::MetadataImage;
use highwater_replication::leader::{FollowerFetch, FollowerRefusal, Input};
use highwater_types::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};
use highwater_wire::messages::FetchRequest;

use super::want::{PartitionKey, Want};
use crate::api::error_map::ToCode;
use crate::api::request::Cx;
use crate::net::Wakers;
use crate::partition::{Awaited, Partition};
use crate::replica::Quota;
use crate::session::Report;

/// How much a fetch may and must return, and how far it may see.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    min_bytes: u64,
    max_bytes: u32,
    pub(super) committed_only: bool,
}

/// What readings need besides the partitions.
pub(super) struct ReadContext<'a> {
    pub(super) image: &'a MetadataImage,
    pub(super) wakers: &'a Wakers,
    /// What followers that are not in sync may take of throttled partitions.
    pub(super) leader_quota: &'a Quota,
    pub(super) now: Ticks,
}

/// Who fetches.
pub(super) enum Reader {
    /// A consumer, which sees what is committed.
    Consumer {
        /// Whether it may read from a follower, which it knows how to do since version 11 (KIP-392).
        from_follower: bool,
        /// Where it is, if it says so and is to be sent to a replica near by.
        rack: Option<String>,
    },
    /// Another replica, which sees everything.
    Replica {
        node: NodeId,
        /// Its registration, if it says.
        epoch: Option<BrokerEpoch>,
    },
}

impl Reader {
    /// What a fetch that finds too little waits for.
    pub(super) fn awaits(&self) -> Awaited {
        match self {
            Self::Consumer { .. } => Awaited::Committed,
            Self::Replica { .. } => Awaited::LogEnd,
        }
    }

    pub(super) fn of(cx: &Cx<'_>, body: &FetchRequest<'_>, version: i16) -> Self {
        let (node, epoch) = match NodeId::from_wire(body.replica_state.replica_id) {
            Some(node) => (Some(node), u64::try_from(body.replica_state.replica_epoch).ok().map(BrokerEpoch)),
            None => (NodeId::from_wire(body.replica_id), None),
        };
        match node {
            Some(node) => Self::Replica { node, epoch },
            None => Self::Consumer {
                from_follower: VERSION_WITH_RACK <= version,
                rack: (cx.node.settings.rack_aware && !body.rack_id.is_empty())
                    .then(|| body.rack_id.as_ref().to_owned()),
            },
        }
    }
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
    /// A replica nearer to the consumer has the records.
    Elsewhere {
        node: NodeId,
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
            Self::Diverged { ends, .. } | Self::Elsewhere { ends, .. } => Report { has_news: true, ..ends.report() },
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
    /// Those among them that count towards the leader's quota.
    pub(super) throttled_bytes: u64,
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

    fn bound(&self, reader: &Reader) -> ReadBound {
        match reader {
            Reader::Replica { .. } => ReadBound::LogEnd,
            Reader::Consumer { .. } if self.committed_only => ReadBound::LastStable,
            Reader::Consumer { .. } => ReadBound::HighWatermark,
        }
    }
}

impl Reads {
    /// Reads every partition in the order asked for.
    ///
    /// The first batch of the first partition that has any is returned whatever its size, so that a client with small
    /// limits makes progress (KIP-74); everything else stays within the limits.
    ///
    /// The first reading of a replica's fetch tells the leader where that replica is.
    pub(super) fn collect(
        context: &ReadContext<'_>,
        wanted: &[(PartitionKey, Want)],
        targets: &[Result<Arc<Partition>, ErrorCode>],
        limits: &Limits,
        reader: &Reader,
        is_first: bool,
    ) -> Self {
        let mut reads = Self {
            partitions: Vec::with_capacity(wanted.len()),
            bytes: 0,
            throttled_bytes: 0,
            at_once: wanted.is_empty(),
        };
        for ((key, want), target) in wanted.iter().zip(targets) {
            let left = u64::from(limits.max_bytes).saturating_sub(reads.bytes);
            let max_bytes = want.max_bytes.min(u32::try_from(left).unwrap_or(u32::MAX));
            let read = match target {
                Ok(partition) => {
                    let sought = Sought { want, max_bytes, min_one: reads.bytes == 0, bound: limits.bound(reader) };
                    read(context, partition, &sought, reader, is_first)
                }
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
                PartitionRead::Records { slice, .. } => {
                    reads.bytes += u64::from(slice.length);
                    if matches!((reader, target), (Reader::Replica { .. }, Ok(at)) if at.throttled().as_leader()) {
                        reads.throttled_bytes += u64::from(slice.length);
                    }
                }
                PartitionRead::Failed(_) | PartitionRead::Diverged { .. } | PartitionRead::Elsewhere { .. } => {
                    reads.at_once = true;
                }
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

/// What is sought in one partition.
struct Sought<'a> {
    want: &'a Want,
    max_bytes: u32,
    min_one: bool,
    bound: ReadBound,
}

fn read(
    context: &ReadContext<'_>,
    partition: &Partition,
    sought: &Sought<'_>,
    reader: &Reader,
    is_first: bool,
) -> Result<PartitionRead, ErrorCode> {
    let Sought { want, max_bytes, min_one, bound } = *sought;
    let locked = match reader {
        Reader::Consumer { from_follower: true, .. } => partition.lock(),
        Reader::Consumer { .. } | Reader::Replica { .. } => partition.lock_leader(),
    };
    let mut locked = locked.map_err(|error| error.to_code())?;
    let follower = match reader {
        Reader::Consumer { .. } => {
            locked.check_epoch(want.current_leader_epoch).map_err(|error| error.to_code())?;
            None
        }
        Reader::Replica { node, epoch } => {
            let fetch = FollowerFetch {
                node: *node,
                broker_epoch: *epoch,
                leader_epoch: LeaderEpoch::from_wire(want.current_leader_epoch),
                offset: Offset::from_wire(want.offset).ok_or(ErrorCode::OffsetOutOfRange)?,
                log_start: Offset::from_wire(want.log_start),
            };
            locked.leader().map_err(|error| error.to_code())?.check_follower(&fetch).map_err(FollowerRefusal::code)?;
            Some(fetch)
        }
    };
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
    if let Reader::Consumer { rack: Some(rack), .. } = reader
        && let Ok(leader) = locked.leader()
        && let Some(node) = leader.preferred_replica(offset, |node| {
            context.image.broker(node).is_some_and(|broker| broker.rack.as_ref() == Some(rack))
        })
    {
        let log = locked.log();
        let ends =
            Ends { high_watermark: log.high_watermark(), last_stable: log.last_stable(), log_start: log.log_start() };
        return Ok(PartitionRead::Elsewhere { node, ends });
    }
    let mut slice = locked.read(offset, max_bytes, min_one, bound).map_err(|error| error.to_code())?;
    let is_held_back = follower.is_some_and(|fetch| {
        let is_in_sync = locked.leader().is_ok_and(|leader| leader.isr().contains(&fetch.node));
        !is_in_sync && partition.throttled().as_leader() && context.leader_quota.is_exceeded(context.now)
    });
    if slice.first_entry_incomplete || is_held_back {
        // Less than one batch is of no use to anyone.
        slice.file = None;
        slice.length = 0;
    }
    let mut has_news = false;
    if let Some(fetch) = follower.filter(|_| is_first) {
        let (now, log_start) = (context.now, locked.log().log_start());
        let fed = locked.with_leader(now, |leader, now| {
            leader.log_start_raised(log_start);
            leader.handle(now, Input::FollowerFetch(fetch));
        });
        has_news = fed.is_some_and(|((), has_news)| has_news);
        slice.high_watermark = locked.log().high_watermark();
    }
    let aborted = match bound {
        ReadBound::LastStable => locked.with_log(|log| log.aborted_transactions(offset, &slice)),
        ReadBound::HighWatermark | ReadBound::LogEnd => Ok(Vec::new()),
    };
    drop(locked);
    if has_news {
        partition.wake_for_committed(context.wakers);
    }
    Ok(PartitionRead::Records { slice, aborted: aborted.map_err(|error| error.to_code())? })
}

/// The version in which consumers say where they are, and can be sent to a follower (KIP-392).
const VERSION_WITH_RACK: i16 = 11;
const READ_COMMITTED: i8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use highwater_log::{AppendOrigin, AppendSet, CheckedLogConfig, DirOptions, LogDir, MemDisk, OpenedDir};
    use highwater_metadata::StaticConfig;
    use highwater_records::{BatchBuilder, BatchOptions, EndTxnMarker, ProducerStamp};
    use highwater_replication::leader::{Leader, LeaderConfig, LeaderSetup, RecoveryState};
    use highwater_types::{
        DirectoryId, PartitionEpoch, PartitionIndex, TimestampMs, TopicId, TopicName, TopicPartition, Uuid,
    };

    use super::super::want::TopicKey;
    use crate::partition::{ControllerAsks, Directory, Role};
    use crate::replica::ReplicationQuotas;

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
        let (asks, _) = ControllerAsks::new();
        let topic_id = TopicId(Uuid::METADATA_TOPIC);
        Arc::new(Partition::new(name, topic_id, directory, log, Role::Leader(leader), asks, NOW))
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
        let want = Want { offset, max_bytes: 1 << 20, current_leader_epoch: -1, last_fetched_epoch: -1, log_start: -1 };
        let key = PartitionKey { topic: TopicKey::Name("t".into()), index: 0 };
        let (image, wakers) = (MetadataImage::empty("cluster", NodeId::new(1)), Wakers::new(1).unwrap());
        let quotas = ReplicationQuotas::new(&StaticConfig::default());
        let leader_quota = &quotas.leader;
        let context = ReadContext { image: &image, wakers: &wakers, leader_quota, now: Ticks(1) };
        let reader = Reader::Consumer { from_follower: false, rack: None };
        let targets = [Ok(Arc::clone(partition))];
        (Reads::collect(&context, &[(key, want)], &targets, &limits, &reader, true), limits)
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
