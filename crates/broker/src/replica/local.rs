//! Makes the replicas on this broker follow the metadata, and publishes both together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use highwater_log::{CheckedLogConfig, Log};
use highwater_metadata::config::{ConfigResolver, ResourceKind, TopicConfig};
use highwater_metadata::{LeaderRecovery, MetadataDelta, MetadataImage, PartitionImage, StaticConfig, TopicImage};
use highwater_replication::follower::{Follower, FollowerConfig, FollowerSetup};
use highwater_replication::leader::{Input, Leader, LeaderConfig, LeaderSetup, RecoveryState};
use highwater_types::{DirectoryId, NodeId, Offset, PartitionIndex, TopicId, TopicName, TopicPartition};

use super::fetchers::Fetchers;
use super::log_state;
use super::quotas::ReplicationQuotas;
use crate::group::{self, Coordinators};
use crate::net::{Now, Wakers};
use crate::partition::{
    ControllerAsks, Directories, Directory, LockedPartition, Partition, PartitionTable, Role, TopicEntry, log_config,
};
use crate::random::{random_u64, random_uuid};
use crate::view::{View, ViewCell};

/// Creates, changes and deletes the replicas of this broker as the metadata says. Owned by one thread.
pub(crate) struct LocalPartitions {
    pub(crate) node: NodeId,
    pub(crate) static_config: StaticConfig,
    pub(crate) directories: Directories,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) view: Arc<ViewCell>,
    pub(crate) coordinators: Arc<Coordinators>,
    pub(crate) asks: ControllerAsks,
    pub(crate) fetchers: Fetchers,
    pub(crate) quotas: Arc<ReplicationQuotas>,
}

/// A log found on disk at start.
pub(crate) struct FoundLog {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: Option<TopicId>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) log: Log,
}

/// What one partition takes from the configuration.
struct Settings {
    log: CheckedLogConfig,
    leader: LeaderConfig,
    follower: FollowerConfig,
}

/// What the metadata says of one partition, with what it is part of.
struct Target<'a> {
    image: &'a MetadataImage,
    topic: &'a TopicImage,
    config: &'a TopicConfig,
    index: PartitionIndex,
    state: &'a PartitionImage,
}

impl Target<'_> {
    /// Where the metadata has the replica of `node`.
    fn directory_of(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.state.replicas.iter().position(|replica| *replica == node)?;
        self.state.directories.get(at).copied()
    }
}

impl LocalPartitions {
    /// Matches the logs found on disk with the metadata at start, creates what is missing, and publishes the result.
    pub(crate) fn load(&mut self, image: &MetadataImage, metadata_offset: Offset, found: Vec<FoundLog>, now: Now) {
        let mut found: HashMap<TopicPartition, FoundLog> =
            found.into_iter().map(|log| (log.partition.clone(), log)).collect();
        self.quotas.configure(&self.resolver(image));
        for broker in image.brokers() {
            self.fetchers.set_address(broker);
        }
        let mut topics = PartitionTable::default();
        for topic in image.topics() {
            let config = self.topic_config(image, topic.name());
            let partitions = topic.partitions().map(|(index, state)| {
                let target = Target { image, topic, config: &config, index, state };
                if !self.replicates(state) {
                    return None;
                }
                let name = TopicPartition::new(topic.name().clone(), index);
                let claimed = found.get(&name).is_some_and(|log| log.topic_id.is_none_or(|id| id == topic.id()));
                let existing = if claimed { found.remove(&name).map(|log| claim(log, topic.id())) } else { None };
                self.host(&target, name, existing, now)
            });
            let partitions = partitions.collect();
            topics.insert(TopicEntry { name: topic.name().clone(), id: topic.id(), partitions });
        }
        for (name, stray) in found {
            tracing::warn!(partition = %name, "no topic has a replica here, its log is set aside as stray");
            if let Err(error) = stray.directory.mark_stray(stray.log, random_uuid()) {
                tracing::error!(partition = %name, "stray log could not be set aside: {error}");
            }
        }
        let all = group::Changes { topics: true, configs: true, deleted: Vec::new() };
        self.coordinators.follow(image, metadata_offset, &topics, &all);
        self.view.publish(View { image: image.clone(), metadata_offset, topics });
    }

