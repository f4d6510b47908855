//! Replicas that follow: what is fetched, and what is done with it.

use highwater_replication::fetcher::{Assignment, FetchResponse, Fetcher, FetcherConfig, PartitionKey};
use highwater_replication::follower::{FetchPosition, Follower, Plan};
use highwater_types::{ErrorCode, NodeId};

use super::super::context::Context;
use super::super::log::Record;
use super::super::message::{Call, Fetched, Reply};
use super::super::node::Node;
use super::{Pending, Replica, Role, index_of, partition_of};

impl Node {
    /// Tells the fetchers what the follower of a partition wants.
    pub(super) fn assign(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey) {
        let backoff_ms = ctx.plan.timing.backoff_ms;
        let Some(broker) = self.broker_mut() else { return };
        let Some(Replica { role: Role::Follower(follower), .. }) = broker.replicas.get(&key) else { return };
        let source = follower.leader();
        for (_, fetcher) in broker.fetchers.iter_mut().filter(|(node, _)| Some(**node) != source) {
            fetcher.remove(&key);
        }
        if let Some(source) = source {
            let fetcher = broker.fetchers.entry(source).or_insert_with(|| Fetcher::new(FetcherConfig { backoff_ms }));
            fetcher.assign(key, Assignment { due: follower.next_fetch(), in_sync: false, throttled: false });
        }
    }

    pub(super) fn drive_fetchers(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker_mut() else { return };
        let Some(epoch) = broker.epoch else { return };
        let polled = broker.fetchers.iter_mut().map(|(from, fetcher)| (*from, fetcher.poll_request(now, None)));
        let requests: Vec<_> = polled.filter_map(|(from, request)| Some((from, request?))).collect();
        for (from, request) in requests {
            self.call(ctx, index_of(from), Call::Fetch(epoch, request), Pending::Fetch { from });
        }
    }

    pub(super) fn fetched(&mut self, ctx: &mut Context<'_, '_>, from: NodeId, reply: Option<Reply>) {
        let now = self.ticks(ctx.now_ms);
        let Some(broker) = self.broker_mut() else { return };
        let Some(fetcher) = broker.fetchers.get_mut(&from) else { return };
        let Some(Reply::Fetched(Fetched { error, session, partitions })) = reply else {
            return fetcher.handle_failure(now);
        };
        let sizes: Vec<(PartitionKey, u64)> =
            partitions.iter().map(|fetched| (fetched.key, fetched.records.len() as u64)).collect();
        let response = FetchResponse { error, session_id: session, partitions: &sizes };
        let answers = fetcher.handle_response(now, &response);
        for answered in answers.partitions {
            let Some(fetched) = partitions.iter().find(|fetched| fetched.key == answered.key) else { continue };
            let log = self.disk.log(answered.key);
            let plan = self.process.as_mut().and_then(|process| process.broker.as_mut()).and_then(|broker| {
                let replica = broker.replicas.get_mut(&answered.key)?;
                let Role::Follower(follower) = &mut replica.role else { return None };
                Some(follower.handle_response(now, &answered.request, &fetched.answer, log))
            });
            if let Some(plan) = plan {
                self.carry_out_plan(ctx, answered.key, plan, &fetched.records);
            }
        }
    }

    pub(super) fn offsets_answered(
        &mut self,
        ctx: &mut Context<'_, '_>,
        key: PartitionKey,
        asked: &FetchPosition,
        reply: Option<&Reply>,
    ) {
        let now = self.ticks(ctx.now_ms);
        let answer = match reply {
            Some(Reply::Offsets(answer)) => *answer,
            _ => Err(ErrorCode::NetworkException),
        };
        let plan = self.follower_mut(&key).map(|follower| follower.offsets_answered(now, asked, answer));
        if let Some(plan) = plan {
            self.carry_out_plan(ctx, key, plan, &[]);
        }
    }

    fn carry_out_plan(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey, plan: Plan, records: &[Record]) {
        let now = self.ticks(ctx.now_ms);
        let id = self.id();
        let log = self.disk.log(key);
        let replica = self.process.as_mut().and_then(|process| process.broker.as_mut()?.replicas.get_mut(&key));
        let Some(Replica { role: Role::Follower(follower), high_watermark, .. }) = replica else { return };
        let mut question = None;
        let marks = match plan {
            Plan::Nothing | Plan::Fail => None,
            Plan::AskOffsets(position) => {
                question = Some(position);
                None
            }
            Plan::Truncate { to } => {
                let (first, removed) = log.truncate(to.value());
                ctx.say(|| format!("{id} truncates {} to {to}", key.partition));
                // Who has left the in-sync set, and does not know who leads by now, may still follow one that lacks what
                // was committed without either of them.
                let state = partition_of(ctx.judge.metadata.image(), &key);
                let is_behind = state.is_none_or(|state| {
                    let is_member = state.isr.contains(&id) || state.elr.contains(&id);
                    !is_member && follower.leader_epoch() < state.leader_epoch
                });
                if !is_behind {
                    ctx.judge.partitions.removed(key, id, first, &removed);
                }
                follower.truncated(now, log.state());
                None
            }
            Plan::StartOver { at } => {
                log.start_over(at.value());
                follower.truncated(now, log.state());
                None
            }
            Plan::Append { start_over_at, epoch_max } => {
                assert_eq!(start_over_at, None, "batches have one record");
                let outcome = log.append_fetched(records, epoch_max);
                follower.appended(now, log.state(), outcome)
            }
            Plan::Advance(marks) => Some(marks),
        };
        *high_watermark = follower.high_watermark().value();
        if let Some(marks) = marks {
            log.delete_before(marks.log_start.value());
        }
        let leader = follower.leader();
        if let (Some(position), Some(leader)) = (question, leader) {
            let call = Call::Offsets(key, position.leader_epoch);
            self.call(ctx, index_of(leader), call, Pending::Offsets { key, position });
        }
        self.assign(ctx, key);
    }

    fn follower_mut(&mut self, key: &PartitionKey) -> Option<&mut Follower> {
        match &mut self.broker_mut()?.replicas.get_mut(key)?.role {
            Role::Follower(follower) => Some(follower),
            Role::Leader(_) => None,
        }
    }
}
