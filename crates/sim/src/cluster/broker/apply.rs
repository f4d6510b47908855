//! What the metadata makes of the replicas.

use std::collections::BTreeSet;

use highwater_metadata::{LeaderRecovery, MetadataImage, PartitionImage, ResourceKind};
use highwater_replication::fetcher::PartitionKey;
use highwater_replication::follower::{Follower, FollowerConfig, FollowerSetup};
use highwater_replication::leader::{Input, Leader, LeaderConfig, LeaderSetup, RecoveryState};
use highwater_types::{NodeId, Offset};

use super::super::context::Context;
use super::super::node::Node;
use super::{Replica, Role};

impl Node {
    /// Carries out what has changed in the metadata. Nothing is done before the registration of this process is in it:
    /// what is said of the one before was said of other logs.
    pub(super) fn apply_metadata(&mut self, ctx: &mut Context<'_, '_>) {
        let id = self.id();
        let Some(process) = &mut self.process else { return };
        let Some(broker) = &mut process.broker else { return };
        if !std::mem::take(&mut process.has_news) {
            return;
        }
        let image = process.committed.image();
        if !broker.is_loaded && image.broker(id).is_none_or(|known| known.incarnation != broker.incarnation) {
            return;
        }
        let delta = process.delta.take();
        let is_reloaded = std::mem::take(&mut process.is_reloaded) || !broker.is_loaded;
        broker.is_loaded = true;
        let mut deleted: Vec<PartitionKey> = broker.replicas.keys().chain(self.disk.logs.keys()).copied().collect();
        deleted.retain(|key| partition_of(&image, key).is_none_or(|partition| !partition.replicas.contains(&id)));
        // A topic may come back under its old name, so what goes goes first.
        deleted.into_iter().for_each(|key| self.drop_replica(&key));
        let (mut partitions, mut brokers): (BTreeSet<PartitionKey>, BTreeSet<NodeId>) = Default::default();
        if is_reloaded {
            brokers.extend(image.brokers().map(|broker| broker.node));
            for topic in image.topics() {
                let topic_id = topic.id();
                partitions.extend(topic.partitions().map(|(partition, _)| PartitionKey { topic: topic_id, partition }));
            }
        } else {
            partitions.extend(delta.partitions().map(|(topic, partition)| PartitionKey { topic, partition }));
            brokers.extend(delta.brokers());
            // Nothing else is configured here than topics.
            if delta.configs().next().is_some() {
                self.configure(ctx, &image);
            }
        }
        for node in brokers {
            self.tell_leaders(ctx, &image, node);
        }
        for key in partitions {
            if let Some(partition) = partition_of(&image, &key).filter(|partition| partition.replicas.contains(&id)) {
                self.apply_partition(ctx, &image, key, partition);
            }
        }
    }

    fn drop_replica(&mut self, key: &PartitionKey) {
        self.disk.logs.remove(key);
        self.disk.checkpoint.remove(key);
        let Some(broker) = self.broker_mut() else { return };
        broker.replicas.remove(key);
        broker.fetchers.values_mut().for_each(|fetcher| fetcher.remove(key));
        broker.is_woken = true;
    }

    fn configure(&mut self, ctx: &mut Context<'_, '_>, image: &MetadataImage) {
        let Some(broker) = self.broker_mut() else { return };
        broker.is_woken = true;
        let keys: Vec<PartitionKey> = broker.replicas.keys().copied().collect();
        for key in keys {
            // To a leadership that has ended in the meantime it was never said.
            let epoch = partition_of(image, &key).map(|partition| partition.leader_epoch);
            if self.leader(&key).map(Leader::leader_epoch) != epoch {
                continue;
            }
            let to = self.leader_mut(&key).and_then(|leader| leader.set_config(leader_config(ctx, image, &key)));
            if let Some(to) = to {
                self.set_high_watermark(key, to.value());
            }
            self.acknowledge(ctx, key);
        }
    }

    fn tell_leaders(&mut self, ctx: &mut Context<'_, '_>, image: &MetadataImage, node: NodeId) {
        let Some(broker) = self.broker() else { return };
        let keys: Vec<PartitionKey> = broker.replicas.keys().copied().collect();
        for key in keys {
            self.lead(ctx, key, broker_changed(image, node));
        }
    }

