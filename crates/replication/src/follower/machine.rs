//! The follower's state machine.

use super::{
    AppendOutcome, BatchSpan, FetchDue, FetchPosition, FetchedPartition, LeaderOffsets, LogState, Marks, Plan,
};
use crate::{EpochEnd, EpochTable};
use highwater_types::{ErrorCode, LeaderEpoch, NodeId, Offset, Ticks};

/// What a follower is told when it becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerSetup {
    /// Whom to follow; `None` while nobody leads.
    pub leader: Option<NodeId>,
    /// The epoch in which it leads.
    pub leader_epoch: LeaderEpoch,
    /// The log as it is.
    pub log: LogState,
    /// The high watermark so far, from the time as leader or follower or from the checkpoint.
    pub high_watermark: Offset,
    /// How it behaves.
    pub config: FollowerConfig,
}

/// How a follower behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerConfig {
    /// `replica.fetch.backoff.ms`: how long to wait after an error. Default 1 s.
    pub backoff_ms: u64,
    /// How long to wait, at most, for a leader that has not heard yet that it leads: what it lacks is on its way.
    /// Default 50 ms.
    pub unready_backoff_ms: u64,
}

impl Default for FollowerConfig {
    fn default() -> Self {
        Self { backoff_ms: 1_000, unready_backoff_ms: 50 }
    }
}

/// Follows the leader of one partition, in one leader epoch.
///
/// Contract:
///
/// 1. Every new leader epoch takes a new `Follower`, even if the leader is the same: it begins at the end of
///    its own log and lets the leader's answer say where they part (KIP-101, KIP-595).
/// 2. Fetch what [`next_fetch`](Self::next_fetch) says and give the answer, with the position that was in the
///    request, to [`handle_response`](Self::handle_response). One fetch at a time is enough; answers to
///    earlier ones are dropped.
/// 3. Carry out the [`Plan`] before anything else is done with the log, and call what the plan names:
///    [`truncated`](Self::truncated), [`appended`](Self::appended) or
///    [`offsets_answered`](Self::offsets_answered). If the follower is dropped in between, the plan is void.
/// 4. After every call, `next_fetch` may have changed.
///
/// It neither allocates nor grows, whatever the leader says.
#[derive(Clone, Debug)]
pub struct Follower {
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    /// Invariant: `log.start <= high_watermark <= log.end`.
    log: LogState,
    high_watermark: Offset,
    config: FollowerConfig,
    state: State,
    /// See [`FetchDue::needs_marks`].
    needs_marks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next fetch may be sent, or is under way.
    Fetching { not_before: Ticks },
    /// The log is being cut.
    Truncating,
    /// Records are being appended; the leader's marks come after them.
    Appending { high_watermark: Option<Offset>, log_start: Option<Offset> },
    /// The leader is being asked where its log begins and ends.
    Asking,
    /// Waiting for another leader epoch.
    Failed,
}

impl Follower {
    /// A follower at the beginning of a leader epoch.
    ///
    /// # Panics
    ///
    /// If the log ends before it starts, or the high watermark is behind its end.
    #[must_use]
    pub fn new(setup: FollowerSetup) -> Self {
        let FollowerSetup { leader, leader_epoch, log, high_watermark, config } = setup;
        let state = State::Fetching { not_before: Ticks::default() };
        let high_watermark = high_watermark.max(log.start);
        let follower = Self { leader, leader_epoch, log, high_watermark, config, state, needs_marks: true };
        follower.assert_invariants();
        follower
    }

    /// The next fetch; `None` while something else has to be done first, and where there is no leader to fetch
    /// from.
    #[must_use]
    pub fn next_fetch(&self) -> Option<FetchDue> {
        self.leader?;
        match self.state {
            State::Fetching { not_before } => {
                Some(FetchDue { position: self.position(), not_before, needs_marks: self.needs_marks })
            }
            _ => None,
        }
    }

