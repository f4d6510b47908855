//! The directories that brokers keep logs in.

use std::collections::BTreeMap;

use highwater_types::{NodeId, TopicPartition};
use highwater_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::offsets::place;
use super::routing::join_all;
use super::{Admin, Each};
use crate::ClientError;
use crate::error::check;
use crate::pending::Pending;

/// A directory that a broker keeps logs in.
#[derive(Clone, Debug)]
pub struct LogDir {
    /// Its path.
    pub path: String,
    /// Why it cannot be used, if that is so.
    pub error: Option<ClientError>,
    /// Size of its volume in bytes, if the broker says.
    pub total_bytes: Option<u64>,
    /// How much of that is free, if the broker says.
    pub usable_bytes: Option<u64>,
    /// What is in it.
    pub replicas: BTreeMap<TopicPartition, LogDirReplica>,
}

/// A replica in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirReplica {
    /// Size of its log in bytes.
    pub size_bytes: u64,
    /// How far it is behind: the high watermark, or the replica that it is to replace.
    pub offset_lag: u64,
    /// Whether it is to replace one in another directory.
    pub is_future: bool,
}

impl Admin {
    /// The directories of some brokers, or of all, with what is in them.
    pub fn describe_log_dirs(&self, brokers: impl IntoIterator<Item = NodeId>) -> Pending<Each<NodeId, Vec<LogDir>>> {
        let brokers: Vec<NodeId> = brokers.into_iter().collect();
        self.call("describing log directories", |io, deadline| async move {
            let brokers = if brokers.is_empty() { io.all_nodes(deadline).await? } else { brokers };
            let described = join_all(brokers.iter().map(|broker| {
                let io = &io;
                async move {
                    let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
                    let answer = io.ask_node(*broker, i16::MAX, deadline, &request).await?;
                    let response: DescribeLogDirsResponse<'_> = answer.decode()?;
                    check(response.error_code, None)?;
                    let dirs = response.results.iter().map(|dir| {
                        let mut replicas = BTreeMap::new();
                        for topic in &dir.topics {
                            for replica in &topic.partitions {
                                let Some(at) = place(&topic.name, replica.partition_index) else { continue };
                                let size_bytes = u64::try_from(replica.partition_size).unwrap_or_default();
                                let offset_lag = u64::try_from(replica.offset_lag).unwrap_or_default();
                                let is_future = replica.is_future_key;
                                replicas.insert(at, LogDirReplica { size_bytes, offset_lag, is_future });
                            }
                        }
                        LogDir {
                            path: dir.log_dir.to_string(),
                            error: check(dir.error_code, None).err(),
                            total_bytes: u64::try_from(dir.total_bytes).ok(),
                            usable_bytes: u64::try_from(dir.usable_bytes).ok(),
                            replicas,
                        }
                    });
                    Ok(dirs.collect())
                }
            }))
            .await;
            Ok(Each::new(brokers.iter().copied().zip(described).collect()))
        })
    }
}
