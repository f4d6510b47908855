//! How each record changes the image.

use super::{BrokerImage, MetadataImage, PartitionImage, TopicImage};
use crate::{
    ApplyError, MetadataRecord,
    config::ResourceKind,
    features,
    record::{BrokerRegistrationChange, ConfigChange, PartitionChange, PartitionRecord},
};
use highwater_types::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, ProducerId, TopicId, TopicName};
use std::{collections::btree_map::Entry, sync::Arc};

impl MetadataImage {
    /// Applies one record outside of any metadata transaction. On an error the image is unchanged.
    pub(crate) fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        let kind = record.kind();
        match record {
            MetadataRecord::RegisterBroker(broker) => {
                Arc::make_mut(&mut self.brokers).insert(broker.node, Arc::new(broker.clone()));
            }
            MetadataRecord::UnregisterBroker { node, epoch } => {
                self.broker_mut(kind, *node, *epoch)?;
                Arc::make_mut(&mut self.brokers).remove(node);
            }
            MetadataRecord::FenceBroker { node, epoch } => self.broker_mut(kind, *node, *epoch)?.fenced = true,
            MetadataRecord::UnfenceBroker { node, epoch } => self.broker_mut(kind, *node, *epoch)?.fenced = false,
            MetadataRecord::BrokerRegistrationChange(change) => self.change_broker(kind, change)?,
            MetadataRecord::RegisterController(controller) => {
                Arc::make_mut(&mut self.controllers).insert(controller.node, Arc::new(controller.clone()));
            }
            MetadataRecord::Topic { name, id } => self.create_topic(name, *id)?,
            MetadataRecord::RemoveTopic { id } => self.remove_topic(kind, *id)?,
            MetadataRecord::Partition(record) => self.create_partition(kind, record)?,
            MetadataRecord::PartitionChange(change) => self.change_partition(kind, change)?,
            MetadataRecord::ClearElr { topic } => self.clear_elr(topic.as_deref()),
            MetadataRecord::Config(change) => self.change_config(change)?,
            MetadataRecord::FeatureLevel { name, level } => self.set_feature(name, *level)?,
            MetadataRecord::ProducerIds { next, .. } => self.set_next_producer_id(*next)?,
            MetadataRecord::NoOp
            | MetadataRecord::BeginTransaction { .. }
            | MetadataRecord::EndTransaction
            | MetadataRecord::AbortTransaction { .. } => {}
        }
        Ok(())
    }

    fn broker_mut(
        &mut self,
        kind: &'static str,
        node: NodeId,
        given: BrokerEpoch,
    ) -> Result<&mut BrokerImage, ApplyError> {
        let current = self.broker(node).ok_or(ApplyError::UnknownBroker { kind, node })?.epoch;
        if current != given {
            return Err(ApplyError::BrokerEpoch { kind, node, given, current });
        }
        match Arc::make_mut(&mut self.brokers).entry(node) {
            Entry::Occupied(entry) => Ok(Arc::make_mut(entry.into_mut())),
            Entry::Vacant(_) => Err(ApplyError::UnknownBroker { kind, node }),
        }
    }

    fn change_broker(&mut self, kind: &'static str, change: &BrokerRegistrationChange) -> Result<(), ApplyError> {
        let broker = self.broker_mut(kind, change.node, change.epoch)?;
        if let Some(fenced) = change.fenced {
            broker.fenced = fenced;
        }
        broker.in_controlled_shutdown |= change.in_controlled_shutdown;
        if let Some(log_dirs) = &change.log_dirs {
            broker.log_dirs.clone_from(log_dirs);
        }
        Ok(())
    }

    fn create_topic(&mut self, name: &TopicName, id: TopicId) -> Result<(), ApplyError> {
        if let Some(other) = self.topic(name.as_str()).or_else(|| self.topic_by_id(id)) {
            return Err(ApplyError::TopicExists {
                name: name.clone(),
                id,
                other_name: other.name().clone(),
                other_id: other.id(),
            });
        }
        self.topics.insert(name.clone(), Arc::new(TopicImage::new(name.clone(), id)));
        self.names.insert(id, name.clone());
        Ok(())
    }

    fn remove_topic(&mut self, kind: &'static str, id: TopicId) -> Result<(), ApplyError> {
        let name = self.names.remove(&id).ok_or(ApplyError::UnknownTopic { kind, id })?;
        let topic = self.topics.remove(name.as_str()).expect("every id in `names` has its topic in `topics`");
        self.partition_count -= topic.partition_count();
        self.configs.remove(&(ResourceKind::Topic, name.as_str().to_owned()));
        Ok(())
    }

    fn topic_mut(&mut self, kind: &'static str, id: TopicId) -> Result<&mut TopicImage, ApplyError> {
        let unknown = ApplyError::UnknownTopic { kind, id };
        let Some(name) = self.names.get(&id) else { return Err(unknown) };
        self.topics.get_mut(name.as_str()).map(Arc::make_mut).ok_or(unknown)
    }

    fn create_partition(&mut self, kind: &'static str, record: &PartitionRecord) -> Result<(), ApplyError> {
        let topic = self.topic_mut(kind, record.topic_id)?;
        if topic.set_partition(record.partition, record.state.clone()) {
            self.partition_count += 1;
        }
        Ok(())
    }

    fn change_partition(&mut self, kind: &'static str, change: &PartitionChange) -> Result<(), ApplyError> {
        let topic = self.topic_mut(kind, change.topic_id)?;
        let name = topic.name().clone();
        let unknown = ApplyError::UnknownPartition { kind, topic: name.clone(), partition: change.partition };
        let partition = topic.partition_mut(change.partition).ok_or(unknown)?;
        partition.merge(change).map_err(|(leader_epoch, partition_epoch)| ApplyError::EpochExhausted {
            topic: name,
            partition: change.partition,
            leader_epoch,
            partition_epoch,
        })
    }

    fn clear_elr(&mut self, topic: Option<&str>) {
        let names: Vec<TopicName> = self
            .topics()
            .map(|image| image.name().clone())
            .filter(|name| topic.is_none_or(|t| t == name.as_str()))
            .collect();
        for name in names {
            let image = self.topics.get_mut(name.as_str()).map(Arc::make_mut).expect("the name was just listed");
            let with_elr: Vec<_> = image
                .partitions()
                .filter(|(_, p)| !p.elr.is_empty() || !p.last_known_elr.is_empty())
                .map(|(index, _)| index)
                .collect();
            for index in with_elr {
                let partition = image.partition_mut(index).expect("the partition was just listed");
                partition.elr.clear();
                partition.last_known_elr.clear();
            }
        }
    }

    fn change_config(&mut self, change: &ConfigChange) -> Result<(), ApplyError> {
        if change.kind == ResourceKind::BrokerLogger {
            return Err(ApplyError::ConfigResource { kind: change.kind, resource: change.resource.clone() });
        }
        let key = (change.kind, change.resource.clone());
        let mut map = self.configs.get(&key).cloned().unwrap_or_default();
        let entries = Arc::make_mut(&mut map);
        match &change.value {
            Some(value) => {
                entries.insert(change.name.clone(), value.clone());
            }
            None => {
                entries.remove(&change.name);
            }
        }
        if entries.is_empty() {
            self.configs.remove(&key);
        } else {
            self.configs.insert(key, map);
        }
        Ok(())
    }

    fn set_feature(&mut self, name: &str, level: i16) -> Result<(), ApplyError> {
        if name == features::METADATA_VERSION {
            let (min, max) = (features::METADATA_VERSION_MIN, features::METADATA_VERSION_MAX);
            if !(min..=max).contains(&level) {
                return Err(ApplyError::MetadataVersion { level, min, max });
            }
        }
        let finalized = Arc::make_mut(&mut self.features);
        if level == 0 {
            finalized.remove(name);
        } else {
            finalized.insert(name.to_owned(), level);
        }
        Ok(())
    }

    fn set_next_producer_id(&mut self, given: ProducerId) -> Result<(), ApplyError> {
        if given < self.next_producer_id {
            return Err(ApplyError::ProducerIdsBackwards { given, current: self.next_producer_id });
        }
        self.next_producer_id = given;
        Ok(())
    }
}

