//! Any history of decisions: deciding changes nothing, the log alone rebuilds the controller, ids are never
//! handed out twice, and the image keeps its invariants. And any records at all: refused or applied, never
//! a panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_metadata::{
    AlterIsr, AlterPartition, AlterReassignments, BrokerHeartbeat, BrokerRegistration, ConfigChange, ConfigEdit,
    Controller, ControllerConfig, CreatePartitions, CreateTopics, Election, Endpoint, FeatureRange, FeatureUpdate,
    HeartbeatConfig, Heartbeats, IncrementalAlterConfigs, IncrementalResource, LeaderRecovery, MetadataDelta,
    MetadataImage, MetadataRecord, NewPartitions, NewTopic, PartitionChange, PartitionImage, PartitionRecord,
    ReassignPartition, ResourceKind, StaticConfig, TopicSelector, UpdateFeatures, UpgradeType,
};
use highwater_types::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerId, Ticks, TopicId,
    TopicName, Uuid,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Debug)]
enum Op {
    Register(u32, u8),
    Unfence(u32),
    Fence(u32),
    Create {
        names: Vec<u8>,
        partitions: i32,
        replication: i16,
        validate: bool,
    },
    Delete(Vec<u8>),
    AddPartitions(u8, i32),
    Alter(u8, String, i8, String),
    ProducerIds(u32),
    /// Whether it ended cleanly.
    Restart(u32, u8, bool),
    Heartbeat {
        node: u32,
        want_fence: bool,
        want_shutdown: bool,
    },
    /// A mask of the replicas that the leader names.
    AlterIsr {
        topic: u8,
        mask: u8,
    },
    Reassign {
        topic: u8,
        replicas: Option<Vec<i32>>,
    },
    Elect {
        topic: u8,
        election: Election,
    },
    Sweep,
    Balance(u8),
    /// Turns eligible leader replicas on or off.
    Elr(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let node = 0u32..4;
    prop_oneof![
        (node.clone(), 0u8..3).prop_map(|(node, incarnation)| Op::Register(node, incarnation)),
        node.clone().prop_map(Op::Unfence),
        node.clone().prop_map(Op::Unfence),
        node.clone().prop_map(Op::Fence),
        (prop::collection::vec(0u8..6, 1..4), -1i32..4, -1i16..4, any::<bool>()).prop_map(
            |(names, partitions, replication, validate)| Op::Create { names, partitions, replication, validate }
        ),
        prop::collection::vec(0u8..6, 1..3).prop_map(Op::Delete),
        (0u8..6, 0i32..8).prop_map(|(name, count)| Op::AddPartitions(name, count)),
        (
            0u8..6,
            prop::sample::select(vec!["retention.ms", "cleanup.policy", "min.insync.replicas", "nonsense"]),
            -1i8..5,
            prop::sample::select(vec!["1", "compact", "delete", "x"]),
        )
            .prop_map(|(topic, name, operation, value)| Op::Alter(topic, name.into(), operation, value.into())),
        node.clone().prop_map(Op::ProducerIds),
        (node.clone(), 0u8..3, any::<bool>()).prop_map(|(node, incarnation, clean)| Op::Restart(
            node,
            incarnation,
            clean
        )),
        (node.clone(), any::<bool>(), any::<bool>()).prop_map(|(node, want_fence, want_shutdown)| Op::Heartbeat {
            node,
            want_fence,
            want_shutdown
        }),
        (0u8..6, any::<u8>()).prop_map(|(topic, mask)| Op::AlterIsr { topic, mask }),
        (0u8..6, any::<u8>()).prop_map(|(topic, mask)| Op::AlterIsr { topic, mask }),
        (0u8..6, prop::option::weighted(0.8, prop::collection::vec(0i32..4, 1..4)))
            .prop_map(|(topic, replicas)| Op::Reassign { topic, replicas }),
        (0u8..6, prop::sample::select(vec![Election::Preferred, Election::Unclean]))
            .prop_map(|(topic, election)| Op::Elect { topic, election }),
        Just(Op::Sweep),
        (0..=100_u8).prop_map(Op::Balance),
        any::<bool>().prop_map(Op::Elr),
    ]
}

/// Names of which two collide.
fn name(index: u8) -> String {
    ["a", "b", "c.d", "c_d", "e", "no/good"][usize::from(index)].to_owned()
}

fn config() -> ControllerConfig {
    ControllerConfig { cluster_id: "c".into(), node: NodeId::ZERO, static_config: StaticConfig::default() }
}

struct History {
    controller: Controller,
    log: Vec<MetadataRecord>,
    ids_drawn: u128,
    topic_ids: BTreeSet<TopicId>,
    producer_ids: ProducerId,
}

impl History {
    fn new() -> Self {
        Self {
            controller: Controller::new(config()),
            log: Vec::new(),
            ids_drawn: 1000,
            topic_ids: BTreeSet::new(),
            producer_ids: ProducerId::new(0),
        }
    }

