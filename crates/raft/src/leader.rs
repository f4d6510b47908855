//! The leader: what others have, what is committed, who waits.

use std::collections::{BTreeMap, BTreeSet};

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};

use crate::message::{
    BeginQuorumEpoch, Diverging, Fetch, FetchAnswer, FetchSnapshot, Request, Response, SnapshotAnswer,
};
use crate::output::Output;
use crate::role::Role;
use crate::view::ReplicaView;
use crate::voter_change::{ChangeName, VoterChange};
use crate::{Raft, RaftConfig, ReplicaKey, SnapshotId};

#[derive(Clone, Debug)]
pub(crate) struct LeaderState<T> {
    /// Where its own epoch begins: only records from here on are committed by counting (Raft, 5.4.2).
    pub(crate) epoch_start: Offset,
    /// The change of the voters that is under way.
    pub(crate) change: Option<VoterChange<T>>,
    /// How the other voters describe themselves, while they are those of the configuration.
    pub(crate) described: BTreeMap<NodeId, crate::Voter>,
    /// The other voters.
    voters: Vec<Voter>,
    /// Who else fetches.
    observers: BTreeMap<ReplicaKey, Progress>,
    /// Voters that have fetched since the quorum was there last.
    heard_of: BTreeSet<NodeId>,
    /// When it resigns unless a majority fetches; `None` if it is a majority by itself.
    check_quorum_at: Option<Ticks>,
    /// Fetches with nothing to get, at most one of each replica.
    waiting: Vec<Waiting<T>>,
}

#[derive(Clone, Debug)]
struct Voter {
    key: ReplicaKey,
    progress: Progress,
    /// When it is told, again, who leads.
    begin_at: Ticks,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    end: Option<Offset>,
    last_fetch: Option<Ticks>,
    last_caught_up: Option<Ticks>,
    /// End of the leader's log at its last fetch.
    leader_end: Offset,
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    token: T,
    fetch: Fetch,
    until: Ticks,
}

