//! Runs the scripts of the controller; the head of `testdata/topics.txt` explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use highwater_metadata::{
    AlterConfigs, AlterIsr, AlterPartition, AlterReassignments, ApiError, AssignReplicasToDirs, BrokerHeartbeat,
    BrokerRegistration, ConfigEdit, ConfigResolver, Controller, ControllerConfig, CreatePartitions, CreateTopics,
    Decision, Election, ElectionResult, Endpoint, FeatureRange, FeatureUpdate, HeartbeatConfig, Heartbeats,
    IncrementalAlterConfigs, IncrementalResource, LeaderRecovery, MetadataRecord, NewPartitions, NewTopic,
    PartitionChange, PartitionImage, ReassignPartition, RegisterController, ReplaceResource, ReplicaAssignment,
    ResourceKind, StaticConfig, TopicSelector, UpdateFeatures, UpgradeType,
};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{
    BrokerEpoch, DirectoryId, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, Ticks, TopicId, Uuid,
};
use std::fmt::Write as _;

/// A controller and the log of what it decided.
struct World {
    config: ControllerConfig,
    controller: Controller,
    log: Vec<MetadataRecord>,
    ids_drawn: u8,
    heartbeats: Heartbeats,
    now: Ticks,
}

impl World {
    fn new(static_config: &[&str]) -> Self {
        let static_config = StaticConfig::new(pairs(static_config).into_iter().collect());
        let config = ControllerConfig { cluster_id: "cluster".to_owned(), node: NodeId::new(1), static_config };
        let controller = Controller::new(config.clone());
        let now = Ticks(0);
        let heartbeats = Heartbeats::new(HeartbeatConfig::default(), &controller.image(), Offset::ZERO, now);
        Self { controller, config, log: Vec::new(), ids_drawn: 0, heartbeats, now }
    }

    /// Prints and applies the records of a decision, and checks that the log alone gives the same state.
    fn commit<R>(&mut self, decision: Decision<R>, print: impl Fn(&R) -> String) -> String {
        let mut out = print(&decision.response);
        for record in decision.records {
            writeln!(out, "{}", self.print_record(&record)).unwrap();
            self.controller.apply(&record).unwrap();
            self.log.push(record);
        }
        let mut replayed = Controller::new(self.config.clone());
        self.log.iter().try_for_each(|record| replayed.apply(record)).unwrap();
        assert_eq!(replayed, self.controller, "the log gives another state");
        out
    }

    fn commit_or_refuse<R>(&mut self, decision: Result<Decision<R>, ApiError>, print: impl Fn(&R) -> String) -> String {
        match decision {
            Ok(decision) => self.commit(decision, print),
            Err(error) => format!("{error}\n"),
        }
    }

    fn epoch(&self, node: NodeId) -> BrokerEpoch {
        self.controller.image().broker(node).map_or(BrokerEpoch(999), |broker| broker.epoch)
    }

