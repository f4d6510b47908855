//! `highwater log load`: the state of a copy, the original untouched.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::highwater;

const SEGMENT: &str = "00000000000000000000.log";

/// A partition with one batch, and as many bytes of another as `torn` says.
fn partition(torn: usize) -> (TempDir, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let batch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors/m2-none-create.bin");
    let mut bytes = fs::read(batch).unwrap();
    bytes.extend_from_within(..torn);
    fs::write(dir.path().join(SEGMENT), &bytes).unwrap();
    fs::write(dir.path().join("00000000000000000000.index"), "").unwrap();
    (dir, bytes)
}

fn load(dir: &TempDir, arguments: &[&str]) -> Value {
    let fixed = ["log", "load", dir.path().to_str().unwrap(), "-o", "json"];
    let output = highwater(&[&fixed, arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_torn_tail_is_cut_from_the_copy_only() {
    let (dir, bytes) = partition(40);
    let clean = load(&dir, &[]);
    assert_eq!(clean["segments"][0]["log_file_len"], bytes.len(), "a clean load looks at nothing");
    let unclean = load(&dir, &["--unclean", "--recovery-point", "0"]);
    assert_eq!(unclean["segments"][0]["log_file_len"], bytes.len() - 40);
    assert_eq!(unclean["segments"][0]["batches"].as_array().unwrap().len(), 1);
    assert_eq!(unclean["recovery_point"], 0);
    assert_eq!(fs::read(dir.path().join(SEGMENT)).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing has been added");
}

#[test]
fn settings_and_the_log_start_are_heeded() {
    let (dir, _) = partition(0);
    let end = load(&dir, &[])["log_end_offset"].as_u64().unwrap();
    let state = load(&dir, &["--log-start", &end.to_string(), "--set", "segment.index.bytes=2400"]);
    assert_eq!(state["log_start_offset"], end);
    assert_eq!(state["segments"][0]["offset_index_file_len"], 2_400);

    let output = highwater(&["log", "load", dir.path().to_str().unwrap(), "--set", "segment.byte=1"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("segment.byte") && told.contains("try: one of cleanup.policy, "), "{told}");
}

#[test]
fn the_table_has_a_line_for_each_segment() {
    let (dir, _) = partition(0);
    let old = UNIX_EPOCH + Duration::from_secs(1_000);
    fs::File::options().write(true).open(dir.path().join(SEGMENT)).unwrap().set_modified(old).unwrap();
    let output = highwater(&["log", "load", dir.path().to_str().unwrap()]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("log start       0\nlog end         "), "{table}");
    assert_eq!(table.lines().skip_while(|line| !line.contains("BASE-OFFSET")).count(), 2, "{table}");
}
