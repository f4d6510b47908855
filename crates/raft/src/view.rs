//! What a node says of the quorum, for DescribeQuorum and metrics.

use highwater_types::{LeaderEpoch, NodeId, Offset, Ticks};

use crate::role::Role;
use crate::{KRaftVersion, Raft, ReplicaKey, RoleName, VoterSet};

/// The quorum as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumView {
    /// The node's role.
    pub role: RoleName,
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Its leader, if that is known.
    pub leader: Option<NodeId>,
    /// What is committed, as far as the node knows.
    pub high_watermark: Option<Offset>,
    /// End of the node's log.
    pub log_end: Offset,
    /// The voters with what the leader knows of them; only ids and directories on other nodes.
    pub voters: Vec<ReplicaView>,
    /// Who else fetches; empty on other nodes than the leader.
    pub observers: Vec<ReplicaView>,
    /// The level of `kraft.version`.
    pub kraft_version: KRaftVersion,
    /// Where the voters are reached and what they support, as far as the log says.
    pub voter_set: VoterSet,
}

/// What a leader knows of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    /// Who.
    pub key: ReplicaKey,
    /// End of its log, as far as it is synced; `None` if it has not fetched yet.
    pub end: Option<Offset>,
    /// When it fetched last.
    pub last_fetch: Option<Ticks>,
    /// When it had everything last.
    pub last_caught_up: Option<Ticks>,
}

impl<T> Raft<T> {
    /// What the node knows of the quorum at `now`.
    #[must_use]
    pub fn view(&self, now: Ticks) -> QuorumView {
        let unknown = |key| ReplicaView { key, end: None, last_fetch: None, last_caught_up: None };
        let itself =
            ReplicaView { key: self.key, end: Some(self.log.end), last_fetch: Some(now), last_caught_up: Some(now) };
        let (voters, observers) = match &self.role {
            Role::Leader(leader) => {
                let own = self.is_voter().then_some(itself);
                let mut voters: Vec<ReplicaView> = leader.voter_views().chain(own).collect();
                voters.sort_by_key(|voter| voter.key.id);
                (voters, leader.observer_views().collect())
            }
            _ => (self.voters.newest().iter().map(unknown).collect(), Vec::new()),
        };
        QuorumView {
            role: self.role(),
            epoch: self.epoch,
            leader: self.leader(),
            high_watermark: self.high_watermark,
            log_end: self.log.end,
            voters,
            observers,
            kraft_version: self.voters.kraft_version(),
            voter_set: self.voters.newest().clone(),
        }
    }
}
