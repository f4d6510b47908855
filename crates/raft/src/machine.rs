//! The node: its inputs, its clock, its outputs.

use std::collections::VecDeque;

use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};

use crate::log::Log;
use crate::message::{Leadership, Request, Response};
use crate::output::{Content, CorrelationId, Output, Violation, Write};
use crate::random::Random;
use crate::role::Role;
use crate::voter_change::ChangeName;
use crate::voter_history::VoterHistory;
use crate::{
    Appended, Control, Endpoint, KRaftVersion, LogShape, Membership, Payload, QuorumState, RaftConfig, ReplicaKey,
    RoleName, SnapshotId, VoterSet,
};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The node, with its metadata directory.
    pub key: ReplicaKey,
    /// Who decides, unless the log says so (KIP-853): `controller.quorum.voters`. The node need not be among them: then
    /// it only observes.
    pub voters: VoterSet,
    /// What it stored last; the default if it never did.
    pub state: QuorumState,
    /// Its log, all of which is synced.
    pub log: LogShape,
    /// Its patience.
    pub config: RaftConfig,
    /// Anything; must differ between nodes.
    pub seed: u64,
}

/// What a node is started with in addition if its voters may be in the log.
#[derive(Clone, Debug, Default)]
pub struct VoterSetup {
    /// What the header of a snapshot says, and where that ends: of the one from which on the log's control records are
    /// reported, or of the bootstrap checkpoint, which ends at zero and is not part of the [`LogShape`].
    pub snapshot: Option<(Offset, Membership)>,
    /// The control records of the log behind the snapshot, in order.
    pub controls: Vec<Control>,
    /// Where this node is reached as a controller. The log is made to say so while the node is a voter; empty if the
    /// node is never to be one.
    pub endpoints: Vec<Endpoint>,
}

/// One node of a metadata quorum.
///
/// The driver's contract:
///
/// 1. Feed one input, then take outputs until there are none, and carry them out in that order. `T` is what the driver
///    answers a request by.
/// 2. [`Output::Persist`] is on the disk before [`persisted`](Self::persisted) is called; nothing follows it before.
/// 3. A write is visible to reads of the log at once. [`Output::Sync`] may run on another thread, for one log one
///    after the other; [`synced`](Self::synced) reports it. If a write or sync fails the process ends.
/// 4. [`Output::Send`] is answered by [`handle_response`](Self::handle_response) or, if there is no answer in time, by
///    [`handle_failure`](Self::handle_failure). Late and repeated answers do no harm. Messages of other clusters are
///    the driver's to refuse.
/// 5. Batches that are reported with an answer have a checksum that holds.
/// 6. [`handle_timeout`](Self::handle_timeout) is called when [`next_timeout`](Self::next_timeout) has come, which any
///    input may change.
/// 7. The control records of each answer to a fetch and the header of each snapshot are reported, if the voters are in
///    the log: [`Payload::Records`], [`snapshot_loaded_with`](Self::snapshot_loaded_with), and
///    [`with_voters`](Self::with_voters) at the start. Where other nodes are reached is in [`voters`](Self::voters), and
///    in what nodes answer.
/// 8. After [`Output::Violation`] the machine does nothing more.
#[derive(Clone, Debug)]
pub struct Raft<T> {
    pub(crate) key: ReplicaKey,
    pub(crate) voters: VoterHistory,
    /// Where this node is reached.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The snapshot that is being loaded: until it is, nobody knows who decides.
    pub(crate) loading: Option<SnapshotId>,
    pub(crate) config: RaftConfig,
    pub(crate) random: Random,
    pub(crate) epoch: LeaderEpoch,
    /// Whom this node has voted for in the epoch.
    pub(crate) voted: Option<ReplicaKey>,
    pub(crate) log: Log,
    pub(crate) high_watermark: Option<Offset>,
    pub(crate) role: Role<T>,
    /// Fetches that waited for this node as a leader, which it is not any more.
    pub(crate) abandoned: Vec<T>,
    /// A change of the voters that was not complete then.
    pub(crate) abandoned_change: Option<(T, ChangeName)>,
    outputs: VecDeque<Output<T>>,
    /// A state was handed out to be stored.
    is_persisting: bool,
    /// A violation was found.
    pub(crate) has_stopped: bool,
    correlations: u64,
}

/// The node does not lead, so that it cannot append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead epoch {epoch}")]
pub struct NotLeader {
    /// The epoch that it is in.
    pub epoch: LeaderEpoch,
    /// Its leader, if that is known.
    pub leader: Option<NodeId>,
}

impl<T> Raft<T> {
    /// A node that starts. It has outputs and a timeout at once.
    #[must_use]
    pub fn new(setup: Setup, now: Ticks) -> Self {
        Self::with_voters(setup, VoterSetup::default(), now)
    }

