//! Offsets that a starting coordinator reads.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use highwater_types::ErrorCode;
use highwater_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use highwater_wire::messages::offset_fetch_request::OffsetFetchRequestTopic;
use highwater_wire::messages::{OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse};

use super::peer::{Peer, no_error};
use super::steady::PARTITIONS;

/// Commits `groups` x 1,000 offsets, by groups without members.
///
/// # Errors
///
/// If the coordinator refuses.
pub fn commit(address: SocketAddr, groups: usize) -> io::Result<()> {
    let mut peer = Peer::connect(address)?;
    for index in 0..groups {
        let group = format!("loaded-{index}");
        let partitions = (0..PARTITIONS).map(|partition_index| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: index as i64,
            committed_leader_epoch: 0,
            committed_metadata: Some("".into()),
            ..Default::default()
        });
        let topic = OffsetCommitRequestTopic {
            name: "groups".into(),
            partitions: partitions.collect(),
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.as_str().into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic].into(),
            ..OffsetCommitRequest::default()
        };
        let answer = peer.call(8, &request)?;
        for topic in &answer.read::<OffsetCommitResponse<'_>>()?.topics {
            topic.partitions.iter().try_for_each(|partition| no_error(partition.error_code, "commit"))?;
        }
    }
    Ok(())
}

/// Asks for the last of the committed offsets until the coordinator has loaded them.
///
/// # Errors
///
/// If it refuses, answers something else, or does not finish.
pub fn await_loaded(address: SocketAddr, groups: usize) -> io::Result<()> {
    let mut peer = Peer::connect(address)?;
    let group = format!("loaded-{}", groups - 1);
    let deadline = Instant::now() + Duration::from_secs(120);
    while Instant::now() < deadline {
        let topic = OffsetFetchRequestTopic {
            name: "groups".into(),
            partition_indexes: vec![PARTITIONS - 1].into(),
            ..OffsetFetchRequestTopic::default()
        };
        let request = OffsetFetchRequest {
            group_id: group.as_str().into(),
            topics: Some(vec![topic].into()),
            ..OffsetFetchRequest::default()
        };
        let answer = peer.call(5, &request)?;
        let answer = answer.read::<OffsetFetchResponse<'_>>()?;
        let retry =
            [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator, ErrorCode::CoordinatorNotAvailable];
        if retry.iter().any(|code| *code as i16 == answer.error_code) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        no_error(answer.error_code, "fetch offsets")?;
        let offset =
            answer.topics.iter().next().and_then(|topic| topic.partitions.iter().next()).map(|p| p.committed_offset);
        return if offset == Some(groups as i64 - 1) {
            Ok(())
        } else {
            Err(io::Error::other(format!("the committed offset is {offset:?}")))
        };
    }
    Err(io::Error::other("the offsets are not loaded"))
}
