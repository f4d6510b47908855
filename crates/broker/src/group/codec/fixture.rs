//! A segment of `__consumer_offsets` that Apache Kafka has written, and what Kafka said of it: see
//! `testdata/consumer_offsets/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use highwater_coordinator::{Entry, Now, Shard as _, Step, Ticks, Token, TransactionOutcome};
use highwater_group::{GroupConfig, GroupRecord, GroupShard, GroupType, OffsetFetch, Request, Response, Topics};
use highwater_records::{ControlType, DecompressLimit, RecordSet};
use highwater_types::{ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs, TopicId};
use highwater_wire::records_schema::decode_versioned;
use highwater_wire::records_schema::embedded::ConsumerProtocolAssignment;

use super::{decode, encode};

/// One entry of the segment: its offset, and for a record its bytes and what they say.
struct Found {
    offset: Offset,
    bytes: Option<(Vec<u8>, Option<Vec<u8>>)>,
    entry: Entry<GroupRecord>,
}

fn segment() -> Vec<Found> {
    let bytes = fs::read(path("kafka-4.3.0.log")).unwrap();
    let mut found = Vec::new();
    for batch in RecordSet::new(&bytes).entries() {
        let highwater_records::Entry::Batch(batch) = batch.unwrap() else { panic!("Kafka 4 writes batches") };
        let header = batch.header();
        let producer = ProducerId::from_wire(header.producer_id());
        let epoch = ProducerEpoch::from_wire(header.producer_epoch());
        let mut records = batch.records(DecompressLimit::default()).unwrap();
        while let Some(record) = records.next_record().unwrap() {
            let (key, value) = (record.key.unwrap(), record.value);
            let offset = Offset::from_wire(record.offset).unwrap();
            if header.is_control() {
                let outcome = match ControlType::from_key(key) {
                    Some(ControlType::Commit) => TransactionOutcome::Commit,
                    Some(ControlType::Abort) => TransactionOutcome::Abort,
                    other => panic!("{other:?} in the offsets topic"),
                };
                let entry = Entry::Marker { producer: producer.unwrap(), epoch: epoch.unwrap(), outcome };
                found.push(Found { offset, bytes: None, entry });
                continue;
            }
            let decoded = decode(key, value).unwrap_or_else(|error| panic!("record {offset}: {error}"));
            let record = decoded.unwrap_or_else(|| panic!("record {offset} is of no group"));
            let entry = if header.is_transactional() {
                Entry::Transactional { producer: producer.unwrap(), epoch: epoch.unwrap(), record }
            } else {
                Entry::Record(record)
            };
            found.push(Found { offset, bytes: Some((key.to_vec(), value.map(<[u8]>::to_vec))), entry });
        }
    }
    found
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/consumer_offsets").join(name)
}

/// The rows of the tables that a tool printed for `command`, by the names of their columns. Empty cells are left out.
fn told(command: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path("kafka-4.3.0.txt")).unwrap();
    let lines = text.lines().skip_while(|line| *line != command).skip(1).take_while(|line| !line.starts_with("--"));
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with("GROUP ") {
            columns = line.split_whitespace().map(|name| (name, line.find(name).unwrap())).collect();
            continue;
        }
        let ends = columns.iter().skip(1).map(|(_, at)| *at).chain([usize::MAX]);
        let cells = columns.iter().zip(ends).filter_map(|((name, from), to)| {
            let cell = line.get(*from..to.min(line.len()))?.trim();
            (!cell.is_empty()).then(|| ((*name).to_owned(), cell.to_owned()))
        });
        rows.push(cells.collect());
    }
    assert!(!rows.is_empty(), "no table of {command}");
    rows
}

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

const NOW: Now = Now { ticks: Ticks(0), wall: TimestampMs(0) };

/// A shard that has read the segment.
fn loaded() -> GroupShard {
    let mut shard = GroupShard::new(Arc::new(GroupConfig::default()), Arc::new(NoTopics));
    for Found { offset, entry, .. } in segment() {
        shard.apply(NOW, offset, entry).unwrap_or_else(|error| panic!("record {offset}: {error}"));
    }
    shard
}

/// `topic:partition offset` of all that a group has committed; the code where that is not stable.
fn fetch(shard: &mut GroupShard, group: &str, require_stable: bool) -> BTreeSet<String> {
    let mut step = Step::default();
    let fetch = OffsetFetch { group, member: None, member_epoch: -1, topics: None, require_stable };
    shard.handle(NOW, Token(0), Request::OffsetFetch(fetch), &mut step);
    let Response::OffsetFetch(fetched) = step.replies.remove(0).response else { panic!("another answer") };
    let mut offsets = BTreeSet::new();
    for (topic, partitions) in fetched.topics {
        for found in partitions {
            let offset = found.offset.map_or_else(|| format!("{:?}", found.error), |offset| offset.to_string());
            offsets.insert(format!("{topic}:{} {offset}", found.partition));
        }
    }
    offsets
}

/// The last value of every key.
fn latest() -> Vec<GroupRecord> {
    let mut latest = BTreeMap::new();
    for Found { bytes, entry, .. } in segment() {
        match (bytes, entry) {
            (Some((key, Some(_))), Entry::Record(record)) => {
                latest.insert(key, record);
            }
            (Some((key, None)), _) => {
                latest.remove(&key);
            }
            _ => {}
        }
    }
    latest.into_values().collect()
}

/// What the offsets topic itself says of the names of topics.
fn topic_names() -> BTreeMap<TopicId, Arc<str>> {
    let mut names = BTreeMap::new();
    for Found { entry, .. } in segment() {
        if let Entry::Record(GroupRecord::Offset { topic, value: Some(value), .. }) = entry
            && let Some(id) = value.topic_id
        {
            names.insert(id, topic);
        }
    }
    names
}

