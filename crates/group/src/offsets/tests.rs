//! Tests of the committed offsets.

use std::collections::{BTreeMap, BTreeSet};

use highwater_coordinator::TransactionOutcome::{Abort, Commit};
use highwater_types::TimestampMs;
use proptest::prelude::*;

use super::*;

/// Applies what a test wants, each record behind the one before.
#[derive(Default)]
struct Log {
    offsets: Offsets,
    end: u64,
}

impl Log {
    fn next(&mut self) -> Offset {
        self.end += 1;
        Offset::new(self.end - 1)
    }

    fn commit(&mut self, group: &str, topic: &str, partition: u32, offset: u64) {
        self.commit_at(group, topic, partition, offset, 0);
    }

    fn commit_at(&mut self, group: &str, topic: &str, partition: u32, offset: u64, ms: i64) {
        let at = self.next();
        let partition = PartitionIndex::new(partition);
        self.offsets.apply(Arc::from(group), Arc::from(topic), partition, at, Some(committed(offset, ms)));
    }

    fn delete(&mut self, group: &str, topic: &str, partition: u32) {
        let at = self.next();
        self.offsets.apply(Arc::from(group), Arc::from(topic), PartitionIndex::new(partition), at, None);
    }

    fn pend(&mut self, producer: u64, group: &str, topic: &str, partition: u32, offset: u64) {
        let at = self.next();
        let (producer, epoch) = (ProducerId::new(producer), ProducerEpoch::new(0));
        let partition = PartitionIndex::new(partition);
        let value = committed(offset, 0);
        self.offsets.apply_pending(producer, epoch, Arc::from(group), Arc::from(topic), partition, at, value);
    }

    fn end(&mut self, producer: u64, outcome: TransactionOutcome) {
        self.next();
        self.offsets.apply_marker(ProducerId::new(producer), ProducerEpoch::new(0), outcome);
    }

    fn offset(&self, group: &str, topic: &str, partition: u32) -> Option<u64> {
        self.fetch(group, topic, partition, false).offset.map(Offset::value)
    }

    fn fetch(&self, group: &str, topic: &str, partition: u32, require_stable: bool) -> FetchedOffset {
        let topics = [(topic, vec![PartitionIndex::new(partition)])];
        let mut fetched = self.offsets.fetch(group, Some(&topics), require_stable);
        assert_eq!((fetched.len(), &*fetched[0].0), (1, topic));
        fetched.remove(0).1.remove(0)
    }

    fn groups(&self) -> Vec<&str> {
        self.offsets.groups().map(|group| &**group).collect()
    }

    /// One part of a walk, whose records are applied, or are lost.
    fn clean(&mut self, now_ms: i64, is_appended: bool) -> (Vec<(String, String, u32)>, Progress) {
        let mut records = Vec::new();
        let progress = self.offsets.clean(&BTreeMap::new(), TimestampMs(now_ms), RETENTION_MS, &mut records);
        let mut deleted = Vec::new();
        for record in records {
            let GroupRecord::Offset { group, topic, partition, value: None } = record else { panic!("{record:?}") };
            deleted.push((group.to_string(), topic.to_string(), partition.value()));
            if is_appended {
                self.delete(&group, &topic, partition.value());
            }
        }
        (deleted, progress)
    }
}

const RETENTION_MS: i64 = 100;

fn committed(offset: u64, ms: i64) -> CommittedOffset {
    CommittedOffset {
        offset: Offset::new(offset),
        leader_epoch: None,
        metadata: Arc::default(),
        commit_timestamp: TimestampMs(ms),
        expire_timestamp: None,
        topic_id: None,
    }
}

fn key(group: &str, topic: &str, partition: u32) -> (String, String, u32) {
    (group.to_owned(), topic.to_owned(), partition)
}

#[test]
fn the_last_commit_counts() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 5);
    log.commit("g", "t", 0, 3);
    assert_eq!(log.offset("g", "t", 0), Some(3));
    log.delete("g", "t", 0);
    assert_eq!(log.offset("g", "t", 0), None);
}

#[test]
fn groups_share_the_names_of_topics() {
    let mut log = Log::default();
    log.commit("a", "t", 0, 1);
    log.commit("b", "t", 0, 1);
    let name = |group| log.offsets.fetch(group, None, false).remove(0).0;
    assert!(Arc::ptr_eq(&name("a"), &name("b")));
}

#[test]
fn nothing_is_left_of_a_group_whose_offsets_are_deleted() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.commit("g", "t", 1, 1);
    log.delete("g", "t", 0);
    assert!(log.offsets.has_offsets("g"));
    log.delete("g", "t", 1);
    assert!(!log.offsets.has_offsets("g"));
    assert!(!log.offsets.names.contains("t"));
}

