//! From voters of the configuration to voters in the log: `kraft.version` 0 to 1 (KIP-853).

use highwater_types::NodeId;

use crate::output::Content;
use crate::role::Role;
use crate::{
    Appended, Control, ControlRecord, KRaftVersion, KRaftVersions, NotLeader, Raft, ReplicaKey, Voter, VoterSet,
};

/// Why the level of `kraft.version` is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RaiseRefusal {
    /// Another node leads, or none.
    #[error(transparent)]
    NotLeader(#[from] NotLeader),
    /// There is no way back to voters of the configuration.
    #[error("the voters are in the log, where they stay")]
    Lower {
        /// The quorum's level.
        version: KRaftVersion,
    },
    /// Nobody knows this level.
    #[error("kraft.version {version} is not known")]
    Unknown {
        /// The level.
        version: KRaftVersion,
    },
    /// What earlier leaders have appended may not be committed.
    #[error("the leader does not know yet what is committed")]
    HighWatermarkUnknown,
    /// A voter has not said which directory it has, where it is reached and what it supports. Voters do so when they
    /// follow a leader.
    #[error("voter {id} has not described itself yet")]
    Undescribed {
        /// The voter.
        id: NodeId,
    },
    /// A voter would not understand the log any more.
    #[error("voter {key} supports kraft.version {} to {}", .supported.min, .supported.max)]
    Unfit {
        /// The voter.
        key: ReplicaKey,
        /// What it supports.
        supported: KRaftVersions,
    },
}

impl<T> Raft<T> {
    /// Raises `kraft.version` to `version`: from there on the voters that the configuration has named are in the log, as
    /// they have described themselves, and can be changed. Where that was appended; `None` if it is so already, or is only
    /// to be `checked`.
    ///
    /// # Errors
    ///
    /// [`RaiseRefusal`]; nothing has changed then.
    pub fn raise_kraft_version(
        &mut self,
        now: highwater_types::Ticks,
        version: KRaftVersion,
        checked: bool,
    ) -> Result<Option<Appended>, RaiseRefusal> {
        let Some(voter_set) = self.check_raise(version)? else { return Ok(None) };
        if checked {
            return Ok(None);
        }
        let content = Content::Raised { kraft_version: version, voter_set: voter_set.clone() };
        let appended = self.append_content(content, 2);
        self.voters.extend(Control { offset: appended.base, record: ControlRecord::KRaftVersion(version) });
        self.voters.extend(Control { offset: appended.base.next(), record: ControlRecord::Voters(voter_set) });
        self.voters_changed(now);
        Ok(Some(appended))
    }

    /// The voters as the log is to have them; `None` if nothing changes.
    fn check_raise(&self, version: KRaftVersion) -> Result<Option<VoterSet>, RaiseRefusal> {
        let not_leader = NotLeader { epoch: self.epoch, leader: self.leader() };
        let leader = match &self.role {
            Role::Leader(leader) if !self.has_stopped => leader,
            _ => return Err(not_leader.into()),
        };
        let current = self.voters.kraft_version();
        if KRaftVersion::LATEST < version {
            return Err(RaiseRefusal::Unknown { version });
        }
        if version < current {
            return Err(RaiseRefusal::Lower { version: current });
        }
        if version == current {
            return Ok(None);
        }
        if self.high_watermark.is_none_or(|committed| committed <= leader.epoch_start) {
            return Err(RaiseRefusal::HighWatermarkUnknown);
        }
        let mut voters = Vec::new();
        for ReplicaKey { id, .. } in self.voters.newest().iter() {
            let own =
                || Voter { key: self.key, endpoints: self.endpoints.clone(), kraft_versions: KRaftVersions::SUPPORTED };
            let described = if id == self.key.id { Some(own()) } else { leader.described.get(&id).cloned() };
            let is_whole = |voter: &Voter| voter.key.directory.is_some() && !voter.endpoints.is_empty();
            let voter = described.filter(is_whole).ok_or(RaiseRefusal::Undescribed { id })?;
            if !voter.kraft_versions.contains(version) {
                return Err(RaiseRefusal::Unfit { key: voter.key, supported: voter.kraft_versions });
            }
            voters.push(voter);
        }
        Ok(Some(VoterSet::of(voters)))
    }
}