    fn epoch(&self, node: NodeId) -> BrokerEpoch {
        self.controller.image().broker(node).map_or(BrokerEpoch(0), |broker| broker.epoch)
    }

    fn decide(&mut self, op: &Op) -> Vec<MetadataRecord> {
        let controller = &self.controller;
        match op {
            Op::Register(node, incarnation) | Op::Restart(node, incarnation, _) => {
                let registration = BrokerRegistration {
                    node: NodeId::new(*node),
                    incarnation: Uuid::from_bytes([*incarnation + 1; 16]),
                    endpoints: vec![Endpoint { name: "P".into(), host: "h".into(), port: 1, security_protocol: 0 }],
                    features: vec![
                        FeatureRange { name: "metadata.version".into(), min: 22, max: 30 },
                        FeatureRange { name: "group.version".into(), min: 0, max: 1 },
                        FeatureRange { name: "eligible.leader.replicas.version".into(), min: 0, max: 1 },
                    ],
                    rack: Some((node % 2).to_string()),
                    log_dirs: vec![DirectoryId(Uuid::from_bytes([9; 16]))],
                    previous_epoch: matches!(op, Op::Restart(_, _, true)).then(|| self.epoch(NodeId::new(*node))),
                };
                let next_offset = Offset::new(self.log.len() as u64);
                controller.register_broker(&registration, next_offset).unwrap().records
            }
            Op::Unfence(node) => {
                let node = NodeId::new(*node);
                controller.unfence_broker(node, self.epoch(node)).map(|d| d.records).unwrap_or_default()
            }
            Op::Fence(node) => {
                let node = NodeId::new(*node);
                controller.fence_broker(node, self.epoch(node)).map(|d| d.records).unwrap_or_default()
            }
            Op::Create { names, partitions, replication, validate } => {
                let topic = |index: &u8| NewTopic {
                    name: name(*index),
                    partitions: *partitions,
                    replication_factor: *replication,
                    assignments: Vec::new(),
                    configs: vec![("min.insync.replicas".into(), Some("2".into()))],
                };
                let topics: Vec<NewTopic> = names.iter().map(topic).collect();
                let ids: Vec<TopicId> = topics
                    .iter()
                    .map(|_| {
                        self.ids_drawn += 1;
                        TopicId(Uuid::from_bytes(self.ids_drawn.to_be_bytes()))
                    })
                    .collect();
                controller.create_topics(&CreateTopics { topics, validate_only: *validate }, &ids).records
            }
            Op::Delete(names) => {
                let selectors: Vec<_> =
                    names.iter().map(|index| TopicSelector { name: Some(name(*index)), id: None }).collect();
                controller.delete_topics(&selectors).records
            }
            Op::AddPartitions(index, count) => {
                let topics = vec![NewPartitions { name: name(*index), count: *count, assignments: None }];
                controller.create_partitions(&CreatePartitions { topics, validate_only: false }).records
            }
            Op::Alter(topic, config, operation, value) => {
                let change = ConfigEdit { name: config.clone(), operation: *operation, value: Some(value.clone()) };
                let resources = vec![IncrementalResource { kind: 2, name: name(*topic), changes: vec![change] }];
                let request = IncrementalAlterConfigs { resources, validate_only: false };
                controller.incremental_alter_configs(&request).records
            }
            Op::Heartbeat { node, want_fence, want_shutdown } => {
                let node = NodeId::new(*node);
                let image = controller.image();
                let metadata_offset = Offset::new(self.log.len() as u64);
                let beats = Heartbeats::new(HeartbeatConfig::default(), &image, Offset::ZERO, Ticks(0));
                let request = BrokerHeartbeat {
                    node,
                    epoch: self.epoch(node),
                    metadata_offset,
                    want_fence: *want_fence,
                    want_shutdown: *want_shutdown,
                    offline_log_dirs: Vec::new(),
                };
                controller.broker_heartbeat(&beats, &request).map(|d| d.records).unwrap_or_default()
            }
            Op::AlterIsr { topic, mask } => self.alter_isr(*topic, *mask),
            Op::Reassign { topic, replicas } => {
                let partition = ReassignPartition { topic: name(*topic), partition: 0, replicas: replicas.clone() };
                let request = AlterReassignments { partitions: vec![partition], allow_replication_factor_change: true };
                controller.alter_reassignments(&request).records
            }
            Op::Elect { topic, election } => controller.elect_leaders(*election, &[(name(*topic), 0)]).records,
            Op::Sweep => controller.elect_leaderless().records,
            Op::Balance(percentage) => controller.balance_leaders(*percentage).records,
            Op::Elr(on) => {
                let name = "eligible.leader.replicas.version".to_owned();
                let (level, upgrade) = if *on { (1, UpgradeType::Upgrade) } else { (0, UpgradeType::SafeDowngrade) };
                let updates = vec![FeatureUpdate { name, level, upgrade }];
                controller.update_features(&UpdateFeatures { updates, validate_only: false }).unwrap().records
            }
            Op::ProducerIds(node) => {
                let node = NodeId::new(*node);
                let Ok(decision) = controller.allocate_producer_ids(node, self.epoch(node)) else { return Vec::new() };
                assert!(self.producer_ids <= decision.response.first, "a block was handed out twice");
                self.producer_ids =
                    ProducerId::new(decision.response.first.value() + u64::from(decision.response.count));
                decision.records
            }
        }
    }

