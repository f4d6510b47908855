//! What a run of records has changed, for those who follow the metadata.

use crate::{config::ResourceKind, record::MetadataRecord};
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
