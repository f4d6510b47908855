//! `highwater log compact`: a compacted copy, the original untouched.

use std::fs;
use std::path::Path;

use highwater_log::{AppendOrigin, AppendSet, Log, LogConfig, OpenOptions, RealDisk};
use highwater_records::{BatchBuilder, BatchOptions};
use highwater_types::{LeaderEpoch, TimestampMs};
use serde_json::Value;

use crate::process::highwater;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A log of two segments, in which each of three keys comes ten times in each; the last key ends deleted.
fn write_log(dir: &Path) {
    let config = LogConfig::default().checked().unwrap();
    let mut log = Log::open(RealDisk::shared(), dir, config, OpenOptions::unclean(NOW)).unwrap();
    for round in 0..20 {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for key in ["a", "b", "c"] {
            let value = format!("{key}{round}");
            let is_deleted = key == "c" && round == 9;
            builder.append(NOW.value(), Some(key.as_bytes()), (!is_deleted).then_some(value.as_bytes()), &[]).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        let mut sets = [AppendSet::new(&mut batch, AppendOrigin::Client)];
        log.append_as_leader(&mut sets, LeaderEpoch::ZERO, NOW).unwrap();
        sets[0].take_result().unwrap();
        if round == 9 {
            log.roll(NOW).unwrap();
        }
    }
    log.close(NOW).unwrap();
}

/// Keys and values in a directory, as `log dump` has them.
fn records(dir: &Path) -> usize {
    let output = highwater(&["log", "dump", dir.to_str().unwrap(), "-o", "json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let count = |line: &str| serde_json::from_str::<Value>(line).unwrap()["records"].as_array().unwrap().len();
    lines.lines().map(count).sum()
}

#[test]
fn closed_segments_of_a_copy_are_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let (log, out) = (dir.path().join("t-0"), dir.path().join("out"));
    write_log(&log);
    let before = fs::read(log.join("00000000000000000000.log")).unwrap();
    let now = NOW.value().to_string();
    let run = |out: &Path, more: &[&str]| {
        let fixed = ["log", "compact", log.to_str().unwrap(), "--out", out.to_str().unwrap(), "--now", &now];
        let output = highwater(&[&fixed, more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said: Value = serde_json::from_str(&run(&out, &["-o", "json"])).unwrap();
    assert_eq!((&said["keys"], &said["records_read"], &said["records_written"]), (&3.into(), &30.into(), &3.into()));
    assert_eq!(said["first_dirty"], 30);
    assert_eq!(records(&out), 3 + 30, "the last segment is being written, as it were");
    let verified = highwater(&["log", "verify", out.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&verified.stdout));
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".deleted")), "{left:?}");

    // The last segment too; and a tombstone only as long as it is wanted.
    let said = run(&dir.path().join("all"), &["--roll"]);
    assert!(said.contains("records   60 -> 3\n") && said.contains("clean up to offset 60\n"), "{said}");
    assert_eq!(records(&dir.path().join("all")), 3);
    assert_eq!(fs::read(log.join("00000000000000000000.log")).unwrap(), before);
    assert_eq!(records(&log), 60);
}

#[test]
fn a_directory_with_something_in_it_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("t-0");
    write_log(&log);
    let output = highwater(&["log", "compact", log.to_str().unwrap(), "--out", log.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8(output.stderr).unwrap().contains("it is not empty\n  try: give a new directory"));
}