/// `orders-audit:0;orders:0,1`, as the tool writes it.
fn show(partitions: &BTreeMap<Arc<str>, BTreeSet<i32>>) -> String {
    let topics = partitions.iter().map(|(topic, partitions)| {
        let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
        format!("{topic}:{}", partitions.join(","))
    });
    let mut topics: Vec<String> = topics.collect();
    topics.sort();
    topics.join(";")
}

#[test]
fn every_record_of_kafka_is_written_as_kafka_wrote_it() {
    let mut types = BTreeSet::new();
    for Found { offset, bytes, entry } in segment() {
        let (Some((key, value)), Entry::Record(record) | Entry::Transactional { record, .. }) = (bytes, entry) else {
            continue;
        };
        types.insert(key[1]);
        let (mut written_key, mut written_value) = (Vec::new(), Vec::new());
        let has_value = encode(&record, &mut written_key, &mut written_value).unwrap();
        assert_eq!(written_key, key, "key of record {offset}");
        assert_eq!(has_value.then_some(written_value), value, "value of record {offset}, {record:?}");
    }
    assert_eq!(types, BTreeSet::from([1, 2, 3, 4, 5, 6, 7, 8, 16]), "all types of records");
}

#[test]
fn offsets_of_kafka_are_those_that_kafka_tells() {
    let mut shard = loaded();
    let mut told_offsets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in told("--describe --all-groups --offsets --verbose") {
        if row["CURRENT-OFFSET"] != "-" {
            let offset = format!("{}:{} {}", row["TOPIC"], row["PARTITION"], row["CURRENT-OFFSET"]);
            told_offsets.entry(row["GROUP"].clone()).or_default().insert(offset);
        }
    }
    assert_eq!(told_offsets.len(), 8);
    for (group, offsets) in told_offsets {
        assert_eq!(fetch(&mut shard, &group, false), offsets, "{group}");
    }
    for gone in ["deleted", "deleted-consumer", "expired-dynamic"] {
        assert_eq!(fetch(&mut shard, gone, false), BTreeSet::new(), "{gone}");
    }
    let unstable = format!("orders:0 {:?}", ErrorCode::UnstableOffsetCommit);
    assert_eq!(fetch(&mut shard, "in-transaction", true), BTreeSet::from([unstable]));
    assert_eq!(fetch(&mut shard, "empty", true), fetch(&mut shard, "empty", false), "its transactions have ended");
}

#[test]
fn members_of_kafka_are_those_that_kafka_tells() {
    let names = topic_names();
    let records = latest();
    let assignment_of = |group: &str, member: &str| {
        records.iter().find_map(|record| match record {
            GroupRecord::ConsumerCurrent { group: other, member: owner, value: Some(value) }
                if **other == *group && **owner == *member =>
            {
                let topics = value.assigned.iter().map(|(id, partitions)| {
                    (Arc::clone(&names[id]), partitions.keys().map(|partition| partition.to_wire()).collect())
                });
                Some(show(&topics.collect()))
            }
            _ => None,
        })
    };
    let mut members = BTreeSet::new();
    let mut add = |group: &str, id: &str, instance: Option<&str>, host: &str, client: &str, assignment: &str| {
        members.insert([group, id, instance.unwrap_or("-"), host, client, assignment].map(str::to_owned));
    };
    for record in &records {
        match record {
            GroupRecord::Classic { group, value: Some(value) } => {
                for member in &value.members {
                    assert!(member.subscription.subscription.is_some(), "{group}: {member:?}");
                    let (_, assignment) =
                        decode_versioned::<ConsumerProtocolAssignment<'_>>(&member.assignment).unwrap();
                    let topics = assignment.assigned_partitions.iter();
                    let topics = topics.map(|topic| (Arc::from(&*topic.topic), topic.partitions.iter().collect()));
                    let instance = member.instance_id.as_deref();
                    add(group, &member.id, instance, &member.client_host, &member.client_id, &show(&topics.collect()));
                }
            }
            GroupRecord::ConsumerMember { group, member, value: Some(value) } => {
                let assignment = assignment_of(group, member).unwrap_or_default();
                let instance = value.instance_id.as_deref();
                add(group, member, instance, &value.client_host, &value.client_id, &assignment);
                let is_classic = &**group == "mixed" && &*value.client_id == "old";
                assert_eq!(value.classic.is_some(), is_classic, "{member}: {value:?}");
                let has_regex = &*value.client_id == "three";
                assert_eq!(value.topic_regex.as_deref(), has_regex.then_some("(^orders-.*)"));
            }
            _ => {}
        }
    }
    let cells = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "CURRENT-ASSIGNMENT"];
    let told = told("--describe --all-groups --members --verbose");
    let told = told.iter().map(|row| cells.map(|cell| row.get(cell).map_or("-", String::as_str).to_owned()));
    assert_eq!(members, told.collect());
}

#[test]
fn classic_groups_of_kafka_are_listed_as_kafka_lists_them() {
    let mut shard = loaded();
    let mut step = Step::default();
    let list = Request::List { states: Vec::new(), types: vec![GroupType::Classic] };
    shard.handle(NOW, Token(0), list, &mut step);
    let Response::List(Ok(listings)) = step.replies.remove(0).response else { panic!("another answer") };
    let listed = listings.iter().map(|listing| (listing.group.to_string(), format!("{:?}", listing.state)));
    let told = told("--list --state --type");
    let told = told.iter().filter(|row| row["TYPE"] == "Classic");
    let told = told.map(|row| (row["GROUP"].clone(), row["STATE"].clone()));
    assert_eq!(listed.collect::<BTreeSet<_>>(), told.collect());
}
