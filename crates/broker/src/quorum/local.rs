//! Makes the partitions on this broker follow the metadata, and publishes both together.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossbeam_channel::Sender;
use highwater_log::{CheckedLogConfig, Log};
use highwater_metadata::config::{ConfigResolver, ResourceKind, TopicConfig};
use highwater_metadata::{MetadataImage, MetadataRecord, PartitionImage, StaticConfig, TopicImage};
use highwater_replication::leader::{Leader, LeaderConfig, LeaderSetup, RecoveryState, Ticks};
use highwater_types::{NodeId, Offset, TimestampMs, TopicId, TopicName, TopicPartition};

use crate::group::{self, Coordinators};
use crate::lifecycle::Event;
use crate::net::Wakers;
use crate::partition::{Directories, Directory, Partition, PartitionTable, TopicEntry, log_config};
use crate::random::{random_u64, random_uuid};
use crate::view::{View, ViewCell};

/// Creates, changes and deletes the partitions of this broker as the metadata says. Owned by the controller's thread.
pub(crate) struct LocalPartitions {
    node: NodeId,
    static_config: StaticConfig,
    directories: Directories,
    wakers: Arc<Wakers>,
    view: Arc<ViewCell>,
    coordinators: Arc<Coordinators>,
    events: Sender<Event>,
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
}

impl LocalPartitions {
    pub(crate) fn new(
        node: NodeId,
        static_config: StaticConfig,
        directories: Directories,
        wakers: Arc<Wakers>,
        view: Arc<ViewCell>,
        coordinators: Arc<Coordinators>,
        events: Sender<Event>,
    ) -> Self {
        Self { node, static_config, directories, wakers, view, coordinators, events }
    }

    /// Matches the logs found on disk with the metadata at start, creates what is missing, and publishes the result.
    pub(crate) fn load(&self, image: &MetadataImage, metadata_offset: Offset, found: Vec<FoundLog>, now: TimestampMs) {
        let mut found: std::collections::HashMap<TopicPartition, FoundLog> =
            found.into_iter().map(|log| (log.partition.clone(), log)).collect();
        let mut topics = PartitionTable::default();
        for topic in image.topics() {
            let entry = self.entry(image, topic, now, |name| {
                let claimed = found.get(name).is_some_and(|log| log.topic_id.is_none_or(|id| id == topic.id()));
                if claimed { found.remove(name).map(|log| claim(log, topic.id())) } else { None }
            });
            topics.insert(entry);
        }
        for (name, stray) in found {
            tracing::warn!(partition = %name, "no topic claims this log, it is set aside as stray");
            if let Err(error) = stray.directory.mark_stray(stray.log, random_uuid()) {
                tracing::error!(partition = %name, "stray log could not be set aside: {error}");
            }
        }
        let all = group::Changes { topics: true, configs: true, deleted: Vec::new() };
        self.coordinators.follow(image, metadata_offset, &topics, &all);
        self.view.publish(View { image: image.clone(), metadata_offset, topics });
    }

    /// Carries out what `records`, just applied, mean for this broker, and publishes the new view.
    ///
    /// Logs are created before the view shows their topic, and deleted after it has ceased to.
    pub(crate) fn follow(
        &self,
        image: &MetadataImage,
        metadata_offset: Offset,
        records: &[MetadataRecord],
        now: TimestampMs,
    ) {
        let old = self.view.load();
        let changes = Changes::of(records);
        let mut topics = old.topics.clone();
        let removed: Vec<Arc<TopicEntry>> = changes.removed.iter().filter_map(|id| topics.remove(*id)).collect();
        for id in &changes.touched {
            if let Some(topic) = image.topic_by_id(*id) {
                let known = topics.by_id(*id).cloned();
                let entry = self.updated_entry(image, topic, known.as_deref(), now);
                topics.insert(entry);
            }
        }
        if changes.broker_configs {
            for topic in topics.topics() {
                self.reconfigure(image, topic);
            }
        } else {
            for topic in changes.topic_configs.iter().filter_map(|name| topics.by_name(name)) {
                self.reconfigure(image, topic);
            }
        }
        self.coordinators.follow(image, metadata_offset, &topics, &changes.of_groups(&removed));
        self.view.publish(View { image: image.clone(), metadata_offset, topics });
        for entry in &removed {
            self.delete(entry, now);
        }
        // Whoever waits on a deleted partition finds out by trying again.
        for partition in removed.iter().flat_map(|entry| entry.partitions.iter().flatten()) {
            partition.wake(&self.wakers);
        }
    }

