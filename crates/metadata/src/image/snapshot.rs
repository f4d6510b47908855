//! The image as records.

use super::MetadataImage;
use crate::{
    features,
    record::{ConfigChange, MetadataRecord, PartitionRecord},
};
use highwater_types::ProducerId;

impl MetadataImage {
    /// The records that lead from an empty log to this image: features, brokers, controllers, topics with
    /// their partitions, configurations, producer ids, in Kafka's order.
    ///
    /// Made one by one as they are asked for, so that a writer can put them into batches of whatever size.
    pub fn to_records(&self) -> impl Iterator<Item = MetadataRecord> + use<'_> {
        let version = self.feature_level(features::METADATA_VERSION);
        let others = self.features.iter().filter(|(name, _)| name.as_str() != features::METADATA_VERSION);
        // What the other records mean follows from the metadata version, so it comes first.
        let levels = version.map(|level| (features::METADATA_VERSION.to_owned(), level)).into_iter();
        let levels = levels.chain(others.map(|(name, level)| (name.clone(), *level)));
        let levels = levels.map(|(name, level)| MetadataRecord::FeatureLevel { name, level });
        let brokers = self.brokers().map(|broker| MetadataRecord::RegisterBroker((**broker).clone()));
        let controllers = self.controllers().map(|one| MetadataRecord::RegisterController((**one).clone()));
        let topics = self.topics().flat_map(|topic| {
            let id = topic.id();
            let head = MetadataRecord::Topic { name: topic.name().clone(), id };
            let partitions = topic.partitions().map(move |(partition, state)| {
                MetadataRecord::Partition(PartitionRecord { topic_id: id, partition, state: (**state).clone() })
            });
            core::iter::once(head).chain(partitions)
        });
        let configs = self.configs.iter().flat_map(|((kind, resource), map)| {
            map.iter().map(|(name, value)| {
                let (resource, name, value) = (resource.clone(), name.clone(), Some(value.clone()));
                MetadataRecord::Config(ConfigChange { kind: *kind, resource, name, value })
            })
        });
        let next = (self.next_producer_id != ProducerId::new(0)).then_some(self.next_producer_id);
        let next = next.map(|next| MetadataRecord::ProducerIds { node: self.controller, epoch: None, next });
        levels.chain(brokers).chain(controllers).chain(topics).chain(configs).chain(next)
    }
}