    /// Carries out what `delta`, which has led to `image`, means for this broker, and publishes the new view.
    ///
    /// Logs are created before the view shows their topic, and deleted after it has ceased to.
    pub(crate) fn follow(&mut self, image: &MetadataImage, metadata_offset: Offset, delta: &MetadataDelta, now: Now) {
        let old = self.view.load();
        let mut topics = old.topics.clone();
        for node in delta.brokers() {
            match image.broker(node) {
                Some(broker) => self.fetchers.set_address(broker),
                None => self.fetchers.forget(node),
            }
        }
        let removed: Vec<Arc<TopicEntry>> = delta.deleted().filter_map(|id| topics.remove(id)).collect();
        let mut gone: Vec<Arc<Partition>> =
            removed.iter().flat_map(|entry| entry.partitions.iter().flatten()).cloned().collect();
        let mut touched: BTreeMap<TopicId, Vec<PartitionIndex>> = delta.created().map(|id| (id, Vec::new())).collect();
        for (id, index) in delta.partitions() {
            touched.entry(id).or_default().push(index);
        }
        let is_any_touched = !touched.is_empty();
        for (id, indexes) in touched {
            if let Some(topic) = image.topic_by_id(id) {
                let known = topics.by_id(id).cloned();
                topics.insert(self.updated_entry(image, topic, known.as_deref(), &indexes, &mut gone, now));
            }
        }
        self.tell_leaders(image, &topics, delta, now);
        let configs = self.reconfigure_changed(image, &topics, delta);
        let changes = group::Changes {
            topics: is_any_touched || !removed.is_empty(),
            configs,
            deleted: removed.iter().map(|entry| Arc::from(entry.name.as_str())).collect(),
        };
        self.coordinators.follow(image, metadata_offset, &topics, &changes);
        self.view.publish(View { image: image.clone(), metadata_offset, topics });
        for partition in &gone {
            self.fetchers.remove(partition);
            self.delete(partition, now);
        }
        // Whoever waits on a partition that is gone finds out by trying again.
        for partition in &gone {
            partition.wake(&self.wakers);
        }
    }

    /// Lets leaders see who lags, and repeat what the controller has not answered.
    pub(crate) fn tick(&self, now: Now) {
        let view = self.view.load();
        for partition in view.topics.partitions() {
            let Ok(mut locked) = partition.lock() else { continue };
            let is_due = |leader: &Leader| leader.poll_timeout().is_some_and(|due| due <= now.ticks());
            if !locked.leader().is_ok_and(is_due) {
                continue;
            }
            let has_news = locked.with_leader(now.ticks(), Leader::handle_timeout);
            drop(locked);
            if has_news.is_some_and(|((), has_news)| has_news) {
                partition.wake(&self.wakers);
            }
        }
    }

    /// Like a new entry, keeping the partitions that are served already.
    fn updated_entry(
        &mut self,
        image: &MetadataImage,
        topic: &TopicImage,
        known: Option<&TopicEntry>,
        indexes: &[PartitionIndex],
        gone: &mut Vec<Arc<Partition>>,
        now: Now,
    ) -> TopicEntry {
        let config = self.topic_config(image, topic.name());
        let mut partitions = known.map(|known| known.partitions.clone()).unwrap_or_default();
        partitions.resize(topic.partition_count(), None);
        for index in indexes {
            let Some(state) = topic.partition(*index) else { continue };
            let target = Target { image, topic, config: &config, index: *index, state };
            let Some(slot) = partitions.get_mut(index.value() as usize) else { continue };
            *slot = match (slot.take(), self.replicates(state)) {
                (Some(partition), true) => {
                    self.update(&target, &partition, now);
                    Some(partition)
                }
                (Some(partition), false) => {
                    gone.push(partition);
                    None
                }
                (None, true) => {
                    let name = TopicPartition::new(topic.name().clone(), *index);
                    self.host(&target, name, None, now)
                }
                (None, false) => None,
            };
        }
        TopicEntry { name: topic.name().clone(), id: topic.id(), partitions }
    }

    fn replicates(&self, state: &PartitionImage) -> bool {
        state.replicas.contains(&self.node)
    }

    /// Starts to serve a partition, with the log found for it or a new one.
    fn host(
        &mut self,
        target: &Target<'_>,
        name: TopicPartition,
        existing: Option<(Arc<Directory>, Log)>,
        now: Now,
    ) -> Option<Arc<Partition>> {
        let settings = self.settings(target.image, &name, target.config)?;
        let topic_id = target.topic.id();
        let (directory, mut log) = match existing {
            Some((directory, mut log)) => {
                log.set_config(settings.log.clone());
                (directory, log)
            }
            None => {
                let directory = Arc::clone(self.directory_for(target.state)?);
                if directory.is_closing() {
                    return None;
                }
                match directory.create_log(&name, topic_id, settings.log.clone(), now.wall) {
                    Ok(log) => (directory, log),
                    Err(error) => {
                        tracing::error!(partition = %name, "log could not be created: {error}");
                        return None;
                    }
                }
            }
        };
        if target.directory_of(self.node) != Some(directory.id()) {
            // The controller has to know, to see who is concerned when the directory fails (KIP-858).
            self.asks.say_where(directory.id(), topic_id, target.index);
        }
        let role = match self.new_role(target, &mut log, &settings, now) {
            Ok(role) => role,
            Err(error) => {
                directory.fail(&error);
                return None;
            }
        };
        let partition = Partition::new(name, topic_id, directory, log, role, self.asks.clone(), now.wall);
        let partition = Arc::new(partition);
        self.set_throttled(&partition, target.config);
        if let Ok(mut locked) = partition.lock() {
            self.begin_role(target, &partition, &mut locked, true, now);
        }
        Some(partition)
    }