    /// Reports that the metadata log cannot be trusted any more.
    pub(crate) fn metadata_failed(&self, error: &dyn std::fmt::Display) {
        tracing::error!("the metadata log failed, the broker stops: {error}");
        // If the channel is full or closed, the broker is about to end anyway.
        let _ = self.events.try_send(Event::MetadataFailed(error.to_string()));
    }

    fn entry(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        now: TimestampMs,
        mut existing: impl FnMut(&TopicPartition) -> Option<(Arc<Directory>, Log)>,
    ) -> TopicEntry {
        let config = self.topic_config(image, topic.name());
        let partitions = topic
            .partitions()
            .map(|(index, state)| {
                if !self.leads(state) {
                    return None;
                }
                let name = TopicPartition::new(topic.name().clone(), index);
                let existing = existing(&name);
                let settings = self.settings(image, &name, &config)?;
                self.host(name, topic.id(), state, settings, existing, now)
            })
            .collect();
        TopicEntry { name: topic.name().clone(), id: topic.id(), partitions }
    }

    /// Like [`entry`](Self::entry), keeping the partitions that are served already.
    fn updated_entry(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        known: Option<&TopicEntry>,
        now: TimestampMs,
    ) -> TopicEntry {
        let config = self.topic_config(image, topic.name());
        let partitions = topic
            .partitions()
            .map(|(index, state)| {
                if !self.leads(state) {
                    return None;
                }
                if let Some(partition) = known.and_then(|entry| entry.partition(index.to_wire())) {
                    self.lead_again(image, partition, state, &config, now);
                    return Some(Arc::clone(partition));
                }
                let name = TopicPartition::new(topic.name().clone(), index);
                let settings = self.settings(image, &name, &config)?;
                self.host(name, topic.id(), state, settings, None, now)
            })
            .collect();
        TopicEntry { name: topic.name().clone(), id: topic.id(), partitions }
    }

    fn leads(&self, state: &PartitionImage) -> bool {
        state.leader == Some(self.node)
    }

    /// Starts to serve a partition, with the log found for it or a new one.
    fn host(
        &self,
        name: TopicPartition,
        topic_id: TopicId,
        state: &PartitionImage,
        settings: Settings,
        existing: Option<(Arc<Directory>, Log)>,
        now: TimestampMs,
    ) -> Option<Arc<Partition>> {
        let (directory, mut log) = match existing {
            Some(found) => found,
            None => {
                let directory = Arc::clone(self.directory_for(state)?);
                if directory.is_closing() {
                    return None;
                }
                match directory.create_log(&name, topic_id, settings.log, now) {
                    Ok(log) => (directory, log),
                    Err(error) => {
                        tracing::error!(partition = %name, "log could not be created: {error}");
                        return None;
                    }
                }
            }
        };
        if let Err(error) = log.assign_epoch(state.leader_epoch, log.log_end()) {
            directory.fail(&error);
            return None;
        }
        let leader = Leader::new(
            LeaderSetup {
                node: self.node,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.partition_epoch,
                replicas: state.replicas.clone(),
                isr: state.isr.clone(),
                // This node alone is the cluster: whom it has lost, nobody has.
                recovery: RecoveryState::Recovered,
                log_end: log.log_end(),
                high_watermark: log.high_watermark(),
                config: settings.leader,
            },
            ticks(now),
        );
        log.advance_high_watermark(leader.high_watermark());
        Some(Arc::new(Partition::new(name, directory, log, leader, now)))
    }