    /// Four brokers and a topic, so that what follows has something to act on.
    fn set_up(&mut self) {
        for node in 0..4 {
            self.step(&Op::Register(node, 0));
            self.step(&Op::Unfence(node));
        }
        self.step(&Op::Create { names: vec![0], partitions: 3, replication: 3, validate: false });
    }

    fn alter_isr(&self, topic: u8, mask: u8) -> Vec<MetadataRecord> {
        let image = self.controller.image();
        let Some(topic) = image.topic(&name(topic)) else { return Vec::new() };
        let Some(state) = topic.partition(PartitionIndex::ZERO) else { return Vec::new() };
        let Some(leader) = state.leader else { return Vec::new() };
        let named = |node: &NodeId| *node == leader || mask & (1 << node.value()) != 0;
        let isr = state.replicas.iter().copied().filter(named).map(|node| (node, Some(self.epoch(node)))).collect();
        let partition = AlterIsr {
            topic_id: topic.id(),
            partition: PartitionIndex::ZERO,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr,
            recovery: LeaderRecovery::Recovered,
        };
        let request = AlterPartition { node: leader, epoch: self.epoch(leader), partitions: vec![partition] };
        self.controller.alter_partition(&request).unwrap().records
    }

    fn step(&mut self, op: &Op) {
        let before = self.controller.clone();
        let records = self.decide(op);
        let is_registration = |record: &MetadataRecord| match record {
            MetadataRecord::RegisterBroker(new) => {
                before.image().broker(new.node).is_none_or(|old| old.epoch != new.epoch)
            }
            _ => false,
        };
        let mut delta = MetadataDelta::default();
        records.iter().for_each(|record| delta.observe(record));
        let restarted = records.iter().any(is_registration);
        assert_eq!(before, self.controller, "deciding changed the state");
        for record in records {
            if let MetadataRecord::PartitionChange(change) = &record {
                let image = self.controller.image();
                let old = image.topic_by_id(change.topic_id).unwrap().partition(change.partition).unwrap();
                let dropped =
                    old.replicas.iter().any(|node| change.replicas.as_ref().is_some_and(|r| !r.contains(node)));
                assert!(!dropped || change.leader.is_some(), "a dropped replica raises the leader epoch");
            }
            if let MetadataRecord::Topic { id, .. } = &record {
                assert!(self.topic_ids.insert(*id), "a topic id was used twice");
            }
            self.controller.apply(&record).unwrap();
            self.log.push(record);
        }
        self.check();
        check_delta(&delta, &before.image(), &self.controller.image());
        if let Op::Restart(node, _, false) = op
            && restarted
        {
            self.check_unclean(NodeId::new(*node));
        }
    }

    /// After an unclean restart a replica leads nothing, and is relied on only as the last that is left.
    fn check_unclean(&self, node: NodeId) {
        let image = self.controller.image();
        for (_, partition) in image.topics().flat_map(|topic| topic.partitions()) {
            assert_ne!(partition.leader, Some(node));
            assert!(!partition.elr.contains(&node));
            let has_elr = image.feature_level("eligible.leader.replicas.version") == Some(1);
            let last = !has_elr && partition.isr == [node];
            // A new history of eligibility begins with the feature: who was the last before it stays.
            assert!(last || !partition.isr.contains(&node), "in sync after an unclean restart");
        }
    }

