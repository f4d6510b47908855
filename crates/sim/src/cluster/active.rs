//! The active controller: decides, appends, and answers when that is committed.

use std::collections::VecDeque;

use highwater_metadata::{
    AlterIsrResult, ApiError, Controller, Decision, HeartbeatAnswer, HeartbeatConfig, Heartbeats, MetadataRecord,
    features,
};
use highwater_raft::RoleName;
use highwater_types::{BrokerEpoch, ErrorCode, NodeId, Offset, Ticks};

use super::context::Context;
use super::message::{Call, Caller, Reply};
use super::node::{Node, Process};

/// The metadata as it will be once all that was decided on is committed, and who waits for that.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) controller: Controller,
    heartbeats: Heartbeats,
    waiting: VecDeque<Waiting>,
    balance_at: Ticks,
    elect_at: Ticks,
}

#[derive(Debug)]
struct Waiting {
    end: Offset,
    caller: Caller,
    done: Done,
}

/// What a decision leads to when it is committed.
#[derive(Debug)]
enum Done {
    Registered(NodeId, BrokerEpoch),
    Heartbeat(HeartbeatAnswer),
    Altered(Vec<AlterIsrResult>),
}

impl Active {
    pub(super) fn next_timeout(&self) -> Option<Ticks> {
        let session = self.heartbeats.poll_timeout(&self.controller.image());
        session.into_iter().chain([self.balance_at, self.elect_at]).min()
    }
}

impl Node {
    /// Becomes the active controller if it is time, answers who has waited long enough, and does what is due.
    pub(super) fn drive_controller(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        let Some(process) = &mut self.process else { return };
        if process.active.is_some() && process.raft.role() != RoleName::Leader {
            // Its saying so waits for the disk.
            return;
        }
        if process.active_from.is_some_and(|from| from <= process.applied)
            && process.active.is_none()
            && process.raft.role() == RoleName::Leader
        {
            self.become_active(ctx, now);
        }
        self.answer_waiting(ctx, now);
        while let Some(active) = self.process.as_mut().and_then(|process| process.active.as_mut()) {
            let Some((node, epoch)) = active.heartbeats.stale(&active.controller.image(), now) else { break };
            ctx.say(|| format!("the controller fences {node}"));
            let decision = active.controller.fence_broker(node, epoch).expect("it is registered as that");
            self.store(ctx, now, &decision.records);
        }
        let Some(active) = self.process.as_mut().and_then(|process| process.active.as_mut()) else { return };
        let mut records = Vec::new();
        if active.balance_at <= now {
            active.balance_at = now.plus_ms(BALANCE_EVERY_MS);
            records = active.controller.balance_leaders(0).records;
        }
        self.store(ctx, now, &records);
        let Some(active) = self.process.as_mut().and_then(|process| process.active.as_mut()) else { return };
        if active.elect_at <= now {
            active.elect_at = now.plus_ms(ELECT_EVERY_MS);
            let records = active.controller.elect_leaderless().records;
            self.store(ctx, now, &records);
        }
    }

    fn become_active(&mut self, ctx: &mut Context<'_, '_>, now: Ticks) {
        let Some(process) = &mut self.process else { return };
        ctx.say(|| format!("{} is the active controller", self.index));
        let controller = process.committed.clone();
        let config = HeartbeatConfig { session_timeout_ms: ctx.plan.timing.session_timeout_ms };
        let heartbeats = Heartbeats::new(config, &controller.image(), process.raft.log_end(), now);
        let mut records = controller.bootstrap().records;
        let elr = features::ELIGIBLE_LEADER_REPLICAS_VERSION;
        if ctx.plan.has_elr && controller.image().feature_level(elr).is_none() {
            records.push(MetadataRecord::FeatureLevel { name: elr.to_owned(), level: 1 });
        }
        process.active = Some(Active {
            controller,
            heartbeats,
            waiting: VecDeque::new(),
            balance_at: now.plus_ms(BALANCE_EVERY_MS),
            elect_at: now.plus_ms(ELECT_EVERY_MS),
        });
        self.store(ctx, now, &records);
    }

    /// Goes back to what is committed. Whoever waits does not learn what became of it.
    pub(super) fn lead_no_more(&mut self, ctx: &mut Context<'_, '_>) {
        let Some(process) = &mut self.process else { return };
        process.active_from = None;
        for Waiting { caller, done, .. } in process.active.take().into_iter().flat_map(|active| active.waiting) {
            ctx.reply(self.index, caller, done.failed(ErrorCode::NotController));
        }
    }

    /// Appends the records of a decision about a broker, in several batches, and applies them at once.
    fn store(&mut self, ctx: &mut Context<'_, '_>, now: Ticks, records: &[MetadataRecord]) {
        for batch in records.chunks(RECORDS_PER_BATCH_MAX) {
            self.store_batch(ctx, now, batch);
        }
    }

