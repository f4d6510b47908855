//! Followers, and nodes that look for a leader.

use highwater_types::{ErrorCode, NodeId, Offset, Ticks};

use crate::message::{
    BeginQuorumEpoch, Diverging, EndQuorumEpoch, Fetch, FetchAnswer, FetchSnapshot, Request, Response, SnapshotAnswer,
};
use crate::output::{CorrelationId, Output, Violation, Write};
use crate::role::{Fetching, Follower, Role, Unattached};
use crate::{Control, ControlRecord, FetchedBatch, KRaftVersion, Membership, Raft, SnapshotId};

/// Whom a node asks.
#[derive(Clone, Copy, Debug)]
enum Source {
    Node(NodeId),
    /// One of the bootstrap servers.
    Bootstrap(u32),
}

impl Fetching {
    fn due(self) -> Option<Ticks> {
        match self {
            Self::Due(at) | Self::SnapshotDue { at, .. } => Some(at),
            Self::Asked(_) | Self::Syncing | Self::SnapshotAsked { .. } | Self::Loading(_) => None,
        }
    }
}

impl Unattached {
    pub(crate) fn next_timeout(&self, may_stand: bool) -> Option<Ticks> {
        self.search.due().into_iter().chain(may_stand.then_some(self.election_at)).min()
    }
}

impl Follower {
    pub(crate) fn next_timeout(&self, has_proposal: bool) -> Option<Ticks> {
        let proposal = has_proposal.then_some(self.propose_at);
        self.fetching.due().into_iter().chain(proposal).chain([self.timeout_at]).min()
    }
}

impl<T> Raft<T> {
    pub(crate) fn drive_unattached(&mut self, now: Ticks) {
        let may_stand = self.may_stand();
        let Role::Unattached(unattached) = &self.role else { return };
        if may_stand && unattached.election_at <= now {
            return self.become_prospective(now);
        }
        if unattached.search.due().is_none_or(|at| now < at) {
            return;
        }
        // Any voter knows the leader, or will.
        let voters = self.other_voters().into_iter().map(|voter| Source::Node(voter.id));
        let sources: Vec<Source> = voters.chain((0..self.config.bootstrap_servers).map(Source::Bootstrap)).collect();
        let chosen = self.random.below(sources.len() as u64);
        let Some(source) = usize::try_from(chosen).ok().and_then(|index| sources.get(index)) else {
            return self.set_fetching(Fetching::Due(now.plus_ms(self.config.fetch_timeout_ms)));
        };
        self.fetch_from(*source, 0);
    }

    pub(crate) fn drive_follower(&mut self, now: Ticks) {
        let Role::Follower(follower) = &self.role else { return };
        let leader = follower.leader;
        if follower.timeout_at <= now {
            if self.may_stand() {
                return self.become_prospective(now);
            }
            // It looks for another one.
            return self.wait_for_election(now);
        }
        if follower.propose_at <= now
            && let Some(request) = self.proposal()
        {
            return self.propose(now, leader, request);
        }
        if let Fetching::SnapshotDue { at, id, position } = follower.fetching {
            if at <= now {
                self.ask_for_part(leader, id, position);
            }
        } else if follower.fetching.due().is_some_and(|at| at <= now) {
            self.fetch_from(Source::Node(leader), self.config.fetch_wait_ms);
        }
    }

    /// Asks for a change of the voters. The log will tell whether it was made; until it does, this node asks again.
    fn propose(&mut self, now: Ticks, leader: NodeId, request: Request) {
        let correlation = self.send(leader, request);
        let propose_at = now.plus_ms(self.config.propose_ms());
        if let Role::Follower(follower) = &mut self.role {
            (follower.propose_at, follower.proposed) = (propose_at, Some(correlation));
        }
    }

    /// The leader has answered a voter that has described itself.
    pub(crate) fn handle_update_answer(&mut self, correlation: CorrelationId, error: ErrorCode) {
        if let Role::Follower(follower) = &mut self.role
            && follower.proposed == Some(correlation)
            && error == ErrorCode::None
        {
            follower.is_described = true;
        }
    }