    fn print_record(&self, record: &MetadataRecord) -> String {
        let name = |id: TopicId| {
            self.controller.image().topic_by_id(id).map_or("new".to_owned(), |topic| topic.name().to_string())
        };
        match record {
            MetadataRecord::Topic { name, id } => format!("+ topic {name} {}", short(*id)),
            MetadataRecord::RemoveTopic { id } => format!("+ remove topic {}", name(*id)),
            MetadataRecord::Partition(p) => format!("+ {}-{} {}", name(p.topic_id), p.partition, state(&p.state)),
            MetadataRecord::PartitionChange(p) => format!("+ {}-{} {}", name(p.topic_id), p.partition, change(p)),
            MetadataRecord::Config(c) => match &c.value {
                Some(value) => format!("+ {:?} {:?} {}={value}", c.kind, c.resource, c.name),
                None => format!("+ {:?} {:?} {} removed", c.kind, c.resource, c.name),
            },
            MetadataRecord::RegisterBroker(b) => {
                format!("+ broker {} epoch {}{}", b.node, b.epoch.0, if b.fenced { " fenced" } else { "" })
            }
            MetadataRecord::BrokerRegistrationChange(b) => match (b.fenced, &b.log_dirs) {
                (None, None) => format!("+ broker {} shuts down", b.node),
                (None, Some(dirs)) => format!("+ broker {} has {} directories", b.node, dirs.len()),
                (fenced, _) => format!("+ broker {} fenced {fenced:?}", b.node),
            },
            MetadataRecord::ProducerIds { node, next, .. } => format!("+ producer ids to {node}, next {next}"),
            MetadataRecord::FeatureLevel { name, level } => format!("+ feature {name} {level}"),
            MetadataRecord::RegisterController(c) => {
                format!("+ controller {} with {} features", c.node, c.features.len())
            }
            other => format!("+ {}", other.kind()),
        }
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let validate_only = words.first() == Some(&"validate");
        match &words[usize::from(validate_only)..] {
            ["static", configs @ ..] => {
                *self = Self::new(configs);
                String::new()
            }
            ["cluster", nodes] => nodes.split(',').map(|node| self.join(node)).collect(),
            ["bootstrap"] => {
                let decision = self.controller.bootstrap();
                self.commit(decision, |()| String::new())
            }
            ["register", node, incarnation] => self.register(node, incarnation),
            ["unfence", id] => {
                let decision = self.controller.unfence_broker(node(id), self.epoch(node(id)));
                self.commit_or_refuse(decision, |()| String::new())
            }
            ["fence", id] => {
                let decision = self.controller.fence_broker(node(id), self.epoch(node(id)));
                self.commit_or_refuse(decision, |()| String::new())
            }
            ["create", rest @ ..] => self.create(rest, validate_only),
            ["delete", topics @ ..] => {
                let decision =
                    self.controller.delete_topics(&topics.iter().map(|t| self.selector(t)).collect::<Vec<_>>());
                self.commit(decision, |all| {
                    let line = |r: &highwater_metadata::DeleteTopicResult| {
                        let id = r.id.map_or("-".to_owned(), short);
                        format!("{} {id}: {}\n", r.name.as_deref().unwrap_or("-"), outcome(&r.result))
                    };
                    all.iter().map(line).collect()
                })
            }
            ["partitions", rest @ ..] => {
                let topics = rest.split(|word| *word == ";").map(new_partitions).collect();
                let decision = self.controller.create_partitions(&CreatePartitions { topics, validate_only });
                let print =
                    |r: &highwater_metadata::CreatePartitionsResult| format!("{}: {}\n", r.name, outcome(&r.result));
                self.commit(decision, |all| all.iter().map(print).collect())
            }
            ["alter", kind, name, changes @ ..] => self.alter(kind, name, changes, validate_only),
            ["replace", kind, name, configs @ ..] => {
                let configs = pairs(configs).into_iter().map(|(name, value)| (name, Some(value))).collect();
                let resources = vec![ReplaceResource { kind: code(kind), name: resource(name), configs }];
                let decision = self.controller.alter_configs(&AlterConfigs { resources, validate_only });
                self.commit(decision, |all| all.iter().map(|r| format!("{}\n", outcome(&r.result))).collect())
            }
            ["producer-ids", id] => {
                let decision = self.controller.allocate_producer_ids(node(id), self.epoch(node(id)));
                self.commit_or_refuse(decision, |block| format!("{} and {} more\n", block.first, block.count - 1))
            }
            ["feature", name, level, rest @ ..] => {
                let update = FeatureUpdate {
                    name: (*name).to_owned(),
                    level: level.parse().unwrap(),
                    upgrade: match *rest {
                        [] => UpgradeType::Upgrade,
                        ["downgrade"] => UpgradeType::SafeDowngrade,
                        ["unsafe-downgrade"] => UpgradeType::UnsafeDowngrade,
                        _ => UpgradeType::Unknown,
                    },
                };
                let decision =
                    self.controller.update_features(&UpdateFeatures { updates: vec![update], validate_only });
                self.commit_or_refuse(decision, |()| String::new())
            }
            ["restart", id, incarnation, how] => self.register_as(id, incarnation, *how == "clean"),
            ["controller", id, incarnation, levels @ ..] => {
                let endpoint =
                    Endpoint { name: "CONTROLLER".into(), host: "localhost".into(), port: 9093, security_protocol: 0 };
                let registration = RegisterController {
                    node: node(id),
                    incarnation: Uuid::from_bytes([incarnation.parse().unwrap(); 16]),
                    endpoints: if *levels == ["nowhere"] { Vec::new() } else { vec![endpoint] },
                    features: levels.iter().filter_map(|levels| feature_range(levels)).collect(),
                };
                let decision = self.controller.register_controller(&registration);
                self.commit_or_refuse(decision, |()| String::new())
            }
            ["unregister", id] => {
                let decision = self.controller.unregister_broker(node(id));
                self.commit_or_refuse(decision, |()| String::new())
            }
            ["elr"] => {
                let level = MetadataRecord::FeatureLevel { name: "eligible.leader.replicas.version".into(), level: 1 };
                self.controller.apply(&level).unwrap();
                self.log.push(level);
                String::new()
            }
            ["after", ms] => {
                self.now = self.now.plus_ms(ms.parse().unwrap());
                String::new()
            }
            ["activate"] => {
                let image = self.controller.image();
                let end = Offset::new(self.log.len() as u64);
                self.heartbeats = Heartbeats::new(HeartbeatConfig::default(), &image, end, self.now);
                String::new()
            }
            ["stale"] => match self.heartbeats.stale(&self.controller.image(), self.now) {
                Some((node, epoch)) => {
                    let decision = self.controller.fence_broker(node, epoch);
                    format!("{node} is silent\n{}", self.commit_or_refuse(decision, |()| String::new()))
                }
                None => "nobody\n".to_owned(),
            },
            ["may-register", id, incarnation] => {
                let incarnation = Uuid::from_bytes([incarnation.parse().unwrap(); 16]);
                let image = self.controller.image();
                let checked = self.heartbeats.check_registration(&image, node(id), incarnation, self.now);
                format!("{}\n", outcome(&checked))
            }
            ["beat", id, rest @ ..] => self.beat(node(id), rest),
            ["isr", topic, leader, members, rest @ ..] => self.alter_isr(topic, node(leader), members, rest),
            ["reassign", topic, replicas, rest @ ..] => {
                let replicas = (*replicas != "cancel").then(|| ids(replicas));
                let partitions = vec![ReassignPartition { topic: (*topic).to_owned(), partition: 0, replicas }];
                let allow_replication_factor_change = rest != ["fixed"];
                let request = AlterReassignments { partitions, allow_replication_factor_change };
                let decision = self.controller.alter_reassignments(&request);
                self.commit(decision, |all| all.iter().map(|r| format!("{}\n", outcome(r))).collect())
            }
            ["reassignments"] => {
                let all = self.controller.list_reassignments(None);
                let line = |r: &highwater_metadata::Reassignment| {
                    let (adding, removing) = (list(&r.adding), list(&r.removing));
                    format!("{}-{} {} adding {adding} removing {removing}\n", r.topic, r.partition, list(&r.replicas))
                };
                all.iter().map(line).collect()
            }
            ["decommission", id] => {
                let plan = self.controller.plan_decommission(node(id));
                plan.iter().map(|p| format!("{}-{} {:?}\n", p.topic, p.partition, p.replicas)).collect()
            }
            ["elect", how, topic] => {
                let election = if *how == "preferred" { Election::Preferred } else { Election::Unclean };
                let decision = self.controller.elect_leaders(election, &[((*topic).to_owned(), 0)]);
                self.commit(decision, |all| all.iter().map(|r| format!("{}\n", outcome(r))).collect())
            }
            ["elect", how] => {
                let election = if *how == "preferred" { Election::Preferred } else { Election::Unclean };
                let decision = self.controller.elect_all_leaders(election);
                let line = |r: &ElectionResult| format!("{}-{} {}\n", r.topic, r.partition, outcome(&r.result));
                self.commit(decision, |all| all.iter().map(line).collect())
            }
            ["balance", rest @ ..] => {
                let percentage_max = rest.first().map_or(0, |percentage| percentage.parse().unwrap());
                let decision = self.controller.balance_leaders(percentage_max);
                self.commit(decision, |_| String::new())
            }
            ["sweep"] => {
                let decision = self.controller.elect_leaderless();
                self.commit(decision, |_| String::new())
            }
            ["directory", id, topic, directory] => {
                let topic = self.controller.image().topic(topic).unwrap().id();
                let directory = DirectoryId(Uuid::from_bytes([directory.parse().unwrap(); 16]));
                let replicas = vec![(directory, topic, PartitionIndex::ZERO)];
                let request = AssignReplicasToDirs { node: node(id), epoch: self.epoch(node(id)), replicas };
                let decision = self.controller.assign_replicas_to_dirs(&request);
                self.commit_or_refuse(decision, |all| all.iter().map(|r| format!("{}\n", outcome(r))).collect())
            }
            ["show", topic] => self.show(topic),
            ["config", kind, name, config] => self.show_config(kind, name, config),
            _ => panic!("unknown command: {line}"),
        }
    }

