//! From role to role: the edges of [`RoleName`](crate::RoleName)'s table.

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Ticks};

use crate::leader::LeaderState;
use crate::message::{EndQuorumEpoch, Request};
use crate::output::Output;
use crate::role::{Election, Fetching, Follower, Resigned, Role, Unattached};
use crate::{ChangeRefusal, QuorumState, Raft, ReplicaKey};

impl<T> Role<T> {
    pub(crate) fn new_unattached(election_at: Ticks, search_at: Ticks) -> Self {
        Self::Unattached(Unattached { election_at, search: Fetching::Due(search_at) })
    }
}

impl<T> Raft<T> {
    /// Enters a higher epoch, of which the leader is not known.
    pub(crate) fn become_unattached(&mut self, now: Ticks, epoch: LeaderEpoch) {
        assert!(self.epoch < epoch, "epochs rise");
        (self.epoch, self.voted) = (epoch, None);
        self.set_unattached(now);
        self.persist();
        self.announce();
    }

    /// Waits for somebody to be elected in the same epoch, with a timeout drawn anew.
    pub(crate) fn wait_for_election(&mut self, now: Ticks) {
        self.set_unattached(now);
        self.announce();
    }

    /// Votes, and gives the candidate time to be elected.
    pub(crate) fn vote_for(&mut self, now: Ticks, candidate: ReplicaKey) {
        assert!(self.voted.is_none_or(|voted| voted == candidate), "there is one vote in an epoch");
        self.voted = Some(candidate);
        self.set_unattached(now);
        self.persist();
        self.announce();
    }

    /// Follows the leader of this epoch or a higher one.
    pub(crate) fn become_follower(&mut self, now: Ticks, epoch: LeaderEpoch, leader: NodeId) {
        assert!(self.epoch <= epoch && leader != self.key.id, "another node leads this epoch or a higher one");
        if self.epoch < epoch {
            self.voted = None;
        }
        self.epoch = epoch;
        let timeout_at = now.plus_ms(self.config.fetch_timeout_ms);
        let fetching = Fetching::Due(now);
        self.set_role(Role::Follower(Follower {
            leader,
            has_fetched: false,
            timeout_at,
            fetching,
            propose_at: now,
            proposed: None,
            is_described: false,
        }));
        self.persist();
        self.announce();
    }

    /// Asks whether it would be elected.
    pub(crate) fn become_prospective(&mut self, now: Ticks) {
        assert!(self.may_stand(), "only voters stand for election");
        let leader = self.leader();
        let election = Election::new(self.own_vote(), self.election_deadline(now), leader);
        self.set_role(Role::Prospective(election));
        self.announce();
        self.ask_for_votes();
    }

    /// Votes for itself in the next epoch.
    pub(crate) fn become_candidate(&mut self, now: Ticks) {
        assert!(matches!(self.role, Role::Prospective(_)), "a candidate has asked before");
        let Some(epoch) = self.next_epoch() else { return };
        self.epoch = epoch;
        self.voted = Some(self.key);
        let election = Election::new(self.own_vote(), self.election_deadline(now), None);
        self.set_role(Role::Candidate(election));
        self.persist();
        self.announce();
        self.ask_for_votes();
    }

    /// Leads the epoch. Its first record, in its epoch, is what lets it commit those before.
    pub(crate) fn become_leader(&mut self, now: Ticks) {
        let Role::Candidate(election) = &self.role else { unreachable!("a leader was a candidate") };
        assert!(self.voters.newest().is_majority(election.granted.len()), "a leader was elected");
        let granting = election.granted.iter().copied().collect();
        let others = self.other_voters();
        let state = LeaderState::new(now, self.log.end, &others, self.config);
        self.set_role(Role::Leader(state));
        self.persist();
        self.announce();
        self.append_leader_change(granting);
    }

    /// Gives up the leadership and says who should stand for it.
    pub(crate) fn become_resigned(&mut self, now: Ticks) {
        let Role::Leader(leader) = &self.role else { unreachable!("only a leader resigns") };
        let successors = leader.successors();
        let ends_at = self.election_deadline(now);
        self.set_role(Role::Resigned(Resigned { ends_at }));
        self.announce();
        for voter in self.other_voters() {
            let end = EndQuorumEpoch { epoch: self.epoch, leader: self.key.id, successors: successors.clone() };
            self.send(voter.id, Request::EndQuorumEpoch(end));
        }
    }

    fn own_vote(&self) -> Option<ReplicaKey> {
        self.is_voter().then_some(self.key)
    }

    /// Between one and two election timeouts from now.
    pub(crate) fn election_deadline(&mut self, now: Ticks) -> Ticks {
        let timeout_ms = self.config.election_timeout_ms;
        now.plus_ms(timeout_ms).plus_ms(self.random.below(timeout_ms))
    }

    fn set_unattached(&mut self, now: Ticks) {
        let alone = self.may_stand() && self.is_voter() && self.voters.newest().len() == 1;
        let election_at = if alone { now } else { self.election_deadline(now) };
        self.set_role(Role::new_unattached(election_at, now));
    }

    fn set_role(&mut self, role: Role<T>) {
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, role) {
            let (waiting, change) = leader.into_waiting();
            self.abandoned.extend(waiting);
            self.abandoned_change = change;
        }
    }

    /// What another vote or leader of the epoch must not be forgotten over.
    pub(crate) fn persist(&mut self) {
        let state = QuorumState { epoch: self.epoch, leader: self.leader(), voted: self.voted };
        self.output(Output::Persist(state));
    }

    fn announce(&mut self) {
        let (role, epoch, leader) = (self.role.name(), self.epoch, self.leader());
        self.output(Output::Role { role, epoch, leader });
        for token in std::mem::take(&mut self.abandoned) {
            self.refuse_fetch(token, ErrorCode::NotLeaderOrFollower);
        }
        if let Some((token, name)) = self.abandoned_change.take() {
            self.answer_change(token, name, Some(ChangeRefusal::NotLeader));
        }
    }
}
