//! The active controller: decides, appends, and answers when that is committed.

use std::mem;

use highwater_metadata::{
    ApiError, Controller, Decision, HeartbeatConfig, Heartbeats, MetadataRecord, RECORDS_PER_BATCH_MAX,
};
use highwater_raft::{KRaftVersion, KRaftVersions, RaiseRefusal};
use highwater_types::{ErrorCode, LeaderEpoch, Offset, Ticks};

use super::log::encode_batch;
use super::thread::{Completion, Fatal, QuorumThread};
use crate::net::Now;

/// The state of the active controller: the metadata as it will be once all that it has decided on is committed.
pub(super) struct Active {
    pub(super) controller: Controller,
    pub(super) heartbeats: Heartbeats,
    epoch: LeaderEpoch,
    timers: ControllerTimers,
    balance_at: Ticks,
    elect_at: Ticks,
}

/// How often the controller looks after something.
#[derive(Clone, Copy, Debug)]
pub(super) struct ControllerTimers {
    /// `leader.imbalance.check.interval.seconds`; `None` without `auto.leader.rebalance.enable`.
    pub(super) balance_ms: Option<u64>,
    /// `leader.imbalance.per.broker.percentage`.
    pub(super) imbalance_percentage_max: u8,
    /// `unclean.leader.election.interval.ms`.
    pub(super) elect_ms: u64,
}

/// What a decision is made on.
pub(crate) struct Deciding<'a> {
    pub(crate) controller: &'a Controller,
    pub(crate) heartbeats: &'a mut Heartbeats,
    /// Where the next record goes.
    pub(crate) log_end: Offset,
    pub(crate) now: Ticks,
}

/// What is left to be done when a decision is committed, or has failed.
pub(crate) struct Done<'a> {
    /// `None` if this node is not the active controller any more.
    pub(crate) heartbeats: Option<&'a mut Heartbeats>,
    /// End of the log when the decision was appended.
    pub(crate) log_end: Offset,
    pub(crate) now: Ticks,
    completions: &'a mut Vec<Completion>,
}

impl Done<'_> {
    /// Runs `completion` once the broker on this node has applied the decision.
    pub(crate) fn when_applied(&mut self, completion: impl FnOnce() + Send + 'static) {
        self.completions.push(Box::new(completion));
    }
}

/// Somebody who waits for records to be committed.
pub(super) struct Waiting {
    end: Offset,
    done: WhenCommitted,
}

type WhenCommitted = Box<dyn FnOnce(&mut Done<'_>, Result<(), ControllerError>) + Send>;

/// Why the controller could not carry out a request.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ControllerError {
    /// The request was wrong.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// This node is not the active controller, or has ceased to be it: whether the request was carried out is unknown
    /// then.
    #[error("This is not the correct controller for this cluster.")]
    NotController,
    /// Nobody has answered in time. Whether the request was carried out is unknown.
    #[error("the controller did not answer in time")]
    TimedOut,
}

impl ControllerError {
    /// The wire code of the error.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(error) => error.code,
            Self::NotController => ErrorCode::NotController,
            Self::TimedOut => ErrorCode::RequestTimedOut,
        }
    }
}

impl Active {
    pub(super) fn new(
        controller: Controller,
        epoch: LeaderEpoch,
        heartbeats: HeartbeatConfig,
        timers: ControllerTimers,
        log_end: Offset,
        now: Ticks,
    ) -> Self {
        let heartbeats = Heartbeats::new(heartbeats, &controller.image(), log_end, now);
        let balance_at = now.plus_ms(timers.balance_ms.unwrap_or(u64::MAX));
        let elect_at = now.plus_ms(timers.elect_ms);
        Self { controller, heartbeats, epoch, timers, balance_at, elect_at }
    }

    pub(super) fn next_timeout(&self) -> Option<Ticks> {
        let session = self.heartbeats.poll_timeout(&self.controller.image());
        session.into_iter().chain([self.balance_at, self.elect_at]).min()
    }
}