    /// Asks for what follows the end of the log, which says that everything before it is on the disk: so it must be.
    fn fetch_from(&mut self, source: Source, wait_ms: u64) {
        if self.log.synced < self.log.end {
            return self.set_fetching(Fetching::Syncing);
        }
        let fetch = Fetch {
            epoch: self.epoch,
            replica: self.key,
            offset: self.log.end,
            last_epoch: self.log.last_epoch(),
            high_watermark: self.high_watermark,
            wait_ms,
        };
        let request = Request::Fetch(fetch);
        let correlation = match source {
            Source::Node(to) => self.send(to, request),
            Source::Bootstrap(server) => {
                let correlation = self.next_correlation();
                self.output(Output::SendToBootstrap { server, request, correlation });
                correlation
            }
        };
        self.set_fetching(Fetching::Asked(correlation));
    }

    fn fetching(&self) -> Option<Fetching> {
        match &self.role {
            Role::Unattached(unattached) => Some(unattached.search),
            Role::Follower(follower) => Some(follower.fetching),
            _ => None,
        }
    }

    fn set_fetching(&mut self, to: Fetching) {
        match &mut self.role {
            Role::Unattached(unattached) => unattached.search = to,
            Role::Follower(follower) => follower.fetching = to,
            _ => {}
        }
    }

    pub(crate) fn fetch_failed(&mut self, now: Ticks, correlation: CorrelationId) {
        let at = now.plus_ms(self.config.retry_backoff_ms);
        match self.fetching() {
            Some(Fetching::Asked(asked)) if asked == correlation => self.set_fetching(Fetching::Due(at)),
            Some(Fetching::SnapshotAsked { correlation: asked, id, position }) if asked == correlation => {
                self.set_fetching(Fetching::SnapshotDue { at, id, position });
            }
            _ => {}
        }
    }

    pub(crate) fn handle_fetch_answer(
        &mut self,
        now: Ticks,
        correlation: CorrelationId,
        answer: &FetchAnswer,
        batches: &[FetchedBatch],
        controls: &[Control],
    ) {
        // An answer to a question of another role, epoch or position changes nothing.
        if self.fetching() != Some(Fetching::Asked(correlation)) {
            return;
        }
        let timeout_at = now.plus_ms(self.config.fetch_timeout_ms);
        match &mut self.role {
            Role::Follower(follower) if answer.leadership.error == ErrorCode::None => {
                (follower.has_fetched, follower.timeout_at) = (true, timeout_at);
            }
            _ => return self.fetch_failed(now, correlation),
        }
        if let Some(diverging) = answer.diverging {
            return self.truncate(now, diverging);
        }
        if let Some(id) = answer.snapshot {
            if !leaves_room(id.end) {
                return self.set_fetching(Fetching::Due(now.plus_ms(self.config.retry_backoff_ms)));
            }
            let high_watermark = self.high_watermark.unwrap_or(Offset::ZERO);
            if id.end < high_watermark {
                let epoch = self.epoch;
                return self.stop(Violation::SnapshotBelowHighWatermark { epoch, id, high_watermark });
            }
            return self.set_fetching(Fetching::SnapshotDue { at: now, id, position: 0 });
        }
        self.take(now, correlation, answer, batches, controls);
        if self.has_stopped {
            return;
        }
        let committed = answer.high_watermark.map(|high_watermark| high_watermark.min(self.log.end));
        if let Some(committed) = committed
            && self.high_watermark.is_none_or(|known| known < committed)
        {
            self.high_watermark = Some(committed);
            self.output(Output::HighWatermark(committed));
        }
    }

