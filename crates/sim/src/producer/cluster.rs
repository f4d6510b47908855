//! The brokers: who leads, what is stored, and whom they know.

use std::collections::{BTreeMap, VecDeque};

use highwater_producer::{PartitionAnswer, PartitionUpdate, ProduceBatch, TopicUpdate};
use highwater_records::{BatchView, DecompressLimit, ProducerStamp};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicName};

use crate::Random;
use crate::producer::plan::Plan;

/// One partition. Every replica has the same, since this is about the producer: a leader forgets nothing.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) leader: Option<u64>,
    pub(super) epoch: u32,
    /// When it got this leader.
    pub(super) led_since_ms: u64,
    /// Records, by number.
    pub(super) log: Vec<u64>,
    producers: BTreeMap<i64, ProducerState>,
}

/// What a broker knows of a producer.
#[derive(Debug)]
struct ProducerState {
    epoch: i16,
    last_sequence: i32,
    /// The last five batches: first and last sequence number, and offset.
    batches: VecDeque<(i32, i32, u64)>,
}

/// All brokers.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) topics: Vec<(TopicName, Vec<Partition>)>,
    /// Which brokers run.
    pub(super) is_up: Vec<bool>,
    batch_bytes_max: u64,
    pub(super) error_percent: u64,
}

/// The numbers of the records in a batch, each with whether it is a bad one.
pub(super) fn records_of(batch: &[u8]) -> Vec<(u64, bool)> {
    let view = BatchView::parse(batch).expect("a producer sends whole batches");
    view.check_crc().expect("a producer sends batches with their checksums");
    let mut records = view.records(DecompressLimit::default()).expect("a producer sends batches that can be read");
    let mut numbers = Vec::new();
    while let Some(record) = records.next_record().expect("a producer sends records that can be read") {
        let value = record.value.expect("the application sends no null");
        let (number, rest) = value.split_first_chunk().expect("a value begins with its number");
        numbers.push((u64::from_be_bytes(*number), rest.first() == Some(&1)));
    }
    numbers
}

impl Cluster {
    pub(super) fn new(plan: &Plan) -> Self {
        let partition = |number: u64| Partition {
            leader: Some(number % plan.brokers),
            epoch: 0,
            led_since_ms: 0,
            log: Vec::new(),
            producers: BTreeMap::new(),
        };
        let topic = |(number, count): (usize, &u64)| {
            let name = TopicName::new(&format!("topic-{number}")).expect("a legal name");
            (name, (0..*count).map(partition).collect())
        };
        Self {
            topics: plan.topics.iter().enumerate().map(topic).collect(),
            is_up: (0..plan.brokers).map(|_| true).collect(),
            batch_bytes_max: plan.batch_bytes_max,
            error_percent: plan.error_percent,
        }
    }

    /// What metadata say of a topic.
    pub(super) fn describe(&self, name: &TopicName) -> TopicUpdate {
        let partitions = self.topics.iter().find(|(other, _)| other == name).map(|(_, partitions)| partitions);
        let partition = |partition: &Partition| PartitionUpdate {
            leader: partition.leader.map(node),
            leader_epoch: Some(LeaderEpoch::new(partition.epoch)),
            leader_rack: None,
        };
        let partitions = partitions.map(|partitions| partitions.iter().map(partition).collect());
        TopicUpdate { name: name.clone(), id: None, partitions: partitions.ok_or(ErrorCode::UnknownTopicOrPartition) }
    }

    pub(super) fn partition(&self, name: &TopicName, index: PartitionIndex) -> &Partition {
        let (_, partitions) = self.topics.iter().find(|(other, _)| other == name).expect("there is such a topic");
        &partitions[index.value() as usize]
    }

