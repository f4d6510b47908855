//! Runs `testdata/offsets.txt`; its head explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use highwater_coordinator::{
    Coordinator, CoordinatorConfig, Entry, Now, Output, Reply, Ticks, Token, TransactionOutcome,
};
use highwater_group::{
    ClassicGroupValue, ClassicMemberValue, ClassicProtocol, CommittedOffset, Event, FetchedOffset, GroupConfig,
    GroupRecord, GroupShard, OffsetCommit, OffsetDelete, OffsetFetch, OffsetToCommit, Request, Response, Subscription,
    Topics,
};
use highwater_testsupport::{Runner, run_file};
use highwater_types::{
    ErrorCode, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs, TopicId,
};

struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> i64 {
        0
    }

    fn by_name(&self, _: &str) -> Option<(TopicId, u32)> {
        None
    }

    fn by_id(&self, _: TopicId) -> Option<(&str, u32)> {
        None
    }

    fn for_each_name(&self, _: &mut dyn FnMut(&str)) {}

    fn racks(&self, _: TopicId, _: PartitionIndex) -> Vec<&str> {
        Vec::new()
    }
}

type Machine = Coordinator<GroupShard>;

/// A coordinator, the log it writes to, and the clock of both.
struct World {
    machine: Machine,
    log: Vec<Entry<GroupRecord>>,
    now_ms: u64,
    epoch: u32,
    token: u64,
    /// The high watermark stays where it is.
    is_held: bool,
    /// The next append fails.
    fails: bool,
    /// Groups that were named, for the comparison after each command.
    groups: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            machine: Coordinator::new(CoordinatorConfig::default()),
            log: Vec::new(),
            now_ms: 0,
            epoch: 0,
            token: 0,
            is_held: false,
            fails: false,
            groups: BTreeSet::new(),
        };
        world.reload();
        world
    }

    fn now(&self) -> Now {
        now(self.now_ms)
    }

    fn reload(&mut self) {
        self.epoch += 1;
        self.machine = loaded(self.epoch, self.now_ms, &self.log);
    }

    fn request(&mut self, request: Request<'_>) -> String {
        self.token += 1;
        self.machine.handle(self.now(), Token(self.token), request);
        self.drain()
    }

    /// Does what the machine wants done, and says what that was.
    fn drain(&mut self) -> String {
        let mut text = String::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Reply(Reply { token, response }) => {
                    writeln!(text, "#{}: {}", token.0, show_response(&response)).unwrap();
                }
                Output::Append(append) if std::mem::take(&mut self.fails) => {
                    writeln!(text, "append fails: {} records", append.records.len()).unwrap();
                    self.machine.appended(self.now(), append, Err(ErrorCode::NotEnoughReplicas));
                }
                Output::Append(append) => {
                    for record in &append.records {
                        writeln!(text, "append {}", show_record(record)).unwrap();
                    }
                    let first = Offset::new(self.log.len() as u64);
                    self.log.extend(append.records.iter().cloned().map(Entry::Record));
                    self.machine.appended(self.now(), append, Ok(first));
                }
                Output::Load { .. } => panic!("nobody was elected"),
            }
            if !self.is_held {
                let end = Offset::new(self.log.len() as u64);
                self.machine.commit(LeaderEpoch::new(self.epoch), end);
            }
        }
        text
    }

    /// What a coordinator would know that has read the log must be what this one knows.
    fn check(&mut self) {
        if self.is_held {
            return;
        }
        let mut other = loaded(self.epoch, self.now_ms, &self.log);
        for group in &self.groups {
            let kept = fetch_all(&mut self.machine, self.now_ms, group);
            assert_eq!(kept, fetch_all(&mut other, self.now_ms, group), "group {group} after a reload");
        }
    }

    /// Lets time pass, and has everything done that is due on the way.
    fn pass(&mut self, ms: u64) -> String {
        let until = self.now_ms + ms;
        let mut text = String::new();
        while let Some(Ticks(due)) = self.machine.next_timeout()
            && due <= until
        {
            self.now_ms = self.now_ms.max(due);
            self.machine.handle_timeout(self.now());
            text += &self.drain();
        }
        self.now_ms = until;
        text
    }

    fn run(&mut self, line: &str) -> String {
        // A group without a name.
        let words: Vec<&str> = line.split_whitespace().map(|word| if word == "-" { "" } else { word }).collect();
        let output = match words[..] {
            ["commit", group, ref rest @ ..] => self.commit(group, rest),
            ["fetch", group, ref rest @ ..] => {
                self.groups.insert(group.to_owned());
                let require_stable = rest.first() == Some(&"stable");
                let topics = &rest[usize::from(require_stable)..];
                let topics = (!topics.is_empty()).then(|| topics.iter().map(|word| partitions(word)).collect());
                let fetch = OffsetFetch { group, member: None, member_epoch: -1, topics, require_stable };
                self.request(Request::OffsetFetch(fetch))
            }
            ["delete", group, ref topics @ ..] => {
                let topics = topics.iter().map(|word| partitions(word)).collect();
                self.request(Request::OffsetDelete(OffsetDelete { group, topics }))
            }
            ["pass", ms] => self.pass(ms.parse().unwrap()),
            ["topics-deleted", ref names @ ..] => {
                let deleted = names.iter().map(|name| Arc::from(*name)).collect();
                self.machine.handle_event(self.now(), Event::Topics { topics: Arc::new(NoTopics), deleted });
                self.drain()
            }
            ["hold"] => {
                self.is_held = true;
                String::new()
            }
            ["release"] => {
                self.is_held = false;
                self.machine.commit(LeaderEpoch::new(self.epoch), Offset::new(self.log.len() as u64));
                self.drain()
            }
            ["fail"] => {
                self.fails = true;
                String::new()
            }
            ["reload"] => {
                self.reload();
                String::new()
            }
            ["transactional", producer, group, offset] => {
                self.groups.insert(group.to_owned());
                let OffsetToCommit { topic, partition, offset, leader_epoch, .. } = offset_to_commit(offset);
                let value = CommittedOffset {
                    offset,
                    leader_epoch,
                    metadata: Arc::default(),
                    commit_timestamp: TimestampMs(self.now_ms as i64),
                    expire_timestamp: None,
                    topic_id: None,
                };
                let record = GroupRecord::Offset { group: Arc::from(group), topic, partition, value: Some(value) };
                let epoch = ProducerEpoch::new(0);
                self.log.push(Entry::Transactional { producer: producer_id(producer), epoch, record });
                self.reload();
                String::new()
            }
            ["classic", group, "empty", since] => {
                self.classic(group, "consumer", None, since.parse().unwrap());
                String::new()
            }
            ["classic", group, "subscribes", topics] => {
                self.classic(group, "consumer", Some(topics), 0);
                String::new()
            }
            ["classic", group, "works"] => {
                self.classic(group, "connect", Some(""), 0);
                String::new()
            }
            ["marker", producer, outcome] => {
                let outcome = match outcome {
                    "commit" => TransactionOutcome::Commit,
                    "abort" => TransactionOutcome::Abort,
                    _ => panic!("no outcome: {outcome}"),
                };
                let epoch = ProducerEpoch::new(0);
                self.log.push(Entry::Marker { producer: producer_id(producer), epoch, outcome });
                self.reload();
                String::new()
            }
            _ => panic!("unknown command: {line}"),
        };
        self.check();
        output
    }

    /// Puts a group into the log as it is at the end of a rebalance: without members, or with one that subscribes.
    fn classic(&mut self, group: &str, protocol_type: &str, topics: Option<&str>, since_ms: i64) {
        self.groups.insert(group.to_owned());
        let member = topics.map(|topics| {
            let topics = topics.split(',').map(Arc::from).collect();
            let subscription = Subscription { topics, generation: -1, ..Subscription::default() };
            let is_consumer = protocol_type == "consumer";
            ClassicMemberValue {
                id: Arc::from("m"),
                instance_id: None,
                client_id: Arc::from("client"),
                client_host: Arc::from("/127.0.0.1"),
                rebalance_timeout_ms: Some(60_000),
                session_timeout_ms: 60_000,
                subscription: ClassicProtocol {
                    name: Arc::from("range"),
                    metadata: Arc::from([]),
                    subscription: is_consumer.then(|| Arc::new(subscription)),
                },
                assignment: Arc::from([0; 6]),
            }
        });
        let value = ClassicGroupValue {
            protocol_type: Arc::from(protocol_type),
            generation: 3,
            protocol: member.as_ref().map(|_| Arc::from("range")),
            leader: member.as_ref().map(|_| Arc::from("m")),
            state_timestamp: Some(TimestampMs(since_ms)),
            members: member.into_iter().collect(),
        };
        self.log.push(Entry::Record(GroupRecord::Classic { group: Arc::from(group), value: Some(value) }));
        self.reload();
    }

    fn commit(&mut self, group: &str, words: &[&str]) -> String {
        self.groups.insert(group.to_owned());
        let mut commit = OffsetCommit {
            group,
            member: "",
            instance_id: None,
            generation_or_epoch: -1,
            retention_ms: None,
            offsets: Vec::new(),
            knows_member_epochs: false,
        };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("generation", value) => commit.generation_or_epoch = value.parse().unwrap(),
                ("member", value) => commit.member = value,
                ("retention", value) => commit.retention_ms = Some(value.parse().unwrap()),
                ("v9", "") => commit.knows_member_epochs = true,
                _ => commit.offsets.push(offset_to_commit(word)),
            }
        }
        self.request(Request::OffsetCommit(commit))
    }
}

