//! What all nodes share: time, chance, the network, and the judge.

use std::sync::Arc;

use highwater_metadata::MetadataRecord;
use highwater_raft::Request;

use super::judge::Judge;
use super::message::{Call, Caller, Event, QuorumAnswer, Reply, Token};
use super::plan::Plan;
use crate::links::Links;
use crate::queue::Queue;
use crate::{Random, Trace};

/// The world around the nodes.
#[derive(Debug)]
pub(super) struct Context<'t, 'f> {
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) now_ms: u64,
    pub(super) queue: Queue<Event>,
    pub(super) links: Links,
    pub(super) judge: Judge,
    /// What is in the batches of the metadata log, by the value of the batch.
    pub(super) contents: Vec<Arc<[MetadataRecord]>>,
    /// Requests to change in-sync replicas that are still on their way, by who sent them.
    pub(super) alterations_under_way: Vec<u64>,
    /// Nothing breaks any more.
    pub(super) is_healed: bool,
    pub(super) trace: &'t mut Trace<'f>,
}

impl Context<'_, '_> {
    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        let now_ms = self.now_ms;
        self.trace.say(|| format!("{now_ms}: {}", line()));
    }

    /// When the disk is done with something.
    pub(super) fn disk_done_at_ms(&mut self) -> u64 {
        self.now_ms + self.random.between(0, self.plan.disk_ms_max)
    }

    pub(super) fn ask(&mut self, to: usize, token: Token, request: Request) {
        let request = Box::new(request);
        for at_ms in self.links.arrivals(&mut self.random, self.now_ms, token.node, to) {
            self.queue.put(at_ms, Event::Asked { node: to, token, request: request.clone() });
        }
        self.queue.put(self.now_ms + QUORUM_TIMEOUT_MS, Event::Unanswered { token });
    }

    pub(super) fn answer(&mut self, from: usize, token: Token, answer: QuorumAnswer) {
        let answer = Box::new(answer);
        for at_ms in self.links.arrivals(&mut self.random, self.now_ms, from, token.node) {
            self.queue.put(at_ms, Event::Answered { from, token, answer: answer.clone() });
        }
    }

    /// Calls over a connection, on which nothing comes twice.
    pub(super) fn call(&mut self, to: usize, caller: Caller, call: Call) {
        self.say(|| format!("{} calls {to}: {call:?}", caller.node));
        if let Some(at_ms) = self.links.arrivals(&mut self.random, self.now_ms, caller.node, to).first() {
            if matches!(call, Call::AlterPartition(_)) {
                self.alterations_under_way[caller.node] += 1;
            }
            self.queue.put(*at_ms, Event::Called { node: to, caller, call: Box::new(call) });
        }
        self.queue.put(self.now_ms + self.plan.timing.request_timeout_ms, Event::CallFailed { caller });
    }

    pub(super) fn reply(&mut self, from: usize, caller: Caller, reply: Reply) {
        if let Some(at_ms) = self.links.arrivals(&mut self.random, self.now_ms, from, caller.node).first() {
            self.queue.put(*at_ms, Event::Replied { from, caller, reply: Box::new(reply) });
        }
    }

    /// Keeps what goes into a batch of the metadata log; the value of the batch.
    pub(super) fn keep(&mut self, records: &[MetadataRecord]) -> u64 {
        self.contents.push(records.into());
        self.contents.len() as u64 - 1
    }

    pub(super) fn content(&self, value: u64) -> Arc<[MetadataRecord]> {
        Arc::clone(&self.contents[usize::try_from(value).expect("an index")])
    }
}

/// How long a request of the quorum waits for its answer.
const QUORUM_TIMEOUT_MS: u64 = 2000;
