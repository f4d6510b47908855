//! The files that the running broker leaves, judged from outside.
//!
//! Batches are produced into the real binary over a socket; it is stopped; and its partition directory is
//! held against the batches that were sent, against what `highwater log dump` prints, and against indexes
//! that the few lines of `model` compute from the bytes of the `.log` files alone.

#[path = "../clients/broker.rs"]
mod broker;
#[path = "../wire_replay/connection.rs"]
mod connection;
mod model;
mod partition;
mod workload;

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use broker::Broker;
use partition::{Segment, segments};
use workload::{Sent, TOPIC, Workload};

#[test]
fn a_partition_is_dumped_and_read_back_equal() {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let data = dir.path().join("data");
    let sent = write(&data, &Workload::default());

    let partition = data.join(format!("{TOPIC}-0"));
    let stored: Vec<u8> = segments(&partition).iter().flat_map(|segment| segment.log.clone()).collect();
    let expected: Vec<u8> = sent.iter().flat_map(|batch| batch.stored.clone()).collect();
    assert!(stored == expected, "{} bytes are stored, {} were sent", stored.len(), expected.len());

    let dumped = dump(&partition);
    assert_eq!(dumped.len(), sent.len());
    for (line, batch) in dumped.iter().zip(&sent) {
        batch.assert_dumped(line);
    }

    let broker = Broker::start(&data);
    assert!(workload::fetch_all(broker.address()) == expected, "the restarted broker reads other bytes");
    broker.end(Signal::SIGTERM);
}

#[test]
fn indexes_are_those_that_the_rules_give() {
    for index_interval_bytes in [0, 300, 4096] {
        let dir = tempfile::tempdir().expect("a temporary directory can be created");
        let data = dir.path().join("data");
        write(&data, &Workload { index_interval_bytes });

        let segments = segments(&data.join(format!("{TOPIC}-0")));
        assert!(2 < segments.len(), "only {} segments", segments.len());
        let mut entries = 0;
        for Segment { base, log, index, time_index } in &segments {
            let expected = model::indexes(*base, log, index_interval_bytes);
            entries += expected.offset.len() / model::OFFSET_ENTRY_SIZE;
            let name = format!("segment {base}, interval {index_interval_bytes}");
            assert_same_entries(index, &expected.offset, model::OFFSET_ENTRY_SIZE, &name);
            assert_same_entries(time_index, &expected.time, model::TIME_ENTRY_SIZE, &name);
        }
        assert!(300 < entries, "only {entries} entries");
    }
}

fn assert_same_entries(stored: &[u8], expected: &[u8], entry_size: usize, name: &str) {
    let pairs = stored.chunks(entry_size).zip(expected.chunks(entry_size)).enumerate();
    for (entry, (stored, expected)) in pairs {
        assert_eq!(stored, expected, "{name}, entry {entry} of {entry_size} bytes");
    }
    assert_eq!(stored.len(), expected.len(), "{name}, entries of {entry_size} bytes");
}

/// Runs the broker on an empty directory, sends the workload, and stops it cleanly.
fn write(data: &Path, workload: &Workload) -> Vec<Sent> {
    let broker = Broker::start(data);
    let sent = workload.send(broker.address());
    broker.end(Signal::SIGTERM);
    sent
}

fn dump(partition: &Path) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["log", "dump"])
        .arg(partition)
        .args(["-o", "json"])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}
