//! What the consumer knows of topics.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, TopicId, TopicName, TopicPartition};

use crate::{MetadataUpdate, PartitionUpdate, TopicUpdate, WantedTopics};

/// Topics as the last metadata had them.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    topics: BTreeMap<TopicName, Topic>,
    /// What the driver was last asked to report.
    pub(crate) wanted: Option<WantedTopics>,
    /// Whether all topics have been reported since that was asked for.
    pub(crate) has_all: bool,
    pub(crate) is_refresh_asked: bool,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: Option<TopicId>,
    pub(crate) is_internal: bool,
    partitions: Vec<PartitionUpdate>,
    pub(crate) error: Option<ErrorCode>,
}

impl Metadata {
    pub(crate) fn update(&mut self, update: MetadataUpdate) {
        self.is_refresh_asked = false;
        if update.is_complete {
            self.has_all = true;
            let mut before = core::mem::take(&mut self.topics);
            for topic in update.topics {
                let known = before.remove(&topic.name);
                self.set(topic, known);
            }
            return;
        }
        for topic in update.topics {
            if matches!(&self.wanted, Some(WantedTopics::Names(names)) if !names.contains(&topic.name)) {
                continue;
            }
            let known = self.topics.remove(&topic.name);
            self.set(topic, known);
        }
    }

    /// Forgets all other topics.
    pub(crate) fn retain(&mut self, names: &BTreeSet<TopicName>) {
        self.topics.retain(|name, _| names.contains(name));
    }

    fn set(&mut self, update: TopicUpdate, known: Option<Topic>) {
        let TopicUpdate { name, id, is_internal, partitions } = update;
        let known = known.filter(|known| known.id == id || id.is_none());
        let topic = match partitions {
            Ok(mut partitions) => {
                for (partition, before) in partitions.iter_mut().zip(known.iter().flat_map(|known| &known.partitions)) {
                    // A broker that is behind; epochs of one topic never go back.
                    if partition.leader_epoch.is_some() && partition.leader_epoch < before.leader_epoch {
                        *partition = *before;
                    }
                }
                Topic { id, is_internal, partitions, error: None }
            }
            // Brokers that start, or elect, say such things for a moment.
            Err(code) if code.is_retriable() && known.is_some() => {
                self.topics.extend(known.map(|known| (name, Topic { error: Some(code), ..known })));
                return;
            }
            Err(code) => Topic { id, is_internal, partitions: Vec::new(), error: Some(code) },
        };
        self.topics.insert(name, topic);
    }

    /// Takes note of a leader that a broker named by the way (KIP-951). Whether that was news.
    pub(crate) fn set_leader(&mut self, partition: &TopicPartition, leader: NodeId, epoch: LeaderEpoch) -> bool {
        let topic = self.topics.get_mut(&partition.topic);
        let known = topic.and_then(|topic| topic.partitions.get_mut(partition.partition.value() as usize));
        let Some(known) = known.filter(|known| known.leader_epoch < Some(epoch)) else { return false };
        *known = PartitionUpdate { leader: Some(leader), leader_epoch: Some(epoch) };
        true
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&TopicName, &Topic)> {
        self.topics.iter()
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// Number of partitions, of a topic that exists.
    pub(crate) fn partition_count(&self, name: &TopicName) -> Option<u32> {
        let count = self.topics.get(name)?.partitions.len();
        u32::try_from(count).ok().filter(|count| *count != 0)
    }

    pub(crate) fn partition(&self, partition: &TopicPartition) -> Option<PartitionUpdate> {
        self.topics.get(&partition.topic)?.partitions.get(partition.partition.value() as usize).copied()
    }

    pub(crate) fn name_of(&self, id: TopicId) -> Option<&TopicName> {
        self.topics.iter().find(|(_, topic)| topic.id == Some(id)).map(|(name, _)| name)
    }
}
