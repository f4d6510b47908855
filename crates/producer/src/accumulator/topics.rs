//! The topics and their partitions: who leads them, and what waits for them.

use std::collections::{BTreeMap, VecDeque};

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};

use super::batch::BatchId;
use super::compression_ratio::CompressionRatio;
use crate::partitioner::Sticky;
use crate::sequences::Sequences;

/// Where a topic is in the [`Topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TopicRef(usize);

/// Where a partition is in the [`Topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionRef(usize);

/// What metadata say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicUpdate {
    /// Its name.
    pub name: TopicName,
    /// Its id; `None` from brokers that know none.
    pub id: Option<TopicId>,
    /// Its partitions in order, or why there are none.
    pub partitions: Result<Vec<PartitionUpdate>, ErrorCode>,
}

/// What metadata say of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionUpdate {
    /// Who leads it, if anybody does.
    pub leader: Option<NodeId>,
    /// In which epoch, if the broker says.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Where the leader is, if the broker says.
    pub leader_rack: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    id: Option<TopicId>,
    pub(crate) partitions: Vec<PartitionRef>,
    /// Partitions with a leader, in ascending order.
    pub(crate) available: Vec<PartitionIndex>,
    pub(crate) sticky: Sticky,
    pub(crate) ratio: CompressionRatio,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: TopicRef,
    pub(crate) index: PartitionIndex,
    pub(crate) leader: Option<NodeId>,
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// Whether the leader is in this client's rack.
    pub(crate) is_near: bool,
    /// To be sent, in order; the last may be open.
    pub(crate) queue: VecDeque<BatchId>,
    /// Every batch whose records have not been told how they ended, in order; also those in the queue.
    pub(crate) untold: VecDeque<BatchId>,
    /// Batches in requests that have not been answered, also of those that have ended otherwise.
    pub(crate) on_wire: u32,
    /// Records so far.
    pub(crate) records: u64,
    pub(crate) sequences: Sequences,
}

/// Every topic that records were sent to, or that somebody wants to send to.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    names: BTreeMap<TopicName, TopicRef>,
    topics: Vec<Topic>,
    partitions: Vec<Partition>,
}

impl Topics {
    pub(crate) fn find(&self, name: &TopicName) -> Option<TopicRef> {
        self.names.get(name).copied()
    }

    pub(crate) fn topic(&self, at: TopicRef) -> &Topic {
        &self.topics[at.0]
    }

    pub(crate) fn topic_mut(&mut self, at: TopicRef) -> &mut Topic {
        &mut self.topics[at.0]
    }

    pub(crate) fn partition(&self, at: PartitionRef) -> &Partition {
        &self.partitions[at.0]
    }

    pub(crate) fn partition_mut(&mut self, at: PartitionRef) -> &mut Partition {
        &mut self.partitions[at.0]
    }

    pub(crate) fn name_of(&self, at: PartitionRef) -> &TopicName {
        &self.topic(self.partition(at).topic).name
    }

    /// Every partition of every topic.
    pub(crate) fn refs(&self) -> impl Iterator<Item = PartitionRef> + use<> {
        (0..self.partitions.len()).map(PartitionRef)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &TopicName> {
        self.names.keys()
    }

    /// Takes over what metadata say. A topic never loses partitions, and of two leaders the one of the later epoch stays,
    /// unless the topic is another one of that name.
    pub(crate) fn update(&mut self, update: &TopicUpdate, rack: Option<&str>) {
        let partitions = match &update.partitions {
            Ok(partitions) if !partitions.is_empty() => partitions.as_slice(),
            // Of no use to a topic that is not known.
            _ if self.find(&update.name).is_none() => return,
            _ => &[][..],
        };
        let at = self.find_or_insert(&update.name);
        let topic = &mut self.topics[at.0];
        let is_another = update.id.is_some() && topic.id != update.id;
        topic.id = update.id.or(topic.id);
        for index in topic.partitions.len()..partitions.len() {
            // Counts of partitions fit 31 bits, as the wire has it.
            let index = PartitionIndex::new(index as u32);
            topic.partitions.push(PartitionRef(self.partitions.len()));
            self.partitions.push(Partition::new(at, index));
        }
        for (number, partition) in self.topics[at.0].partitions.iter().enumerate() {
            let said = partitions.get(number);
            self.partitions[partition.0].set_leader(said, rack, is_another);
        }
        self.collect_available(at);
    }

    /// Another leader, as an answer has it. `false` if it is known already.
    pub(crate) fn set_leader(&mut self, at: PartitionRef, leader: NodeId, epoch: LeaderEpoch) -> bool {
        let partition = &mut self.partitions[at.0];
        if partition.leader_epoch.is_some_and(|known| epoch <= known) {
            return false;
        }
        (partition.leader, partition.leader_epoch, partition.is_near) = (Some(leader), Some(epoch), false);
        let topic = partition.topic;
        self.collect_available(topic);
        true
    }

    fn find_or_insert(&mut self, name: &TopicName) -> TopicRef {
        if let Some(at) = self.find(name) {
            return at;
        }
        let at = TopicRef(self.topics.len());
        self.names.insert(name.clone(), at);
        self.topics.push(Topic {
            name: name.clone(),
            id: None,
            partitions: Vec::new(),
            available: Vec::new(),
            sticky: Sticky::default(),
            ratio: CompressionRatio::UNKNOWN,
        });
        at
    }

    fn collect_available(&mut self, at: TopicRef) {
        let Self { topics, partitions, .. } = self;
        let topic = &mut topics[at.0];
        let with_leader =
            topic.partitions.iter().map(|at| &partitions[at.0]).filter(|partition| partition.leader.is_some());
        topic.available = with_leader.map(|partition| partition.index).collect();
    }
}

impl Partition {
    fn new(topic: TopicRef, index: PartitionIndex) -> Self {
        Self {
            topic,
            index,
            leader: None,
            leader_epoch: None,
            is_near: false,
            queue: VecDeque::new(),
            untold: VecDeque::new(),
            on_wire: 0,
            records: 0,
            sequences: Sequences::default(),
        }
    }