    fn check(&self) {
        let image = self.controller.image();
        let mut restored = Controller::new(config());
        image.to_records().try_for_each(|record| restored.apply(&record)).unwrap();
        assert_eq!(restored, self.controller, "the snapshot gives another state");
        let is_elr = |record: &MetadataRecord| matches!(record, MetadataRecord::FeatureLevel { name, .. } if name == "eligible.leader.replicas.version");
        // What is left from when the feature was on goes on to count.
        let had_elr = self.log.iter().any(is_elr);
        let mut partitions = 0;
        let mut collision_keys = BTreeSet::new();
        for topic in image.topics() {
            assert_eq!(image.topic_by_id(topic.id()).unwrap().name(), topic.name());
            assert!(collision_keys.insert(topic.name().collision_key()), "two names collide");
            assert!(0 < topic.partition_count());
            partitions += topic.partition_count();
            let bound = image.config(ResourceKind::Topic, topic.name().as_str());
            let bound = bound.and_then(|map| map.get("min.insync.replicas"));
            let min_isr = bound.map_or(1, |bound| bound.parse().unwrap());
            for (at, (index, partition)) in topic.partitions().enumerate() {
                assert_eq!(at, usize::try_from(index.value()).unwrap(), "partitions have no gaps");
                check_partition(partition, (had_elr, min_isr), |node| {
                    image.broker(node).is_some_and(|broker| broker.is_active())
                });
            }
        }
        assert_eq!(partitions, image.partition_count());
        for name in image.config_resources(ResourceKind::Topic) {
            assert!(image.topic(name).is_some(), "configs outlived their topic");
        }
    }
}

/// The delta names what differs between the images, and nothing else.
fn check_delta(delta: &MetadataDelta, before: &MetadataImage, after: &MetadataImage) {
    let ids = |image: &MetadataImage| image.topics().map(|topic| topic.id()).collect::<BTreeSet<_>>();
    assert!(delta.deleted().eq(ids(before).difference(&ids(after)).copied()));
    assert!(delta.created().eq(ids(after).difference(&ids(before)).copied()));
    let changed: BTreeSet<_> = after
        .topics()
        .flat_map(|topic| topic.partitions().map(|(index, new)| (topic.id(), index, new.partition_epoch)))
        .filter(|(id, index, epoch)| {
            let old = before.topic_by_id(*id).and_then(|topic| topic.partition(*index));
            old.is_none_or(|old| old.partition_epoch != *epoch)
        })
        .map(|(id, index, _)| (id, index))
        .collect();
    assert!(delta.partitions().eq(changed), "the delta names other partitions");
    assert!(after.brokers().all(|new| before.broker(new.node) == Some(new) || delta.brokers().any(|n| n == new.node)));
}

fn check_partition(partition: &PartitionImage, (had_elr, min_isr): (bool, usize), is_active: impl Fn(NodeId) -> bool) {
    let PartitionImage { replicas, isr, leader, directories, elr, adding, removing, .. } = partition;
    assert!(had_elr || !isr.is_empty());
    assert!(had_elr || elr.is_empty());
    assert!(elr.iter().all(|member| replicas.contains(member) && !isr.contains(member)), "eligible and in sync");
    assert!(elr.is_empty() || isr.len() < min_isr.min(replicas.len()), "eligible though enough are in sync");
    assert!(adding.iter().chain(removing).all(|node| replicas.contains(node)), "moves but is not a replica");
    assert_eq!(replicas.len(), replicas.iter().collect::<BTreeSet<_>>().len(), "a broker has one replica");
    assert_eq!(replicas.len(), directories.len());
    assert!(isr.iter().all(|member| replicas.contains(member)), "in sync but not a replica");
    match leader {
        Some(leader) => {
            assert!(isr.contains(leader), "leads but is not in sync");
            assert!(isr.iter().all(|member| is_active(*member)), "in sync but not active");
        }
        // The last in-sync replica stays one after it has gone.
        None if isr.is_empty() => assert!(had_elr && !elr.iter().any(|member| is_active(*member)), "nobody leads"),
        None => assert!(isr.len() == 1 && !is_active(isr[0]), "nobody leads though somebody could"),
    }
}

/// Records that nobody decided.
fn record() -> impl Strategy<Value = MetadataRecord> {
    let id = (0u8..3).prop_map(|n| TopicId(Uuid::from_bytes([n + 100; 16])));
    let partition = (0u32..3).prop_map(PartitionIndex::new);
    let node = (0u32..3).prop_map(NodeId::new);
    let epoch = (0u64..2).prop_map(BrokerEpoch);
    let state =
        (any::<bool>(), prop_oneof![Just(0u32), Just(i32::MAX as u32)]).prop_map(|(led, number)| PartitionImage {
            replicas: vec![NodeId::ZERO],
            isr: Vec::new(),
            removing: Vec::new(),
            adding: Vec::new(),
            leader: led.then_some(NodeId::ZERO),
            recovery: LeaderRecovery::Recovered,
            leader_epoch: LeaderEpoch::new(number),
            partition_epoch: PartitionEpoch::new(number),
            directories: Vec::new(),
            elr: vec![NodeId::ZERO],
            last_known_elr: Vec::new(),
        });
    prop_oneof![
        ("[ab]", id.clone()).prop_map(|(name, id)| MetadataRecord::Topic { name: TopicName::new(&name).unwrap(), id }),
        id.clone().prop_map(|id| MetadataRecord::RemoveTopic { id }),
        (id.clone(), partition.clone(), state).prop_map(|(topic_id, partition, state)| MetadataRecord::Partition(
            PartitionRecord { topic_id, partition, state }
        )),
        (id, partition, any::<bool>()).prop_map(|(topic_id, partition, elect)| {
            let leader = elect.then_some(Some(NodeId::ZERO));
            MetadataRecord::PartitionChange(PartitionChange {
                topic_id,
                partition,
                leader,
                ..PartitionChange::default()
            })
        }),
        (node.clone(), epoch.clone()).prop_map(|(node, epoch)| MetadataRecord::UnfenceBroker { node, epoch }),
        (node, epoch).prop_map(|(node, epoch)| MetadataRecord::UnregisterBroker { node, epoch }),
        any::<i16>().prop_map(|level| MetadataRecord::FeatureLevel { name: "metadata.version".into(), level }),
        (0u64..3).prop_map(|next| MetadataRecord::ProducerIds {
            node: NodeId::ZERO,
            epoch: None,
            next: ProducerId::new(next)
        }),
        (prop::sample::select(vec![ResourceKind::Topic, ResourceKind::BrokerLogger]), any::<Option<String>>())
            .prop_map(|(kind, value)| MetadataRecord::Config(ConfigChange {
                kind,
                resource: "r".into(),
                name: "n".into(),
                value
            })),
        Just(MetadataRecord::ClearElr { topic: None }),
        Just(MetadataRecord::BeginTransaction { name: None }),
        Just(MetadataRecord::EndTransaction),
        Just(MetadataRecord::AbortTransaction { reason: None }),
    ]
}

proptest! {
    #[test]
    fn the_log_alone_rebuilds_the_controller(ops in prop::collection::vec(op(), 0..120)) {
        let mut history = History::new();
        history.set_up();
        for op in &ops {
            history.step(op);
        }
        let mut replayed = Controller::new(config());
        for record in &history.log {
            replayed.apply(record).unwrap();
        }
        prop_assert_eq!(replayed, history.controller);
    }

    #[test]
    fn a_record_is_applied_or_refused_without_effect(records in prop::collection::vec(record(), 0..60)) {
        let mut controller = Controller::new(config());
        for record in &records {
            let before = controller.clone();
            if controller.apply(record).is_err() {
                prop_assert_eq!(&before, &controller);
            }
        }
    }
}

#[test]
fn a_transaction_applies_as_a_whole_or_not_at_all() {
    let id = TopicId(Uuid::from_bytes([7; 16]));
    let topic = MetadataRecord::Topic { name: TopicName::new("t").unwrap(), id };
    let begin = MetadataRecord::BeginTransaction { name: None };
    let mut controller = Controller::new(config());
    controller.apply(&begin).unwrap();
    controller.apply(&topic).unwrap();
    assert!(controller.image().topic("t").is_none());
    assert!(matches!(controller.bootstrap().records.as_slice(), [MetadataRecord::AbortTransaction { .. }, ..]));
    controller.apply(&MetadataRecord::AbortTransaction { reason: None }).unwrap();
    assert!(controller.image().topic("t").is_none());
    controller.apply(&begin).unwrap();
    controller.apply(&topic).unwrap();
    controller.apply(&MetadataRecord::EndTransaction).unwrap();
    assert_eq!(controller.image().topic("t").unwrap().id(), id);
}