    fn join(&mut self, word: &str) -> String {
        self.register(word, "1");
        let decision = self.controller.unfence_broker(node(word), self.epoch(node(word)));
        self.commit_or_refuse(decision, |()| String::new());
        String::new()
    }

    fn register(&mut self, word: &str, incarnation: &str) -> String {
        self.register_as(word, incarnation, false)
    }

    fn beat(&mut self, node: NodeId, words: &[&str]) -> String {
        let number = |sign: &str| words.iter().find_map(|word| word.strip_prefix(sign)?.parse::<u8>().ok());
        let last = Offset::new((self.log.len() as u64).saturating_sub(1));
        self.heartbeats.touch(node, self.epoch(node), self.now);
        let request = BrokerHeartbeat {
            node,
            epoch: number("epoch=").map_or(self.epoch(node), |epoch| BrokerEpoch(epoch.into())),
            metadata_offset: number("at=").map_or(last, |at| Offset::new(at.into())),
            want_fence: words.contains(&"fence"),
            want_shutdown: words.contains(&"shutdown"),
            offline_log_dirs: number("lost=").map(|dir| DirectoryId(Uuid::from_bytes([dir; 16]))).into_iter().collect(),
        };
        match self.controller.broker_heartbeat(&self.heartbeats, &request) {
            Ok(decision) => {
                let answer = decision.response;
                let out = self.commit(decision, |answer| format!("{:?}\n", answer.state));
                self.heartbeats.answered(&answer, Offset::new(self.log.len() as u64), self.now);
                out
            }
            Err(error) => format!("{error}\n"),
        }
    }