    /// A node that starts, with what its log says of the voters.
    #[must_use]
    pub fn with_voters(setup: Setup, known: VoterSetup, now: Ticks) -> Self {
        let Setup { key, voters, state, log, config, seed } = setup;
        let log = Log::new(&log);
        let high_watermark = log.snapshots.last().map(|last| last.end);
        let VoterSetup { snapshot, controls, endpoints } = known;
        let mut voters = VoterHistory::new(voters);
        if let Some((end, membership)) = snapshot {
            voters.load(end, membership);
        }
        controls.into_iter().filter(|control| control.offset < log.end).for_each(|control| voters.extend(control));
        let mut raft = Self {
            key,
            voters,
            endpoints,
            loading: None,
            config,
            random: Random::new(seed),
            epoch: state.epoch,
            voted: state.voted,
            role: Role::new_unattached(now, now),
            log,
            // What is in a snapshot was committed.
            high_watermark,
            abandoned: Vec::new(),
            abandoned_change: None,
            outputs: VecDeque::new(),
            is_persisting: false,
            has_stopped: false,
            correlations: 0,
        };
        raft.begin(now, state);
        raft
    }

    fn begin(&mut self, now: Ticks, state: QuorumState) {
        if KRaftVersion::LATEST < self.voters.kraft_version() {
            return self.stop(Violation::UnknownKRaftVersion { version: self.voters.kraft_version() });
        }
        let last_epoch = self.log.last_epoch();
        match state.leader {
            // Its records tell of an epoch of which the state was lost.
            _ if self.epoch < last_epoch => self.become_unattached(now, last_epoch),
            Some(leader) if leader != self.key.id => self.become_follower(now, self.epoch, leader),
            // Whom it voted for, itself as a leader included, it remembers.
            _ => self.wait_for_election(now),
        }
        self.drive(now);
    }

    /// Another node asks.
    pub fn handle_request(&mut self, now: Ticks, token: T, request: Request) {
        if self.has_stopped {
            return;
        }
        match request {
            Request::Vote(vote) => self.handle_vote(now, token, vote),
            Request::BeginQuorumEpoch(begin) => self.handle_begin_quorum_epoch(now, token, begin),
            Request::EndQuorumEpoch(end) => self.handle_end_quorum_epoch(now, token, &end),
            Request::Fetch(fetch) => self.handle_fetch(now, token, fetch),
            Request::FetchSnapshot(fetch) => self.handle_fetch_snapshot(now, token, fetch),
            Request::AddVoter(add) => self.handle_add_voter(now, token, add),
            Request::RemoveVoter(remove) => self.handle_remove_voter(now, token, remove),
            Request::UpdateVoter(update) => self.handle_update_voter(now, token, update),
        }
        self.drive(now);
    }

    /// Another node answers, with what came with it.
    pub fn handle_response(
        &mut self,
        now: Ticks,
        correlation: CorrelationId,
        response: Response,
        payload: Payload<'_>,
    ) {
        if self.has_stopped {
            return;
        }
        let Leadership { epoch, leader, .. } = response.leadership();
        self.learn(now, epoch, leader);
        match response {
            Response::Vote(answer) => self.handle_vote_answer(now, correlation, answer),
            Response::Fetch(answer) => {
                let (batches, controls) = match payload {
                    Payload::Batches(batches) => (batches, [].as_slice()),
                    Payload::Records { batches, controls } => (batches, controls),
                    Payload::None | Payload::Bytes(_) => ([].as_slice(), [].as_slice()),
                };
                self.handle_fetch_answer(now, correlation, &answer, batches, controls);
            }
            Response::FetchSnapshot(answer) => {
                let bytes = if let Payload::Bytes(bytes) = payload { bytes } else { 0 };
                self.handle_snapshot_answer(now, correlation, &answer, bytes);
            }
            Response::UpdateVoter(answer) => self.handle_update_answer(correlation, answer.leadership.error),
            // All they say is who leads. What was changed is in the log.
            Response::BeginQuorumEpoch(_) | Response::EndQuorumEpoch(_) => {}
            Response::AddVoter(_) | Response::RemoveVoter(_) => {}
        }
        self.drive(now);
    }

    /// Another node did not answer in time, or not in a way that can be understood.
    pub fn handle_failure(&mut self, now: Ticks, correlation: CorrelationId) {
        if self.has_stopped {
            return;
        }
        self.vote_failed(now, correlation);
        self.fetch_failed(now, correlation);
        self.versions_failed(correlation);
        self.drive(now);
    }

    /// The state that was handed out last is on the disk.
    ///
    /// # Panics
    ///
    /// If none was handed out.
    pub fn persisted(&mut self) {
        assert!(self.is_persisting, "a state was handed out to be stored");
        self.is_persisting = false;
    }

