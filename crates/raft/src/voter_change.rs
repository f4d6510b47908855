//! Changes of the voters, one after the other (KIP-853).
//!
//! Each is a VotersRecord that differs from the one before by one voter, so that any majority before and any after have a
//! voter in common. That only holds if the one before is committed; and a leader knows what is only once a record of its
//! own epoch is.

use highwater_types::{ErrorCode, Offset, Ticks};

use crate::leader::LeaderState;
use crate::message::{AddVoter, ChangeAnswer, RemoveVoter, Request, Response, UpdateVoter};
use crate::output::{Content, CorrelationId, Output};
use crate::refusal::ENDPOINTS_MAX;
use crate::role::Role;
use crate::{ChangeRefusal, Control, ControlRecord, Endpoint, KRaftVersions, Raft, ReplicaKey, Voter, VoterSet};

/// A change that the leader works on, and who is told of its end.
#[derive(Clone, Debug)]
pub(crate) struct VoterChange<T> {
    token: T,
    name: ChangeName,
    stage: Stage,
    /// When it is given up.
    pub(crate) until: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeName {
    Add,
    Remove,
    Update,
}

/// How far a change is. Voters are removed at once.
#[derive(Clone, Debug)]
enum Stage {
    /// The new voter is asked what it supports.
    AskingVersions { correlation: CorrelationId, add: AddVoter },
    /// The new voter has to have what the leader has: until then nothing might be committed for long.
    CatchingUp { voter: Voter, ack_when_committed: bool },
    /// It is in the log, which ends here.
    Committing { end: Offset },
}

/// What comes of a voter's description of itself.
enum Updated {
    /// The log says so.
    Voters(VoterSet),
    /// The leader keeps it in mind.
    Described(Voter),
}

impl<T> VoterChange<T> {
    pub(crate) fn into_parts(self) -> (T, ChangeName) {
        (self.token, self.name)
    }

    /// Why it is given up when its time is over.
    fn overdue(&self) -> ChangeRefusal {
        match &self.stage {
            Stage::AskingVersions { add, .. } => ChangeRefusal::Unreachable { key: add.key },
            Stage::CatchingUp { voter, .. } => ChangeRefusal::LagsBehind { key: voter.key },
            Stage::Committing { .. } => ChangeRefusal::NotCommitted,
        }
    }
}

impl<T> Raft<T> {
    pub(crate) fn handle_add_voter(&mut self, now: Ticks, token: T, add: AddVoter) {
        if let Err(refusal) = self.check_add(&add) {
            return self.answer_change(token, ChangeName::Add, Some(refusal));
        }
        let correlation = self.next_correlation();
        self.output(Output::AskVersions { replica: add.key, endpoints: add.endpoints.clone(), correlation });
        self.begin_change(now, token, ChangeName::Add, Stage::AskingVersions { correlation, add });
    }

    fn check_add(&self, add: &AddVoter) -> Result<(), ChangeRefusal> {
        self.leader_state()?;
        check_key(add.key)?;
        check_endpoints(add.key, &add.endpoints)?;
        self.check_may_change()?;
        let known = self.voters.newest().get(add.key.id);
        known.map_or(Ok(()), |known| Err(ChangeRefusal::Duplicate { known: known.key }))
    }

    pub(crate) fn handle_remove_voter(&mut self, now: Ticks, token: T, remove: RemoveVoter) {
        match self.check_remove(remove.key) {
            Ok(voters) => {
                let end = self.append_voters(now, voters);
                self.begin_change(now, token, ChangeName::Remove, Stage::Committing { end });
                self.advance_high_watermark(now);
            }
            Err(refusal) => self.answer_change(token, ChangeName::Remove, Some(refusal)),
        }
    }

    fn check_remove(&self, key: ReplicaKey) -> Result<VoterSet, ChangeRefusal> {
        self.leader_state()?;
        check_key(key)?;
        self.check_may_change()?;
        let voters = self.voters.newest().without(key).ok_or(ChangeRefusal::NotFound { key })?;
        if voters.is_empty() { Err(ChangeRefusal::LastVoter { key }) } else { Ok(voters) }
    }