    /// Says what to do with the leader's answer to `request`. Answers that are not to the current position are
    /// dropped: what they say was true of another log or another leader (KAFKA-18991).
    pub fn handle_response(
        &mut self,
        now: Ticks,
        request: &FetchPosition,
        answer: &FetchedPartition,
        epochs: &impl EpochTable,
    ) -> Plan {
        let waits = matches!(self.state, State::Fetching { not_before } if not_before <= now);
        if !waits || !self.position().is_answered_by(request) {
            return Plan::Nothing;
        }
        if answer.error != ErrorCode::None {
            return self.refused(now, answer.error);
        }
        // Nothing else in a diverging answer may be looked at: the leader's high watermark says nothing of
        // records that are not the leader's (KAFKA-14704).
        if let Some(diverging) = answer.diverging {
            return self.truncate(now, diverging, epochs);
        }
        self.take_over(now, answer)
    }

    /// The log has been cut as the plan said, and is now like this.
    ///
    /// # Panics
    ///
    /// If that was not the plan.
    pub fn truncated(&mut self, now: Ticks, log: LogState) {
        assert!(self.state == State::Truncating, "the plan was to truncate");
        self.needs_marks = true;
        let progress = (log.end, log.latest_epoch) != (self.log.end, self.log.latest_epoch);
        self.set_log(log);
        if progress {
            self.state = State::Fetching { not_before: now };
        } else {
            self.back_off(now);
        }
        self.assert_invariants();
    }

    /// What became of the records, and how the log is now. Returns what to set at the log.
    ///
    /// # Panics
    ///
    /// If appending was not the plan.
    pub fn appended(&mut self, now: Ticks, log: LogState, outcome: AppendOutcome) -> Option<Marks> {
        let State::Appending { high_watermark, log_start } = self.state else { panic!("the plan was to append") };
        let end_before = self.log.end;
        self.set_log(log);
        match outcome {
            AppendOutcome::Appended if end_before < log.end => self.state = State::Fetching { not_before: now },
            AppendOutcome::Appended | AppendOutcome::Corrupt => {
                self.back_off(now);
                self.needs_marks = true;
            }
            AppendOutcome::Failed => self.state = State::Failed,
        }
        let marks = (outcome == AppendOutcome::Appended).then(|| self.set_marks(high_watermark, log_start));
        self.assert_invariants();
        marks
    }

    /// The leader has said where its log begins and ends, or has not: then with the code that it gave instead,
    /// or one for a lost connection. `asked` is the position in the plan.
    pub fn offsets_answered(
        &mut self,
        now: Ticks,
        asked: &FetchPosition,
        answer: Result<LeaderOffsets, ErrorCode>,
    ) -> Plan {
        if self.state != State::Asking || !self.position().is_answered_by(asked) {
            return Plan::Nothing;
        }
        let offsets = match answer {
            Ok(offsets) => offsets,
            // The question itself is in range.
            Err(ErrorCode::OffsetOutOfRange) => return self.back_off(now),
            Err(code) => return self.refused(now, code),
        };
        if offsets.end < offsets.start {
            return self.back_off(now);
        }
        if offsets.end < self.log.end {
            // The leader was elected uncleanly and lacks what this log has.
            self.state = State::Truncating;
            return Plan::Truncate { to: offsets.end };
        }
        if self.log.end < offsets.start {
            self.state = State::Truncating;
            return Plan::StartOver { at: offsets.start };
        }
        self.back_off(now)
    }

    /// Records before `start` have been deleted, by the follower's own retention.
    pub fn log_start_raised(&mut self, start: Offset) {
        let start = start.max(self.log.start);
        let end = self.log.end.max(start);
        self.set_log(LogState { start, end, ..self.log });
    }

    /// The log has failed. Nothing is fetched any more.
    pub fn fail(&mut self) {
        self.state = State::Failed;
    }