impl<T> LeaderState<T> {
    pub(crate) fn new(now: Ticks, epoch_start: Offset, others: &[ReplicaKey], config: RaftConfig) -> Self {
        let voter = |key: &ReplicaKey| Voter { key: *key, progress: Progress::default(), begin_at: now };
        Self {
            epoch_start,
            change: None,
            described: BTreeMap::new(),
            voters: others.iter().map(voter).collect(),
            observers: BTreeMap::new(),
            heard_of: BTreeSet::new(),
            check_quorum_at: (!others.is_empty()).then(|| now.plus_ms(config.check_quorum_ms())),
            waiting: Vec::new(),
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Ticks> {
        let begins = self.voters.iter().map(|voter| voter.begin_at);
        let change = self.change.iter().map(|change| change.until);
        let waiting = self.waiting.iter().map(|waiting| waiting.until);
        begins.chain(waiting).chain(change).chain(self.check_quorum_at).min()
    }

    /// There are other voters from here on. Whoever is not new among those who fetch keeps its progress.
    pub(crate) fn set_voters(&mut self, now: Ticks, others: &[ReplicaKey], is_alone: bool, config: RaftConfig) {
        let mut former = std::mem::take(&mut self.voters);
        for key in others {
            // Of a voter of the configuration the directory was not known.
            let voter = match former.iter().position(|voter| voter.key.covers(*key)) {
                Some(at) => Voter { key: *key, ..former.swap_remove(at) },
                None => {
                    let progress = self.observers.remove(key).unwrap_or_default();
                    Voter { key: *key, progress, begin_at: now }
                }
            };
            self.voters.push(voter);
        }
        let fetching = former.into_iter().filter(|voter| voter.progress.last_fetch.is_some());
        self.observers.extend(fetching.map(|voter| (voter.key, voter.progress)));
        self.heard_of.retain(|id| others.iter().any(|key| key.id == *id));
        let check_at = self.check_quorum_at.unwrap_or_else(|| now.plus_ms(config.check_quorum_ms()));
        self.check_quorum_at = (!is_alone).then_some(check_at);
    }

    /// Whether an observer has everything, or had a moment ago.
    pub(crate) fn is_caught_up(&self, now: Ticks, key: ReplicaKey, config: RaftConfig) -> bool {
        let oldest = Ticks(now.0.saturating_sub(config.fetch_timeout_ms));
        let progress = self.observers.get(&key);
        progress.and_then(|progress| progress.last_caught_up).is_some_and(|last| oldest <= last)
    }

    /// The other voters, the one that has most first.
    pub(crate) fn successors(&self) -> Vec<ReplicaKey> {
        let mut voters: Vec<&Voter> = self.voters.iter().collect();
        voters.sort_by_key(|voter| std::cmp::Reverse(voter.progress.end));
        voters.into_iter().map(|voter| voter.key).collect()
    }

    /// Whose fetches wait, and who waits for a change of the voters.
    pub(crate) fn into_waiting(self) -> (Vec<T>, Option<(T, ChangeName)>) {
        let waiting = self.waiting.into_iter().map(|waiting| waiting.token).collect();
        (waiting, self.change.map(VoterChange::into_parts))
    }

    pub(crate) fn voter_views(&self) -> impl Iterator<Item = ReplicaView> {
        self.voters.iter().map(|voter| voter.progress.view(voter.key))
    }

    pub(crate) fn observer_views(&self) -> impl Iterator<Item = ReplicaView> {
        self.observers.iter().map(|(key, progress)| progress.view(*key))
    }

    /// Notes where a replica is; whether it is a voter.
    fn note(&mut self, now: Ticks, fetch: &Fetch, log_end: Offset, config: RaftConfig) -> bool {
        if let Some(voter) = self.voters.iter_mut().find(|voter| voter.key.covers(fetch.replica)) {
            voter.progress.note(now, fetch.offset, log_end);
            return true;
        }
        let oldest = Ticks(now.0.saturating_sub(config.observer_session_ms));
        self.observers.retain(|_, progress| progress.last_fetch.is_some_and(|last| oldest <= last));
        if self.observers.len() < OBSERVERS_MAX || self.observers.contains_key(&fetch.replica) {
            self.observers.entry(fetch.replica).or_default().note(now, fetch.offset, log_end);
        }
        false
    }

    /// A voter lives.
    fn hear_of(&mut self, now: Ticks, replica: ReplicaKey, is_majority: impl Fn(usize) -> bool, config: RaftConfig) {
        let Some(voter) = self.voters.iter_mut().find(|voter| voter.key.covers(replica)) else { return };
        // It knows who leads.
        voter.begin_at = now.plus_ms(config.begin_quorum_ms());
        self.heard_of.insert(replica.id);
        if is_majority(self.heard_of.len()) {
            self.heard_of.clear();
            self.check_quorum_at = Some(now.plus_ms(config.check_quorum_ms()));
        }
    }
}

impl Progress {
    /// As data partitions count it: who fetches from where the log ended at the last fetch had everything then.
    fn note(&mut self, now: Ticks, offset: Offset, log_end: Offset) {
        if log_end <= offset {
            self.last_caught_up = Some(now);
        } else if self.leader_end <= offset {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.end = Some(offset);
        self.last_fetch = Some(now);
        self.leader_end = self.leader_end.max(log_end);
    }

    fn view(&self, key: ReplicaKey) -> ReplicaView {
        ReplicaView { key, end: self.end, last_fetch: self.last_fetch, last_caught_up: self.last_caught_up }
    }
}

impl<T> Raft<T> {
    pub(crate) fn handle_fetch(&mut self, now: Ticks, token: T, fetch: Fetch) {
        let error = self.leader_error(fetch.epoch);
        if error != ErrorCode::None {
            return self.refuse_fetch(token, error);
        }
        let (config, log_end, snapshot) = (self.config, self.log.end, self.snapshot_for(&fetch));
        let diverging = if snapshot.is_some() { None } else { self.diverging(&fetch) };
        // With this node, if it is one of them.
        let own_vote = usize::from(self.is_voter());
        let voters = self.voters.newest();
        let Role::Leader(leader) = &mut self.role else { unreachable!("this was checked") };
        leader.hear_of(now, fetch.replica, |others| voters.is_majority(others + own_vote), config);
        if diverging.is_some() || snapshot.is_some() {
            let leadership = self.leadership(ErrorCode::None);
            let high_watermark = self.high_watermark;
            let answer = FetchAnswer { leadership, high_watermark, diverging, snapshot, records_from: None };
            return self.reply(token, Response::Fetch(answer));
        }
        leader.note(now, &fetch, log_end, config);
        let waiting_before = leader.waiting.iter().position(|waiting| waiting.fetch.replica == fetch.replica);
        let given_up = waiting_before.map(|at| leader.waiting.swap_remove(at).token);
        if let Some(token) = given_up {
            // Its connection is gone, or it would not ask again.
            self.answer_fetch(token, &fetch);
        }
        self.advance_high_watermark(now);
        self.add_when_caught_up(now);
        if !matches!(self.role, Role::Leader(_)) {
            // What this fetch has committed is that the node leads no more.
            return self.refuse_fetch(token, ErrorCode::NotLeaderOrFollower);
        }
        let until = now.plus_ms(fetch.wait_ms.min(config.fetch_wait_ms));
        let has_news = fetch.offset < self.log.end || fetch.high_watermark < self.high_watermark;
        match &mut self.role {
            Role::Leader(leader) if !has_news && now < until && leader.waiting.len() < WAITING_MAX => {
                leader.waiting.push(Waiting { token, fetch, until });
            }
            _ => self.answer_fetch(token, &fetch),
        }
    }

    /// The snapshot that a follower has to load, if what it needs is not in the log any more.
    fn snapshot_for(&self, fetch: &Fetch) -> Option<SnapshotId> {
        let first = self.log.first_snapshot()?;
        let lacks = fetch.offset < first.end
            || fetch.last_epoch < first.epoch
            || (fetch.offset == first.end && fetch.last_epoch != first.epoch);
        self.log.snapshots.last().copied().filter(|_| lacks)
    }

    pub(crate) fn handle_fetch_snapshot(&mut self, now: Ticks, token: T, fetch: FetchSnapshot) {
        let mut error = self.leader_error(fetch.epoch);
        if error == ErrorCode::None && !self.log.snapshots.contains(&fetch.id) {
            error = ErrorCode::SnapshotNotFound;
        }
        // Who loads a snapshot lives, and does not fetch.
        let (config, own_vote) = (self.config, usize::from(self.is_voter()));
        let voters = self.voters.newest();
        if let Role::Leader(leader) = &mut self.role
            && error == ErrorCode::None
        {
            leader.hear_of(now, fetch.replica, |others| voters.is_majority(others + own_vote), config);
        }
        let leadership = self.leadership(error);
        let answer = SnapshotAnswer { leadership, id: fetch.id, size: 0, position: fetch.position };
        self.reply(token, Response::FetchSnapshot(answer));
    }

    /// Whether this node leads the epoch that a follower is in.
    pub(crate) fn leader_error(&self, epoch: LeaderEpoch) -> ErrorCode {
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => ErrorCode::FencedLeaderEpoch,
            std::cmp::Ordering::Greater => ErrorCode::UnknownLeaderEpoch,
            std::cmp::Ordering::Equal if matches!(self.role, Role::Leader(_)) => ErrorCode::None,
            std::cmp::Ordering::Equal => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// Where the follower's log leaves this one, if it does.
    fn diverging(&self, fetch: &Fetch) -> Option<Diverging> {
        if fetch.offset == Offset::ZERO {
            return None;
        }
        let found = self.log.end_of(fetch.last_epoch);
        let (epoch, end) = found.unwrap_or_default();
        (epoch < fetch.last_epoch || end < fetch.offset).then_some(Diverging { epoch, end })
    }

    pub(crate) fn refuse_fetch(&mut self, token: T, error: ErrorCode) {
        let leadership = self.leadership(error);
        let answer =
            FetchAnswer { leadership, high_watermark: None, diverging: None, snapshot: None, records_from: None };
        self.reply(token, Response::Fetch(answer));
    }

    fn answer_fetch(&mut self, token: T, fetch: &Fetch) {
        let leadership = self.leadership(ErrorCode::None);
        let high_watermark = self.high_watermark;
        let records_from = (fetch.offset < self.log.end).then_some(fetch.offset);
        self.reply(
            token,
            Response::Fetch(FetchAnswer { leadership, high_watermark, diverging: None, snapshot: None, records_from }),
        );
    }

    /// Answers the fetches for which there is something now, or that have waited long enough.
    pub(crate) fn answer_waiting(&mut self, now: Ticks) {
        let (log_end, high_watermark) = (self.log.end, self.high_watermark);
        let Role::Leader(leader) = &mut self.role else { return };
        let is_due = |waiting: &mut Waiting<T>| {
            waiting.fetch.offset < log_end || waiting.fetch.high_watermark < high_watermark || waiting.until <= now
        };
        let due: Vec<Waiting<T>> = leader.waiting.extract_if(.., is_due).collect();
        due.into_iter().for_each(|waiting| self.answer_fetch(waiting.token, &waiting.fetch));
    }

    /// Commits what a majority of the voters has on its disks, from the leader's own epoch on.
    pub(crate) fn advance_high_watermark(&mut self, now: Ticks) {
        let Role::Leader(leader) = &self.role else { return };
        let others = leader.voters.iter().map(|voter| voter.progress.end.unwrap_or(Offset::ZERO));
        let own = self.is_voter().then_some(self.log.synced);
        let mut ends: Vec<Offset> = others.chain(own).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(end) = ends.get(self.voters.newest().len() / 2).copied() else { return };
        if leader.epoch_start < end && self.high_watermark.is_none_or(|known| known < end) {
            self.high_watermark = Some(end);
            self.output(Output::HighWatermark(end));
            self.answer_waiting(now);
            self.changes_committed(now);
        }
    }

    pub(crate) fn drive_leader(&mut self, now: Ticks) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.check_quorum_at.is_some_and(|at| at <= now) {
            return self.become_resigned(now);
        }
        self.drop_overdue_change(now);
        let Role::Leader(leader) = &mut self.role else { return };
        let mut due = Vec::new();
        for voter in leader.voters.iter_mut().filter(|voter| voter.begin_at <= now) {
            voter.begin_at = now.plus_ms(self.config.begin_quorum_ms());
            due.push(voter.key);
        }
        for voter in due {
            let begin = BeginQuorumEpoch { epoch: self.epoch, leader: self.key.id, voter };
            self.send(voter.id, Request::BeginQuorumEpoch(begin));
        }
        self.answer_waiting(now);
    }
}

/// Observers that a leader keeps count of; others can fetch as well.
const OBSERVERS_MAX: usize = 1000;
/// Fetches that may wait; others are answered at once.
const WAITING_MAX: usize = 2000;