impl QuorumThread {
    /// Decides on a request and has its records appended. `done` is called when they are committed, or at once if
    /// there is nothing to be committed or the request is refused.
    pub(super) fn decide<R: Send + 'static>(
        &mut self,
        decide: impl FnOnce(&mut Deciding<'_>) -> Result<Decision<R>, ApiError>,
        done: impl FnOnce(&mut Done<'_>, Result<R, ControllerError>) + Send + 'static,
    ) -> Result<(), Fatal> {
        let now = Now::read().ticks();
        let log_end = self.raft().log_end();
        let decided = match &mut self.active {
            Some(active) => {
                let Active { controller, heartbeats, .. } = active;
                decide(&mut Deciding { controller, heartbeats, log_end, now }).map_err(ControllerError::from)
            }
            None => Err(ControllerError::NotController),
        };
        let Decision { records, response } = match decided {
            Ok(decision) => decision,
            Err(error) => {
                self.finish(log_end, |finished| done(finished, Err(error)));
                return Ok(());
            }
        };
        let done: WhenCommitted = Box::new(move |finished, committed| done(finished, committed.map(|()| response)));
        match self.store(&records)? {
            Some(end) => self.waiting().push_back(Waiting { end, done }),
            // What the answer says may follow from records that are not committed yet.
            None if self.raft().high_watermark().is_none_or(|committed| committed < log_end) => {
                let end = log_end;
                self.waiting().push_back(Waiting { end, done });
            }
            None => self.finish(log_end, |finished| done(finished, Ok(()))),
        }
        Ok(())
    }

    /// Whether a decision could be made. Nothing comes of it.
    pub(super) fn check<R>(
        &self,
        decide: impl FnOnce(&Controller) -> Result<Decision<R>, ApiError>,
    ) -> Result<(), ControllerError> {
        let active = self.active.as_ref().ok_or(ControllerError::NotController)?;
        Ok(decide(&active.controller).map(|_| ())?)
    }

    /// Raises `kraft.version`, if that is not only to be `checked`. Who waits for what is decided next waits for this too.
    pub(super) fn raise_kraft_version(&mut self, level: i16, checked: bool) -> Result<(), ControllerError> {
        if self.active.is_none() {
            return Err(ControllerError::NotController);
        }
        let invalid = |why: String| {
            let message = format!("Invalid update version {level} for feature kraft.version. {why}");
            ControllerError::Refused(ApiError { code: ErrorCode::InvalidUpdateVersion, message })
        };
        let node = self.raft().key().id;
        let Some(version) = u16::try_from(level).ok().map(KRaftVersion::new) else {
            return Err(invalid("A feature version cannot be less than 0.".to_owned()));
        };
        let now = Now::read().ticks();
        match self.raft().raise_kraft_version(now, version, checked) {
            Ok(_) => Ok(()),
            Err(RaiseRefusal::NotLeader(_)) => Err(ControllerError::NotController),
            Err(RaiseRefusal::Lower { .. }) => Err(invalid("Can't downgrade the version of this feature.".to_owned())),
            Err(RaiseRefusal::Unknown { .. }) => {
                let KRaftVersions { min, max } = KRaftVersions::SUPPORTED;
                Err(invalid(format!("Local controller {node} only supports versions {min}-{max}")))
            }
            Err(refusal) => Err(invalid(refusal.to_string())),
        }
    }

    /// Appends the records of a decision and applies them to the controller's own state. The end of the last batch, if
    /// there are records and this node still leads.
    ///
    /// More records than fit a batch each stand on their own: those of a broker's partitions, for one.
    fn store(&mut self, records: &[MetadataRecord]) -> Result<Option<Offset>, Fatal> {
        let now = Now::read().wall;
        let mut end = None;
        for chunk in records.chunks(RECORDS_PER_BATCH_MAX) {
            let Some(active) = &mut self.active else { return Ok(None) };
            let epoch = active.epoch;
            for record in chunk {
                active.controller.apply(record)?;
            }
            let base = self.raft().log_end();
            let batch = encode_batch(chunk, base, epoch, now)?;
            let count = u32::try_from(chunk.len()).expect("a chunk is short");
            // The machine is the leader of this epoch for as long as there is an active controller.
            end = self.append(batch, count).ok();
        }
        Ok(end)
    }

    /// What a controller writes before anything else.
    pub(super) fn bootstrap(&mut self) -> Result<(), Fatal> {
        self.decide(|deciding| Ok(deciding.controller.bootstrap()), |_, _| {})
    }

    /// Fences brokers that are silent, balances leaders, elects for partitions without one.
    pub(super) fn drive_controller(&mut self, now: Ticks) -> Result<(), Fatal> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let stale = active.heartbeats.stale(&active.controller.image(), now);
        let is_balance_due = active.balance_at <= now;
        let is_election_due = active.elect_at <= now;
        let imbalance_percentage_max = active.timers.imbalance_percentage_max;
        if is_balance_due {
            active.balance_at = now.plus_ms(active.timers.balance_ms.unwrap_or(u64::MAX));
        }
        if is_election_due {
            active.elect_at = now.plus_ms(active.timers.elect_ms);
        }
        if let Some((node, epoch)) = stale {
            tracing::info!("broker {node} is fenced: it was not heard of for its session's time");
            // The controller's own state has it fenced at once, so that the next one is found right after.
            self.decide(move |deciding| deciding.controller.fence_broker(node, epoch), |_, _| {})?;
        }
        if is_balance_due {
            self.decide(move |deciding| Ok(deciding.controller.balance_leaders(imbalance_percentage_max)), |_, _| {})?;
        }
        if is_election_due {
            self.decide(|deciding| Ok(deciding.controller.elect_leaderless()), |_, _| {})?;
        }
        self.pump()
    }

    /// Answers those whose records are committed.
    pub(super) fn answer_waiting(&mut self) {
        let committed = self.raft().high_watermark().unwrap_or_default();
        while self.waiting().front().is_some_and(|waiting| waiting.end <= committed) {
            let Some(Waiting { end, done }) = self.waiting().pop_front() else { break };
            self.finish(end, |finished| done(finished, Ok(())));
        }
    }

    /// Tells those who wait that this node is not the active controller any more.
    pub(super) fn fail_waiting(&mut self) {
        for Waiting { end, done } in mem::take(self.waiting()) {
            self.finish(end, |finished| done(finished, Err(ControllerError::NotController)));
        }
        self.flush_completions();
    }

    fn finish(&mut self, log_end: Offset, done: impl FnOnce(&mut Done<'_>)) {
        let mut completions = Vec::new();
        let now = Now::read().ticks();
        let heartbeats = self.active.as_mut().map(|active| &mut active.heartbeats);
        done(&mut Done { heartbeats, log_end, now, completions: &mut completions });
        completions.into_iter().for_each(|completion| self.complete_later(completion));
    }
}