#[test]
fn an_offset_in_a_transaction_counts_once_that_is_committed() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.pend(7, "g", "t", 0, 2);
    log.pend(7, "g", "t", 0, 3);
    assert_eq!(log.offset("g", "t", 0), Some(1));
    log.end(7, Commit);
    assert_eq!(log.offset("g", "t", 0), Some(3));
    log.pend(7, "g", "t", 0, 4);
    log.end(7, Abort);
    assert_eq!(log.offset("g", "t", 0), Some(3));
    log.end(7, Commit);
    assert_eq!(log.offset("g", "t", 0), Some(3), "what was aborted stays so");
}

#[test]
fn a_marker_ends_what_its_producer_has_pending_alone() {
    let mut log = Log::default();
    log.pend(1, "g", "t", 0, 10);
    log.pend(2, "g", "t", 0, 20);
    log.pend(2, "g", "t", 1, 21);
    log.end(1, Commit);
    assert_eq!((log.offset("g", "t", 0), log.offset("g", "t", 1)), (Some(10), None));
    log.end(2, Commit);
    assert_eq!((log.offset("g", "t", 0), log.offset("g", "t", 1)), (Some(20), Some(21)));
}

#[test]
fn a_marker_does_not_bring_back_what_is_older_than_the_last_commit() {
    let mut log = Log::default();
    log.pend(1, "g", "t", 0, 10);
    log.commit("g", "t", 0, 11);
    log.end(1, Commit);
    assert_eq!(log.offset("g", "t", 0), Some(11));
}

#[test]
fn a_deleted_offset_is_not_brought_back_by_a_marker() {
    let mut log = Log::default();
    log.pend(1, "g", "t", 0, 10);
    log.pend(1, "g", "t", 1, 11);
    log.delete("g", "t", 0);
    log.end(1, Commit);
    assert_eq!((log.offset("g", "t", 0), log.offset("g", "t", 1)), (None, Some(11)));
}

#[test]
fn what_an_open_transaction_may_change_is_unstable() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.pend(1, "g", "t", 0, 2);
    log.pend(1, "g", "t", 1, 2);
    for partition in [0, 1] {
        let fetched = log.fetch("g", "t", partition, true);
        let expected = FetchedOffset {
            error: ErrorCode::UnstableOffsetCommit,
            ..FetchedOffset::none(PartitionIndex::new(partition))
        };
        assert_eq!(fetched, expected);
        assert_eq!(log.fetch("g", "t", partition, false).error, ErrorCode::None);
    }
    assert_eq!(log.offsets.fetch("g", None, true)[0].1[0].error, ErrorCode::UnstableOffsetCommit);
    log.end(1, Abort);
    assert_eq!(log.fetch("g", "t", 0, true).offset, Some(Offset::new(1)));
}

#[test]
fn groups_with_pending_offsets_alone_are_known() {
    let mut log = Log::default();
    log.commit("b", "t", 0, 1);
    log.commit("d", "t", 0, 1);
    for group in ["a", "b", "c", "e"] {
        log.pend(1, group, "t", 0, 2);
    }
    assert_eq!(log.groups(), ["a", "b", "c", "d", "e"]);
    assert!(log.offsets.has_offsets("a"));
    assert!(log.offsets.knows("a", "t", PartitionIndex::new(0)));
    log.end(1, Abort);
    assert_eq!(log.groups(), ["b", "d"]);
}

#[test]
fn deleting_a_group_deletes_committed_and_pending_offsets_once() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.commit("g", "t", 1, 1);
    log.pend(1, "g", "t", 1, 2);
    log.pend(1, "g", "u", 0, 2);
    log.commit("h", "t", 0, 1);
    let mut records = Vec::new();
    log.offsets.delete_group("g", &mut records);
    let (g, t, u) = (Arc::from("g"), Arc::from("t"), Arc::from("u"));
    let partition = PartitionIndex::new;
    let expected = [tombstone(&g, &t, partition(0)), tombstone(&g, &t, partition(1)), tombstone(&g, &u, partition(0))];
    assert_eq!(records, expected);
}

#[test]
fn a_walk_deletes_what_has_expired() {
    let mut log = Log::default();
    log.commit_at("a", "t", 0, 1, 0);
    log.commit_at("a", "t", 1, 1, 1);
    log.commit_at("b", "t", 0, 1, 0);
    assert_eq!(log.clean(99, true), (vec![], Progress::Done));
    assert_eq!(log.clean(100, true), (vec![key("a", "t", 0), key("b", "t", 0)], Progress::Done));
    assert_eq!(log.groups(), ["a"]);
}

#[test]
fn a_pending_offset_keeps_the_committed_one() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.pend(1, "g", "t", 0, 2);
    assert_eq!(log.clean(1000, true), (vec![], Progress::Done));
    log.end(1, Abort);
    assert_eq!(log.clean(1000, true), (vec![key("g", "t", 0)], Progress::Done));
}