    /// Whether only another leader epoch helps.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.state == State::Failed
    }

    /// Whom it follows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The epoch in which that node leads.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The log, as far as it is known here.
    #[must_use]
    pub fn log(&self) -> LogState {
        self.log
    }

    /// The high watermark: what consumers may read from this replica (KIP-392). Pass it on when this node
    /// becomes the leader.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    fn position(&self) -> FetchPosition {
        FetchPosition {
            offset: self.log.end,
            last_fetched_epoch: self.log.latest_epoch,
            leader_epoch: self.leader_epoch,
            log_start: self.log.start,
        }
    }

    fn refused(&mut self, now: Ticks, error: ErrorCode) -> Plan {
        match error {
            ErrorCode::OffsetOutOfRange => {
                self.state = State::Asking;
                Plan::AskOffsets(self.position())
            }
            // The request was made in the current epoch, so the leader knows a newer one. So will this node.
            ErrorCode::FencedLeaderEpoch => {
                self.state = State::Failed;
                Plan::Fail
            }
            // A leader that does not know yet.
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId => {
                let pause_ms = self.config.unready_backoff_ms.min(self.config.backoff_ms);
                self.state = State::Fetching { not_before: now.plus_ms(pause_ms) };
                Plan::Nothing
            }
            // One that cannot read at present, or says something else.
            _ => self.back_off(now),
        }
    }

    fn truncate(&mut self, now: Ticks, diverging: EpochEnd, epochs: &impl EpochTable) -> Plan {
        let EpochEnd { epoch, end } = diverging;
        let parts = |last| epoch < last || (epoch == last && end < self.log.end);
        if !self.log.latest_epoch.is_some_and(parts) {
            // Logs that part there do not part before the end of this one.
            return self.back_off(now);
        }
        self.state = State::Truncating;
        let to = match epochs.end_of(epoch) {
            // The leader does not have what this log has of the epoch, or the other way round.
            Some(own) if own.epoch == epoch => own.end.min(end),
            // This log has nothing of that epoch. What it has of the one before, the leader may not have either:
            // the next answer says.
            Some(own) => own.end,
            None => end,
        };
        Plan::Truncate { to: to.min(self.log.end) }
    }

    fn take_over(&mut self, now: Ticks, answer: &FetchedPartition) -> Plan {
        let FetchedPartition { high_watermark, log_start, .. } = *answer;
        let Some(BatchSpan { base, last }) = answer.first_batch else {
            self.state = State::Fetching { not_before: now };
            return Plan::Advance(self.set_marks(high_watermark, log_start));
        };
        let empty = self.log.start == self.log.end;
        let start_over_at = match base < self.log.end {
            false => None,
            // Deleting records has moved the leader's log start into a batch, and this log began there.
            true if empty && self.log.end <= last => Some(base),
            true => return self.back_off(now),
        };
        self.state = State::Appending { high_watermark, log_start };
        Plan::Append { start_over_at, epoch_max: self.leader_epoch }
    }

    fn set_log(&mut self, log: LogState) {
        self.log = log;
        self.high_watermark = self.high_watermark.max(log.start).min(log.end);
    }

    fn set_marks(&mut self, high_watermark: Option<Offset>, log_start: Option<Offset>) -> Marks {
        if let Some(high_watermark) = high_watermark {
            self.high_watermark = high_watermark.max(self.log.start).min(self.log.end);
        }
        if let Some(log_start) = log_start {
            self.log.start = self.log.start.max(log_start.min(self.high_watermark));
        }
        self.needs_marks = false;
        Marks { high_watermark: self.high_watermark, log_start: self.log.start }
    }

    fn back_off(&mut self, now: Ticks) -> Plan {
        self.state = State::Fetching { not_before: now.plus_ms(self.config.backoff_ms) };
        Plan::Nothing
    }

    fn assert_invariants(&self) {
        assert!(self.log.start <= self.high_watermark, "what is deleted was committed");
        assert!(self.high_watermark <= self.log.end, "what is committed is in the log");
    }
}