    pub(super) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.topics.iter_mut().flat_map(|(_, partitions)| partitions)
    }

    /// A broker answers for one batch of a request.
    pub(super) fn produce(&mut self, random: &mut Random, broker: u64, batch: &ProduceBatch) -> PartitionAnswer {
        let mut answer = PartitionAnswer::new(batch.topic.clone(), batch.partition, ErrorCode::None);
        let (error_percent, batch_bytes_max) = (self.error_percent, self.batch_bytes_max);
        let (_, partitions) =
            self.topics.iter_mut().find(|(other, _)| *other == batch.topic).expect("there is such a topic");
        let partition = &mut partitions[batch.partition.value() as usize];
        let records = records_of(&batch.bytes);
        if partition.leader != Some(broker) {
            answer.error = ErrorCode::NotLeaderOrFollower;
            let hint = partition.leader.map(|leader| (node(leader), LeaderEpoch::new(partition.epoch)));
            answer.leader = hint.filter(|_| random.chance(50));
            return answer;
        }
        if batch_bytes_max < batch.bytes.len() as u64 {
            answer.error = ErrorCode::MessageTooLarge;
            return answer;
        }
        if records.iter().any(|(_, is_bad)| *is_bad) {
            answer.error = ErrorCode::InvalidRecord;
            if random.chance(70) {
                let bad = (0..).zip(&records).filter(|(_, (_, is_bad))| *is_bad);
                answer.record_errors = bad.map(|(index, _)| (index, None)).collect();
            }
            return answer;
        }
        let has_error = random.chance(error_percent);
        if has_error && random.chance(50) {
            answer.error = random.pick(&[
                ErrorCode::NotEnoughReplicas,
                ErrorCode::KafkaStorageError,
                ErrorCode::NotLeaderOrFollower,
                ErrorCode::UnknownTopicOrPartition,
            ]);
            return answer;
        }
        let stamp = BatchView::parse(&batch.bytes).expect("it was read before").header().producer();
        match partition.append(stamp, &records) {
            Ok(offset) => answer.base_offset = Some(Offset::new(offset)),
            Err(error) => answer.error = error,
        }
        if has_error && answer.error.is_none() {
            answer.base_offset = None;
            answer.error = random.pick(&[
                ErrorCode::RequestTimedOut,
                ErrorCode::NotEnoughReplicasAfterAppend,
                ErrorCode::NotLeaderOrFollower,
            ]);
        }
        answer
    }
}

impl Partition {
    /// Stores a batch, unless it is there already or comes out of order. Says where it is.
    fn append(&mut self, stamp: ProducerStamp, records: &[(u64, bool)]) -> Result<u64, ErrorCode> {
        let offset = self.log.len() as u64;
        let first = stamp.base_sequence;
        let after = |sequence: i32, records: i64| ((i64::from(sequence) + records) & i64::from(i32::MAX)) as i32;
        let last = after(first, records.len() as i64 - 1);
        if stamp.producer_id != -1 {
            let epoch = stamp.producer_epoch;
            if let Some(known) = self.producers.get(&stamp.producer_id) {
                let is_same = |batch: &&(i32, i32, u64)| (batch.0, batch.1) == (first, last);
                match known.batches.iter().find(is_same) {
                    Some((_, _, offset)) if known.epoch == epoch => return Ok(*offset),
                    _ if epoch < known.epoch => return Err(ErrorCode::InvalidProducerEpoch),
                    _ if known.epoch < epoch && first != 0 => return Err(ErrorCode::OutOfOrderSequenceNumber),
                    _ if known.epoch == epoch && first != after(known.last_sequence, 1) => {
                        return Err(ErrorCode::OutOfOrderSequenceNumber);
                    }
                    _ => {}
                }
            }
            let known = self.producers.entry(stamp.producer_id).or_insert_with(|| ProducerState {
                epoch,
                last_sequence: 0,
                batches: VecDeque::new(),
            });
            if known.epoch != epoch {
                known.batches.clear();
            }
            (known.epoch, known.last_sequence) = (epoch, last);
            known.batches.push_back((first, last, offset));
            if 5 < known.batches.len() {
                known.batches.pop_front();
            }
        }
        self.log.extend(records.iter().map(|(number, _)| *number));
        Ok(offset)
    }
}

pub(super) fn node(broker: u64) -> NodeId {
    NodeId::new(u32::try_from(broker).expect("there are few brokers"))
}