    /// `members` are `NODE` or `NODE@EPOCH`; the rest is `leader-epoch=N`, `epoch=N` or `recovering`.
    fn alter_isr(&mut self, topic: &str, leader: NodeId, members: &str, words: &[&str]) -> String {
        let image = self.controller.image();
        let topic = image.topic(topic).unwrap();
        let state = topic.partition(PartitionIndex::ZERO).unwrap();
        let number = |sign: &str| words.iter().find_map(|word| word.strip_prefix(sign)?.parse().ok());
        let member = |word: &str| match word.split_once('@') {
            Some((id, epoch)) => (node(id), Some(BrokerEpoch(epoch.parse().unwrap()))),
            None => (node(word), None),
        };
        let recovering = words.contains(&"recovering");
        let partition = AlterIsr {
            topic_id: topic.id(),
            partition: PartitionIndex::ZERO,
            leader_epoch: number("leader-epoch=").map_or(state.leader_epoch, LeaderEpoch::new),
            partition_epoch: number("epoch=").map_or(state.partition_epoch, PartitionEpoch::new),
            isr: members.split(',').map(member).collect(),
            recovery: if recovering { LeaderRecovery::Recovering } else { LeaderRecovery::Recovered },
        };
        let request = AlterPartition { node: leader, epoch: self.epoch(leader), partitions: vec![partition] };
        let decision = self.controller.alter_partition(&request);
        self.commit_or_refuse(decision, |all| {
            all.iter().map(|r| format!("{}\n", outcome(&r.result.clone().map(|_| ())))).collect()
        })
    }

