//! AlterReplicaLogDirs (34): replicas move between the log directories of this broker (KIP-113).
//!
//! Not yet: a replica that is to move to another directory is answered with `UNSUPPORTED_VERSION` and stays where it
//! is. Everything else is answered as Apache Kafka does, except that the directory wanted for a replica that is not
//! here yet is not remembered for the time when it comes.

use std::collections::BTreeMap;

use highwater_types::ErrorCode;
use highwater_wire::messages::AlterReplicaLogDirsRequest;
use highwater_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsResponse,
};

use super::request::{Cx, NAMES_MAX, Outcome, Refused, Request, at_most};
use crate::net::Out;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: AlterReplicaLogDirsRequest<'_> = request.decode()?;
    let mut count = body.dirs.len();
    for dir in &body.dirs {
        count += dir.topics.iter().map(|topic| 1 + topic.partitions.len()).sum::<usize>();
    }
    at_most(NAMES_MAX, count)?;
    let mut topics: BTreeMap<String, BTreeMap<i32, ErrorCode>> = BTreeMap::new();
    for dir in &body.dirs {
        for topic in &dir.topics {
            let results = topics.entry(topic.name.clone().into_owned()).or_default();
            // Of two directories for one replica the last counts.
            results.extend(topic.partitions.iter().map(|index| (index, alter(cx, &dir.path, &topic.name, index))));
        }
    }
    let results = topics.into_iter().map(|(name, partitions)| AlterReplicaLogDirTopicResult {
        topic_name: name.into(),
        partitions: partitions
            .into_iter()
            .map(|(partition_index, code)| AlterReplicaLogDirPartitionResult {
                partition_index,
                error_code: code as i16,
                ..AlterReplicaLogDirPartitionResult::default()
            })
            .collect(),
        ..AlterReplicaLogDirTopicResult::default()
    });
    let results = results.collect::<Vec<_>>().into();
    request.to.send(out, &AlterReplicaLogDirsResponse { results, ..AlterReplicaLogDirsResponse::default() })
}

fn alter(cx: &Cx<'_>, path: &str, topic: &str, index: i32) -> ErrorCode {
    // As DescribeLogDirs writes it.
    let Some(wanted) = cx.node.directories.iter().find(|directory| directory.path().as_os_str() == path) else {
        return ErrorCode::LogDirNotFound;
    };
    if wanted.is_offline() {
        return ErrorCode::KafkaStorageError;
    }
    let partition = match cx.view.partition(topic, index) {
        Ok(partition) => partition,
        // The older of the two names for it, which clients of this request know.
        Err(ErrorCode::NotLeaderOrFollower) => return ErrorCode::ReplicaNotAvailable,
        Err(code) => return code,
    };
    if partition.directory().is_offline() {
        return ErrorCode::KafkaStorageError;
    }
    if partition.directory().id() == wanted.id() { ErrorCode::None } else { ErrorCode::UnsupportedVersion }
}