/// Groups of all sizes, so that parts end between groups and inside of them.
fn many() -> (Log, usize) {
    let mut log = Log::default();
    let mut count = 0;
    for (group, partitions) in [("a", 10), ("b", 2500), ("c", 1), ("d", 989), ("e", 1000), ("f", 3)] {
        for partition in 0..partitions {
            log.commit(group, if partition % 2 == 0 { "even" } else { "odd" }, partition, 1);
            count += 1;
        }
    }
    (log, count)
}

#[test]
fn a_part_of_a_walk_fits_a_batch() {
    let (mut log, count) = many();
    let (mut deleted, mut parts) = (BTreeSet::new(), 0);
    loop {
        let (part, progress) = log.clean(1000, true);
        assert!(part.len() <= 1000, "{} records at once", part.len());
        deleted.extend(part);
        parts += 1;
        if progress == Progress::Done {
            break;
        }
        assert_eq!(progress, Progress::Stopped);
    }
    assert_eq!(deleted.len(), count);
    assert_eq!(parts, count.div_ceil(1000));
    assert_eq!(log.groups(), [""; 0]);
}

#[test]
fn a_part_of_a_walk_is_small_even_if_names_are_long() {
    let mut log = Log::default();
    let group = "g".repeat(30_000);
    for partition in 0..100 {
        log.commit(&group, "t", partition, 1);
    }
    let (part, progress) = log.clean(1000, true);
    assert_eq!((part.len(), progress), (9, Progress::Stopped));
}

#[test]
fn a_walk_ends_even_if_nothing_is_deleted() {
    let (mut log, count) = many();
    let mut asked = Vec::new();
    for _ in 0..=count.div_ceil(1000) {
        asked.extend(log.clean(1000, false).0);
        if log.offsets.walk.is_none() {
            break;
        }
    }
    assert_eq!(asked.len(), count, "each is asked for once");
    assert_eq!(asked.into_iter().collect::<BTreeSet<_>>().len(), count);
    assert!(log.offsets.walk.is_none(), "the walk is over");
}

#[test]
fn a_part_of_a_walk_looks_at_a_bounded_number_of_offsets() {
    let mut log = Log::default();
    for partition in 0..50_000 {
        log.commit("g", "t", partition, 1);
    }
    let parts: Vec<_> = (0..3).map(|_| log.clean(0, true)).collect();
    let stopped = (vec![], Progress::Stopped);
    assert_eq!(parts, [stopped.clone(), stopped, (vec![], Progress::Done)]);
}

#[test]
fn offsets_of_deleted_topics_go() {
    let mut log = Log::default();
    for (group, topic) in [("a", "gone"), ("a", "here"), ("b", "gone")] {
        log.commit(group, topic, 0, 1);
    }
    assert!(!log.offsets.topics_deleted(&[Arc::from("unknown")]), "nothing to do");
    assert!(log.offsets.topics_deleted(&[Arc::from("gone"), Arc::from("unknown")]));
    assert_eq!(log.clean(0, true), (vec![key("a", "gone", 0), key("b", "gone", 0)], Progress::Again));
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
    assert_eq!(log.groups(), ["a"]);
}

#[test]
fn what_is_committed_for_a_topic_that_was_made_anew_stays() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    log.commit("g", "t", 1, 1);
    assert!(log.offsets.topics_deleted(&[Arc::from("t")]));
    log.commit("g", "t", 1, 2);
    assert_eq!(log.clean(0, true), (vec![key("g", "t", 0)], Progress::Again));
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
    assert_eq!(log.offset("g", "t", 1), Some(2));
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
}

#[test]
fn offsets_of_deleted_topics_are_looked_for_until_they_are_gone() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    assert!(log.offsets.topics_deleted(&[Arc::from("t")]));
    let found = (vec![key("g", "t", 0)], Progress::Again);
    assert_eq!(log.clean(0, false), found);
    assert_eq!(log.clean(0, false), found, "its deletion was lost");
    assert_eq!(log.clean(0, true), found);
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
}

#[test]
fn a_topic_that_goes_during_a_walk_is_looked_for_in_the_next() {
    let mut log = Log::default();
    log.commit("a", "t", 0, 1);
    for partition in 0..30_000 {
        log.commit("b", "u", partition, 1);
    }
    assert_eq!(log.clean(0, true), (vec![], Progress::Stopped));
    assert!(log.offsets.topics_deleted(&[Arc::from("t")]));
    assert_eq!(log.clean(0, true), (vec![], Progress::Again));
    assert_eq!(log.clean(0, true), (vec![key("a", "t", 0)], Progress::Stopped));
}