fn now(ms: u64) -> Now {
    Now { ticks: Ticks(ms), wall: TimestampMs(ms as i64) }
}

/// A coordinator that has read the log, all of which is committed.
fn loaded(epoch: u32, now_ms: u64, log: &[Entry<GroupRecord>]) -> Machine {
    let config = GroupConfig {
        offset_metadata_bytes_max: 4,
        offsets_retention_ms: 1000,
        offsets_retention_check_interval_ms: 100,
        ..GroupConfig::default()
    };
    let mut machine = Coordinator::new(CoordinatorConfig::default());
    let epoch = LeaderEpoch::new(epoch);
    machine.elect(epoch, GroupShard::new(Arc::new(config), Arc::new(NoTopics)));
    assert!(matches!(machine.poll_output(), Some(Output::Load { .. })), "an election asks for a load");
    for (offset, entry) in (0..).zip(log) {
        machine.replay(now(now_ms), epoch, Offset::new(offset), entry.clone()).unwrap();
    }
    let end = Offset::new(log.len() as u64);
    machine.loaded(now(now_ms), epoch, end);
    machine.commit(epoch, end);
    assert!(machine.poll_output().is_none(), "a load of offsets asks for nothing");
    machine
}

/// All that a group has committed, stable or not.
fn fetch_all(machine: &mut Machine, now_ms: u64, group: &str) -> Vec<String> {
    let fetches = [false, true].map(|require_stable| {
        let fetch = OffsetFetch { group, member: None, member_epoch: -1, topics: None, require_stable };
        machine.handle(now(now_ms), Token(u64::MAX), Request::OffsetFetch(fetch));
        let Some(Output::Reply(Reply { response, .. })) = machine.poll_output() else { panic!("no answer") };
        show_response(&response)
    });
    fetches.to_vec()
}

