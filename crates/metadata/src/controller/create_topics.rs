//! Creating topics.

use super::{Controller, Decision, RECORDS_PER_BATCH_MAX, ReplicaAssignment, placement};
use crate::{
    ApiError,
    config::{ResolvedConfig, ResourceKind},
    image::{ConfigMap, PartitionImage},
    record::{ConfigChange, MetadataRecord, PartitionRecord},
};
use highwater_types::{ErrorCode, NodeId, PartitionIndex, TopicId, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// A request to create topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// A topic to create. Numbers are as on the wire, so that wrong ones can be answered each with its own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name, unchecked.
    pub name: String,
    /// Number of partitions; -1 for `num.partitions`, or with `assignments`.
    pub partitions: i32,
    /// Replicas of each partition; -1 for `default.replication.factor`, or with `assignments`.
    pub replication_factor: i16,
    /// The brokers of each partition; empty to let the controller choose.
    pub assignments: Vec<ReplicaAssignment>,
    /// Its configs.
    pub configs: Vec<(String, Option<String>)>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTopicResult {
    /// The name in the request.
    pub name: String,
    /// The topic, or why there is none.
    pub result: Result<CreatedTopic, ApiError>,
}

/// A topic that will exist when the records are committed.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replication_factor: u32,
    /// Every config of it, by name.
    pub configs: Vec<ResolvedConfig>,
}