    fn set_leader(&mut self, said: Option<&PartitionUpdate>, rack: Option<&str>, is_another_topic: bool) {
        let Some(said) = said else {
            self.leader = None;
            return;
        };
        let is_old = match (said.leader_epoch, self.leader_epoch) {
            (Some(said), Some(known)) => said < known,
            _ => false,
        };
        if is_old && !is_another_topic {
            return;
        }
        self.leader = said.leader;
        self.leader_epoch = said.leader_epoch;
        self.is_near = said.leader.is_some() && rack.is_some() && said.leader_rack.as_deref() == rack;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(id: u8, leaders: &[(u32, u32)]) -> TopicUpdate {
        let partition = |(leader, epoch): &(u32, u32)| PartitionUpdate {
            leader: (0 < *leader).then(|| NodeId::new(*leader)),
            leader_epoch: Some(LeaderEpoch::new(*epoch)),
            leader_rack: Some(format!("rack-{leader}")),
        };
        TopicUpdate {
            name: TopicName::new("t").unwrap(),
            id: Some(TopicId(highwater_types::Uuid::from_bytes([id; 16]))),
            partitions: Ok(leaders.iter().map(partition).collect()),
        }
    }

    fn leaders(topics: &Topics) -> Vec<Option<u32>> {
        topics.refs().map(|at| topics.partition(at).leader.map(NodeId::value)).collect()
    }

    #[test]
    fn the_later_epoch_stays_unless_the_topic_is_another() {
        let mut topics = Topics::default();
        topics.update(&update(1, &[(1, 5), (2, 5)]), Some("rack-2"));
        assert_eq!(leaders(&topics), [Some(1), Some(2)]);
        topics.update(&update(1, &[(3, 4), (3, 6)]), Some("rack-2"));
        assert_eq!(leaders(&topics), [Some(1), Some(3)], "the first is older news");
        topics.update(&update(2, &[(3, 0), (2, 0)]), Some("rack-2"));
        assert_eq!(leaders(&topics), [Some(3), Some(2)], "made anew");
        assert!(topics.refs().map(|at| topics.partition(at).is_near).eq([false, true]));
    }

    #[test]
    fn a_topic_that_is_gone_keeps_its_partitions_without_leaders() {
        let mut topics = Topics::default();
        let gone = TopicUpdate { partitions: Err(ErrorCode::UnknownTopicOrPartition), ..update(1, &[]) };
        topics.update(&gone, None);
        assert_eq!(topics.names().count(), 0, "nobody knows it");
        topics.update(&update(1, &[(1, 5), (0, 5), (2, 5)]), None);
        let at = topics.find(&gone.name).unwrap();
        assert_eq!(topics.topic(at).available, [PartitionIndex::new(0), PartitionIndex::new(2)]);
        topics.update(&gone, None);
        assert_eq!(leaders(&topics), [None, None, None]);
        assert!(topics.topic(at).available.is_empty());
    }

    #[test]
    fn an_answer_may_name_a_later_leader() {
        let mut topics = Topics::default();
        topics.update(&update(1, &[(1, 5)]), None);
        let at = topics.refs().next().unwrap();
        assert!(!topics.set_leader(at, NodeId::new(2), LeaderEpoch::new(5)));
        assert!(topics.set_leader(at, NodeId::new(2), LeaderEpoch::new(6)));
        assert_eq!(leaders(&topics), [Some(2)]);
    }
}
