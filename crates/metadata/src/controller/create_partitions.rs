//! Adding partitions to topics.

use super::{
    Controller, Decision, RECORDS_PER_BATCH_MAX,
    create_topics::{seed, too_large},
    placement,
};
use crate::{
    ApiError,
    image::TopicImage,
    record::{MetadataRecord, PartitionRecord},
};
use highwater_types::{ErrorCode, NodeId, PartitionIndex};
use std::collections::BTreeMap;

/// A request to add partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<NewPartitions>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// Partitions to add to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// The topic, unchecked.
    pub name: String,
    /// Number of partitions it is to have, as on the wire.
    pub count: i32,
    /// The brokers of each added partition; `None` to let the controller choose.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitionsResult {
    /// The name in the request.
    pub name: String,
    /// Whether it will have the partitions when the records are committed.
    pub result: Result<(), ApiError>,
}

impl Controller {
    /// Decides on additional partitions: one result for each topic, in the order of the request.
    ///
    /// Codes: `UNKNOWN_TOPIC_OR_PARTITION`, `INVALID_PARTITIONS` for a count that is not an increase,
    /// `INVALID_REPLICA_ASSIGNMENT`, `INVALID_REPLICATION_FACTOR`, `INVALID_REQUEST` for a name given
    /// twice, `POLICY_VIOLATION` for what would take the request over [`RECORDS_PER_BATCH_MAX`] records.
    pub fn create_partitions(&self, request: &CreatePartitions) -> Decision<Vec<CreatePartitionsResult>> {
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for topic in &request.topics {
            *times.entry(&topic.name).or_default() += 1;
        }
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let result = match times.remove(topic.name.as_str()) {
                Some(1) => self.add_partitions(topic, RECORDS_PER_BATCH_MAX - records.len()),
                Some(_) => Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name.")),
                None => continue,
            };
            let result = result.map(|mut added| records.append(&mut added));
            results.push(CreatePartitionsResult { name: topic.name.clone(), result });
        }
        let records = if request.validate_only { Vec::new() } else { records };
        Decision::new(records, results)
    }

    fn add_partitions(&self, topic: &NewPartitions, room: usize) -> Result<Vec<MetadataRecord>, ApiError> {
        let Some(image) = self.image.topic(&topic.name) else {
            let why = "This server does not host this topic-partition.";
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, why));
        };
        let current = image.partition_count();
        let refused = |why: String| ApiError::new(ErrorCode::InvalidPartitions, why);
        let count = usize::try_from(topic.count).unwrap_or(0);
        if count == current {
            return Err(refused(format!("Topic already has {current} partition(s).")));
        }
        let Some(added) = count.checked_sub(current) else {
            let why = format!(
                "The topic {} currently has {current} partition(s); {} would not be an increase.",
                topic.name, topic.count
            );
            return Err(refused(why));
        };
        let replicas = match &topic.assignments {
            Some(assignments) => self.check_added(image, assignments, added)?,
            None if room < added => return Err(too_large()),
            None => {
                placement::spread(&self.image, current, added, image.replication_factor().max(1), seed(image.id()))?
            }
        };
        if room < added {
            return Err(too_large());
        }
        let record = |(replicas, index): (Vec<NodeId>, usize)| {
            let partition = PartitionIndex::new(u32::try_from(index).expect("below the count, which fits 31 bits"));
            let state = placement::new_partition(&self.image, replicas);
            MetadataRecord::Partition(PartitionRecord { topic_id: image.id(), partition, state })
        };
        Ok(replicas.into_iter().zip(current..).map(record).collect())
    }

    fn check_added(
        &self,
        topic: &TopicImage,
        assignments: &[Vec<i32>],
        added: usize,
    ) -> Result<Vec<Vec<NodeId>>, ApiError> {
        if assignments.len() != added {
            let why = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, why));
        }
        let factor = Some(topic.replication_factor()).filter(|factor| 0 < *factor);
        assignments.iter().map(|replicas| placement::check_manual(&self.image, replicas, factor)).collect()
    }
}