    /// The log is on the disk up to `end`, as an [`Output::Sync`] asked.
    pub fn synced(&mut self, now: Ticks, end: Offset) {
        if self.has_stopped {
            return;
        }
        // What was cut off and written anew since is not what was synced: `syncing` went down with it.
        let Some(syncing) = self.log.syncing.take() else { return };
        self.log.synced = syncing.min(end).max(self.log.synced);
        self.request_sync();
        self.advance_high_watermark(now);
        self.fetch_when_synced(now);
        self.drive(now);
    }

    /// Appends one batch of `records` records, known to the driver as `tag`, at the end of the log.
    ///
    /// # Errors
    ///
    /// If the node does not lead.
    ///
    /// # Panics
    ///
    /// If there are no records.
    pub fn append(&mut self, now: Ticks, tag: u64, records: u32) -> Result<Appended, NotLeader> {
        assert!(0 < records, "a batch has records");
        if self.has_stopped || !matches!(self.role, Role::Leader(_)) {
            return Err(NotLeader { epoch: self.epoch, leader: self.leader() });
        }
        let appended = self.append_content(Content::Batch { tag, records }, records);
        self.answer_waiting(now);
        Ok(appended)
    }

    /// The driver has a snapshot of what is committed, complete and on the disk.
    ///
    /// # Panics
    ///
    /// If something in it is not committed.
    pub fn snapshot_taken(&mut self, id: SnapshotId) {
        assert!(self.high_watermark.is_some_and(|committed| id.end <= committed), "snapshots are of what is committed");
        if self.log.snapshots.last().is_none_or(|last| last.end < id.end) {
            self.log.snapshots.push(id);
        }
    }

    /// Whether there is such a snapshot, complete; one that is older than the newest is not kept track of.
    #[must_use]
    pub fn has_snapshot(&self, id: SnapshotId) -> bool {
        self.log.snapshots.contains(&id)
    }

    /// Lets the log begin at the end of a snapshot, if it does not begin later. An [`Output::Write`] follows.
    ///
    /// # Panics
    ///
    /// If there is no such snapshot.
    pub fn drop_prefix(&mut self, id: SnapshotId) {
        if self.log.start < id.end && !self.has_stopped {
            self.log.drop_prefix(id.end);
            self.voters.drop_prefix(id.end);
            self.output(Output::Write(Write::DropPrefix { start: id.end }));
        }
    }

    /// A snapshot that was fetched is loaded, as [`Write::LoadSnapshot`] asked, and its header says nothing of voters.
    pub fn snapshot_loaded(&mut self, now: Ticks, id: SnapshotId) {
        self.snapshot_loaded_with(now, id, Membership::default());
    }

    /// A snapshot that was fetched is loaded, as [`Write::LoadSnapshot`] asked; this is what its header says.
    pub fn snapshot_loaded_with(&mut self, now: Ticks, id: SnapshotId, membership: Membership) {
        if !self.has_stopped {
            self.snapshot_in_place(now, id, membership);
            self.drive(now);
        }
    }

