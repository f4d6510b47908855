//! Compacted topics get compacted while they are in use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use highwater_records::{BatchBuilder, BatchOptions, RecordSet};
use highwater_types::ErrorCode;

use crate::common::{Client, TestBroker};
use crate::configs::{TOPIC, incremental};

/// Looks again and again until `look` finds something.
fn wait_for(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "{what}");
    }
}

fn broker() -> TestBroker {
    TestBroker::start_with(&[
        ("log.cleaner.backoff.ms", "10"),
        ("replica.high.watermark.checkpoint.interval.ms", "20"),
        ("log.flush.offset.checkpoint.interval.ms", "20"),
    ])
}

/// A topic whose every record is later than the one before by more than a segment may span.
const CONFIGS: [(&str, &str); 3] = [("cleanup.policy", "compact"), ("segment.ms", "1"), ("file.delete.delay.ms", "0")];

fn create(client: &mut Client, topic: &str, ratio: &str) {
    client.create_topic(topic, 1, &[&CONFIGS[..], &[("min.cleanable.dirty.ratio", ratio)]].concat());
}

/// Produces one record for each key.
fn produce(client: &mut Client, topic: &str, keys: &[&str]) {
    for key in keys {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        let next = read(client, topic).last().map_or(0, |last| last + 1);
        builder.append(1_000_000 + next * 1_000, Some(key.as_bytes()), Some(b"value"), &[]).unwrap();
        assert_eq!(client.produce(topic, &builder.finish().unwrap()).0, ErrorCode::None);
    }
}

/// The offsets of all records, over all segments.
fn read(client: &mut Client, topic: &str) -> Vec<i64> {
    let (mut offsets, mut next) = (Vec::new(), 0);
    loop {
        let fetched = client.fetch(topic, next);
        assert_eq!(fetched.error, ErrorCode::None);
        let Some(last) = RecordSet::new(&fetched.records).entries().map(|entry| entry.unwrap().last_offset()).last()
        else {
            return offsets;
        };
        offsets.extend(fetched.offsets());
        next = last + 1;
    }
}

fn files(broker: &TestBroker, topic: &str) -> Vec<PathBuf> {
    let dir = broker.directory().join(format!("{topic}-0"));
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn superseded_records_go_old_files_too_and_the_checkpoint_says_so() {
    let mut broker = broker();
    let mut client = broker.client();
    create(&mut client, "t", "0");
    produce(&mut client, "t", &["a", "b", "a", "c", "b", "d"]);
    // d is in the active segment.
    wait_for("the topic is compacted", || read(&mut client, "t") == [2, 3, 4, 5]);
    let checkpoint = broker.directory().join("cleaner-offset-checkpoint");
    wait_for("the checkpoint is written", || {
        std::fs::read_to_string(&checkpoint).is_ok_and(|text| text.lines().any(|line| line == "t 0 5"))
    });
    wait_for("replaced files are unlinked", || {
        files(&broker, "t").iter().all(|path| path.extension().is_none_or(|extension| extension != "deleted"))
    });
    broker.restart();
    let mut client = broker.client();
    assert_eq!(read(&mut client, "t"), [2, 3, 4, 5]);
    produce(&mut client, "t", &["d", "a"]);
    wait_for("it goes on after a restart", || read(&mut client, "t") == [2, 3, 4, 6, 7]);
}

#[test]
fn a_changed_ratio_takes_effect_on_the_live_topic() {
    let broker = broker();
    let mut client = broker.client();
    create(&mut client, "never", "1");
    create(&mut client, "at-once", "0");
    for topic in ["never", "at-once"] {
        produce(&mut client, topic, &["a", "a", "b"]);
    }
    wait_for("the dirty topic is compacted", || read(&mut client, "at-once") == [1, 2]);
    assert_eq!(read(&mut client, "never"), [0, 1, 2], "no log is dirtier than all of it");
    assert_eq!(
        incremental(&mut client, TOPIC, "never", &[("min.cleanable.dirty.ratio", 0, Some("0.5"))]),
        ErrorCode::None
    );
    wait_for("the other one follows", || read(&mut client, "never") == [1, 2]);
}

#[test]
fn a_damaged_partition_is_set_aside_and_the_others_go_on() {
    let broker = broker();
    let mut client = broker.client();
    create(&mut client, "bad", "1");
    create(&mut client, "good", "0");
    produce(&mut client, "bad", &["a", "a", "b"]);
    let first = files(&broker, "bad").into_iter().find(|path| path.ends_with("00000000000000000000.log")).unwrap();
    let mut bytes = std::fs::read(&first).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    assert_eq!(incremental(&mut client, TOPIC, "bad", &[("min.cleanable.dirty.ratio", 0, Some("0"))]), ErrorCode::None);
    for round in 0..3 {
        produce(&mut client, "good", &["a", "a", "b"]);
        let kept = [[1 + 3 * round], [2 + 3 * round]].concat();
        wait_for("the good one is compacted again and again", || read(&mut client, "good").ends_with(&kept));
    }
    let fetched = client.fetch("bad", 0);
    assert_eq!((fetched.error, fetched.records), (ErrorCode::None, bytes), "nothing of it has changed");
    assert_eq!(client.fetch("bad", 1).offsets(), [1]);
}

#[test]
fn no_thread_means_no_compaction() {
    let broker = TestBroker::start_with(&[("log.cleaner.threads", "0"), ("log.cleaner.backoff.ms", "1")]);
    let mut client = broker.client();
    create(&mut client, "t", "0");
    produce(&mut client, "t", &["a", "a", "b"]);
    // Much longer than a thread would wait before its pass.
    for _ in 0..200 {
        assert_eq!(read(&mut client, "t"), [0, 1, 2]);
    }
}