impl Controller {
    /// Decides on the creation of topics: each on its own, in the order of the request, each name once.
    ///
    /// `topic_ids` are fresh random ids, one for each requested topic.
    ///
    /// Codes: `INVALID_REQUEST` for a name given twice, `INVALID_TOPIC_EXCEPTION`, `TOPIC_ALREADY_EXISTS`,
    /// `INVALID_PARTITIONS`, `INVALID_REPLICATION_FACTOR`, `INVALID_REPLICA_ASSIGNMENT`, `INVALID_CONFIG`,
    /// and `POLICY_VIOLATION` for what would take the request over [`RECORDS_PER_BATCH_MAX`] records.
    ///
    /// # Panics
    ///
    /// If there are fewer `topic_ids` than topics.
    pub fn create_topics(&self, request: &CreateTopics, topic_ids: &[TopicId]) -> Decision<Vec<CreateTopicResult>> {
        assert!(request.topics.len() <= topic_ids.len(), "the caller draws one id for each topic");
        let mut batch = Batch::default();
        let mut results = Vec::with_capacity(request.topics.len());
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(&topic.name).or_default() += 1;
        }
        for (topic, id) in request.topics.iter().zip(topic_ids) {
            let result = match times.remove(topic.name.as_str()) {
                Some(1) => self.create_topic(topic, *id, &mut batch),
                Some(_) => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
                None => continue,
            };
            results.push(CreateTopicResult { name: topic.name.clone(), result });
        }
        let records = if request.validate_only { Vec::new() } else { batch.records };
        Decision::new(records, results)
    }

    fn create_topic(&self, topic: &NewTopic, id: TopicId, batch: &mut Batch) -> Result<CreatedTopic, ApiError> {
        let name = self.check_name(&topic.name, batch)?;
        if id.0.is_reserved() || batch.ids.contains(&id) || self.image.topic_by_id(id).is_some() {
            let why = format!("The topic id {id} is in use or reserved. Try again.");
            return Err(ApiError::new(ErrorCode::UnknownServerError, why));
        }
        let overrides = non_null_configs(&topic.configs)?;
        self.check_topic_configs(&overrides, &overrides)?;
        // Sized before anything is built for it, since the number of partitions is the client's.
        let room = RECORDS_PER_BATCH_MAX - batch.records.len();
        let partitions = self.place(topic, id, room)?;
        if room < 1 + overrides.len() + partitions.len() {
            return Err(too_large());
        }
        let created = CreatedTopic {
            id,
            partitions: u32::try_from(partitions.len()).expect("bounded by the batch"),
            replication_factor: partitions
                .first()
                .map_or(0, |first| u32::try_from(first.replicas.len()).expect("bounded by the brokers")),
            configs: self.resolver().topic_with(Some(&overrides)),
        };
        batch.records.push(MetadataRecord::Topic { name: name.clone(), id });
        batch.records.extend(overrides.into_iter().map(|(config, value)| {
            let resource = name.as_str().to_owned();
            let kind = ResourceKind::Topic;
            MetadataRecord::Config(ConfigChange { kind, resource, name: config, value: Some(value) })
        }));
        batch.records.extend(partitions.into_iter().zip(0..).map(|(state, index)| {
            let partition = PartitionIndex::new(index);
            MetadataRecord::Partition(PartitionRecord { topic_id: id, partition, state })
        }));
        batch.ids.insert(id);
        batch.names.insert((name.collision_key(), name));
        Ok(created)
    }

    /// The name, if it is well formed and neither taken nor too close to one that is.
    fn check_name(&self, name: &str, batch: &Batch) -> Result<TopicName, ApiError> {
        let refused = |why: String| ApiError::new(ErrorCode::InvalidTopicException, why);
        let name = TopicName::new(name).map_err(|why| refused(format!("Topic name is invalid: {why}")))?;
        if name.as_str() == "__cluster_metadata" {
            let why = "Creation of internal topic __cluster_metadata is prohibited.";
            return Err(ApiError::new(ErrorCode::InvalidRequest, why));
        }
        if self.image.topic(name.as_str()).is_some() {
            return Err(ApiError::new(ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        let key = name.collision_key();
        let collides = |taken: &BTreeSet<(String, TopicName)>| {
            let from = (key.clone(), TopicName::new("-").expect("sorts before every other name"));
            taken.range(from..).next().filter(|(other, _)| *other == key).map(|(_, other)| other.clone())
        };
        match collides(&self.collisions).or_else(|| collides(&batch.names)) {
            Some(other) => Err(refused(format!("Topic '{name}' collides with existing topic: {other}"))),
            None => Ok(name),
        }
    }

    fn place(&self, topic: &NewTopic, id: TopicId, partitions_max: usize) -> Result<Vec<PartitionImage>, ApiError> {
        let replicas = if topic.assignments.is_empty() {
            let count = self.partition_count(topic.partitions)?;
            let replication_factor = self.replication_factor(topic.replication_factor)?;
            if partitions_max < count {
                return Err(too_large());
            }
            placement::spread(&self.image, 0, count, replication_factor, seed(id))?
        } else {
            self.check_assignments(topic, partitions_max)?
        };
        Ok(replicas.into_iter().map(|replicas| placement::new_partition(&self.image, replicas)).collect())
    }

    fn partition_count(&self, requested: i32) -> Result<usize, ApiError> {
        let count = if requested == -1 { self.static_config.number("num.partitions") } else { Some(requested.into()) };
        count.and_then(|n| usize::try_from(n).ok()).filter(|n| 0 < *n).ok_or_else(|| {
            let why = "Number of partitions was set to an invalid non-positive value.";
            ApiError::new(ErrorCode::InvalidPartitions, why)
        })
    }

    fn replication_factor(&self, requested: i16) -> Result<usize, ApiError> {
        let default = || self.static_config.number("default.replication.factor");
        let factor = if requested == -1 { default() } else { Some(requested.into()) };
        factor.and_then(|n| usize::try_from(n).ok()).filter(|n| 0 < *n).ok_or_else(|| {
            let why = "Replication factor must be larger than 0, or -1 to use the default value.";
            ApiError::new(ErrorCode::InvalidReplicationFactor, why)
        })
    }

    fn check_assignments(&self, topic: &NewTopic, partitions_max: usize) -> Result<Vec<Vec<NodeId>>, ApiError> {
        let refused = |why: &str| Err(ApiError::new(ErrorCode::InvalidRequest, why));
        if topic.replication_factor != -1 {
            return refused("A manual partition assignment was specified, but replication factor was not set to -1.");
        }
        if topic.partitions != -1 {
            return refused("A manual partition assignment was specified, but numPartitions was not set to -1.");
        }
        if partitions_max < topic.assignments.len() {
            return Err(too_large());
        }
        let mut sorted: Vec<&ReplicaAssignment> = topic.assignments.iter().collect();
        sorted.sort_by_key(|assignment| assignment.partition);
        let mut replication_factor = None;
        let mut all = Vec::with_capacity(sorted.len());
        for (expected, assignment) in (0..).zip(sorted) {
            if assignment.partition != expected {
                let why = if assignment.partition + 1 == expected {
                    format!("Found multiple manual partition assignments for partition {}", assignment.partition)
                } else {
                    "partitions should be a consecutive 0-based integer sequence".to_owned()
                };
                return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
            }
            let replicas = placement::check_manual(&self.image, &assignment.replicas, replication_factor)?;
            replication_factor = Some(replicas.len());
            all.push(replicas);
        }
        Ok(all)
    }
}

/// What the topics of the request so far add.
#[derive(Default)]
struct Batch {
    records: Vec<MetadataRecord>,
    ids: BTreeSet<TopicId>,
    /// As [`Controller::collisions`], but of every new topic.
    names: BTreeSet<(String, TopicName)>,
}

pub(super) fn too_large() -> ApiError {
    let why = format!(
        "Excessively large number of partitions per request: the request would write more than \
         {RECORDS_PER_BATCH_MAX} metadata records."
    );
    ApiError::new(ErrorCode::PolicyViolation, why)
}

fn non_null_configs(configs: &[(String, Option<String>)]) -> Result<ConfigMap, ApiError> {
    let mut map = ConfigMap::new();
    for (name, value) in configs {
        let Some(value) = value else {
            let why = format!("Null value not supported for topic configs: {name}");
            return Err(ApiError::new(ErrorCode::InvalidConfig, why));
        };
        map.insert(name.clone(), value.clone());
    }
    Ok(map)
}

/// Where partition 0 of a new topic starts: random as its id, so that small topics do not all start at
/// the same broker, yet known to whoever knows the id.
pub(super) fn seed(id: TopicId) -> u64 {
    id.0.as_bytes().iter().fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte))
}