#[test]
fn pending_offsets_of_deleted_topics_go() {
    let mut log = Log::default();
    log.pend(1, "g", "t", 0, 1);
    log.pend(1, "g", "u", 0, 1);
    assert!(log.offsets.topics_deleted(&[Arc::from("t")]));
    assert_eq!(log.clean(0, true), (vec![key("g", "t", 0)], Progress::Again));
    log.end(1, Commit);
    assert_eq!((log.offset("g", "t", 0), log.offset("g", "u", 0)), (None, Some(1)));
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
}

#[test]
fn a_transaction_on_a_topic_that_was_made_anew_is_not_hurt() {
    let mut log = Log::default();
    log.commit("g", "t", 0, 1);
    assert!(log.offsets.topics_deleted(&[Arc::from("t")]));
    log.pend(1, "g", "t", 0, 2);
    log.pend(1, "g", "t", 1, 3);
    assert_eq!(log.clean(0, true), (vec![], Progress::Again));
    log.end(1, Commit);
    assert_eq!(log.clean(0, true), (vec![], Progress::Done));
    assert_eq!((log.offset("g", "t", 0), log.offset("g", "t", 1)), (Some(2), Some(3)));
}

#[derive(Clone, Debug)]
enum Op {
    Commit(u64),
    Delete,
    Pend(u64, u64),
    End(u64, bool),
}

fn op() -> impl Strategy<Value = (Op, usize, usize, u32)> {
    let op = prop_oneof![
        4 => (0..9_u64).prop_map(Op::Commit),
        2 => Just(Op::Delete),
        4 => (0..3_u64, 0..9_u64).prop_map(|(producer, offset)| Op::Pend(producer, offset)),
        2 => (0..3_u64, any::<bool>()).prop_map(|(producer, commit)| Op::End(producer, commit)),
    ];
    (op, 0..3_usize, 0..3_usize, 0..3_u32)
}

/// Group, topic and partition.
type Place = (usize, usize, u32);
/// Where it lies in the log, and the offset.
type Value = (u64, u64);

/// What the log says, searched from its beginning for each question.
#[derive(Default)]
struct Model {
    committed: BTreeMap<Place, Value>,
    /// Each with its producer.
    pending: Vec<(u64, Place, Value)>,
}

impl Model {
    fn apply(&mut self, at: u64, op: &Op, key: Place) {
        match *op {
            Op::Commit(offset) => {
                self.committed.insert(key, (at, offset));
            }
            Op::Delete => {
                self.committed.remove(&key);
                self.pending.retain(|(_, pending, _)| *pending != key);
            }
            Op::Pend(producer, offset) => self.pending.push((producer, key, (at, offset))),
            Op::End(producer, is_committed) => {
                let ended = self.pending.extract_if(.., |(owner, _, _)| *owner == producer);
                for (_, key, value) in ended.filter(|_| is_committed) {
                    let known = self.committed.entry(key).or_insert(value);
                    *known = value.max(*known);
                }
            }
        }
    }
}

const GROUPS: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 3] = ["t", "u", "v"];

proptest! {
    #[test]
    fn like_a_log_that_is_searched(ops in prop::collection::vec(op(), 0..60)) {
        let (mut log, mut model) = (Log::default(), Model::default());
        for (op, group, topic, partition) in ops {
            model.apply(log.end, &op, (group, topic, partition));
            match op {
                Op::Commit(offset) => log.commit(GROUPS[group], TOPICS[topic], partition, offset),
                Op::Delete => log.delete(GROUPS[group], TOPICS[topic], partition),
                Op::Pend(producer, offset) => log.pend(producer, GROUPS[group], TOPICS[topic], partition, offset),
                Op::End(producer, is_committed) => log.end(producer, if is_committed { Commit } else { Abort }),
            }
            for (group, topic, partition) in (0..27).map(|at| (at / 9, at / 3 % 3, (at % 3) as u32)) {
                let key = (group, topic, partition);
                let expected = model.committed.get(&key).map(|(_, offset)| *offset);
                prop_assert_eq!(log.offset(GROUPS[group], TOPICS[topic], partition), expected);
                let is_pending = model.pending.iter().any(|(_, pending, _)| *pending == key);
                let is_unstable = log.fetch(GROUPS[group], TOPICS[topic], partition, true).error != ErrorCode::None;
                prop_assert_eq!(is_unstable, is_pending);
            }
            let pending = model.pending.iter().map(|(_, key, _)| key);
            let groups: BTreeSet<_> = model.committed.keys().chain(pending).map(|key| GROUPS[key.0]).collect();
            prop_assert_eq!(log.groups(), groups.into_iter().collect::<Vec<_>>());
            let topics: BTreeSet<_> = model.committed.keys().map(|key| TOPICS[key.1]).collect();
            for topic in TOPICS {
                prop_assert_eq!(log.offsets.names.contains(topic), topics.contains(topic));
            }
        }
    }
}
