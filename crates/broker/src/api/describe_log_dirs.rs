//! DescribeLogDirs (35): what lies in which log directory, and how full the disks are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use highwater_types::ErrorCode;
use highwater_wire::messages::DescribeLogDirsRequest;
use highwater_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::request::{Cx, Outcome, Refused, Request};
use crate::net::Out;
use crate::partition::Directory;

pub(super) fn handle(cx: &mut Cx<'_>, request: &Request<'_>, out: &mut Out) -> Result<Outcome, Refused> {
    let body: DescribeLogDirsRequest<'_> = request.decode()?;
    let asked: Option<HashMap<String, BTreeSet<i32>>> = body.topics.as_ref().map(|topics| {
        let mut asked: HashMap<String, BTreeSet<i32>> = HashMap::new();
        for topic in topics {
            asked.entry(topic.topic.into_owned()).or_default().extend(topic.partitions.iter());
        }
        asked
    });
    let results = cx.node.directories.iter().map(|directory| describe(cx, directory, asked.as_ref())).collect();
    request.to.send(out, &DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() })
}

fn describe(
    cx: &Cx<'_>,
    directory: &Arc<Directory>,
    asked: Option<&HashMap<String, BTreeSet<i32>>>,
) -> DescribeLogDirsResult<'static> {
    let log_dir = directory.path().display().to_string().into();
    if directory.is_offline() {
        let error_code = ErrorCode::KafkaStorageError as i16;
        return DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() };
    }
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition<'static>>> = BTreeMap::new();
    for partition in cx.view.topics.partitions().filter(|partition| Arc::ptr_eq(partition.directory(), directory)) {
        let name = partition.name();
        let index = name.partition.to_wire();
        let wanted = asked.is_none_or(|asked| asked.get(name.topic.as_str()).is_some_and(|set| set.contains(&index)));
        if let (true, Ok(locked)) = (wanted, partition.lock()) {
            topics.entry(name.topic.as_str().to_owned()).or_default().push(DescribeLogDirsPartition {
                partition_index: index,
                partition_size: i64::try_from(locked.log().size_bytes()).unwrap_or(i64::MAX),
                ..DescribeLogDirsPartition::default()
            });
        }
    }
    let (total_bytes, usable_bytes) = disk_space(directory.path()).unwrap_or((-1, -1));
    DescribeLogDirsResult {
        log_dir,
        topics: topics
            .into_iter()
            .map(|(name, mut partitions)| {
                partitions.sort_unstable_by_key(|partition| partition.partition_index);
                DescribeLogDirsTopic { name: name.into(), partitions: partitions.into(), ..Default::default() }
            })
            .collect(),
        total_bytes,
        usable_bytes,
        ..DescribeLogDirsResult::default()
    }
}

/// Bytes of the file system, and of these the ones that this process may still use.
fn disk_space(path: &Path) -> Option<(i64, i64)> {
    let facts = nix::sys::statvfs::statvfs(path).ok()?;
    let bytes = |blocks: u64| i64::try_from(blocks.saturating_mul(facts.fragment_size())).unwrap_or(i64::MAX);
    Some((bytes(facts.blocks()), bytes(facts.blocks_available())))
}