impl PartitionImage {
    /// Applies a change: the partition epoch always grows, the leader epoch when a leader is named.
    ///
    /// Fails with the two epochs, unchanged, when one of them cannot grow.
    pub(crate) fn merge(&mut self, change: &PartitionChange) -> Result<(), (LeaderEpoch, PartitionEpoch)> {
        let used_up = (self.leader_epoch, self.partition_epoch);
        let partition_epoch = self.partition_epoch.value().checked_add(1).and_then(|e| i32::try_from(e).ok());
        let partition_epoch = partition_epoch.and_then(PartitionEpoch::from_wire).ok_or(used_up)?;
        if let Some(leader) = change.leader {
            let leader_epoch = self.leader_epoch.value().checked_add(1).and_then(|e| i32::try_from(e).ok());
            self.leader_epoch = leader_epoch.and_then(LeaderEpoch::from_wire).ok_or(used_up)?;
            self.leader = leader;
        }
        self.partition_epoch = partition_epoch;
        self.recovery = change.recovery.unwrap_or(self.recovery);
        replace(&mut self.isr, change.isr.as_ref());
        replace(&mut self.replicas, change.replicas.as_ref());
        replace(&mut self.removing, change.removing.as_ref());
        replace(&mut self.adding, change.adding.as_ref());
        replace(&mut self.directories, change.directories.as_ref());
        replace(&mut self.elr, change.elr.as_ref());
        replace(&mut self.last_known_elr, change.last_known_elr.as_ref());
        Ok(())
    }
}

fn replace<T: Clone>(field: &mut Vec<T>, change: Option<&Vec<T>>) {
    if let Some(new) = change {
        field.clone_from(new);
    }
}
