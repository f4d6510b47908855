//! `quorum-state`: which leader epoch this node has seen, so that no epoch is used twice.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use highwater_types::{LeaderEpoch, NodeId};

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuorumState {
    pub(super) leader: NodeId,
    pub(super) leader_epoch: LeaderEpoch,
}

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

impl QuorumState {
    /// Reads the file in `directory`; `None` if there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, QuorumStateError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(QuorumStateError::Io { op: "read", path, source }),
        };
        if text.is_empty() {
            return Ok(None);
        }
        Self::parse(&text).map(Some).ok_or(QuorumStateError::Malformed { path })
    }

    /// Replaces the file in `directory`. It is on the disk when this returns.
    pub(super) fn write(self, directory: &Path, cluster_id: &str) -> Result<(), QuorumStateError> {
        let path = directory.join(FILE);
        let temporary = directory.join(format!("{FILE}.tmp"));
        let failed = |op, path: &Path| {
            let path = path.to_owned();
            move |source| QuorumStateError::Io { op, path, source }
        };
        let mut file = fs::File::create(&temporary).map_err(failed("create", &temporary))?;
        file.write_all(self.format(cluster_id).as_bytes()).map_err(failed("write", &temporary))?;
        file.sync_all().map_err(failed("sync", &temporary))?;
        fs::rename(&temporary, &path).map_err(failed("rename", &temporary))?;
        fs::File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed("sync", directory))
    }

    /// Kafka's version 0 of the file, that of quorums whose voters are fixed by the configuration.
    fn format(self, cluster_id: &str) -> String {
        let Self { leader, leader_epoch } = self;
        format!(
            "{{\"clusterId\":\"{cluster_id}\",\"leaderId\":{leader},\"leaderEpoch\":{leader_epoch},\"votedId\":-1,\
             \"appliedOffset\":0,\"currentVoters\":[{{\"voterId\":{leader}}}],\"data_version\":0}}"
        )
    }

    /// Finds the two numbers that matter in any version of the file.
    fn parse(text: &str) -> Option<Self> {
        Some(Self {
            leader: NodeId::from_wire(number(text, "\"leaderId\"")?).unwrap_or_default(),
            leader_epoch: LeaderEpoch::from_wire(number(text, "\"leaderEpoch\"")?)?,
        })
    }
}

fn number(text: &str, name: &str) -> Option<i32> {
    let (_, rest) = text.split_once(name)?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

const FILE: &str = "quorum-state";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_the_file_are_read() {
        let v0 = r#"{"clusterId":"","leaderId":3,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":3}],"data_version":0}"#;
        let v1 = r#"{"leaderId":-1,"leaderEpoch":12,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#;
        let state = |leader, epoch| QuorumState { leader: NodeId::new(leader), leader_epoch: LeaderEpoch::new(epoch) };
        assert_eq!(QuorumState::parse(v0), Some(state(3, 7)));
        assert_eq!(QuorumState::parse(v1), Some(state(0, 12)));
        assert_eq!(QuorumState::parse(r#"{"leaderId": 1, "leaderEpoch": 2}"#), Some(state(1, 2)));
        for bad in ["{}", r#"{"leaderId":1,"leaderEpoch":-1}"#, r#"{"leaderId":1,"leaderEpoch":"x"}"#, "\u{1}"] {
            assert_eq!(QuorumState::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(QuorumState::read(directory.path()).unwrap(), None);
        let state = QuorumState { leader: NodeId::new(4), leader_epoch: LeaderEpoch::new(9) };
        state.write(directory.path(), "cluster").unwrap();
        assert_eq!(QuorumState::read(directory.path()).unwrap(), Some(state));
        fs::write(directory.path().join(FILE), "{\"leaderId\":").unwrap();
        assert!(matches!(QuorumState::read(directory.path()), Err(QuorumStateError::Malformed { .. })));
    }
}
