//! `quorum-state`: the epoch that this node is in, who leads it and whom it has voted for.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use highwater_raft::{KRaftVersion, QuorumState, ReplicaKey};
use highwater_types::{DirectoryId, LeaderEpoch, NodeId, Uuid};

use super::log::wire_directory;

/// Why the file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuorumStateError {
    /// The operating system refused.
    #[error("{op} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file does not name a leader epoch.
    #[error("malformed {}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the file in `directory`; `None` if there is none.
pub(super) fn read(directory: &Path) -> Result<Option<QuorumState>, QuorumStateError> {
    let path = directory.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(QuorumStateError::Io { op: "read", path, source }),
    };
    if text.is_empty() {
        return Ok(None);
    }
    parse(&text).map(Some).ok_or(QuorumStateError::Malformed { path })
}

/// Replaces the file in `directory`. It is on the disk when this returns.
pub(super) fn write(
    state: QuorumState,
    kraft_version: KRaftVersion,
    directory: &Path,
    cluster_id: &str,
) -> Result<(), QuorumStateError> {
    let path = directory.join(FILE);
    let temporary = directory.join(format!("{FILE}.tmp"));
    let failed = |op, path: &Path| {
        let path = path.to_owned();
        move |source| QuorumStateError::Io { op, path, source }
    };
    let mut file = fs::File::create(&temporary).map_err(failed("create", &temporary))?;
    file.write_all(format(state, kraft_version, cluster_id).as_bytes()).map_err(failed("write", &temporary))?;
    file.sync_all().map_err(failed("sync", &temporary))?;
    fs::rename(&temporary, &path).map_err(failed("rename", &temporary))?;
    fs::File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed("sync", directory))
}

/// Version 0 of the file if voters are fixed by the configuration, in which they have no directories; else version 1,
/// which does not name the voters: they are in the log.
fn format(state: QuorumState, kraft_version: KRaftVersion, cluster_id: &str) -> String {
    let QuorumState { epoch, leader, voted } = state;
    let leader = leader.map_or(-1, NodeId::to_wire);
    let voted_id = voted.map_or(-1, |voted| voted.id.to_wire());
    if kraft_version.is_dynamic() {
        let directory = wire_directory(voted.and_then(|voted| voted.directory));
        format!(
            "{{\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":{voted_id},\
             \"votedDirectoryId\":\"{directory}\",\"data_version\":1}}"
        )
    } else {
        format!(
            "{{\"clusterId\":\"{cluster_id}\",\"leaderId\":{leader},\"leaderEpoch\":{epoch},\"votedId\":{voted_id},\
             \"appliedOffset\":0,\"currentVoters\":[],\"data_version\":0}}"
        )
    }
}

/// Reads what matters in either version of the file.
fn parse(text: &str) -> Option<QuorumState> {
    let directory = match field(text, "\"votedDirectoryId\"") {
        Some(rest) => rest.strip_prefix('"')?.split_once('"')?.0.parse::<Uuid>().ok()?,
        None => Uuid::ZERO,
    };
    let directory = (directory != Uuid::ZERO).then_some(DirectoryId(directory));
    let voted = NodeId::from_wire(number(text, "\"votedId\"").unwrap_or(-1));
    Some(QuorumState {
        epoch: LeaderEpoch::from_wire(number(text, "\"leaderEpoch\"")?)?,
        leader: NodeId::from_wire(number(text, "\"leaderId\"")?),
        voted: voted.map(|id| ReplicaKey { id, directory }),
    })
}

/// What follows the colon behind a name.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(name)?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn number(text: &str, name: &str) -> Option<i32> {
    let rest = field(text, name)?;
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

const FILE: &str = "quorum-state";

#[cfg(test)]
mod tests {
    use super::*;

    fn state(epoch: u32, leader: Option<u32>, voted: Option<(u32, Option<u8>)>) -> QuorumState {
        let voted = voted.map(|(id, directory)| ReplicaKey {
            id: NodeId::new(id),
            directory: directory.map(|byte| DirectoryId(Uuid::from_bytes([byte; 16]))),
        });
        QuorumState { epoch: LeaderEpoch::new(epoch), leader: leader.map(NodeId::new), voted }
    }

    #[test]
    fn both_versions_of_the_file_are_read() {
        let v0 = r#"{"clusterId":"","leaderId":3,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":3}],"data_version":0}"#;
        let v1 = r#"{"leaderId":-1,"leaderEpoch":12,"votedId":4,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;
        assert_eq!(parse(v0), Some(state(7, Some(3), None)));
        assert_eq!(parse(v1), Some(state(12, None, Some((4, None)))));
        assert_eq!(parse(r#"{"leaderId": 1, "leaderEpoch": 2}"#), Some(state(2, Some(1), None)));
        for bad in [
            "{}",
            r#"{"leaderId":1,"leaderEpoch":-1}"#,
            r#"{"leaderId":1,"leaderEpoch":"x"}"#,
            r#"{"leaderId":1,"leaderEpoch":1,"votedId":1,"votedDirectoryId":"?"}"#,
            "\u{1}",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn voters_in_the_log_are_voted_for_with_their_directories() {
        // As `quorum-state` of Kafka 4.3.
        let dynamic = r#"{"leaderId":1,"leaderEpoch":1,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;
        assert_eq!(format(state(1, Some(1), None), KRaftVersion::DYNAMIC, "c"), dynamic);
        let fixed = r#"{"clusterId":"c","leaderId":-1,"leaderEpoch":2,"votedId":3,"appliedOffset":0,"currentVoters":[],"data_version":0}"#;
        assert_eq!(format(state(2, None, Some((3, Some(7)))), KRaftVersion::FIXED, "c"), fixed);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read(directory.path()).unwrap(), None);
        for state in [state(9, Some(4), None), state(9, None, Some((2, None))), state(10, Some(2), Some((2, Some(7))))]
        {
            write(state, KRaftVersion::DYNAMIC, directory.path(), "cluster").unwrap();
            assert_eq!(read(directory.path()).unwrap(), Some(state));
            write(state, KRaftVersion::FIXED, directory.path(), "cluster").unwrap();
            let voted = state.voted.map(|voted| ReplicaKey { directory: None, ..voted });
            assert_eq!(read(directory.path()).unwrap(), Some(QuorumState { voted, ..state }));
        }
        fs::write(directory.path().join(FILE), "{\"leaderId\":").unwrap();
        assert!(matches!(read(directory.path()), Err(QuorumStateError::Malformed { .. })));
    }
}