    /// Appends the batches that continue the log, and syncs them before the next fetch says that they are there.
    fn take(
        &mut self,
        now: Ticks,
        correlation: CorrelationId,
        answer: &FetchAnswer,
        batches: &[FetchedBatch],
        controls: &[Control],
    ) {
        let mut taken = 0;
        for batch in batches {
            let continues = batch.base == self.log.end && batch.base < batch.end;
            // The leader may have read what a later leader has written there since (KAFKA-18723).
            let is_of_epoch = self.log.last_epoch() <= batch.epoch && batch.epoch <= self.epoch;
            if !continues || !is_of_epoch || !leaves_room(batch.end) {
                break;
            }
            let within = |control: &&Control| (batch.base..batch.end).contains(&control.offset);
            if !controls.iter().filter(within).all(|control| self.is_sound(control)) {
                break;
            }
            self.log.extend(batch.epoch, batch.end);
            controls.iter().filter(within).for_each(|control| self.voters.extend(control.clone()));
            taken += 1;
        }
        if self.has_stopped {
            return;
        }
        if 0 < taken {
            self.output(Output::Write(Write::Fetched { correlation, batches: taken }));
            self.request_sync();
            self.set_fetching(Fetching::Syncing);
            self.fetch_when_synced(now);
        } else {
            let is_strange = answer.records_from.is_some();
            let pause_ms = if is_strange { self.config.retry_backoff_ms } else { 0 };
            self.set_fetching(Fetching::Due(now.plus_ms(pause_ms)));
        }
    }

    /// Whether a control record makes sense. No leader writes that nobody decides; newer code may write what this node
    /// does not understand, and then it stops.
    fn is_sound(&mut self, control: &Control) -> bool {
        match &control.record {
            ControlRecord::KRaftVersion(version) if KRaftVersion::LATEST < *version => {
                self.stop(Violation::UnknownKRaftVersion { version: *version });
                false
            }
            ControlRecord::KRaftVersion(_) => true,
            ControlRecord::Voters(voters) => !voters.is_empty(),
        }
    }

    /// Fetching from an offset tells the leader that everything before it is safe.
    pub(crate) fn fetch_when_synced(&mut self, now: Ticks) {
        if self.fetching() == Some(Fetching::Syncing) && self.log.end <= self.log.synced {
            self.set_fetching(Fetching::Due(now));
        }
    }

    /// Cuts the log where it leaves the leader's.
    fn truncate(&mut self, now: Ticks, diverging: Diverging) {
        let own = self.log.end_of(diverging.epoch);
        let end = match own {
            Some((epoch, end)) if epoch == diverging.epoch => end.min(diverging.end),
            // An epoch that this log has not: everything behind the last one that both may have goes.
            Some((_, end)) => end,
            None => Offset::ZERO,
        };
        let high_watermark = self.high_watermark.unwrap_or(Offset::ZERO);
        if end < high_watermark {
            return self.stop(Violation::TruncationBelowHighWatermark { epoch: self.epoch, end, high_watermark });
        }
        // An answer that cuts nothing is strange, and would only be given again.
        let pause_ms = if end < self.log.end { 0 } else { self.config.retry_backoff_ms };
        if end < self.log.end {
            self.log.truncate(end);
            self.voters.truncate(end);
            self.output(Output::Write(Write::Truncate { end }));
        }
        self.set_fetching(Fetching::Due(now.plus_ms(pause_ms)));
    }

    fn ask_for_part(&mut self, leader: NodeId, id: SnapshotId, position: u64) {
        let fetch = FetchSnapshot { epoch: self.epoch, replica: self.key, id, position };
        let correlation = self.send(leader, Request::FetchSnapshot(fetch));
        self.set_fetching(Fetching::SnapshotAsked { correlation, id, position });
    }

