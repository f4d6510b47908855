//! A node's part in the metadata quorum: drives the machine, and applies what is committed.

use std::sync::Arc;

use highwater_raft::{Content, FetchedBatch, Output, Payload, Raft, Response, RoleName, Write};
use highwater_types::{ErrorCode, Offset};

use super::context::Context;
use super::message::{Event, QuorumAnswer, Token};
use super::node::{Node, Process, controller_of};
use crate::raft::Batch;

impl Node {
    /// Gives an event of the quorum to the machine.
    pub(super) fn handle_quorum(&mut self, ctx: &mut Context<'_, '_>, event: Event) {
        let now = self.ticks(ctx.now_ms);
        let Some(process) = &mut self.process else { return };
        match event {
            Event::Asked { token, request, .. } => process.raft.handle_request(now, token, *request),
            Event::Answered { token, answer, .. } => {
                let QuorumAnswer { response, batches, bytes } = *answer;
                let offered: Vec<FetchedBatch> = batches
                    .iter()
                    .map(|Batch { base, end, epoch, .. }| FetchedBatch { base: *base, end: *end, epoch: *epoch })
                    .collect();
                if matches!(response, Response::FetchSnapshot(_)) {
                    process.bytes = bytes;
                    process.raft.handle_response(now, token.correlation, response, Payload::Bytes(bytes));
                } else {
                    process.answers.entry(token.correlation).or_insert(batches);
                    process.raft.handle_response(now, token.correlation, response, Payload::Batches(&offered));
                }
            }
            Event::Unanswered { token } => process.raft.handle_failure(now, token.correlation),
            Event::Stored { .. } => {
                let before = self.metadata.state;
                let state = self.metadata.end_store();
                assert!(
                    before.epoch <= state.epoch,
                    "{} went from epoch {} to {}",
                    self.key,
                    before.epoch,
                    state.epoch
                );
                process.raft.persisted();
            }
            Event::Synced { end, .. } => {
                self.metadata.end_sync();
                process.raft.synced(now, end);
            }
            Event::Loaded { id, .. } => process.raft.snapshot_loaded(now, id),
            other => unreachable!("not about the quorum: {other:?}"),
        }
    }

    pub(super) fn has_outputs(&mut self) -> bool {
        // Whatever was appended or asked for meanwhile has left a trace in the machine.
        let Some(process) = &mut self.process else { return false };
        !self.metadata.is_storing() && process.raft.log_end() != self.metadata.end()
    }

    /// Carries out what the machine wants.
    pub(super) fn carry_out(&mut self, ctx: &mut Context<'_, '_>) {
        while let Some(output) = self.process.as_mut().and_then(|process| process.raft.poll_output()) {
            self.do_one(ctx, output);
        }
        let Some(process) = &self.process else { return };
        let is_waiting = self.metadata.is_storing();
        assert!(
            is_waiting || self.metadata.end() == process.raft.log_end(),
            "the machine of {} knows its log",
            self.key
        );
    }

    fn do_one(&mut self, ctx: &mut Context<'_, '_>, output: Output<Token>) {
        let (node, incarnation) = (self.index, self.incarnation);
        match output {
            Output::Persist(state) => {
                self.metadata.begin_store(state);
                let at_ms = ctx.disk_done_at_ms();
                ctx.queue.put(at_ms, Event::Stored { node, incarnation });
            }
            Output::Sync { end } => {
                self.metadata.begin_sync();
                let generation = self.metadata.generation;
                let at_ms = ctx.disk_done_at_ms();
                ctx.queue.put(at_ms, Event::Synced { node, incarnation, generation, end });
            }
            Output::Write(write) => self.write(ctx, write),
            Output::Send { to, request, correlation } => {
                let to = usize::try_from(to.value()).expect("there are few nodes");
                ctx.ask(to, Token { node, incarnation, correlation }, request);
            }
            Output::SendToBootstrap { .. } | Output::AskVersions { .. } => unreachable!("the voters are fixed"),
            Output::Reply { token, response } => self.answer(ctx, token, response),
            Output::HighWatermark(end) => self.apply_committed(ctx, end),
            Output::Role { role, epoch, leader } => {
                ctx.say(|| format!("{node} is {role:?} in epoch {epoch} of the quorum, led by {leader:?}"));
                if role == RoleName::Leader {
                    ctx.judge.metadata.elected(self.key, incarnation, epoch, self.metadata.log());
                } else {
                    self.lead_no_more(ctx);
                }
            }
            Output::Violation(violation) => panic!("{}: {violation}", self.key),
        }
    }