    /// Goes on serving a partition in a new epoch or with new replicas.
    fn lead_again(
        &self,
        image: &MetadataImage,
        partition: &Arc<Partition>,
        state: &PartitionImage,
        config: &TopicConfig,
        now: TimestampMs,
    ) {
        let Some(settings) = self.settings(image, partition.name(), config) else { return };
        let Ok(mut locked) = partition.lock() else { return };
        let (epoch, log_end, high_watermark) =
            (state.leader_epoch, locked.log().log_end(), locked.log().high_watermark());
        if locked.with_log(|log| log.assign_epoch(epoch, log_end)).is_err() {
            return;
        }
        let leader = Leader::new(
            LeaderSetup {
                node: self.node,
                leader_epoch: epoch,
                partition_epoch: state.partition_epoch,
                replicas: state.replicas.clone(),
                isr: state.isr.clone(),
                // This node alone is the cluster: whom it has lost, nobody has.
                recovery: RecoveryState::Recovered,
                log_end,
                high_watermark,
                config: settings.leader,
            },
            ticks(now),
        );
        locked.with_leader(|current| *current = leader);
        drop(locked);
        partition.wake(&self.wakers);
    }

    fn reconfigure(&self, image: &MetadataImage, topic: &TopicEntry) {
        let config = self.topic_config(image, &topic.name);
        for partition in topic.partitions.iter().flatten() {
            let Some(settings) = self.settings(image, partition.name(), &config) else { return };
            if let Ok(mut locked) = partition.lock() {
                locked.with_leader(|leader| leader.set_config(settings.leader));
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

    fn delete(&self, entry: &TopicEntry, now: TimestampMs) {
        for partition in entry.partitions.iter().flatten() {
            let Some(log) = partition.take_log() else { continue };
            if let Err(error) = partition.directory().delete_log(log, random_uuid(), now) {
                // It is not in the metadata any more, so the next start finds a stray log.
                tracing::error!(partition = %partition.name(), "log of a deleted topic could not be set aside: {error}");
            }
        }
    }

    fn directory_for(&self, state: &PartitionImage) -> Option<&Arc<Directory>> {
        let assigned = state.replicas.iter().position(|node| *node == self.node)?;
        state
            .directories
            .get(assigned)
            .and_then(|id| self.directories.by_id(*id))
            .filter(|directory| !directory.is_offline())
            .or_else(|| self.directories.least_used())
    }

    fn topic_config(&self, image: &MetadataImage, topic: &TopicName) -> TopicConfig {
        self.resolver(image).topic_config(topic.as_str())
    }

    fn settings(&self, image: &MetadataImage, partition: &TopicPartition, config: &TopicConfig) -> Option<Settings> {
        match log_config(&self.resolver(image), config, random_u64()) {
            Ok(log) => {
                let leader =
                    LeaderConfig { min_insync_replicas: config.min_insync_replicas, ..LeaderConfig::default() };
                Some(Settings { log, leader })
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

/// What a batch of records concerns.
#[derive(Default)]
struct Changes {
    touched: BTreeSet<TopicId>,
    removed: Vec<TopicId>,
    topic_configs: BTreeSet<String>,
    broker_configs: bool,
    group_configs: bool,
}

impl Changes {
    fn of(records: &[MetadataRecord]) -> Self {
        let mut changes = Self::default();
        for record in records {
            match record {
                MetadataRecord::Topic { id, .. } => {
                    changes.touched.insert(*id);
                }
                MetadataRecord::Partition(partition) => {
                    changes.touched.insert(partition.topic_id);
                }
                MetadataRecord::PartitionChange(change) => {
                    changes.touched.insert(change.topic_id);
                }
                MetadataRecord::RemoveTopic { id } => changes.removed.push(*id),
                MetadataRecord::Config(change) => match change.kind {
                    ResourceKind::Topic => {
                        changes.topic_configs.insert(change.resource.clone());
                    }
                    ResourceKind::Broker => changes.broker_configs = true,
                    ResourceKind::Group => changes.group_configs = true,
                    _ => {}
                },
                _ => {}
            }
        }
        changes
    }

    /// What of it concerns groups.
    fn of_groups(&self, removed: &[Arc<TopicEntry>]) -> group::Changes {
        group::Changes {
            topics: !self.touched.is_empty() || !removed.is_empty(),
            configs: self.broker_configs || self.group_configs,
            deleted: removed.iter().map(|entry| Arc::from(entry.name.as_str())).collect(),
        }
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

fn ticks(now: TimestampMs) -> Ticks {
    Ticks(u64::try_from(now.value()).unwrap_or(0))
}