    pub(crate) fn handle_snapshot_answer(
        &mut self,
        now: Ticks,
        correlation: CorrelationId,
        answer: &SnapshotAnswer,
        bytes: u64,
    ) {
        let Some(Fetching::SnapshotAsked { correlation: asked, id, position }) = self.fetching() else { return };
        if asked != correlation {
            return;
        }
        match answer.leadership.error {
            ErrorCode::None => {}
            // The leader has dropped it for a newer one, or it changed: the next fetch tells which.
            ErrorCode::SnapshotNotFound | ErrorCode::PositionOutOfRange => {
                return self.set_fetching(Fetching::Due(now.plus_ms(self.config.retry_backoff_ms)));
            }
            _ => return self.fetch_failed(now, correlation),
        }
        let end = position.saturating_add(bytes);
        if answer.id != id || answer.position != position || answer.size < end || (bytes == 0 && end < answer.size) {
            return self.fetch_failed(now, correlation);
        }
        let timeout_at = now.plus_ms(self.config.fetch_timeout_ms);
        if let Role::Follower(follower) = &mut self.role {
            (follower.has_fetched, follower.timeout_at) = (true, timeout_at);
        }
        self.output(Output::Write(Write::SnapshotPart { correlation, id, position }));
        if end < answer.size {
            return self.set_fetching(Fetching::SnapshotDue { at: now, id, position: end });
        }
        // Whatever the node becomes meanwhile, its log is that of the snapshot from here on.
        self.log.replace_by(id);
        self.voters.truncate(id.end);
        self.loading = Some(id);
        self.output(Output::Write(Write::LoadSnapshot { id }));
        self.set_fetching(Fetching::Loading(id));
    }

    pub(crate) fn snapshot_in_place(&mut self, now: Ticks, id: SnapshotId, membership: Membership) {
        if self.loading == Some(id) {
            if KRaftVersion::LATEST < membership.kraft_version {
                return self.stop(Violation::UnknownKRaftVersion { version: membership.kraft_version });
            }
            self.loading = None;
            self.voters.load(id.end, membership);
        }
        if self.high_watermark.is_none_or(|known| known < id.end) {
            self.high_watermark = Some(id.end);
            self.output(Output::HighWatermark(id.end));
        }
        if self.fetching() == Some(Fetching::Loading(id)) {
            self.set_fetching(Fetching::Due(now));
        }
    }

    pub(crate) fn handle_begin_quorum_epoch(&mut self, now: Ticks, token: T, begin: BeginQuorumEpoch) {
        let error = if begin.epoch < self.epoch {
            ErrorCode::FencedLeaderEpoch
        } else if !begin.voter.matches(self.key) {
            ErrorCode::InvalidVoterKey
        } else {
            self.learn(now, begin.epoch, Some(begin.leader));
            if let Role::Follower(follower) = &mut self.role {
                follower.timeout_at = now.plus_ms(self.config.fetch_timeout_ms);
            }
            ErrorCode::None
        };
        let leadership = self.leadership(error);
        self.reply(token, Response::BeginQuorumEpoch(leadership));
    }

    pub(crate) fn handle_end_quorum_epoch(&mut self, now: Ticks, token: T, end: &EndQuorumEpoch) {
        let error = if end.epoch < self.epoch {
            ErrorCode::FencedLeaderEpoch
        } else {
            self.learn(now, end.epoch, Some(end.leader));
            self.leader_has_resigned(now, end);
            ErrorCode::None
        };
        let leadership = self.leadership(error);
        self.reply(token, Response::EndQuorumEpoch(leadership));
    }

    /// The first successor stands for election at once, the others one after the other.
    fn leader_has_resigned(&mut self, now: Ticks, end: &EndQuorumEpoch) {
        let position = end.successors.iter().position(|successor| successor.matches(self.key));
        let share = |position: usize| (position as u64).saturating_mul(self.config.election_backoff_ms_max);
        let wait_ms = position.map(|position| share(position) / end.successors.len().max(1) as u64);
        if let Role::Follower(follower) = &mut self.role
            && follower.leader == end.leader
        {
            // It does not live as a leader any more: others may be elected.
            follower.has_fetched = false;
            if let Some(wait_ms) = wait_ms {
                follower.timeout_at = now.plus_ms(wait_ms);
            }
        }
    }
}

/// Whether a log that ends here can still grow: offsets come from others, which may say anything.
fn leaves_room(end: Offset) -> bool {
    end.checked_plus(RECORDS_LEFT_MIN).is_some()
}

/// Records for which there must be offsets behind what is fetched; a quorum appends fewer in its life.
const RECORDS_LEFT_MIN: u64 = 1 << 40;