    fn write(&mut self, ctx: &mut Context<'_, '_>, write: Write) {
        let process = self.process.as_mut().expect("it runs");
        match write {
            Write::Append { base, epoch, content } => {
                let (value, records) = match content {
                    Content::LeaderChange { .. } => {
                        process.active_from = Some(base.next());
                        (ctx.keep(&[]), 1)
                    }
                    Content::FirstLeaderChange { .. } | Content::Raised { .. } | Content::Voters { .. } => {
                        unreachable!("the voters are fixed")
                    }
                    Content::Batch { tag, records } => (tag, records),
                };
                self.metadata.append(Batch { base, end: base.plus(u64::from(records)), epoch, value });
            }
            Write::Fetched { correlation, batches } => {
                let offered = process.answers.remove(&correlation).expect("there was an answer");
                process.answers.retain(|later, _| correlation < *later);
                offered[..batches].iter().for_each(|batch| self.metadata.append(*batch));
            }
            Write::Truncate { end } => self.metadata.truncate(end),
            Write::DropPrefix { start } => self.metadata.drop_prefix(start),
            Write::SnapshotPart { id, position, .. } => {
                let known = process.part.filter(|_| 0 < position);
                assert!(position == 0 || known == Some((id, position)), "parts come one after the other");
                process.part = Some((id, position + process.bytes));
            }
            Write::LoadSnapshot { id } => {
                let batches = ctx.judge.metadata.batches_before(id.end);
                assert_eq!(process.part.take(), Some((id, size_of(&batches))), "it is complete");
                self.metadata.load(id, batches);
                process.committed = controller_of(ctx.judge.metadata.image_at(id.end));
                process.applied = id.end;
                (process.has_news, process.is_reloaded) = (true, true);
                let (node, incarnation, at_ms) = (self.index, self.incarnation, ctx.disk_done_at_ms());
                ctx.queue.put(at_ms, Event::Loaded { node, incarnation, id });
            }
        }
    }

    fn answer(&mut self, ctx: &mut Context<'_, '_>, token: Token, mut response: Response) {
        let mut batches = Vec::new();
        if let Response::Fetch(answer) = &response
            && let Some(first) = answer.records_from
        {
            let count = usize::try_from(ctx.random.between(1, ctx.plan.batches_max)).unwrap_or(1);
            let log = self.metadata.log();
            let from = log.partition_point(|batch| batch.base < first);
            batches = log[from..].iter().copied().take(count).collect();
            assert!(!batches.is_empty(), "there are records");
        }
        let mut bytes = 0;
        if let Response::FetchSnapshot(answer) = &mut response
            && answer.leadership.error == ErrorCode::None
        {
            let snapshot = self.metadata.snapshot(answer.id).expect("the machine knows which there are");
            answer.size = size_of(snapshot);
            bytes = ctx.random.between(1, answer.size.saturating_sub(answer.position).max(1));
        }
        ctx.answer(self.index, token, QuorumAnswer { response, batches, bytes });
    }

    /// Applies what is committed before `end`.
    fn apply_committed(&mut self, ctx: &mut Context<'_, '_>, end: Offset) {
        let process = self.process.as_mut().expect("it runs");
        let log = self.metadata.log();
        let first = log.partition_point(|batch| batch.base < process.applied);
        for batch in log[first..].iter().take_while(|batch| batch.end <= end) {
            let records = ctx.content(batch.value);
            ctx.judge.metadata.committed(self.key, process.raft.epoch(), *batch, &records);
            for record in Arc::as_ref(&records) {
                process.committed.apply(record).unwrap_or_else(|error| panic!("{}: R12: {error}", self.key));
                if process.broker.is_some() {
                    process.delta.observe(record);
                }
            }
            process.applied = batch.end;
            process.has_news = true;
        }
        ctx.judge.metadata.check_image(self.key, process.applied, &process.committed.image());
    }

    /// Gives up the leadership of the quorum.
    pub(super) fn resign(&mut self, ctx: &mut Context<'_, '_>) {
        let now = self.ticks(ctx.now_ms);
        if let Some(process) = &mut self.process {
            process.raft.resign(now);
            self.pump(ctx);
        }
    }

    /// Takes a snapshot of what is committed, and perhaps drops what is in it.
    pub(super) fn take_snapshot(&mut self, ctx: &mut Context<'_, '_>) {
        let Some(Process { raft, .. }) = &mut self.process else { return };
        let Some(committed) = raft.high_watermark() else { return };
        let ends: Vec<&Batch> = self.metadata.log().iter().filter(|batch| batch.end <= committed).collect();
        let Some(last) = ends.get(ctx.random.index(ends.len())) else { return };
        let id = highwater_raft::SnapshotId { end: last.end, epoch: last.epoch };
        ctx.say(|| format!("{} takes snapshot {id}", self.index));
        self.metadata.put_snapshot(id, ctx.judge.metadata.batches_before(id.end));
        raft.snapshot_taken(id);
        if ctx.random.chance(50) && raft.has_snapshot(id) {
            raft.drop_prefix(id);
        }
        self.pump(ctx);
    }
}

/// The node that leads the quorum, as far as this one knows.
pub(super) fn leader_of(raft: &Raft<Token>) -> Option<usize> {
    raft.leader().map(|leader| usize::try_from(leader.value()).expect("there are few nodes"))
}

/// Bytes of a snapshot.
fn size_of(batches: &[Batch]) -> u64 {
    100 + 10 * batches.len() as u64
}
