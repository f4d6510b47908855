//! The records: what was acknowledged stays, and what anybody could read is what everybody has.

use std::collections::BTreeMap;

use highwater_replication::fetcher::PartitionKey;
use highwater_types::{ErrorCode, LeaderEpoch, NodeId};

use super::super::log::{Log, Record};

/// Judges what becomes of records.
#[derive(Debug, Default)]
pub(in super::super) struct PartitionsJudge {
    partitions: BTreeMap<PartitionKey, Partition>,
    /// What producers were told, by the values that they sent.
    outcomes: BTreeMap<u64, ErrorCode>,
}

#[derive(Debug, Default)]
struct Partition {
    /// What was ever below a leader's high watermark.
    committed: Vec<Record>,
    /// Records that a producer was told of.
    acknowledged: u64,
    /// An unclean election has lost some of it, which was allowed. What is left to judge is the metadata.
    is_lost: bool,
    /// The last one in which a leader was elected uncleanly.
    unclean_epoch: Option<LeaderEpoch>,
    /// Processes that led, with their last high watermark.
    high_watermarks: BTreeMap<(NodeId, LeaderEpoch), u64>,
}

impl PartitionsJudge {
    /// Number of records that are committed.
    pub(in super::super) fn committed_end(&self, key: &PartitionKey) -> u64 {
        self.partitions.get(key).map_or(0, |partition| partition.committed.len() as u64)
    }

    /// Number of records that a producer was told of.
    pub(in super::super) fn acknowledged_count(&self, key: &PartitionKey) -> u64 {
        self.partitions.get(key).map_or(0, |partition| partition.acknowledged)
    }

    /// Whether records were lost, as an unclean election may.
    pub(in super::super) fn is_lost(&self, key: &PartitionKey) -> bool {
        self.partitions.get(key).is_some_and(|partition| partition.is_lost)
    }

    /// Whether a replica has everything that is committed.
    pub(in super::super) fn is_complete(&mut self, key: &PartitionKey, log: Option<&mut Log>) -> bool {
        let partition = self.partitions.entry(*key).or_default();
        let committed = partition.committed.len() as u64;
        match log {
            Some(log) => {
                partition.compare(log);
                committed <= log.matched
            }
            None => committed == 0,
        }
    }

    /// Nothing is promised any more of the records of this partition.
    pub(in super::super) fn lose(&mut self, key: &PartitionKey) {
        self.partitions.entry(*key).or_default().is_lost = true;
    }

    /// A leader was elected uncleanly. What leaders of earlier epochs commit from now on, not knowing of it, is lost.
    pub(in super::super) fn elected_uncleanly(&mut self, key: &PartitionKey, epoch: LeaderEpoch) {
        self.partitions.entry(*key).or_default().unclean_epoch = Some(epoch);
    }

    /// R5, R6, R8: what a replica shows is what is committed.
    pub(in super::super) fn check_replica(
        &mut self,
        key: &PartitionKey,
        node: NodeId,
        high_watermark: u64,
        log: &mut Log,
    ) {
        let partition = self.partitions.entry(*key).or_default();
        assert!(log.start() <= high_watermark, "R6: {node} begins at {} above {high_watermark}", log.start());
        assert!(high_watermark <= log.end(), "R6: {node} ends at {} below {high_watermark}", log.end());
        if !partition.is_lost {
            partition.compare(log);
            assert!(
                high_watermark <= log.matched,
                "R5, R8: {node} shows up to {high_watermark}, equal to {}",
                log.matched
            );
        }
    }

    /// R6: the high watermark of a leader rises; what it commits is committed.
    pub(in super::super) fn check_leader(
        &mut self,
        key: &PartitionKey,
        (node, epoch): (NodeId, LeaderEpoch),
        (high_watermark, is_known): (u64, bool),
        is_current: bool,
        log: &Log,
    ) {
        let partition = self.partitions.entry(*key).or_default();
        let last = partition.high_watermarks.insert((node, epoch), high_watermark).unwrap_or_default();
        assert!(last <= high_watermark, "R6: the high watermark of {node} goes from {last} to {high_watermark}");
        partition.commit(log, epoch, high_watermark);
        let committed = partition.committed.len() as u64;
        let is_visible = !is_current || !is_known || partition.is_lost || committed <= high_watermark;
        assert!(is_visible, "R6: {node} shows {high_watermark} of {committed}");
    }

    /// A leader says that everything before its high watermark is committed.
    pub(in super::super) fn committed(
        &mut self,
        key: PartitionKey,
        epoch: LeaderEpoch,
        log: &Log,
        high_watermark: u64,
    ) {
        self.partitions.entry(key).or_default().commit(log, epoch, high_watermark);
    }

    /// R4: a producer is told that its record is written.
    pub(in super::super) fn acknowledged(&mut self, key: PartitionKey, offset: u64, record: Record) {
        let partition = self.partitions.entry(key).or_default();
        partition.acknowledged += 1;
        self.outcomes.insert(record.value, ErrorCode::None);
        let committed = usize::try_from(offset).ok().and_then(|index| partition.committed.get(index));
        assert!(partition.is_lost || committed == Some(&record), "R4: {record:?} at {offset}, where {committed:?} is");
    }

    /// A producer is told something else.
    pub(in super::super) fn refused(&mut self, value: u64, code: ErrorCode) {
        self.outcomes.insert(value, code);
    }

    /// What a producer was told of its record; `None` for nothing.
    pub(in super::super) fn outcome(&self, value: u64) -> Option<ErrorCode> {
        self.outcomes.get(&value).copied()
    }

    /// R7: records were cut off.
    pub(in super::super) fn removed(&mut self, key: PartitionKey, node: NodeId, first: u64, removed: &[Record]) {
        let partition = self.partitions.entry(key).or_default();
        let committed = partition.committed.iter().skip(usize::try_from(first).expect("a small log"));
        for (offset, (committed, removed)) in (first..).zip(committed.zip(removed)) {
            assert!(partition.is_lost || committed != removed, "R7: {node} cuts off {removed:?} at {offset}");
        }
    }
}

impl Partition {
    /// Everything before the high watermark of a leader is committed.
    fn commit(&mut self, log: &Log, epoch: LeaderEpoch, high_watermark: u64) {
        let is_late = self.unclean_epoch.is_some_and(|unclean| epoch < unclean);
        self.is_lost |= is_late && log.matched < high_watermark;
        while !self.is_lost && (self.committed.len() as u64) < high_watermark {
            let offset = self.committed.len() as u64;
            self.committed.push(log.record(offset).expect("what was not committed was not deleted"));
        }
    }

    /// Finds how far a log is what is committed.
    fn compare(&self, log: &mut Log) {
        let end = log.end().min(self.committed.len() as u64);
        // What is deleted was the same, and nobody will ask for it.
        log.matched = log.matched.max(log.start().min(end));
        while log.matched < end {
            let committed = usize::try_from(log.matched).ok().and_then(|index| self.committed.get(index));
            if log.record(log.matched).as_ref() != committed {
                break;
            }
            log.matched += 1;
        }
    }
}