    /// Gives up the leadership, if the node has it, to whom has most.
    pub fn resign(&mut self, now: Ticks) {
        if matches!(self.role, Role::Leader(_)) && !self.has_stopped {
            self.become_resigned(now);
            self.drive(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Ticks) {
        if !self.has_stopped {
            self.drive(now);
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Ticks> {
        if self.has_stopped {
            return None;
        }
        match &self.role {
            Role::Unattached(unattached) => unattached.next_timeout(self.may_stand()),
            Role::Prospective(election) | Role::Candidate(election) => Some(election.next_timeout()),
            Role::Leader(leader) => leader.next_timeout(),
            Role::Follower(follower) => follower.next_timeout(self.proposal().is_some()),
            Role::Resigned(resigned) => Some(resigned.ends_at),
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        if self.is_persisting {
            return None;
        }
        let output = self.outputs.pop_front()?;
        self.is_persisting = matches!(output, Output::Persist(_));
        Some(output)
    }

    /// The node, with its metadata directory.
    #[must_use]
    pub fn key(&self) -> ReplicaKey {
        self.key
    }

    /// The role that the node has.
    #[must_use]
    pub fn role(&self) -> RoleName {
        self.role.name()
    }

    /// The epoch that the node is in.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The leader of the epoch, if the node knows of one; a leader that has resigned counts no more.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.key.id),
            Role::Follower(follower) => Some(follower.leader),
            Role::Prospective(election) => election.leader,
            Role::Unattached(_) | Role::Candidate(_) | Role::Resigned(_) => None,
        }
    }

    /// What is committed, as far as the node knows; `None` until it has heard of anything.
    #[must_use]
    pub fn high_watermark(&self) -> Option<Offset> {
        self.high_watermark
    }

    /// The newest voters, committed or not.
    #[must_use]
    pub fn voters(&self) -> &VoterSet {
        self.voters.newest()
    }

    /// The newest level of `kraft.version`, committed or not.
    #[must_use]
    pub fn kraft_version(&self) -> KRaftVersion {
        self.voters.kraft_version()
    }

    /// What the header of a snapshot that ends here has to say. Known from the start of the log on, unless a snapshot is
    /// being loaded.
    #[must_use]
    pub fn membership_at(&self, end: Offset) -> Membership {
        self.voters.at(end)
    }

    /// End of the log, once all outputs are carried out.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.end
    }

    /// Does everything that is due, and everything that becomes due by it.
    pub(crate) fn drive(&mut self, now: Ticks) {
        while !self.has_stopped && self.next_timeout().is_some_and(|due| due <= now) {
            match &self.role {
                Role::Unattached(_) => self.drive_unattached(now),
                Role::Prospective(_) | Role::Candidate(_) => self.drive_election(now),
                Role::Leader(_) => self.drive_leader(now),
                Role::Follower(_) => self.drive_follower(now),
                Role::Resigned(_) => {
                    if let Some(epoch) = self.next_epoch() {
                        self.become_unattached(now, epoch);
                    }
                }
            }
        }
    }

    /// Believes what another node says of an epoch: it is true for ever, however late it arrives.
    pub(crate) fn learn(&mut self, now: Ticks, epoch: LeaderEpoch, leader: Option<NodeId>) {
        let leader = leader.filter(|leader| *leader != self.key.id);
        // Who stands for election because that leader is silent does not go back to it for being told of it again.
        let has_leader = self.leader().is_some() || matches!(self.role, Role::Resigned(_));
        match leader {
            Some(leader) if self.epoch < epoch || (epoch == self.epoch && !has_leader) => {
                self.become_follower(now, epoch, leader);
            }
            None if self.epoch < epoch => self.become_unattached(now, epoch),
            _ => {}
        }
    }

    /// The epoch after this one. Without one the node stops: epochs come from others, which may say anything.
    pub(crate) fn next_epoch(&mut self) -> Option<LeaderEpoch> {
        let next = LeaderEpoch::from_wire(self.epoch.to_wire().wrapping_add(1));
        if next.is_none() {
            self.stop(Violation::EpochsExhausted { epoch: self.epoch });
        }
        next
    }

    pub(crate) fn is_voter(&self) -> bool {
        self.voters.newest().contains(self.key)
    }

    /// Whether this node may stand for election: also while it is not known that its removal is committed. The voters
    /// that are left may need the record of that from it, and cannot be elected themselves before they have it.
    pub(crate) fn may_stand(&self) -> bool {
        let committed = self.high_watermark.unwrap_or(Offset::ZERO);
        self.loading.is_none() && self.voters.has_had(self.key, committed)
    }

    /// The voters other than this node.
    pub(crate) fn other_voters(&self) -> Vec<ReplicaKey> {
        self.voters.newest().iter().filter(|voter| voter.id != self.key.id).collect()
    }

    pub(crate) fn output(&mut self, output: Output<T>) {
        self.outputs.push_back(output);
    }

    pub(crate) fn reply(&mut self, token: T, response: Response) {
        self.output(Output::Reply { token, response });
    }

    pub(crate) fn leadership(&self, error: ErrorCode) -> Leadership {
        Leadership { error, epoch: self.epoch, leader: self.leader() }
    }

    pub(crate) fn send(&mut self, to: NodeId, request: Request) -> CorrelationId {
        let correlation = self.next_correlation();
        self.output(Output::Send { to, request, correlation });
        correlation
    }

    pub(crate) fn next_correlation(&mut self) -> CorrelationId {
        self.correlations += 1;
        CorrelationId(self.correlations)
    }

    pub(crate) fn stop(&mut self, violation: Violation) {
        self.has_stopped = true;
        self.output(Output::Violation(violation));
    }

    /// Appends as the leader of the current epoch.
    pub(crate) fn append_content(&mut self, content: Content, records: u32) -> Appended {
        let (base, epoch) = (self.log.end, self.epoch);
        let end = base.plus(u64::from(records));
        self.log.extend(epoch, end);
        self.output(Output::Write(Write::Append { base, epoch, content }));
        self.request_sync();
        Appended { base, end, epoch }
    }

    /// Asks for a sync of what is not on the disk, unless one is under way: the next one serves all that has come.
    pub(crate) fn request_sync(&mut self) {
        if self.log.syncing.is_none() && self.log.synced < self.log.end {
            let end = self.log.end;
            self.log.syncing = Some(end);
            self.output(Output::Sync { end });
        }
    }
}