    /// A voter is described anew. As Kafka does, this answers before that is committed: the voter looks into the log.
    pub(crate) fn handle_update_voter(&mut self, now: Ticks, token: T, update: UpdateVoter) {
        let refusal = match self.check_update(update) {
            Ok(Updated::Described(voter)) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.described.insert(voter.key.id, voter);
                }
                None
            }
            Ok(Updated::Voters(voters)) => {
                if voters != *self.voters.newest() {
                    self.append_voters(now, voters);
                }
                None
            }
            Err(refusal) => Some(refusal),
        };
        self.answer_change(token, ChangeName::Update, refusal);
    }

    fn check_update(&self, update: UpdateVoter) -> Result<Updated, ChangeRefusal> {
        let UpdateVoter { epoch, key, endpoints, kraft_versions } = update;
        match self.leader_error(epoch) {
            ErrorCode::None => {}
            ErrorCode::FencedLeaderEpoch => return Err(ChangeRefusal::FencedEpoch),
            ErrorCode::UnknownLeaderEpoch => return Err(ChangeRefusal::UnknownEpoch),
            _ => return Err(ChangeRefusal::NotLeader),
        }
        check_key(key)?;
        check_endpoints(key, &endpoints)?;
        if !self.voters.kraft_version().is_dynamic() {
            // Not for the log: it is what the log will say of the voter once the voters are there.
            self.check_versions(key, kraft_versions)?;
            let is_known = self.voters.newest().contains(key);
            let voter = Voter { key, endpoints, kraft_versions };
            return if is_known { Ok(Updated::Described(voter)) } else { Err(ChangeRefusal::NotFound { key }) };
        }
        self.check_may_change()?;
        self.check_versions(key, kraft_versions)?;
        let voter = Voter { key, endpoints, kraft_versions };
        self.voters.newest().updated(&voter).map(Updated::Voters).ok_or(ChangeRefusal::NotFound { key })
    }

    fn leader_state(&self) -> Result<&LeaderState<T>, ChangeRefusal> {
        if let Role::Leader(leader) = &self.role { Ok(leader) } else { Err(ChangeRefusal::NotLeader) }
    }

    /// Whether the voters may be changed now, by whichever change.
    fn check_may_change(&self) -> Result<(), ChangeRefusal> {
        let leader = self.leader_state()?;
        if leader.change.is_some() {
            return Err(ChangeRefusal::Pending);
        }
        let own_epoch = |committed: &Offset| leader.epoch_start < *committed;
        let committed = self.high_watermark.filter(own_epoch).ok_or(ChangeRefusal::HighWatermarkUnknown)?;
        let version = self.voters.kraft_version();
        if !version.is_dynamic() {
            return Err(ChangeRefusal::FixedVoters { version });
        }
        if committed < self.voters.newest_since() { Err(ChangeRefusal::Uncommitted) } else { Ok(()) }
    }

    fn check_versions(&self, key: ReplicaKey, supported: KRaftVersions) -> Result<(), ChangeRefusal> {
        let version = self.voters.kraft_version();
        if supported.contains(version) { Ok(()) } else { Err(ChangeRefusal::Unfit { key, supported, version }) }
    }

    fn begin_change(&mut self, now: Ticks, token: T, name: ChangeName, stage: Stage) {
        let until = now.plus_ms(self.config.request_timeout_ms);
        self.set_change(VoterChange { token, name, stage, until });
    }

    fn set_change(&mut self, change: VoterChange<T>) {
        let Role::Leader(leader) = &mut self.role else { unreachable!("only a leader changes the voters") };
        leader.change = Some(change);
    }

    /// A node that is to be a voter says which levels of `kraft.version` it supports, as an
    /// [`Output::AskVersions`] asked. One that does not know the feature supports only level 0, the default.
    pub fn handle_versions(&mut self, now: Ticks, correlation: CorrelationId, supported: KRaftVersions) {
        if self.has_stopped {
            return;
        }
        if let Some((token, until, add)) = self.take_asked(correlation) {
            let AddVoter { key, endpoints, ack_when_committed } = add;
            match self.check_versions(key, supported) {
                Ok(()) => {
                    let voter = Voter { key, endpoints, kraft_versions: supported };
                    let stage = Stage::CatchingUp { voter, ack_when_committed };
                    self.set_change(VoterChange { token, name: ChangeName::Add, stage, until });
                    self.add_when_caught_up(now);
                }
                Err(refusal) => self.answer_change(token, ChangeName::Add, Some(refusal)),
            }
        }
        self.drive(now);
    }

    pub(crate) fn versions_failed(&mut self, correlation: CorrelationId) {
        if let Some((token, _, add)) = self.take_asked(correlation) {
            self.answer_change(token, ChangeName::Add, Some(ChangeRefusal::Unreachable { key: add.key }));
        }
    }

    /// The change that waits for this answer.
    fn take_asked(&mut self, correlation: CorrelationId) -> Option<(T, Ticks, AddVoter)> {
        let Role::Leader(leader) = &mut self.role else { return None };
        let asks = |change: &mut VoterChange<T>| matches!(change.stage, Stage::AskingVersions { correlation: asked, .. } if asked == correlation);
        let change = leader.change.take_if(asks)?;
        let Stage::AskingVersions { add, .. } = change.stage else { unreachable!("this was checked") };
        Some((change.token, change.until, add))
    }

    /// Adds the new voter once it has what the leader has.
    pub(crate) fn add_when_caught_up(&mut self, now: Ticks) {
        let config = self.config;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(VoterChange { stage: Stage::CatchingUp { voter, ack_when_committed }, .. }) = &leader.change else {
            return;
        };
        if !leader.is_caught_up(now, voter.key, config) {
            return;
        }
        let (voter, ack_when_committed) = (voter.clone(), *ack_when_committed);
        let voters = self.voters.newest().with(voter).expect("no other change of the voters was made meanwhile");
        let end = self.append_voters(now, voters);
        let Role::Leader(leader) = &mut self.role else { unreachable!("this was checked") };
        if ack_when_committed {
            let change = leader.change.as_mut().expect("this was checked");
            change.stage = Stage::Committing { end };
        } else if let Some((token, name)) = leader.change.take().map(VoterChange::into_parts) {
            self.answer_change(token, name, None);
        }
    }

    /// Answers a change that is committed. A leader that it has removed leads no more.
    pub(crate) fn changes_committed(&mut self, now: Ticks) {
        let Some(committed) = self.high_watermark else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        let is_done =
            |change: &mut VoterChange<T>| matches!(change.stage, Stage::Committing { end } if end <= committed);
        if let Some((token, name)) = leader.change.take_if(is_done).map(VoterChange::into_parts) {
            self.answer_change(token, name, None);
        }
        if !self.is_voter() && self.voters.newest_since() <= committed {
            self.become_resigned(now);
        }
    }

    /// Gives up a change that takes too long. If it is in the log it may still be committed.
    pub(crate) fn drop_overdue_change(&mut self, now: Ticks) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(change) = leader.change.take_if(|change| change.until <= now) {
            let refusal = change.overdue();
            let (token, name) = change.into_parts();
            self.answer_change(token, name, Some(refusal));
        }
    }

    pub(crate) fn answer_change(&mut self, token: T, name: ChangeName, refusal: Option<ChangeRefusal>) {
        let leadership = self.leadership(refusal.map_or(ErrorCode::None, ChangeRefusal::code));
        let answer = ChangeAnswer { leadership, refusal };
        let response = match name {
            ChangeName::Add => Response::AddVoter(answer),
            ChangeName::Remove => Response::RemoveVoter(answer),
            ChangeName::Update => Response::UpdateVoter(answer),
        };
        self.reply(token, response);
    }

    /// Appends the first record of a leader. The first leader of a quorum adds what its bootstrap checkpoint says, all or
    /// nothing.
    pub(crate) fn append_leader_change(&mut self, granting: Vec<ReplicaKey>) {
        let voters = self.voters.newest().iter().collect();
        let kraft_version = self.voters.kraft_version();
        if !kraft_version.is_dynamic() || self.voters.newest_since() != Offset::ZERO {
            self.append_content(Content::LeaderChange { voters, granting }, 1);
            return;
        }
        let voter_set = self.voters.newest().clone();
        let content = Content::FirstLeaderChange { voters, granting, kraft_version, voter_set: voter_set.clone() };
        let at = self.append_content(content, 3).base.next();
        self.voters.extend(Control { offset: at, record: ControlRecord::KRaftVersion(kraft_version) });
        self.voters.extend(Control { offset: at.next(), record: ControlRecord::Voters(voter_set) });
    }

    /// Appends voters, who decide from here on. Says where the log ends.
    fn append_voters(&mut self, now: Ticks, voters: VoterSet) -> Offset {
        let appended = self.append_content(Content::Voters(voters.clone()), 1);
        self.voters.extend(Control { offset: appended.base, record: ControlRecord::Voters(voters) });
        self.voters_changed(now);
        appended.end
    }

    /// Others decide from here on: the leader reckons with them.
    pub(crate) fn voters_changed(&mut self, now: Ticks) {
        let others = self.other_voters();
        let is_alone = self.is_voter() && others.is_empty();
        if let Role::Leader(leader) = &mut self.role {
            leader.set_voters(now, &others, is_alone, self.config);
        }
        self.answer_waiting(now);
    }

    /// What a follower asks the leader to change: what the log says of it is not true.
    pub(crate) fn proposal(&self) -> Option<Request> {
        let Role::Follower(follower) = &self.role else { return None };
        let may_ask = follower.has_fetched && self.loading.is_none() && !self.endpoints.is_empty();
        if !may_ask {
            return None;
        }
        let (key, kraft_versions) = (self.key, KRaftVersions::SUPPORTED);
        if !self.voters.kraft_version().is_dynamic() {
            let may_describe = !follower.is_described && self.is_voter() && key.directory.is_some();
            return may_describe.then(|| {
                let (epoch, endpoints) = (self.epoch, self.endpoints.clone());
                Request::UpdateVoter(UpdateVoter { epoch, key, endpoints, kraft_versions })
            });
        }
        match self.voters.newest().get(key.id) {
            Some(known) if known.key == key => {
                let is_true = known.endpoints == self.endpoints && known.kraft_versions == kraft_versions;
                (!is_true).then(|| {
                    let (epoch, endpoints) = (self.epoch, self.endpoints.clone());
                    Request::UpdateVoter(UpdateVoter { epoch, key, endpoints, kraft_versions })
                })
            }
            // A new disk takes the place of the old one.
            Some(old) => self.config.auto_join.then_some(Request::RemoveVoter(RemoveVoter { key: old.key })),
            // This node's next fetch may be what commits it: an answer would wait for that (KIP-1186).
            None => self.config.auto_join.then(|| {
                let endpoints = self.endpoints.clone();
                Request::AddVoter(AddVoter { key, endpoints, ack_when_committed: false })
            }),
        }
    }
}

fn check_key(key: ReplicaKey) -> Result<(), ChangeRefusal> {
    if key.directory.is_some() { Ok(()) } else { Err(ChangeRefusal::NoDirectory { id: key.id }) }
}

fn check_endpoints(key: ReplicaKey, endpoints: &[Endpoint]) -> Result<(), ChangeRefusal> {
    let count = endpoints.len();
    if (1..=ENDPOINTS_MAX).contains(&count) { Ok(()) } else { Err(ChangeRefusal::Endpoints { key, count }) }
}
