//! What must be true, judged from outside the producer.

use std::collections::{BTreeMap, BTreeSet};

use highwater_producer::{Acks, CheckedProducerConfig, ProduceError, ProduceRequest, RecordMetadata};
use highwater_types::{PartitionIndex, TopicName};

use super::cluster::{Cluster, records_of};

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// When each record was taken that has not been told.
    taken: BTreeMap<u64, u64>,
    /// The last record that each partition has been told of.
    told: BTreeMap<(TopicName, PartitionIndex), u64>,
    pub(super) acknowledged: BTreeSet<u64>,
    read: BTreeMap<(TopicName, PartitionIndex), Read>,
}

/// What has been read of a log.
#[derive(Debug, Default)]
struct Read {
    records: usize,
    seen: BTreeSet<u64>,
    last: Option<u64>,
}

impl Judge {
    /// The producer has taken a record.
    pub(super) fn takes(&mut self, number: u64, now_ms: u64) {
        assert_eq!(self.taken.insert(number, now_ms), None, "numbers are given once");
    }

    /// Records that have not been told.
    pub(super) fn open(&self) -> usize {
        self.taken.len()
    }

    /// The producer tells how a record ended.
    pub(super) fn tells(
        &mut self,
        config: &CheckedProducerConfig,
        cluster: &Cluster,
        now_ms: u64,
        to: &(TopicName, PartitionIndex),
        number: u64,
        result: &Result<RecordMetadata, ProduceError>,
    ) {
        let taken_ms = self.taken.remove(&number);
        let taken_ms = taken_ms.unwrap_or_else(|| panic!("record {number} is told twice, or was never taken"));
        assert!(now_ms <= taken_ms + config.delivery_timeout_ms(), "record {number} took too long to fail");
        if let Some(before) = self.told.insert(to.clone(), number) {
            assert!(before < number, "record {number} is told after {before}");
        }
        let Ok(metadata) = result else { return };
        self.acknowledged.insert(number);
        if config.acks == Acks::Zero {
            return;
        }
        let log = &cluster.partition(&to.0, to.1).log;
        match metadata.offset {
            Some(offset) => {
                let there = usize::try_from(offset.value()).ok().and_then(|at| log.get(at));
                assert_eq!(there, Some(&number), "record {number} is not at its offset {offset}");
            }
            None => assert!(log.contains(&number), "record {number} is acknowledged and not stored"),
        }
    }

    /// The producer sends a request, with so many in flight to that broker already.
    pub(super) fn sends(config: &CheckedProducerConfig, request: &ProduceRequest, in_flight: u64) {
        assert!(in_flight < config.in_flight_max().into(), "{in_flight} requests are in flight already");
        assert!(!request.batches.is_empty(), "a request has batches");
        let bytes: usize = request.batches.iter().map(|batch| batch.bytes.len()).sum();
        let is_small = bytes <= config.request_bytes_max as usize;
        // What records compress to is an estimate until they are, and one batch goes whatever its size is.
        assert!(is_small || request.batches.len() == 1 || config.codec.is_compressed(), "{bytes} bytes in a request");
        let places: BTreeSet<_> = request.batches.iter().map(|batch| (&batch.topic, batch.partition)).collect();
        assert_eq!(places.len(), request.batches.len(), "one batch for each partition");
    }

    /// Logs hold no more than they should, in no other order. Looks at what is new in them.
    pub(super) fn reads(&mut self, config: &CheckedProducerConfig, cluster: &Cluster) {
        // Without answers nobody notices that one request overtakes another on the way to another leader.
        let is_ordered = config.is_idempotent() || config.in_flight_max() == 1 && config.acks != Acks::Zero;
        for (name, partitions) in &cluster.topics {
            for (index, partition) in (0..).map(PartitionIndex::new).zip(partitions) {
                let to = (name.clone(), index);
                let read = self.read.entry(to).or_default();
                for number in &partition.log[read.records..] {
                    let is_new = read.seen.insert(*number);
                    assert!(is_new || !config.is_idempotent(), "{name}-{index} has record {number} twice");
                    let is_later = !is_new || read.last < Some(*number);
                    assert!(is_later || !is_ordered, "{name}-{index} has record {number} after {:?}", read.last);
                    read.last = read.last.max(Some(*number));
                }
                read.records = partition.log.len();
            }
        }
    }

    /// A batch that a broker sees is one of records that were taken.
    pub(super) fn arrives(batch: &[u8], taken: u64) {
        let records = records_of(batch);
        assert!(records.iter().all(|(number, _)| *number < taken), "a record that nobody sent");
    }
}
