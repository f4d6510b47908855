//! One partition of a state topic, from election to resignation.

use std::collections::VecDeque;

use highwater_types::{ErrorCode, LeaderEpoch, Offset};

use crate::parked::ParkedReplies;
use crate::shard::StepOf;
use crate::{Entry, Now, Reply, Shard, Ticks, Token};

/// Coordinates one partition of a state topic.
///
/// ```text
///            elect                   loaded
/// Inactive ---------> Loading(epoch) -------> Active(epoch)
///    ^                   |  |                     |
///    |      resign       |  | replay fails        |
///    +-------------------+  v                     |
///    +------------------ Failed(epoch) <----------+ own records do not apply
///    +--------------------------------------------+ resign
/// ```
///
/// Contract, for the driver:
///
/// 1. After every call that takes `&mut self`, call [`poll_output`](Self::poll_output) until it gives `None`, then
///    sleep until [`next_timeout`](Self::next_timeout), and call [`handle_timeout`](Self::handle_timeout) once that has
///    come, again and again while it is not in the future.
/// 2. [`Output::Append`] is answered with [`appended`](Self::appended) before anything else is called. The append is
///    local: it returns once the records are in the leader's log, not once they are committed.
/// 3. [`Output::Load`] is answered by [`replay`](Self::replay) for every entry from the start of the log to its **end**,
///    not only to the high watermark, then [`loaded`](Self::loaded), or by [`load_failed`](Self::load_failed).
///    Other calls may come in between.
/// 4. [`commit`](Self::commit) tells of the high watermark, with the epoch in which *this* node led. A high watermark
///    that was learned as a follower never completes anything (KAFKA-20634); it must not be reported under an old epoch.
/// 5. An answer to a request that nobody waits for any more is dropped by the driver.
///
/// `now` never goes back.
#[derive(Debug)]
pub struct Coordinator<S: Shard> {
    config: CoordinatorConfig,
    role: Role<S>,
    /// The highest epoch seen: older elections and resignations are late and ignored.
    epoch: Option<LeaderEpoch>,
    parked: ParkedReplies<S::Response>,
    outputs: VecDeque<Output<S>>,
    stats: CoordinatorStats,
}

#[derive(Debug)]
enum Role<S: Shard> {
    Inactive,
    Loading {
        shard: S,
        /// Offset behind the last replayed entry.
        end: Offset,
        /// High watermark so far.
        committed: Offset,
    },
    Active {
        shard: S,
        /// What waits for the append under way.
        appending: Option<Appending<S>>,
        /// Offset behind the last entry of this shard.
        end: Offset,
        committed: Offset,
    },
    /// The state cannot be known. Every request is refused until the next election.
    Failed,
}

#[derive(Debug)]
struct Appending<S: Shard> {
    replies: Vec<Reply<S::Response>>,
    effect: Option<S::Effect>,
}

/// Limits of a [`Coordinator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorConfig {
    /// How long an answer may wait for the high watermark, in milliseconds; then it becomes
    /// [`RequestTimedOut`](ErrorCode::RequestTimedOut), which says nothing of whether its records will be committed.
    /// Kafka's `offsets.commit.timeout.ms`, default 5000.
    pub commit_timeout_ms: u64,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self { commit_timeout_ms: 5000 }
    }
}

/// What a coordinator has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorStats {
    /// Steps whose records were appended.
    pub appends: u64,
    /// Records in these.
    pub records: u64,
    /// Steps whose records could not be appended.
    pub failed_appends: u64,
    /// Answers that had to wait for the high watermark.
    pub parked_replies: u64,
    /// Answers whose records were not committed in time.
    pub late_replies: u64,
}

/// What a coordinator wants done.
#[derive(Debug)]
pub enum Output<S: Shard> {
    /// Replay the partition.
    Load {
        /// Of the term to replay it for; [`Coordinator::replay`] wants it back.
        epoch: LeaderEpoch,
    },
    /// Append records to the partition's log, as its leader in this epoch, all or none.
    Append(Append<S::Record>),
    /// Answer a request.
    Reply(Reply<S::Response>),
}

/// Records on their way to the log. To be given back to [`Coordinator::appended`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the coordinator waits for the outcome"]
pub struct Append<R> {
    /// The term in which they were decided. If the log's leader epoch is another one the append must fail with
    /// [`NotCoordinator`](ErrorCode::NotCoordinator).
    pub epoch: LeaderEpoch,
    /// In order, at least one.
    pub records: Vec<R>,
}

/// A replayed entry was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError<C> {
    /// The load belongs to a term that is over. Stop reading.
    #[error("the load belongs to a term that is over")]
    Stale,
    /// The entry contradicts those before it: the partition needs a human.
    #[error("the entry at offset {offset} cannot be applied: {reason}")]
    Corrupt {
        /// Where it is.
        offset: Offset,
        /// What is wrong with it.
        reason: C,
    },
}

