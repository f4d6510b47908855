//! The end of a history: nothing breaks any more, and everything must become well.

use std::collections::BTreeMap;

use highwater_replication::fetcher::PartitionKey;
use highwater_replication::leader::Acks;

use super::broker::partition_of;
use super::message::Event;
use super::world::{World, index_of};

impl World<'_, '_> {
    pub(super) fn heal(&mut self) {
        self.ctx.say(|| "the world heals".to_owned());
        self.ctx.links.heal();
        self.ctx.plan.links.delay_ms_max = 5;
        self.ctx.plan.disk_ms_max = self.ctx.plan.disk_ms_max.min(5);
        self.ctx.plan.batches_max = 1000;
        self.ctx.is_healed = true;
        self.ctx.queue.retain(|event| {
            !matches!(
                event,
                Event::Breaks | Event::Produces | Event::Snapshots | Event::Restarts { .. } | Event::Flushes { .. }
            )
        });
        for index in 0..self.nodes.len() {
            self.nodes[index].paused_until_ms = 0;
            self.nodes[index].start(&mut self.ctx);
            self.check(index);
        }
    }

    /// Liveness: everybody is let in, in sync, and has another record that is acknowledged.
    pub(super) fn converge(&mut self) {
        let healed_ms = self.ctx.now_ms;
        self.wait(healed_ms + CONVERGE_MS, |world| world.trouble().map_or(Ok(()), Err));
        let acknowledged = |world: &Self, key: &PartitionKey| world.ctx.judge.partitions.acknowledged_count(key);
        let before: BTreeMap<PartitionKey, u64> =
            self.keys().into_iter().map(|key| (key, acknowledged(self, &key))).collect();
        self.wait(healed_ms + CONVERGE_MS + WRITE_MS, |world| {
            // What was asked for before may be done only now: the topic is another one then.
            let waits = |key: &PartitionKey| acknowledged(world, key) == before.get(key).copied().unwrap_or(0);
            let keys = world.keys();
            let Some(key) = keys.iter().copied().find(waits) else {
                return if keys.is_empty() { Err("there is no topic".to_owned()) } else { Ok(()) };
            };
            // Leaderships may still be on their way to the preferred replicas.
            if let Some(leader) = (0..world.nodes.len()).find(|node| world.leads(*node, &key)) {
                world.produce(leader, key, Acks::All);
            }
            Err(format!("no write to {} is acknowledged", key.partition))
        });
        self.wait(healed_ms + CONVERGE_MS + 2 * WRITE_MS, |world| world.trouble().map_or(Ok(()), Err));
    }

    pub(super) fn wait(&mut self, until_ms: u64, mut is_done: impl FnMut(&mut Self) -> Result<(), String>) {
        loop {
            match is_done(self) {
                Ok(()) => return,
                Err(trouble) => assert!(self.ctx.now_ms < until_ms, "no progress after healing: {trouble}"),
            }
            self.run_until(self.ctx.now_ms + LOOK_EVERY_MS);
        }
    }

    /// What is not yet as it should be.
    pub(super) fn trouble(&self) -> Option<String> {
        let image = self.ctx.judge.metadata.image();
        for node in self.nodes.iter().filter(|node| node.is_broker) {
            let registered = image.broker(node.id());
            if !registered.is_some_and(|broker| broker.is_active()) {
                return Some(format!("{} is not let in: {registered:?}", node.key));
            }
            if node.process.as_ref().is_none_or(|process| process.applied != self.ctx.judge.metadata.end()) {
                return Some(format!("{} does not know the metadata", node.key));
            }
        }
        let keys = self.keys();
        if keys.is_empty() {
            return Some("there is no topic".to_owned());
        }
        keys.iter().find_map(|key| {
            let state = partition_of(image, key)?;
            let is_well = state.leader.is_some()
                && state.isr.len() == state.replicas.len()
                && state.adding.is_empty()
                && state.removing.is_empty();
            let replicas: Vec<_> = state.replicas.iter().map(|node| self.marks(index_of(*node), key)).collect();
            let is_equal = replicas.iter().all(|marks| {
                marks.is_some_and(|(high_watermark, end)| Some((end, end)) == replicas[0] && high_watermark == end)
            });
            (!is_well || !is_equal).then(|| format!("{state:?} with {replicas:?}"))
        })
    }

    /// High watermark and end of a replica.
    pub(super) fn marks(&self, node: usize, key: &PartitionKey) -> Option<(u64, u64)> {
        let high_watermark = self.nodes[node].broker()?.replicas.get(key)?.high_watermark;
        Some((high_watermark, self.nodes[node].disk.logs.get(key)?.end()))
    }
}

/// Within this time after all is well everybody must be in sync.
const CONVERGE_MS: u64 = 40_000;

/// Within this time after that a write must be acknowledged, and then be everywhere.
const WRITE_MS: u64 = 5_000;

/// How often to look whether it is.
const LOOK_EVERY_MS: u64 = 200;
