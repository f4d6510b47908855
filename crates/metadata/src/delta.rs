//! What a run of records has changed, for those who follow the metadata.

use crate::{MetadataImage, config::ResourceKind, record::MetadataRecord};
use highwater_types::{NodeId, PartitionIndex, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// What changed between two images, collected from the records between them.
///
/// Feed every applied record to [`observe`](Self::observe); its size is that of the changes, not that of the
/// cluster. Records of a metadata transaction count when it ends. Carry out deletions before the rest: a
/// topic may come back under its old name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetadataDelta {
    deleted: BTreeSet<TopicId>,
    created: BTreeSet<TopicId>,
    partitions: BTreeMap<TopicId, BTreeSet<PartitionIndex>>,
    brokers: BTreeSet<NodeId>,
    configs: BTreeSet<(ResourceKind, String)>,
    features: bool,
    transaction: Option<Vec<MetadataRecord>>,
}

impl MetadataDelta {
    /// Takes note of one applied record.
    pub fn observe(&mut self, record: &MetadataRecord) {
        match (record, &mut self.transaction) {
            (MetadataRecord::BeginTransaction { .. }, _) => self.transaction = Some(Vec::new()),
            (MetadataRecord::AbortTransaction { .. }, _) => self.transaction = None,
            (MetadataRecord::EndTransaction, open) => {
                for record in open.take().unwrap_or_default() {
                    self.note(&record);
                }
            }
            (_, Some(records)) => records.push(record.clone()),
            (_, None) => self.note(record),
        }
    }

    /// Takes note of what `before` has and `after` lacks: records of a snapshot, which say only what there is, have led
    /// from nothing to `after`.
    pub fn observe_missing(&mut self, before: &MetadataImage, after: &MetadataImage) {
        for topic in before.topics().filter(|topic| after.topic_by_id(topic.id()).is_none()) {
            self.deleted.insert(topic.id());
        }
        self.brokers.extend(before.brokers().map(|broker| broker.node));
        for kind in [ResourceKind::Topic, ResourceKind::Broker, ResourceKind::Group] {
            let resources = before.config_resources(kind);
            self.configs.extend(resources.map(|resource| (kind, resource.to_owned())));
        }
        self.features = true;
    }

    /// What has changed until now, leaving nothing but an open transaction behind.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let transaction = self.transaction.take();
        let taken = core::mem::take(self);
        self.transaction = transaction;
        taken
    }

    /// Topics that are gone, apart from those that came and went.
    pub fn deleted(&self) -> impl Iterator<Item = TopicId> {
        self.deleted.iter().copied()
    }

    /// Topics that are new.
    pub fn created(&self) -> impl Iterator<Item = TopicId> {
        self.created.iter().copied()
    }

    /// Partitions that are new or have changed, of topics that are there.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        self.partitions.iter().flat_map(|(id, all)| all.iter().map(|index| (*id, *index)))
    }

    /// Brokers that came, went or changed.
    pub fn brokers(&self) -> impl Iterator<Item = NodeId> {
        self.brokers.iter().copied()
    }

    /// Resources whose configuration has changed.
    pub fn configs(&self) -> impl Iterator<Item = (ResourceKind, &str)> {
        self.configs.iter().map(|(kind, name)| (*kind, name.as_str()))
    }

    /// Whether a feature level has changed.
    #[must_use]
    pub fn features_changed(&self) -> bool {
        self.features
    }

    fn note(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Topic { id, .. } => {
                self.created.insert(*id);
            }
            MetadataRecord::Partition(new) => {
                self.partitions.entry(new.topic_id).or_default().insert(new.partition);
            }
            MetadataRecord::PartitionChange(change) => {
                self.partitions.entry(change.topic_id).or_default().insert(change.partition);
            }
            MetadataRecord::RemoveTopic { id } => {
                self.partitions.remove(id);
                if !self.created.remove(id) {
                    self.deleted.insert(*id);
                }
            }
            MetadataRecord::RegisterBroker(broker) => {
                self.brokers.insert(broker.node);
            }
            MetadataRecord::BrokerRegistrationChange(change) => {
                self.brokers.insert(change.node);
            }
            MetadataRecord::UnregisterBroker { node, .. }
            | MetadataRecord::FenceBroker { node, .. }
            | MetadataRecord::UnfenceBroker { node, .. } => {
                self.brokers.insert(*node);
            }
            MetadataRecord::Config(change) => {
                self.configs.insert((change.kind, change.resource.clone()));
            }
            MetadataRecord::FeatureLevel { .. } => self.features = true,
            // Neither producer ids nor eligible leader replicas change what a broker does.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MetadataDelta;
    use crate::{
        Controller, ControllerConfig, MetadataRecord, StaticConfig, config::ResourceKind, record::ConfigChange,
    };
    use highwater_types::{NodeId, TopicId, TopicName, Uuid};

    fn controller(records: &[MetadataRecord], delta: &mut MetadataDelta) -> Controller {
        let static_config = StaticConfig::default();
        let config = ControllerConfig { cluster_id: "c".to_owned(), node: NodeId::new(1), static_config };
        let mut controller = Controller::new(config);
        for record in records {
            controller.apply(record).expect("it follows from those before");
            delta.observe(record);
        }
        controller
    }

    fn topic(number: u8) -> MetadataRecord {
        let name = TopicName::new(&format!("t{number}")).expect("a name");
        MetadataRecord::Topic { name, id: TopicId(Uuid::from_bytes([number; 16])) }
    }

    #[test]
    fn what_a_snapshot_lacks_is_gone() {
        let config = MetadataRecord::Config(ConfigChange {
            kind: ResourceKind::Topic,
            resource: "t1".to_owned(),
            name: "retention.ms".to_owned(),
            value: Some("1".to_owned()),
        });
        let before = controller(&[topic(1), topic(2), config], &mut MetadataDelta::default());
        let mut delta = MetadataDelta::default();
        let after = controller(&[topic(2), topic(3)], &mut delta);
        delta.observe_missing(&before.image(), &after.image());
        let id = |number| TopicId(Uuid::from_bytes([number; 16]));
        assert!(delta.deleted().eq([id(1)]));
        assert!(delta.configs().eq([(ResourceKind::Topic, "t1")]) && delta.features_changed());
    }

    #[test]
    fn a_transaction_shows_that_it_is_open() {
        let begin = MetadataRecord::BeginTransaction { name: None };
        let mut controller = controller(&[begin, topic(1)], &mut MetadataDelta::default());
        assert!(controller.is_in_transaction() && controller.image().topic_count() == 0);
        controller.apply(&MetadataRecord::EndTransaction).expect("one is open");
        assert!(!controller.is_in_transaction() && controller.image().topic_count() == 1);
    }
}