    /// Goes on serving a partition whose state has changed.
    fn update(&mut self, target: &Target<'_>, partition: &Arc<Partition>, now: Now) {
        let Some(settings) = self.settings(target.image, partition.name(), target.config) else { return };
        let Ok(mut locked) = partition.lock() else { return };
        let state = target.state;
        let leads = state.leader == Some(self.node);
        let is_same_epoch = locked.leader_epoch() == state.leader_epoch && locked.leader().is_ok() == leads;
        let is_same_leader = locked.follower().is_none_or(|follower| follower.leader() == state.leader);
        let is_new = !is_same_epoch || !is_same_leader;
        if !is_new {
            let change = Input::PartitionChanged {
                partition_epoch: state.partition_epoch,
                replicas: state.replicas.clone(),
                isr: state.isr.clone(),
                recovery: recovery(state.recovery),
            };
            let _ = locked.with_leader(now.ticks(), |leader, now| leader.handle(now, change));
        } else {
            let role = locked.with_log(|log| self.new_role(target, log, &settings, now));
            // If the host has failed, the directory says so.
            let Ok(role) = role else { return };
            locked.set_role(now.ticks(), role);
        }
        self.begin_role(target, partition, &mut locked, is_new, now);
        drop(locked);
        partition.wake(&self.wakers);
    }

    /// What this replica is in the leader epoch of `target`.
    fn new_role(
        &self,
        target: &Target<'_>,
        log: &mut Log,
        settings: &Settings,
        now: Now,
    ) -> Result<Role, highwater_log::LogError> {
        let state = target.state;
        if state.leader != Some(self.node) {
            return Ok(Role::Follower(Follower::new(FollowerSetup {
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                log: log_state(log),
                high_watermark: log.high_watermark(),
                config: settings.follower,
            })));
        }
        // Before anything is appended in it (KAFKA-7415).
        log.assign_epoch(state.leader_epoch, log.log_end())?;
        let setup = LeaderSetup {
            node: self.node,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            replicas: state.replicas.clone(),
            isr: state.isr.clone(),
            recovery: recovery(state.recovery),
            log_end: log.log_end(),
            high_watermark: log.high_watermark(),
            config: settings.leader,
        };
        let leader = Leader::new(setup, now.ticks());
        log.advance_high_watermark(leader.high_watermark());
        Ok(Role::Leader(leader))
    }

    /// Tells a leader of the brokers of its replicas, or has a follower fetch.
    fn begin_role(
        &mut self,
        target: &Target<'_>,
        partition: &Arc<Partition>,
        locked: &mut LockedPartition<'_>,
        is_new: bool,
        now: Now,
    ) {
        match locked.follower().and_then(Follower::leader) {
            Some(leader) => {
                let in_sync = target.state.isr.contains(&self.node);
                self.fetchers.assign(partition, leader, in_sync, is_new);
            }
            None => {
                self.fetchers.remove(partition);
                for node in target.state.replicas.iter().filter(|node| **node != self.node) {
                    let change = broker_change(target.image, *node);
                    let _ = locked.with_leader(now.ticks(), |leader, now| leader.handle(now, change));
                }
            }
        }
    }

    /// Tells leaders of brokers that have come, gone or changed.
    fn tell_leaders(&self, image: &MetadataImage, topics: &PartitionTable, delta: &MetadataDelta, now: Now) {
        let changed: Vec<NodeId> = delta.brokers().filter(|node| *node != self.node).collect();
        if changed.is_empty() {
            return;
        }
        for partition in topics.partitions() {
            let Some(topic) = image.topic_by_id(partition.topic_id()) else { continue };
            let Some(state) = topic.partition(partition.name().partition) else { continue };
            if state.leader != Some(self.node) {
                continue;
            }
            for node in changed.iter().filter(|node| state.replicas.contains(node)) {
                let change = broker_change(image, *node);
                let Ok(mut locked) = partition.lock() else { break };
                let has_news = locked.with_leader(now.ticks(), |leader, now| leader.handle(now, change));
                drop(locked);
                if has_news.is_some_and(|((), has_news)| has_news) {
                    partition.wake(&self.wakers);
                }
            }
        }
    }