    fn register_as(&mut self, word: &str, incarnation: &str, clean: bool) -> String {
        let registration = BrokerRegistration {
            node: node(word),
            incarnation: Uuid::from_bytes([incarnation.parse().unwrap(); 16]),
            endpoints: vec![Endpoint { name: "P".into(), host: "h".into(), port: 9092, security_protocol: 0 }],
            features: vec![
                FeatureRange { name: "metadata.version".into(), min: 22, max: 29 },
                FeatureRange { name: "group.version".into(), min: 0, max: 1 },
                FeatureRange { name: "eligible.leader.replicas.version".into(), min: 0, max: 1 },
            ],
            rack: None,
            log_dirs: if word == "4" { &[200, 201][..] } else { &[200] }
                .iter()
                .map(|dir| DirectoryId(Uuid::from_bytes([*dir; 16])))
                .collect(),
            previous_epoch: clean.then(|| self.epoch(node(word))),
        };
        let decision = self.controller.register_broker(&registration, Offset::new(self.log.len() as u64));
        let epoch = decision.as_ref().ok().map(|decision| decision.response);
        let out = self.commit_or_refuse(decision, |epoch| format!("epoch {}\n", epoch.0));
        if let Some(epoch) = epoch {
            self.heartbeats.registered(node(word), epoch, self.now);
        }
        out
    }

    fn create(&mut self, words: &[&str], validate_only: bool) -> String {
        let topics: Vec<NewTopic> = words.split(|word| *word == ";").map(new_topic).collect();
        let mut ids = Vec::new();
        for _ in &topics {
            self.ids_drawn += 1;
            ids.push(TopicId(Uuid::from_bytes([self.ids_drawn; 16])));
        }
        let decision = self.controller.create_topics(&CreateTopics { topics, validate_only }, &ids);
        self.commit(decision, |all| {
            let line = |r: &highwater_metadata::CreateTopicResult| match &r.result {
                Ok(topic) => format!(
                    "{}: {} {} partitions, {} replicas, {} configs\n",
                    r.name,
                    short(topic.id),
                    topic.partitions,
                    topic.replication_factor,
                    topic.configs.len()
                ),
                Err(error) => format!("{}: {error}\n", r.name),
            };
            all.iter().map(line).collect()
        })
    }

    fn alter(&mut self, kind: &str, name: &str, changes: &[&str], validate_only: bool) -> String {
        let change = |word: &&str| {
            let (edit, value) =
                word.split_once('=').map_or((*word, None), |(edit, value)| (edit, Some(value.to_owned())));
            let operation = ["", "-", "+", "~"].iter().rposition(|sign| edit.starts_with(sign)).unwrap();
            let name = edit.trim_start_matches(['-', '+', '~']).to_owned();
            ConfigEdit { name, operation: i8::try_from(operation).unwrap(), value }
        };
        let changes = changes.iter().map(change).collect();
        let resources = vec![IncrementalResource { kind: code(kind), name: resource(name), changes }];
        let decision = self.controller.incremental_alter_configs(&IncrementalAlterConfigs { resources, validate_only });
        self.commit(decision, |all| all.iter().map(|r| format!("{}\n", outcome(&r.result))).collect())
    }

    fn selector(&self, word: &str) -> TopicSelector {
        match word.strip_prefix("id:") {
            Some(id) => TopicSelector { name: None, id: Some(TopicId(Uuid::from_bytes([id.parse().unwrap(); 16]))) },
            None => TopicSelector { name: Some(word.to_owned()), id: None },
        }
    }

    fn show(&self, topic: &str) -> String {
        let image = self.controller.image();
        let Some(topic) = image.topic(topic) else { return "none\n".to_owned() };
        let line = |(index, partition): (PartitionIndex, &std::sync::Arc<PartitionImage>)| {
            let offline: Vec<NodeId> = image.offline_replicas(partition).collect();
            let offline = if offline.is_empty() { String::new() } else { format!(" offline {}", list(&offline)) };
            format!("{index}: {}{offline}\n", state(partition))
        };
        topic.partitions().map(line).collect()
    }

    fn show_config(&self, kind: &str, name: &str, config: &str) -> String {
        let image = self.controller.image();
        let resolver =
            ConfigResolver { image: &image, static_config: &self.config.static_config, node: NodeId::new(1) };
        let all = match ResourceKind::from_code(code(kind)).unwrap() {
            ResourceKind::Topic => resolver.topic(name),
            ResourceKind::Group => resolver.group(name),
            ResourceKind::Broker if name == "default" => resolver.default_broker(),
            _ => resolver.broker(),
        };
        let Some(found) = all.into_iter().find(|found| found.name == config) else { return "none\n".to_owned() };
        format!("{:?} from {:?}\n", found.value, found.source)
    }
}

