//! Votes: asking for them and giving them (KIP-595, KIP-996).

use std::collections::BTreeSet;

use highwater_types::{ErrorCode, NodeId, Ticks};

use crate::message::{Leadership, Request, Response, Vote, VoteAnswer};
use crate::output::CorrelationId;
use crate::role::{Election, Role};
use crate::{Raft, ReplicaKey};

impl Election {
    /// `own` is the candidate if it is a voter, and so has a vote itself.
    pub(crate) fn new(own: Option<ReplicaKey>, ends_at: Ticks, leader: Option<NodeId>) -> Self {
        let granted = own.into_iter().collect();
        Self { granted, rejected: BTreeSet::new(), ends_at, retries: Vec::new(), asked: Vec::new(), leader }
    }

    pub(crate) fn next_timeout(&self) -> Ticks {
        self.retries.iter().map(|(at, _)| *at).chain([self.ends_at]).min().unwrap_or(self.ends_at)
    }
}

impl<T> Raft<T> {
    /// Asks all other voters, and goes on at once if there are none.
    pub(crate) fn ask_for_votes(&mut self) {
        for voter in self.other_voters() {
            self.ask_for_vote(voter);
        }
        if let Role::Prospective(election) | Role::Candidate(election) = &mut self.role
            && self.voters.newest().is_majority(election.granted.len())
        {
            // Nobody else is asked: what follows an election is due now.
            election.ends_at = Ticks::default();
        }
    }

    fn ask_for_vote(&mut self, voter: ReplicaKey) {
        let is_pre_vote = matches!(self.role, Role::Prospective(_));
        let vote = Vote {
            epoch: self.epoch,
            candidate: self.key,
            voter,
            last_epoch: self.log.last_epoch(),
            end: self.log.end,
            is_pre_vote,
        };
        let correlation = self.send(voter.id, Request::Vote(vote));
        if let Role::Prospective(election) | Role::Candidate(election) = &mut self.role {
            election.asked.push((correlation, voter));
        }
    }

    pub(crate) fn drive_election(&mut self, now: Ticks) {
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else { return };
        if self.voters.newest().is_majority(election.granted.len()) {
            return self.elected(now);
        }
        if election.ends_at <= now {
            return self.election_failed(now);
        }
        let due: Vec<ReplicaKey> =
            election.retries.extract_if(.., |(at, _)| *at <= now).map(|(_, voter)| voter).collect();
        due.into_iter().for_each(|voter| self.ask_for_vote(voter));
    }

    fn elected(&mut self, now: Ticks) {
        match self.role {
            Role::Prospective(_) => self.become_candidate(now),
            _ => self.become_leader(now),
        }
    }

    /// Whoever loses waits for a random time: the votes may be split again otherwise (KAFKA-18345).
    fn election_failed(&mut self, now: Ticks) {
        match &self.role {
            Role::Prospective(Election { leader: Some(leader), .. }) => {
                let leader = *leader;
                self.become_follower(now, self.epoch, leader);
            }
            Role::Prospective(_) => self.wait_for_election(now),
            _ => self.become_prospective(now),
        }
    }

    pub(crate) fn handle_vote_answer(&mut self, now: Ticks, correlation: CorrelationId, answer: VoteAnswer) {
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else { return };
        let Some(at) = election.asked.iter().position(|(asked, _)| *asked == correlation) else { return };
        let (_, voter) = election.asked.swap_remove(at);
        match answer.leadership.error {
            ErrorCode::None if answer.granted => {
                election.granted.insert(voter);
                if self.voters.newest().is_majority(election.granted.len()) {
                    self.elected(now);
                }
            }
            ErrorCode::None => {
                election.rejected.insert(voter);
            }
            // It may have been told of us, or learn who it is, in the meantime.
            _ => election.retries.push((now.plus_ms(self.config.retry_backoff_ms), voter)),
        }
    }

    pub(crate) fn vote_failed(&mut self, now: Ticks, correlation: CorrelationId) {
        let (Role::Prospective(election) | Role::Candidate(election)) = &mut self.role else { return };
        if let Some(at) = election.asked.iter().position(|(asked, _)| *asked == correlation) {
            let (_, voter) = election.asked.swap_remove(at);
            election.retries.push((now.plus_ms(self.config.retry_backoff_ms), voter));
        }
    }

    pub(crate) fn handle_vote(&mut self, now: Ticks, token: T, vote: Vote) {
        let (error, granted) = match self.check_vote(&vote) {
            Err(error) => (error, false),
            Ok(()) => {
                // Even if the vote is refused: the epoch of the last leader is over for this node.
                if self.epoch < vote.epoch {
                    self.become_unattached(now, vote.epoch);
                }
                (ErrorCode::None, self.decide_vote(now, &vote))
            }
        };
        let leadership = Leadership { error, ..self.leadership(ErrorCode::None) };
        self.reply(token, Response::Vote(VoteAnswer { leadership, granted }));
    }

    fn check_vote(&self, vote: &Vote) -> Result<(), ErrorCode> {
        if vote.epoch < self.epoch {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if !vote.voter.matches(self.key) {
            return Err(ErrorCode::InvalidVoterKey);
        }
        let is_behind = if vote.is_pre_vote { vote.last_epoch <= vote.epoch } else { vote.last_epoch < vote.epoch };
        if is_behind && vote.candidate.id != self.key.id { Ok(()) } else { Err(ErrorCode::InvalidRequest) }
    }

    fn decide_vote(&mut self, now: Ticks, vote: &Vote) -> bool {
        let is_up_to_date = (self.log.last_epoch(), self.log.end) <= (vote.last_epoch, vote.end);
        if vote.is_pre_vote {
            return is_up_to_date
                && match &self.role {
                    Role::Leader(_) => false,
                    // Its leader lives.
                    Role::Follower(follower) => !follower.has_fetched,
                    _ => true,
                };
        }
        let may_vote = match &self.role {
            Role::Unattached(_) => true,
            Role::Prospective(election) => election.leader.is_none(),
            _ => false,
        };
        let is_free = self.voted.is_none_or(|voted| voted == vote.candidate);
        let granted = may_vote && is_free && is_up_to_date;
        if granted {
            self.vote_for(now, vote.candidate);
        }
        granted
    }
}
