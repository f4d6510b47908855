//! The controller: decides what to write on each request, and applies what was written.

mod alter_configs;
mod alter_partition;
mod assign_dirs;
mod broker_heartbeat;
mod brokers;
mod config_rules;
mod controllers;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod elect_leaders;
mod partition_change;
mod partition_index;
mod placement;
mod producer_ids;
mod reassign;
mod stripes;
mod update_features;

use crate::{
    ApplyError,
    config::{ConfigResolver, StaticConfig},
    features,
    image::{MetadataImage, PartitionImage},
    record::MetadataRecord,
};
use highwater_types::{NodeId, TopicName};
use partition_index::{PartitionKey, PartitionsIndex};
use std::{collections::BTreeSet, sync::Arc};

pub use alter_configs::{
    AlterConfigs, AlterConfigsResult, ConfigEdit, IncrementalAlterConfigs, IncrementalResource, ReplaceResource,
};
pub use alter_partition::{AlterIsr, AlterIsrResult, AlterPartition};
pub use assign_dirs::AssignReplicasToDirs;
pub use broker_heartbeat::{BrokerHeartbeat, BrokerState, HeartbeatAnswer};
pub use brokers::BrokerRegistration;
pub use create_partitions::{CreatePartitions, CreatePartitionsResult, NewPartitions};
pub use create_topics::{CreateTopicResult, CreateTopics, CreatedTopic, NewTopic};
pub use delete_topics::{DeleteTopicResult, TopicSelector};
pub use elect_leaders::{BALANCE_PER_PASS_MAX, ElectionResult};
pub use partition_change::Election;
pub use placement::ReplicaAssignment;
pub use producer_ids::{PRODUCER_IDS_PER_BLOCK, ProducerIdBlock};
pub use reassign::{AlterReassignments, ReassignPartition, Reassignment};
pub use update_features::{FeatureUpdate, UpdateFeatures, UpgradeType};

/// Most records that one user request writes, and so most partitions it creates. Larger requests are
/// refused with `POLICY_VIOLATION`, as in Kafka.
pub const RECORDS_PER_BATCH_MAX: usize = 10_000;

/// What to write, and what to answer once it is committed.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a decision has no effect until its records are appended and applied"]
pub struct Decision<R> {
    /// To be appended as one atomic batch, then applied in order. Empty if nothing changes.
    pub records: Vec<MetadataRecord>,
    /// The answer, to be given when the records are committed.
    pub response: R,
}

impl<R> Decision<R> {
    fn new(records: Vec<MetadataRecord>, response: R) -> Self {
        Self { records, response }
    }
}

/// What a controller is told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct ControllerConfig {
    /// Id of the cluster.
    pub cluster_id: String,
    /// The node it runs on.
    pub node: NodeId,
    /// What that node was started with: `num.partitions`, `default.replication.factor`,
    /// `delete.topic.enable` and the defaults of topics come from here.
    pub static_config: StaticConfig,
}

/// The controller of a cluster: the whole state of the metadata log, and every decision about it.
///
/// Contract: replay the log through [`apply`](Self::apply) before the first decision. Then, for each
/// request: call the deciding method, append its records to the log as one batch, and when they are
/// committed apply each of them in order, publish [`image`](Self::image) and give the response. Decide the
/// next request only after that: a decision holds for the state it was made on.
///
/// Deciding takes `&self` and changes nothing. Applying uses nothing but the record, so replaying the same
/// log builds an equal controller. There is no clock, no randomness and no I/O: ids and offsets are inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Controller {
    node: NodeId,
    static_config: StaticConfig,
    image: MetadataImage,
    /// Topics whose name holds `.` or `_`, with the name they would share with others; see
    /// [`TopicName::collision_key`].
    collisions: BTreeSet<(String, TopicName)>,
    /// Follows from the image.
    index: PartitionsIndex,
    /// Records since the beginning of a metadata transaction that has not ended.
    transaction: Option<Vec<MetadataRecord>>,
}

impl Controller {
    /// A controller with an empty log behind it.
    #[must_use]
    pub fn new(config: ControllerConfig) -> Self {
        let ControllerConfig { cluster_id, node, static_config } = config;
        let image = MetadataImage::empty(&cluster_id, node);
        Self {
            node,
            static_config,
            image,
            collisions: BTreeSet::new(),
            index: PartitionsIndex::default(),
            transaction: None,
        }
    }

