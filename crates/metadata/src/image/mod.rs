//! The state of the cluster at one point of the metadata log.

mod apply;
mod snapshot;
mod topic;

use crate::{
    chunk_map::ChunkMap,
    config::ResourceKind,
    record::{RegisterBroker, RegisterController},
};
use highwater_types::{DirectoryId, NodeId, ProducerId, TopicId, TopicName};
use std::{collections::BTreeMap, sync::Arc};

pub use topic::{PartitionImage, TopicImage};

/// Everything the metadata log says, up to one of its records.
///
/// Cloning costs a few reference counts, whatever the size of the cluster; readers keep a clone and never
/// see it change. Publishing after one change among 100,000 topics copies about 1,500 pointers and one
/// chunk of 128 entries.
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataImage {
    cluster_id: Arc<str>,
    controller: NodeId,
    topics: ChunkMap<TopicName, Arc<TopicImage>>,
    names: ChunkMap<TopicId, TopicName>,
    partition_count: usize,
    brokers: Arc<BTreeMap<NodeId, Arc<BrokerImage>>>,
    controllers: Arc<BTreeMap<NodeId, Arc<RegisterController>>>,
    configs: ChunkMap<(ResourceKind, String), Arc<ConfigMap>>,
    features: Arc<BTreeMap<String, i16>>,
    next_producer_id: ProducerId,
}

/// Config overrides of one resource: name to value, in Kafka's text form.
pub type ConfigMap = BTreeMap<String, String>;

/// A registered broker: its last registration with the changes since.
pub type BrokerImage = RegisterBroker;

impl BrokerImage {
    /// Whether the broker may lead partitions and be in sync.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// Whether a replica in this directory can be served, as far as the directory is concerned.
    ///
    /// The reserved ids mean: 0 not yet known and 2 moving, which count as working, and 1 lost. A broker that
    /// names no directory has none that could fail on its own.
    #[must_use]
    pub fn is_directory_online(&self, directory: DirectoryId) -> bool {
        let bytes = directory.0.as_bytes();
        let reserved = bytes[..15].iter().all(|byte| *byte == 0);
        match bytes[15] {
            0 | 2 if reserved => true,
            1 if reserved => false,
            _ => self.log_dirs.is_empty() || self.log_dirs.contains(&directory),
        }
    }
}

impl MetadataImage {
    /// The image of an empty log.
    #[must_use]
    pub fn empty(cluster_id: &str, controller: NodeId) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            controller,
            topics: ChunkMap::default(),
            names: ChunkMap::default(),
            partition_count: 0,
            brokers: Arc::default(),
            controllers: Arc::default(),
            configs: ChunkMap::default(),
            features: Arc::default(),
            next_producer_id: ProducerId::new(0),
        }
    }

    /// The id of the cluster.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The active controller.
    #[must_use]
    pub fn controller(&self) -> NodeId {
        self.controller
    }

    /// The topic called `name`.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(name)
    }

    /// The topic with this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.names.get(&id)?.as_str())
    }

    /// Every topic, by name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// The topics from `name` on, by name; `name` itself need not exist.
    pub fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<TopicImage>> + use<'a> {
        self.topics.iter_from(name).map(|(_, topic)| topic)
    }

    /// Number of topics.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Number of partitions of all topics.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// Every registered broker, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerImage>> {
        self.brokers.values()
    }

    /// The registered broker `id`.
    #[must_use]
    pub fn broker(&self, id: NodeId) -> Option<&Arc<BrokerImage>> {
        self.brokers.get(&id)
    }

    /// The replicas of a partition that nobody serves now, in the order of its replicas: their broker is fenced
    /// or not registered, or has lost the directory.
    pub fn offline_replicas(&self, partition: &PartitionImage) -> impl Iterator<Item = NodeId> {
        let is_online = |at: usize, node: NodeId| {
            let directory = partition.directories.get(at).copied().unwrap_or_default();
            self.broker(node).is_some_and(|broker| !broker.fenced && broker.is_directory_online(directory))
        };
        let replicas = partition.replicas.iter().copied().enumerate();
        replicas.filter(move |(at, node)| !is_online(*at, *node)).map(|(_, node)| node)
    }

    /// Every registered controller, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<RegisterController>> {
        self.controllers.values()
    }

    /// The config overrides of a resource; `None` if it has none. The name of the default of all brokers
    /// is empty.
    #[must_use]
    pub fn config(&self, kind: ResourceKind, resource: &str) -> Option<&ConfigMap> {
        self.configs.get(&(kind, resource.to_owned())).map(|map| &**map)
    }

    /// Names of the resources of a kind that have overrides, in order.
    pub fn config_resources(&self, kind: ResourceKind) -> impl Iterator<Item = &str> {
        self.configs
            .iter_from(&(kind, String::new()))
            .take_while(move |((other, _), _)| *other == kind)
            .map(|((_, name), _)| name.as_str())
    }

    /// The finalized features and their levels, including those that [`crate::features::finalized`] hides.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The finalized level of a feature.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// First producer id that has not been handed out.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }
}
