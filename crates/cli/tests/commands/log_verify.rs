//! `highwater log verify`: what it prints and how it exits.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, highwater};

const SEGMENT: &str = "00000000000000000000.log";

/// A log directory with one partition of one batch.
fn logs() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("meta.properties"), "version=1\ncluster.id=c\nnode.id=1\n").unwrap();
    let partition = dir.path().join("lines-0");
    fs::create_dir(&partition).unwrap();
    let batch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors/m2-none-create.bin");
    fs::copy(batch, partition.join(SEGMENT)).unwrap();
    fs::write(partition.join("00000000000000000000.index"), "").unwrap();
    fs::write(partition.join("00000000000000000000.timeindex"), "").unwrap();
    dir
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_sound_directory_is_summed_up() {
    let dir = logs();
    let output = highwater(&["log", "verify", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let printed = text(output.stdout);
    let last = printed.lines().last().unwrap();
    assert!(
        last.starts_with("sound: 1 partitions, 1 segments, ") && last.ends_with("; 0 damaged, 1 notes"),
        "{printed}"
    );
    assert!(output.stderr.is_empty(), "no bar where nobody looks");
    // The same for the partition alone.
    let output = highwater(&["log", "verify", dir.path().join("lines-0").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn damage_is_placed_and_fails() {
    let dir = logs();
    let segment = dir.path().join("lines-0").join(SEGMENT);
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let output = highwater(&["log", "verify", dir.path().to_str().unwrap(), "-o", "json", "--progress", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["sound"], &report["damages"]), (&false.into(), &1.into()));
    let damage = report["findings"].as_array().unwrap().iter().find(|finding| finding["severity"] == "damage").unwrap();
    let path = fs::canonicalize(&segment).unwrap();
    assert_eq!(damage["path"], path.to_str().unwrap());
    assert_eq!((&damage["position"], &damage["what"]), (&0.into(), &"wrong entry checksum".into()));
    let told = text(output.stderr);
    let progress: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(progress["total_bytes"], bytes.len());
    assert!(told.contains("is damaged\n") && told.contains("  try: restore"), "{told}");
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let broker = Running::dev(&["--data", data.path().to_str().unwrap()], temporary.path());
    let output = highwater(&["log", "verify", data.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(7), "{}", text(output.stderr));
    broker.end("TERM");
    let output = highwater(&["log", "verify", data.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(output.stdout), text(output.stderr));
}

#[test]
fn what_holds_no_logs_is_told_as_such() {
    let empty = tempfile::tempdir().unwrap();
    for path in [empty.path().to_str().unwrap(), "/nowhere/at/all"] {
        let output = highwater(&["log", "verify", path]);
        assert_eq!(output.status.code(), Some(3), "{path}");
        assert!(text(output.stderr).contains("try: "), "{path}");
    }
}