    /// The state as of the last applied record. Costs a few reference counts.
    #[must_use]
    pub fn image(&self) -> MetadataImage {
        self.image.clone()
    }

    /// Whether a metadata transaction has begun and not ended: the image lacks what has been written since.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Applies one committed record. The only way the state changes.
    ///
    /// # Errors
    ///
    /// If the record contradicts the state, which is then unchanged. The caller must stop: the log is
    /// damaged or newer than this version.
    pub fn apply(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        let open = self.transaction.is_some();
        match (record, &mut self.transaction) {
            (MetadataRecord::BeginTransaction { .. }, None) => self.transaction = Some(Vec::new()),
            (MetadataRecord::AbortTransaction { .. }, Some(_)) => self.transaction = None,
            (MetadataRecord::EndTransaction, Some(records)) => {
                let records = core::mem::take(records);
                let mut after = Self { transaction: None, ..self.clone() };
                let applied = records.iter().try_for_each(|record| after.apply_now(record));
                if let Err(error) = applied {
                    self.transaction = Some(records);
                    return Err(error);
                }
                *self = after;
            }
            (
                MetadataRecord::BeginTransaction { .. }
                | MetadataRecord::EndTransaction
                | MetadataRecord::AbortTransaction { .. },
                _,
            ) => return Err(ApplyError::Transaction { kind: record.kind(), open }),
            (_, Some(records)) => records.push(record.clone()),
            (_, None) => self.apply_now(record)?,
        }
        Ok(())
    }

    /// Decides what to write before anything else when this controller becomes active.
    ///
    /// An empty log gets the features of a new cluster. A metadata transaction that the last controller
    /// left open is aborted. Otherwise there is nothing to write.
    pub fn bootstrap(&self) -> Decision<()> {
        let mut records = Vec::new();
        if self.transaction.is_some() {
            let reason = Some("the controller that began it is gone".to_owned());
            records.push(MetadataRecord::AbortTransaction { reason });
        }
        if self.image.feature_level(features::METADATA_VERSION).is_none() {
            let name = features::METADATA_VERSION.to_owned();
            records.push(MetadataRecord::FeatureLevel { name, level: features::METADATA_VERSION_DEFAULT });
            // A new cluster has every feature that works; an older one is upgraded by its administrator.
            let name = features::GROUP_VERSION.to_owned();
            records.push(MetadataRecord::FeatureLevel { name, level: features::GROUP_VERSION_MAX });
        }
        Decision::new(records, ())
    }

    fn apply_now(&mut self, record: &MetadataRecord) -> Result<(), ApplyError> {
        let removed = match record {
            MetadataRecord::RemoveTopic { id } => self.image.topic_by_id(*id).map(|topic| topic.name().clone()),
            _ => None,
        };
        let key = PartitionsIndex::key_of(record);
        let old_partition = key.and_then(|key| self.partition(key)).cloned();
        let old_topic = match record {
            MetadataRecord::RemoveTopic { id } => self.image.topic_by_id(*id).cloned(),
            _ => None,
        };
        self.image.apply(record)?;
        if let Some(key) = key {
            let new = self.partition(key).cloned();
            self.index.update(key, old_partition.as_deref(), new.as_deref());
        }
        if let Some(topic) = &old_topic {
            for (index, partition) in topic.partitions() {
                self.index.update((topic.id(), index), Some(partition), None);
            }
        }
        if let MetadataRecord::Topic { name, .. } = record
            && may_collide(name)
        {
            self.collisions.insert((name.collision_key(), name.clone()));
        }
        if let Some(name) = removed {
            self.collisions.remove(&(name.collision_key(), name));
        }
        Ok(())
    }

    fn partition(&self, (topic_id, index): PartitionKey) -> Option<&Arc<PartitionImage>> {
        self.image.topic_by_id(topic_id)?.partition(index)
    }

    fn resolver(&self) -> ConfigResolver<'_> {
        ConfigResolver { image: &self.image, static_config: &self.static_config, node: self.node }
    }
}

/// Whether another name can have the same [`TopicName::collision_key`].
fn may_collide(name: &TopicName) -> bool {
    name.as_str().contains(['.', '_'])
}