    fn apply_partition(
        &mut self,
        ctx: &mut Context<'_, '_>,
        image: &MetadataImage,
        key: PartitionKey,
        partition: &PartitionImage,
    ) {
        let id = self.id();
        let Some(broker) = self.broker_mut() else { return };
        let current = broker.replicas.get(&key).map(|replica| match &replica.role {
            Role::Leader(leader) => leader.leader_epoch(),
            Role::Follower(follower) => follower.leader_epoch(),
        });
        assert!(current.is_none_or(|current| current <= partition.leader_epoch), "R1: a leader epoch goes back");
        if current == Some(partition.leader_epoch) {
            let PartitionImage { partition_epoch, replicas, isr, .. } = partition.clone();
            let recovery = recovery_of(partition);
            self.lead(ctx, key, Input::PartitionChanged { partition_epoch, replicas: replicas.clone(), isr, recovery });
            for node in replicas {
                self.lead(ctx, key, broker_changed(image, node));
            }
            return;
        }
        if partition.leader == Some(id) {
            self.become_leader(ctx, image, key, partition);
        } else {
            self.become_follower(ctx, key, partition);
        }
        if let Some(broker) = self.broker_mut() {
            broker.is_woken = true;
        }
    }

    /// The high watermark that the replica had, or that its disk knows of.
    fn high_watermark_of(&mut self, key: &PartitionKey) -> u64 {
        let checkpoint = self.disk.checkpoint.get(key).copied().unwrap_or_default();
        let log = self.disk.log(*key);
        let known = self.process.as_ref().and_then(|process| process.broker.as_ref()?.replicas.get(key));
        known.map_or(checkpoint, |replica| replica.high_watermark).clamp(log.start(), log.end())
    }

    fn become_leader(
        &mut self,
        ctx: &mut Context<'_, '_>,
        image: &MetadataImage,
        key: PartitionKey,
        partition: &PartitionImage,
    ) {
        let (id, now) = (self.id(), self.ticks(ctx.now_ms));
        let high_watermark = self.high_watermark_of(&key);
        let log = self.disk.log(key);
        log.assign(partition.leader_epoch);
        let setup = LeaderSetup {
            node: id,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            recovery: recovery_of(partition),
            log_end: Offset::new(log.end()),
            high_watermark: Offset::new(high_watermark),
            config: leader_config(ctx, image, &key),
        };
        ctx.say(|| format!("{id} leads {} in epoch {}", key.partition, partition.leader_epoch));
        let leader = Leader::new(setup, now);
        let Some(broker) = self.broker_mut() else { return };
        broker.fetchers.values_mut().for_each(|fetcher| fetcher.remove(&key));
        let high_watermark = leader.high_watermark().value();
        let role = Role::Leader(Box::new(leader));
        broker.replicas.insert(key, Replica { role, high_watermark, parked: Vec::new() });
        for node in &partition.replicas {
            self.lead(ctx, key, broker_changed(image, *node));
        }
    }

    fn become_follower(&mut self, ctx: &mut Context<'_, '_>, key: PartitionKey, partition: &PartitionImage) {
        let high_watermark = self.high_watermark_of(&key);
        let setup = FollowerSetup {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            log: self.disk.log(key).state(),
            high_watermark: Offset::new(high_watermark),
            config: FollowerConfig { backoff_ms: ctx.plan.timing.backoff_ms, ..FollowerConfig::default() },
        };
        let role = Role::Follower(Box::new(Follower::new(setup)));
        let Some(broker) = self.broker_mut() else { return };
        broker.replicas.insert(key, Replica { role, high_watermark, parked: Vec::new() });
        self.assign(ctx, key);
    }
}

fn broker_changed(image: &MetadataImage, node: NodeId) -> Input {
    let broker = image.broker(node);
    let (epoch, active) = (broker.map(|broker| broker.epoch), broker.is_some_and(|broker| broker.is_active()));
    Input::BrokerChanged { node, epoch, active }
}

fn recovery_of(partition: &PartitionImage) -> RecoveryState {
    match partition.recovery {
        LeaderRecovery::Recovered => RecoveryState::Recovered,
        LeaderRecovery::Recovering => RecoveryState::Recovering,
    }
}

/// A partition as an image has it.
pub(in super::super) fn partition_of<'a>(image: &'a MetadataImage, key: &PartitionKey) -> Option<&'a PartitionImage> {
    image.topic_by_id(key.topic)?.partition(key.partition).map(|partition| &**partition)
}

/// `min.insync.replicas` of a topic.
pub(in super::super) fn min_insync_replicas(image: &MetadataImage, key: &PartitionKey) -> u32 {
    let topic = image.topic_by_id(key.topic);
    let config = topic.and_then(|topic| image.config(ResourceKind::Topic, topic.name().as_str()));
    config.and_then(|config| config.get("min.insync.replicas")?.parse().ok()).unwrap_or(1)
}

fn leader_config(ctx: &Context<'_, '_>, image: &MetadataImage, key: &PartitionKey) -> LeaderConfig {
    LeaderConfig { lag_ms_max: ctx.plan.timing.lag_ms_max, min_insync_replicas: min_insync_replicas(image, key) }
}