fn pairs(words: &[&str]) -> Vec<(String, String)> {
    words.iter().map(|word| word.split_once('=').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn node(word: &str) -> NodeId {
    NodeId::new(word.parse().unwrap())
}

fn ids(words: &str) -> Vec<i32> {
    words.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

/// `default` for the empty name.
fn resource(word: &str) -> String {
    if word == "default" { String::new() } else { word.to_owned() }
}

fn code(kind: &str) -> i8 {
    match kind {
        "topic" => 2,
        "broker" => 4,
        "logger" => 8,
        "metrics" => 16,
        "group" => 32,
        other => other.parse().unwrap(),
    }
}

/// `NAME PARTITIONS REPLICATION`, then `PARTITION:BROKERS` and `CONFIG=VALUE`.
fn new_topic(words: &[&str]) -> NewTopic {
    let [name, partitions, replication, rest @ ..] = words else { panic!("{words:?}") };
    let (configs, manual): (Vec<&str>, Vec<&str>) = rest.iter().partition(|word| word.contains('='));
    let assignment = |word: &&str| {
        let (partition, replicas) = word.split_once(':').unwrap();
        ReplicaAssignment { partition: partition.parse().unwrap(), replicas: ids(replicas) }
    };
    NewTopic {
        name: (*name).to_owned(),
        partitions: partitions.parse().unwrap(),
        replication_factor: replication.parse().unwrap(),
        assignments: manual.iter().map(assignment).collect(),
        configs: pairs(&configs).into_iter().map(|(n, v)| (n, (v != "null").then_some(v))).collect(),
    }
}

/// `NAME COUNT`, then the brokers of each added partition.
fn new_partitions(words: &[&str]) -> NewPartitions {
    let [name, count, rest @ ..] = words else { panic!("{words:?}") };
    let assignments = (!rest.is_empty()).then(|| rest.iter().map(|word| ids(word)).collect());
    NewPartitions { name: (*name).to_owned(), count: count.parse().unwrap(), assignments }
}

fn short(id: TopicId) -> String {
    format!("id:{}", id.0.as_bytes()[0])
}

fn outcome(result: &Result<(), ApiError>) -> String {
    result.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned())
}

fn list(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn state(p: &PartitionImage) -> String {
    let leader = p.leader.map_or("none".to_owned(), |leader| leader.to_string());
    let (leader_epoch, partition_epoch) = (p.leader_epoch, p.partition_epoch);
    format!(
        "replicas {} isr {} leader {leader} epochs {leader_epoch}/{partition_epoch}",
        list(&p.replicas),
        list(&p.isr)
    )
}

fn change(p: &PartitionChange) -> String {
    let leader = p.leader.map(|leader| leader.map_or("none".to_owned(), |leader| leader.to_string()));
    let mut out: Vec<String> = leader.map(|leader| format!("leader {leader}")).into_iter().collect();
    out.extend(p.isr.as_ref().map(|isr| format!("isr {}", list(isr))));
    out.extend(p.recovery.map(|recovery| format!("{recovery:?}")));
    let sets = [("replicas", &p.replicas), ("adding", &p.adding), ("removing", &p.removing)];
    let sets = sets.into_iter().chain([("elr", &p.elr), ("last known", &p.last_known_elr)]);
    out.extend(sets.filter_map(|(name, set)| Some(format!("{name} {}", list(set.as_ref()?)))));
    out.join(", ")
}

fn run(path: &str) {
    run_file(path, || -> Runner {
        let mut world = World::new(&[]);
        Box::new(move |line| world.run(line))
    });
}

#[test]
fn topics() {
    run("testdata/topics.txt");
}

#[test]
fn configs() {
    run("testdata/configs.txt");
}

#[test]
fn brokers() {
    run("testdata/brokers.txt");
}

#[test]
fn cluster() {
    run("testdata/cluster.txt");
}

/// `NAME:MIN-MAX`.
fn feature_range(text: &str) -> Option<FeatureRange> {
    let (name, levels) = text.split_once(':')?;
    let (min, max) = levels.split_once('-')?;
    Some(FeatureRange { name: name.to_owned(), min: min.parse().ok()?, max: max.parse().ok()? })
}