impl<S: Shard> Coordinator<S> {
    /// A coordinator of a partition that this node does not lead.
    #[must_use]
    pub fn new(config: CoordinatorConfig) -> Self {
        Self {
            config,
            role: Role::Inactive,
            epoch: None,
            parked: ParkedReplies::new(),
            outputs: VecDeque::new(),
            stats: CoordinatorStats::default(),
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> CoordinatorStats {
        self.stats
    }

    /// Answers that wait for the high watermark.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// The term of the leadership, from election to resignation.
    #[must_use]
    pub fn epoch(&self) -> Option<LeaderEpoch> {
        if matches!(self.role, Role::Inactive) { None } else { self.epoch }
    }

    /// Whether requests are handled, rather than refused.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.role, Role::Active { .. })
    }

    /// The state, while requests are handled. It may be ahead of what is committed.
    #[must_use]
    pub fn shard(&self) -> Option<&S> {
        match &self.role {
            Role::Active { shard, .. } => Some(shard),
            _ => None,
        }
    }

    /// This node leads the partition, in `epoch`: forgets every earlier term and asks for a load into `shard`, which is
    /// empty. An epoch that is not new is ignored.
    pub fn elect(&mut self, epoch: LeaderEpoch, shard: S) {
        self.assert_idle();
        if self.epoch.is_some_and(|known| epoch <= known) {
            return;
        }
        self.step_down();
        self.epoch = Some(epoch);
        self.role = Role::Loading { shard, end: Offset::ZERO, committed: Offset::ZERO };
        self.outputs.push_back(Output::Load { epoch });
    }

    /// This node does not lead the partition any more, or has lost it; `epoch` is that of the new leader, or `None` if
    /// the partition is gone. Everything that waits is answered with [`NotCoordinator`](ErrorCode::NotCoordinator).
    pub fn resign(&mut self, epoch: Option<LeaderEpoch>) {
        self.assert_idle();
        if epoch.is_some_and(|epoch| self.epoch.is_some_and(|known| epoch < known)) {
            return;
        }
        self.step_down();
        // A partition that is made anew counts its epochs from zero.
        self.epoch = epoch;
    }

    /// Applies one entry of the log to a shard that is loading.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; the caller stops reading, and the coordinator has failed already if the entry is at fault.
    pub fn replay(
        &mut self,
        now: Now,
        epoch: LeaderEpoch,
        offset: Offset,
        entry: Entry<S::Record>,
    ) -> Result<(), ReplayError<S::Corrupt>> {
        self.assert_idle();
        if self.epoch != Some(epoch) {
            return Err(ReplayError::Stale);
        }
        let Role::Loading { shard, end, .. } = &mut self.role else { return Err(ReplayError::Stale) };
        *end = offset.next();
        shard.apply(now, offset, entry).map_err(|reason| {
            self.role = Role::Failed;
            ReplayError::Corrupt { offset, reason }
        })
    }

    /// The log has been replayed up to `end`: requests are handled from now on.
    pub fn loaded(&mut self, now: Now, epoch: LeaderEpoch, end: Offset) {
        self.assert_idle();
        if self.epoch != Some(epoch) {
            return;
        }
        self.role = match std::mem::replace(&mut self.role, Role::Failed) {
            Role::Loading { shard, end: replayed, committed } => {
                assert!(replayed <= end, "the log ends behind what was replayed");
                Role::Active { shard, appending: None, end, committed }
            }
            other => other,
        };
        self.run(now, |shard, step| shard.loaded(now, step));
    }

    /// The log cannot be read: every request is refused until the next election.
    pub fn load_failed(&mut self, epoch: LeaderEpoch) {
        self.assert_idle();
        if self.epoch == Some(epoch) && matches!(self.role, Role::Loading { .. }) {
            self.role = Role::Failed;
        }
    }

    /// Handles a request of a client.
    pub fn handle(&mut self, now: Now, token: Token, request: S::Request<'_>) {
        self.assert_idle();
        let error = match self.role {
            Role::Active { .. } => {
                self.run(now, |shard, step| shard.handle(now, token, request, step));
                return;
            }
            Role::Loading { .. } => ErrorCode::CoordinatorLoadInProgress,
            Role::Inactive | Role::Failed => ErrorCode::NotCoordinator,
        };
        let response = S::refuse(&request, error);
        self.outputs.push_back(Output::Reply(Reply { token, response }));
    }

    /// Tells the shard of something that is no request. Dropped unless the coordinator is active: what a new shard must
    /// know, its maker tells it.
    pub fn handle_event(&mut self, now: Now, event: S::Event) {
        self.assert_idle();
        self.run(now, |shard, step| shard.handle_event(now, event, step));
    }

    /// Does a part of what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.assert_idle();
        while let Some(Reply { token, response }) = self.parked.pop_late(now.ticks) {
            self.stats.late_replies += 1;
            self.reply(token, S::fail(response, ErrorCode::RequestTimedOut));
        }
        if let Role::Active { shard, .. } = &self.role
            && shard.next_timeout().is_some_and(|due| due <= now.ticks)
        {
            self.run(now, |shard, step| shard.handle_timeout(now, step));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Ticks> {
        let shard = self.shard().and_then(S::next_timeout);
        [shard, self.parked.next_deadline()].into_iter().flatten().min()
    }

    /// The end of an [`Output::Append`]: the offset of its first record, or why it was not appended.
    ///
    /// # Panics
    ///
    /// If no append is under way, or if the offset lies before the end of the log.
    pub fn appended(&mut self, now: Now, append: Append<S::Record>, result: Result<Offset, ErrorCode>) {
        assert!(self.outputs.is_empty(), "drain poll_output before the next input");
        let Role::Active { shard, appending, end, .. } = &mut self.role else {
            unreachable!("only an active coordinator appends")
        };
        let Appending { replies, effect } = appending.take().expect("an append is under way");
        match result {
            Ok(first) => {
                assert!(*end <= first, "appended at {first}, behind {end}");
                self.stats.appends += 1;
                self.stats.records += append.records.len() as u64;
                for (offset, record) in (first.value()..).zip(append.records) {
                    let offset = Offset::new(offset);
                    *end = offset.next();
                    if shard.apply(now, offset, Entry::Record(record)).is_err() {
                        // Our own record: nothing that this shard says can be believed.
                        self.fail(replies);
                        return;
                    }
                }
                if let Some(effect) = effect {
                    shard.appended(now, effect);
                }
                self.give(now, replies);
            }
            Err(error) => {
                self.stats.failed_appends += 1;
                let failed = replies
                    .into_iter()
                    .map(|Reply { token, response }| Reply { token, response: S::fail(response, error) });
                self.outputs.extend(failed.map(Output::Reply));
                if let Some(effect) = effect {
                    self.run(now, |shard, step| shard.append_failed(now, effect, error, step));
                }
            }
        }
    }

    /// Everything before `high_watermark` is committed, by the log that this node leads in `epoch`.
    pub fn commit(&mut self, epoch: LeaderEpoch, high_watermark: Offset) {
        if self.epoch != Some(epoch) {
            return;
        }
        if let Role::Active { committed, .. } | Role::Loading { committed, .. } = &mut self.role {
            *committed = high_watermark.max(*committed);
            let committed = *committed;
            while let Some(Reply { token, response }) = self.parked.pop_committed(committed) {
                self.reply(token, response);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<S>> {
        self.outputs.pop_front()
    }

    /// Lets the active shard make a step and takes it up.
    fn run(&mut self, now: Now, make: impl FnOnce(&mut S, &mut StepOf<S>)) {
        let Role::Active { shard, appending, .. } = &mut self.role else { return };
        let mut step = StepOf::<S>::default();
        make(shard, &mut step);
        if step.records.is_empty() {
            assert!(step.effect.is_none(), "an effect belongs to records");
            self.give(now, step.replies);
            return;
        }
        *appending = Some(Appending { replies: step.replies, effect: step.effect });
        let epoch = self.epoch.expect("an active coordinator has a term");
        self.outputs.push_back(Output::Append(Append { epoch, records: step.records }));
    }

    /// Answers once all that the shard has seen is committed.
    fn give(&mut self, now: Now, replies: Vec<Reply<S::Response>>) {
        let Role::Active { end, committed, .. } = &self.role else { unreachable!("only an active shard answers") };
        if *end <= *committed {
            self.outputs.extend(replies.into_iter().map(Output::Reply));
            return;
        }
        let deadline = now.ticks.plus_ms(self.config.commit_timeout_ms);
        for reply in replies {
            self.stats.parked_replies += 1;
            self.parked.push(*end, deadline, reply);
        }
    }

    fn step_down(&mut self) {
        let role = std::mem::replace(&mut self.role, Role::Inactive);
        let error = ErrorCode::NotCoordinator;
        let waiting = match role {
            Role::Active { mut shard, .. } => shard.resign(error),
            _ => Vec::new(),
        };
        let parked: Vec<_> = self.parked.drain().collect();
        for Reply { token, response } in parked {
            self.reply(token, S::fail(response, error));
        }
        self.outputs.extend(waiting.into_iter().map(Output::Reply));
    }

    fn fail(&mut self, replies: Vec<Reply<S::Response>>) {
        self.step_down();
        self.role = Role::Failed;
        for Reply { token, response } in replies {
            self.reply(token, S::fail(response, ErrorCode::UnknownServerError));
        }
    }

    fn reply(&mut self, token: Token, response: S::Response) {
        self.outputs.push_back(Output::Reply(Reply { token, response }));
    }

    fn assert_idle(&self) {
        assert!(self.outputs.is_empty(), "drain poll_output before the next input");
        let is_appending = matches!(&self.role, Role::Active { appending: Some(_), .. });
        assert!(!is_appending, "tell the outcome of the append before the next input");
    }
}
