//! Brokers: logs with leaders that move, and fetch sessions that are forgotten.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_consumer::{
    AbortedTransaction, FetchAnswer, FetchPartition, FetchRequest, FetchedPartition, ListOffsetsAnswer,
    ListOffsetsRequest, OffsetForLeaderEpochAnswer, OffsetForLeaderEpochRequest, OffsetSpec, PartitionUpdate,
};
use highwater_records::{BatchBuilder, BatchMut, BatchOptions, Codec, Compression, EndTxnMarker, ProducerStamp};
use highwater_types::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, TimestampMs, TopicPartition,
};

use crate::groups::topic;
use crate::judge::Judge;
use crate::random::Random;

pub(crate) struct Log {
    pub(crate) leader: u32,
    pub(crate) epoch: u32,
    /// Batches with their last offset.
    batches: Vec<(u64, Bytes)>,
    end: u64,
    aborted: Vec<(u64, u64, u64)>,
}

struct Session {
    id: i32,
    epoch: i32,
    partitions: BTreeMap<TopicPartition, FetchPartition>,
}

pub(crate) struct Brokers {
    pub(crate) logs: BTreeMap<TopicPartition, Log>,
    /// By process and broker.
    sessions: BTreeMap<(u64, u32), Session>,
    sessions_made: i32,
    pub(crate) error_percent: u64,
    pub(crate) is_committed_only: bool,
    pub(crate) count: u32,
}

impl Brokers {
    pub(crate) fn new(partitions: u32, count: u32, is_committed_only: bool, judge: &mut Judge) -> Self {
        let names = (0..partitions).map(|index| TopicPartition::new(topic(), PartitionIndex::new(index)));
        let log =
            |index: u32| Log { leader: index % count, epoch: 0, batches: Vec::new(), end: 0, aborted: Vec::new() };
        let logs: BTreeMap<TopicPartition, Log> = names.zip((0..).map(log)).collect();
        logs.keys().for_each(|name| drop(judge.visible.insert(name.clone(), Default::default())));
        let (sessions, sessions_made, error_percent) = (BTreeMap::new(), 0, 5);
        Self { logs, sessions, sessions_made, error_percent, is_committed_only, count }
    }

    pub(crate) fn metadata(&self) -> Vec<PartitionUpdate> {
        let known = self.logs.values().map(|log| PartitionUpdate {
            leader: Some(NodeId::new(log.leader)),
            leader_epoch: Some(LeaderEpoch::new(log.epoch)),
        });
        known.collect()
    }

    /// Somebody produces: a batch, or a transaction.
    pub(crate) fn produce(&mut self, random: &mut Random, judge: &mut Judge) {
        let at = random.between(0, self.logs.len() as u64 - 1) as usize;
        let (name, log) = self.logs.iter_mut().nth(at).unwrap();
        let visible = judge.visible.get_mut(name).unwrap();
        let producer = random.chance(40).then(|| random.between(1, 3));
        let is_aborted = producer.is_some() && random.chance(50);
        let first = log.end;
        for _ in 0..random.between(1, 2) {
            let count = random.between(1, 6);
            let compression = random.pick(&[Compression::NONE, Compression::new(Codec::Lz4)]);
            let stamp = producer.map_or(ProducerStamp::NONE, |id| ProducerStamp {
                producer_id: id as i64,
                producer_epoch: 0,
                base_sequence: 0,
            });
            let options = BatchOptions {
                base_offset: log.end as i64,
                leader_epoch: log.epoch as i32,
                compression,
                producer: stamp,
                transactional: producer.is_some(),
                ..BatchOptions::default()
            };
            let mut builder = BatchBuilder::new(options);
            let mut last = log.end;
            for offset in log.end..log.end + count {
                // Compaction leaves gaps, but never the first of these.
                if offset == log.end || random.chance(80) {
                    builder.append_at(offset as i64, 5, None, Some(format!("v{offset}").as_bytes()), &[]).unwrap();
                    last = offset;
                    if !is_aborted || !self.is_committed_only {
                        visible.insert(offset);
                    }
                }
            }
            log.end = last + 1;
            log.batches.push((last, builder.finish().unwrap().into()));
        }
        let Some(producer) = producer else { return };
        let marker = EndTxnMarker { committed: !is_aborted, coordinator_epoch: 0 };
        let mut bytes = marker.to_batch(producer as i64, 0, 0);
        BatchMut::parse(&mut bytes).unwrap().set_base_offset(log.end as i64);
        log.batches.push((log.end, bytes.into()));
        if is_aborted {
            log.aborted.push((producer, first, log.end));
        }
        log.end += 1;
    }

    pub(crate) fn move_leader(&mut self, random: &mut Random) {
        let at = random.between(0, self.logs.len() as u64 - 1) as usize;
        let log = self.logs.values_mut().nth(at).unwrap();
        log.leader = random.between(0, u64::from(self.count) - 1) as u32;
        log.epoch += 1;
    }

    fn check(&self, broker: u32, name: &TopicPartition, epoch: Option<LeaderEpoch>) -> ErrorCode {
        let log = &self.logs[name];
        let epoch = epoch.map_or(log.epoch, LeaderEpoch::value);
        match () {
            () if log.leader != broker => ErrorCode::NotLeaderOrFollower,
            () if epoch < log.epoch => ErrorCode::FencedLeaderEpoch,
            () if log.epoch < epoch => ErrorCode::UnknownLeaderEpoch,
            () => ErrorCode::None,
        }
    }