/// `topic:0,1`.
fn partitions(word: &str) -> (&str, Vec<PartitionIndex>) {
    let (topic, partitions) = word.split_once(':').unwrap();
    (topic, partitions.split(',').map(partition).collect())
}

/// `topic:0=5`, `topic:0=5@2`, `topic:0=5/text`.
fn offset_to_commit(word: &str) -> OffsetToCommit<'_> {
    let (place, value) = word.split_once('=').unwrap();
    let (topic, index) = place.split_once(':').unwrap();
    let (value, metadata) = value.split_once('/').unwrap_or((value, ""));
    let (offset, leader_epoch) = value.split_once('@').unwrap_or((value, ""));
    OffsetToCommit {
        topic: Arc::from(topic),
        topic_id: None,
        partition: partition(index),
        offset: Offset::new(offset.parse().unwrap()),
        leader_epoch: (!leader_epoch.is_empty()).then(|| LeaderEpoch::new(leader_epoch.parse().unwrap())),
        metadata: Cow::Borrowed(metadata),
    }
}

fn partition(word: &str) -> PartitionIndex {
    PartitionIndex::new(word.parse().unwrap())
}

fn producer_id(word: &str) -> ProducerId {
    ProducerId::new(word.parse().unwrap())
}

fn show_record(record: &GroupRecord) -> String {
    if let GroupRecord::Classic { group, value: None } = record {
        return format!("{group} deleted");
    }
    let GroupRecord::Offset { group, topic, partition, value } = record else { return format!("{record:?}") };
    let Some(value) = value else { return format!("{group} {topic}:{partition} deleted") };
    let mut text = format!("{group} {topic}:{partition}={}", value.offset);
    if let Some(epoch) = value.leader_epoch {
        write!(text, "@{epoch}").unwrap();
    }
    if !value.metadata.is_empty() {
        write!(text, "/{}", value.metadata).unwrap();
    }
    write!(text, ", committed at {}", value.commit_timestamp.value()).unwrap();
    if let Some(expires) = value.expire_timestamp {
        write!(text, ", expires at {}", expires.value()).unwrap();
    }
    text
}

fn show_response(response: &Response) -> String {
    match response {
        Response::OffsetCommit(codes) => format!("committed: {codes:?}"),
        Response::OffsetFetch(fetched) => {
            let topics = fetched.topics.iter();
            let topics =
                topics.flat_map(|(topic, offsets)| offsets.iter().map(move |offset| show_offset(topic, offset)));
            show(fetched.error, "fetched", &topics.collect::<Vec<_>>())
        }
        Response::OffsetDelete(deleted) => {
            let topics = deleted.topics.iter().flat_map(|(topic, partitions)| {
                partitions.iter().map(move |(partition, error)| format!("{topic}:{partition} {error:?}"))
            });
            show(deleted.error, "deleted", &topics.collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

fn show(error: ErrorCode, what: &str, parts: &[String]) -> String {
    if error == ErrorCode::None { format!("{what}: {}", parts.join(" ")) } else { format!("{what}: {error:?}") }
}

fn show_offset(topic: &str, fetched: &FetchedOffset) -> String {
    let FetchedOffset { partition, offset, leader_epoch, metadata, error } = fetched;
    let mut text = format!("{topic}:{partition}");
    match offset {
        Some(offset) => write!(text, "={offset}").unwrap(),
        None => text.push_str("=none"),
    }
    if let Some(epoch) = leader_epoch {
        write!(text, "@{epoch}").unwrap();
    }
    if !metadata.is_empty() {
        write!(text, "/{metadata}").unwrap();
    }
    if *error != ErrorCode::None {
        write!(text, "({error:?})").unwrap();
    }
    text
}

#[test]
fn offsets_scripts() {
    run_file("testdata/offsets.txt", || {
        let mut world = World::new();
        Box::new(move |line: &str| world.run(line)) as Runner
    });
}