    /// Applies changed settings. Whether any of brokers or groups have changed.
    fn reconfigure_changed(&self, image: &MetadataImage, topics: &PartitionTable, delta: &MetadataDelta) -> bool {
        let is_of = |wanted| delta.configs().any(|(kind, _)| kind == wanted);
        if is_of(ResourceKind::Broker) {
            self.quotas.configure(&self.resolver(image));
            self.fetchers.quota_changed();
            for topic in topics.topics() {
                self.reconfigure(image, topic);
            }
        } else {
            let names = delta.configs().filter(|(kind, _)| *kind == ResourceKind::Topic);
            for topic in names.filter_map(|(_, name)| topics.by_name(name)) {
                self.reconfigure(image, topic);
            }
        }
        is_of(ResourceKind::Broker) || is_of(ResourceKind::Group)
    }

    fn reconfigure(&self, image: &MetadataImage, topic: &TopicEntry) {
        let config = self.topic_config(image, &topic.name);
        for partition in topic.partitions.iter().flatten() {
            let Some(settings) = self.settings(image, partition.name(), &config) else { return };
            if self.set_throttled(partition, &config) {
                self.fetchers.throttled_changed(partition);
            }
            if let Ok(mut locked) = partition.lock() {
                let _ = locked.with_leader(Now::read().ticks(), |leader, _| leader.set_config(settings.leader));
                // Setting a configuration does no I/O.
                let _ = locked.with_log(|log| {
                    log.set_config(settings.log);
                    Ok(())
                });
                locked.advance_high_watermark();
                drop(locked);
                // Without `flush.messages` nobody waits for a sync any more.
                partition.wake(&self.wakers);
            }
        }
    }

    /// Takes over whether a replica is throttled. Whether that is new for who fetches it.
    fn set_throttled(&self, partition: &Partition, config: &TopicConfig) -> bool {
        let index = partition.name().partition;
        let as_leader = config.leader_throttled.contains(index, self.node);
        partition.throttled().set(as_leader, config.follower_throttled.contains(index, self.node))
    }

    fn delete(&self, partition: &Partition, now: Now) {
        let Some(log) = partition.take_log() else { return };
        if let Err(error) = partition.directory().delete_log(log, random_uuid(), now.wall) {
            // It is not in the metadata any more, so the next start finds a stray log.
            tracing::error!(partition = %partition.name(), "log of a deleted replica could not be set aside: {error}");
        }
    }

    fn directory_for(&self, state: &PartitionImage) -> Option<&Arc<Directory>> {
        let assigned = state.replicas.iter().position(|node| *node == self.node)?;
        let wanted = state.directories.get(assigned);
        wanted
            .and_then(|id| self.directories.by_id(*id))
            .filter(|directory| !directory.is_offline())
            .or_else(|| self.directories.least_used())
    }

    fn topic_config(&self, image: &MetadataImage, topic: &TopicName) -> TopicConfig {
        self.resolver(image).topic_config(topic.as_str())
    }

    fn settings(&self, image: &MetadataImage, partition: &TopicPartition, config: &TopicConfig) -> Option<Settings> {
        let ms = |name, default: u64| {
            self.static_config.number(name).and_then(|value| u64::try_from(value).ok()).unwrap_or(default)
        };
        match log_config(&self.resolver(image), config, random_u64()) {
            Ok(log) => {
                let leader = LeaderConfig {
                    min_insync_replicas: config.min_insync_replicas,
                    lag_ms_max: ms("replica.lag.time.max.ms", LeaderConfig::default().lag_ms_max),
                };
                let backoff_ms = ms("replica.fetch.backoff.ms", FollowerConfig::default().backoff_ms);
                Some(Settings { log, leader, follower: FollowerConfig { backoff_ms, ..FollowerConfig::default() } })
            }
            Err(error) => {
                tracing::error!(%partition, "configuration is not usable: {error}");
                None
            }
        }
    }

    fn resolver<'a>(&'a self, image: &'a MetadataImage) -> ConfigResolver<'a> {
        ConfigResolver { image, static_config: &self.static_config, node: self.node }
    }
}

/// Takes a found log for the topic that claims it. A crash while it was created may have left it without the topic's
/// id, which is then written down.
fn claim(found: FoundLog, topic_id: TopicId) -> (Arc<Directory>, Log) {
    let FoundLog { partition, topic_id: known, directory, log } = found;
    if known.is_none()
        && let Err(error) = directory.assign_topic(&log, topic_id)
    {
        tracing::error!(%partition, "the topic id could not be written: {error}");
    }
    (directory, log)
}

fn broker_change(image: &MetadataImage, node: NodeId) -> Input {
    let broker = image.broker(node);
    let active = broker.is_some_and(|broker| broker.is_active());
    Input::BrokerChanged { node, epoch: broker.map(|broker| broker.epoch), active }
}

fn recovery(recovery: LeaderRecovery) -> RecoveryState {
    match recovery {
        LeaderRecovery::Recovered => RecoveryState::Recovered,
        LeaderRecovery::Recovering => RecoveryState::Recovering,
    }
}
