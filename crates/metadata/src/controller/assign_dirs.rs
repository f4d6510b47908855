//! Brokers tell in which directory each of their replicas is (KIP-858).

use super::{Controller, Decision};
use crate::{ApiError, record::MetadataRecord};
use highwater_types::{BrokerEpoch, DirectoryId, ErrorCode, NodeId, PartitionIndex, TopicId};

/// A broker's report of where its replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignReplicasToDirs {
    /// The broker.
    pub node: NodeId,
    /// Its registration.
    pub epoch: BrokerEpoch,
    /// Where each replica is.
    pub replicas: Vec<(DirectoryId, TopicId, PartitionIndex)>,
}

impl Controller {
    /// Decides on the directories of a broker's replicas: one result for each, in the order of the request.
    /// A replica in a directory that does not work gives up leadership and the in-sync set.
    ///
    /// Codes: `UNKNOWN_TOPIC_ID`, `UNKNOWN_TOPIC_OR_PARTITION`, `NOT_LEADER_OR_FOLLOWER` for a partition of
    /// which the broker has no replica, `INVALID_REQUEST` for one given twice.
    ///
    /// # Errors
    ///
    /// `STALE_BROKER_EPOCH` if this is not the broker's registration.
    pub fn assign_replicas_to_dirs(
        &self,
        request: &AssignReplicasToDirs,
    ) -> Result<Decision<Vec<Result<(), ApiError>>>, ApiError> {
        self.check_broker_epoch(request.node, request.epoch)?;
        let mut seen = std::collections::BTreeSet::new();
        let mut records = Vec::new();
        let mut results = Vec::with_capacity(request.replicas.len());
        for (directory, topic_id, index) in &request.replicas {
            let result = if seen.insert((*topic_id, *index)) {
                self.assign(request.node, *directory, *topic_id, *index)
            } else {
                Err(ApiError::new(ErrorCode::InvalidRequest, "The partition is given more than once."))
            };
            results.push(result.map(|changes| records.extend(changes)));
        }
        Ok(Decision::new(records, results))
    }

    fn assign(
        &self,
        node: NodeId,
        directory: DirectoryId,
        topic_id: TopicId,
        index: PartitionIndex,
    ) -> Result<Vec<MetadataRecord>, ApiError> {
        let Some(topic) = self.image.topic_by_id(topic_id) else {
            return Err(ApiError::new(ErrorCode::UnknownTopicId, "This server does not host this topic ID."));
        };
        let Some(partition) = topic.partition(index) else {
            let why = "This server does not host this topic-partition.";
            return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, why));
        };
        if !partition.replicas.contains(&node) {
            let why = format!("Broker {node} has no replica of the partition.");
            return Err(ApiError::new(ErrorCode::NotLeaderOrFollower, why));
        }
        let works = self.image.broker(node).is_some_and(|broker| broker.is_directory_online(directory));
        Ok(self.change_all([(topic_id, index)], |target| {
            target.directories.push((node, directory));
            if !works {
                target.isr.retain(|member| *member != node);
            }
        }))
    }
}