    pub(crate) fn list_offsets(&self, broker: u32, asked: &ListOffsetsRequest) -> Vec<ListOffsetsAnswer> {
        let answer = |asked: &highwater_consumer::ListOffsetsPartition| {
            let error = self.check(broker, &asked.partition, asked.leader_epoch);
            assert_eq!(asked.at, OffsetSpec::Earliest, "nobody asks for more");
            ListOffsetsAnswer {
                partition: asked.partition.clone(),
                error,
                offset: error.is_none().then_some(Offset::ZERO),
                timestamp: TimestampMs::NONE,
                leader_epoch: Some(LeaderEpoch::ZERO),
            }
        };
        asked.partitions.iter().map(answer).collect()
    }

    pub(crate) fn epochs(&self, broker: u32, asked: &OffsetForLeaderEpochRequest) -> Vec<OffsetForLeaderEpochAnswer> {
        let answer = |asked: &highwater_consumer::OffsetForLeaderEpochPartition| {
            let error = self.check(broker, &asked.partition, asked.current_leader_epoch);
            OffsetForLeaderEpochAnswer {
                partition: asked.partition.clone(),
                error,
                leader_epoch: error.is_none().then_some(asked.leader_epoch),
                end_offset: error.is_none().then_some(Offset::new(self.logs[&asked.partition].end)),
            }
        };
        asked.partitions.iter().map(answer).collect()
    }

    pub(crate) fn fetch(
        &mut self,
        random: &mut Random,
        process: u64,
        broker: u32,
        asked: &FetchRequest,
    ) -> FetchAnswer {
        let failed = |error| FetchAnswer { error, session: 0, partitions: Vec::new() };
        let key = (process, broker);
        let keeps_sessions = random.chance(90);
        if asked.session.epoch == 0 {
            self.sessions.remove(&key);
            self.sessions_made += 1;
            let session = Session { id: self.sessions_made, epoch: 0, partitions: BTreeMap::new() };
            assert!(asked.forgotten.is_empty(), "there is nothing to forget");
            self.sessions.insert(key, session);
        } else if random.chance(self.error_percent) {
            self.sessions.remove(&key);
        }
        let Some(session) = self.sessions.get_mut(&key) else { return failed(ErrorCode::FetchSessionIdNotFound) };
        if session.epoch != asked.session.epoch || (session.epoch != 0 && session.id != asked.session.id) {
            return failed(ErrorCode::InvalidFetchSessionEpoch);
        }
        session.epoch += 1;
        asked.forgotten.iter().for_each(|name| drop(session.partitions.remove(name)));
        session.partitions.extend(asked.partitions.iter().map(|asked| (asked.partition.clone(), asked.clone())));
        let id = if keeps_sessions || asked.session.epoch != 0 { session.id } else { 0 };
        let wanted: Vec<FetchPartition> = session.partitions.values().cloned().collect();
        if id == 0 {
            self.sessions.remove(&key);
        }
        let partitions = wanted.iter().map(|wanted| self.read(random, broker, wanted));
        let partitions = partitions.filter(|said| !said.error.is_none() || !said.records.is_empty() || id == 0);
        FetchAnswer { error: ErrorCode::None, session: id, partitions: partitions.collect() }
    }

    fn read(&self, random: &mut Random, broker: u32, wanted: &FetchPartition) -> FetchedPartition {
        let name = &wanted.partition;
        let log = &self.logs[name];
        let mut error = self.check(broker, name, wanted.leader_epoch);
        if error.is_none() && random.chance(self.error_percent) {
            error = random.pick(&[ErrorCode::UnknownTopicOrPartition, ErrorCode::KafkaStorageError]);
        }
        assert!(wanted.offset.value() <= log.end, "{name} ends at {}, before {}", log.end, wanted.offset);
        let mut said = FetchedPartition::new(name.topic.clone(), name.partition, error, Bytes::new());
        if !error.is_none() {
            let says = error == ErrorCode::NotLeaderOrFollower && random.chance(50);
            said.leader = says.then(|| (NodeId::new(log.leader), LeaderEpoch::new(log.epoch)));
            return said;
        }
        said.high_watermark = Some(Offset::new(log.end));
        said.last_stable = said.high_watermark;
        let most = random.between(1, 4) as usize;
        let from = log.batches.iter().skip_while(|(last, _)| *last < wanted.offset.value());
        let mut bytes: Vec<u8> = Vec::new();
        let mut to = 0;
        for (last, batch) in from.clone().take(most) {
            bytes.extend(batch);
            to = *last;
        }
        // The start of another.
        if let Some((_, next)) = from.clone().nth(most).filter(|_| random.chance(50)) {
            bytes.extend(&next[..random.between(0, next.len() as u64 - 1) as usize]);
        }
        let overlapping = log.aborted.iter().filter(|(_, first, end)| wanted.offset.value() <= *end && *first <= to);
        said.aborted = overlapping
            .map(|(producer, first, _)| AbortedTransaction {
                producer_id: ProducerId::new(*producer),
                first_offset: Offset::new(*first),
            })
            .collect();
        said.records = bytes.into();
        said
    }
}