    /// Appends the records of any other decision, all or none, and applies them at once.
    pub(super) fn store_batch(&mut self, ctx: &mut Context<'_, '_>, now: Ticks, batch: &[MetadataRecord]) {
        let Some(Process { raft, active: Some(active), .. }) = &mut self.process else { return };
        if !batch.is_empty() {
            for record in batch {
                active.controller.apply(record).unwrap_or_else(|error| panic!("a decision does not apply: {error}"));
            }
            ctx.say(|| format!("{} appends {batch:?}", self.index));
            let tag = ctx.keep(batch);
            let count = u32::try_from(batch.len()).expect("a short batch");
            raft.append(now, tag, count).expect("it leads, as was asked before the decision");
        }
    }

    /// A broker calls the controller.
    pub(super) fn decide(&mut self, ctx: &mut Context<'_, '_>, caller: Caller, call: &Call) {
        let now = self.ticks(ctx.now_ms);
        let process = self.process.as_mut().expect("it runs");
        let log_end = process.raft.log_end();
        let leads = process.raft.role() == RoleName::Leader;
        let decided = match &mut process.active {
            Some(active) if leads => active.decide(call, log_end, now),
            _ => Err(ErrorCode::NotController),
        };
        let (records, done) = match decided {
            Ok(decided) => decided,
            Err(code) => return ctx.reply(self.index, caller, failed(call, code)),
        };
        self.store(ctx, now, &records);
        let Some(Process { raft, active: Some(active), .. }) = &mut self.process else { return };
        // What the answer says may follow from records that are not committed yet.
        active.waiting.push_back(Waiting { end: raft.log_end(), caller, done });
        self.answer_waiting(ctx, now);
    }

    fn answer_waiting(&mut self, ctx: &mut Context<'_, '_>, now: Ticks) {
        let Some(Process { applied, active: Some(active), .. }) = &mut self.process else { return };
        while let Some(Waiting { end, caller, done }) = active.waiting.pop_front_if(|waiting| waiting.end <= *applied) {
            match &done {
                Done::Registered(node, epoch) => active.heartbeats.registered(*node, *epoch, now),
                Done::Heartbeat(answer) => active.heartbeats.answered(answer, end, now),
                Done::Altered(_) => {}
            }
            ctx.reply(self.index, caller, done.reply());
        }
    }
}

impl Active {
    fn decide(&mut self, call: &Call, log_end: Offset, now: Ticks) -> Result<(Vec<MetadataRecord>, Done), ErrorCode> {
        let code = |error: ApiError| error.code;
        let image = self.controller.image();
        Ok(match call {
            Call::Register(registration) => {
                let (node, incarnation) = (registration.node, registration.incarnation);
                self.heartbeats.check_registration(&image, node, incarnation, now).map_err(code)?;
                let Decision { records, response } =
                    self.controller.register_broker(registration, log_end).map_err(code)?;
                (records, Done::Registered(node, response))
            }
            Call::Heartbeat(heartbeat) => {
                // Until the answer is committed the broker would count as silent.
                self.heartbeats.touch(heartbeat.node, heartbeat.epoch, now);
                let Decision { records, response } =
                    self.controller.broker_heartbeat(&self.heartbeats, heartbeat).map_err(code)?;
                (records, Done::Heartbeat(response))
            }
            Call::AlterPartition(alter) => {
                let Decision { records, response } = self.controller.alter_partition(alter).map_err(code)?;
                (records, Done::Altered(response))
            }
            Call::Fetch(..) | Call::Offsets(..) => unreachable!("not for a controller"),
        })
    }
}

impl Done {
    fn reply(self) -> Reply {
        match self {
            Self::Registered(_, epoch) => Reply::Registered(Ok(epoch)),
            Self::Heartbeat(answer) => Reply::Heartbeat(Ok(answer)),
            Self::Altered(results) => Reply::Altered(Ok(results)),
        }
    }

    fn failed(&self, code: ErrorCode) -> Reply {
        match self {
            Self::Registered(..) => Reply::Registered(Err(code)),
            Self::Heartbeat(_) => Reply::Heartbeat(Err(code)),
            Self::Altered(_) => Reply::Altered(Err(code)),
        }
    }
}

fn failed(call: &Call, code: ErrorCode) -> Reply {
    match call {
        Call::Register(_) => Reply::Registered(Err(code)),
        Call::Heartbeat(_) => Reply::Heartbeat(Err(code)),
        _ => Reply::Altered(Err(code)),
    }
}

/// So few that fencing a broker with a few partitions takes several.
const RECORDS_PER_BATCH_MAX: usize = 2;

/// `leader.imbalance.check.interval.seconds` and `unclean.leader.election.interval.ms`, in shorter times.
const BALANCE_EVERY_MS: u64 = 4_000;
const ELECT_EVERY_MS: u64 = 3_000;
