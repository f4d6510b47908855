//! What breaks, and what must not break at once.

use super::broker::partition_of;
use super::message::Event;
use super::node::BrokerDisk;
use super::world::{World, index_of};
use crate::raft::Disk;

/// What the end of a process takes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Only what was in memory.
    Nothing,
    /// The power was lost, and with it some of what the replicas' logs have not synced.
    Unsynced,
    /// Everything.
    Disk,
}

impl World<'_, '_> {
    pub(super) fn break_something(&mut self) {
        let node = self.ctx.random.index(self.nodes.len());
        let lasts_ms = self.ctx.random.pick(&[10, 300, 1_500, 5_000]);
        if self.ctx.random.chance(self.ctx.plan.kill_percent) {
            match self.ctx.random.below(10) {
                0..=2 => self.kill(node, lasts_ms),
                3..=5 => self.lose_power(node, lasts_ms),
                6 => self.wipe(node, lasts_ms),
                7 => self.leave(node),
                _ => self.pause(node, lasts_ms),
            }
        } else if self.ctx.random.chance(10) {
            self.resign(node);
        } else {
            let how = self.ctx.links.cut_somehow(&mut self.ctx.random, self.nodes.len());
            self.ctx.say(|| format!("the network: {how}"));
        }
        let at_ms = self.ctx.now_ms + self.ctx.random.between(1, 2 * self.ctx.plan.fault_every_ms);
        self.ctx.queue.put(at_ms, Event::Breaks);
    }

    /// The process dies. The page cache of the operating system lives on.
    fn kill(&mut self, node: usize, down_ms: u64) {
        if self.nodes[node].process.is_some() {
            self.take_down(node, Loss::Nothing);
            self.ctx.queue.put(self.ctx.now_ms + down_ms, Event::Restarts { node });
        }
    }

    pub(super) fn lose_power(&mut self, node: usize, down_ms: u64) {
        if self.nodes[node].process.is_some() && self.may_lose_records(node) {
            self.take_down(node, Loss::Unsynced);
            self.ctx.queue.put(self.ctx.now_ms + down_ms, Event::Restarts { node });
        }
    }

    /// The node comes back with the same id and empty directories. Not one that decides on the metadata.
    fn wipe(&mut self, node: usize, down_ms: u64) {
        let is_voter = node < self.ctx.plan.controllers;
        if !is_voter && self.nodes[node].process.is_some() && self.may_lose_records(node) {
            self.take_down(node, Loss::Disk);
            self.ctx.queue.put(self.ctx.now_ms + down_ms, Event::Restarts { node });
        }
    }

    /// The process dies.
    pub(super) fn take_down(&mut self, node: usize, loss: Loss) {
        self.ctx.say(|| format!("{node} is killed, losing {loss:?}"));
        let Self { nodes, ctx, .. } = self;
        nodes[node].die(ctx);
        nodes[node].has_lost_records |= nodes[node].is_broker && loss != Loss::Nothing;
        match loss {
            Loss::Nothing => nodes[node].disk.logs.values_mut().for_each(|log| log.restart(false)),
            Loss::Unsynced => {
                for log in nodes[node].disk.logs.values_mut() {
                    log.lose_power(&mut ctx.random);
                }
            }
            Loss::Disk => {
                let files = nodes[node].disk.files.take();
                nodes[node].disk = BrokerDisk { files, ..BrokerDisk::default() };
                nodes[node].metadata = Disk::default();
            }
        }
        self.check(node);
    }

    /// The node wants to end.
    pub(super) fn leave(&mut self, node: usize) {
        if let Some(broker) = self.nodes[node].process.as_mut().and_then(|process| process.broker.as_mut()) {
            self.ctx.say(|| format!("{node} wants to end"));
            broker.is_leaving = true;
        }
    }

    pub(super) fn pause(&mut self, node: usize, lasts_ms: u64) {
        self.ctx.say(|| format!("{node} pauses for {lasts_ms} ms"));
        self.nodes[node].paused_until_ms = self.ctx.now_ms + lasts_ms;
    }

    /// The node gives up the leadership of the quorum, if it has it.
    pub(super) fn resign(&mut self, node: usize) {
        if self.nodes[node].paused_until_ms <= self.ctx.now_ms {
            self.nodes[node].resign(&mut self.ctx);
            self.check(node);
        }
    }

    /// Whether every partition keeps a replica that has all that is committed, and will lead if this one comes back with
    /// less. Replication promises no more for what is not synced.
    fn may_lose_records(&mut self, node: usize) -> bool {
        if !self.nodes[node].is_broker {
            return true;
        }
        // What the controllers have not committed yet may take the others out of the in-sync set.
        let end = self.ctx.judge.metadata.end();
        let is_settled = self.nodes.iter().take(self.ctx.plan.controllers).all(|voter| voter.metadata.end() <= end);
        if !is_settled || 0 < self.ctx.alterations_under_way[node] {
            return false;
        }
        let image = self.ctx.judge.metadata.image().clone();
        self.keys().into_iter().all(|key| {
            let Some(state) = partition_of(&image, &key) else { return true };
            let others = state.isr.iter().chain(&state.elr).map(|member| index_of(*member));
            let others: Vec<usize> = others.filter(|other| *other != node).collect();
            !state.replicas.iter().any(|replica| index_of(*replica) == node)
                || self.ctx.judge.partitions.is_lost(&key)
                || others.into_iter().any(|other| !self.nodes[other].has_lost_records && self.is_complete(other, &key))
        })
    }
}
