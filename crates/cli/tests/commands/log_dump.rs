//! `highwater log dump` against what Apache Kafka's own classes read from the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::highwater;
use serde_json::Value;

fn vectors() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    files
}

fn expected(file: &Path) -> Value {
    let text = fs::read(file.with_added_extension("expected.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn json_lines(output: &[u8]) -> Vec<Value> {
    std::str::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Kafka's messages are its own; that there is one, and where, is what counts.
fn without_error_texts(mut batch: Value) -> Value {
    if let Some(text) = batch.get_mut("records_error") {
        *text = Value::Null;
    }
    batch
}

#[test]
fn every_vector_is_dumped_as_kafka_reads_it() {
    let files = vectors();
    assert!(files.len() > 20);
    for file in files {
        let output = highwater(&["log", "dump", file.to_str().unwrap(), "-o", "json"]);
        let expected = expected(&file);
        let batches: Vec<_> = expected["batches"].as_array().unwrap().clone();
        let printed: Vec<_> = json_lines(&output.stdout).into_iter().map(without_error_texts).collect();
        assert_eq!(printed, batches.into_iter().map(without_error_texts).collect::<Vec<_>>(), "{}", file.display());

        let broken = expected.get("iteration_error").is_some();
        assert_eq!(output.status.code(), Some(i32::from(broken)), "{}", file.display());
        let whole = expected["bytes"] == expected["valid_bytes"];
        assert_eq!(output.stderr.is_empty(), whole, "{}", file.display());
    }
}

#[test]
fn a_partition_directory_is_dumped_segment_by_segment() {
    let partition = tempfile::tempdir().unwrap();
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors");
    fs::copy(vectors.join("m2-headers.bin"), partition.path().join("00000000000000000100.log")).unwrap();
    fs::copy(vectors.join("m2-none-create.bin"), partition.path().join("00000000000000000000.log")).unwrap();
    fs::write(partition.path().join("leader-epoch-checkpoint"), "0\n0\n").unwrap();

    let path = partition.path().to_str().unwrap();
    let output = highwater(&["log", "dump", path, "-o", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let files: Vec<_> = json_lines(&output.stdout).into_iter().map(|batch| batch["file"].clone()).collect();
    assert_eq!(files, ["00000000000000000000.log", "00000000000000000100.log"]);

    let output = highwater(&["log", "dump", path, "-o", "json", "--no-records"]);
    assert!(json_lines(&output.stdout).iter().all(|batch| batch.get("records").is_none()));

    let table = String::from_utf8(highwater(&["log", "dump", path]).stdout).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.lines().skip(1).all(|line| line.ends_with("ok")), "{table}");
}

#[test]
fn zeros_at_the_end_of_a_preallocated_segment_are_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let batch = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors/m2-none-create.bin");
    let mut bytes = fs::read(batch).unwrap();
    bytes.resize(bytes.len() + 1_000_000, 0);
    let segment = folder.path().join("00000000000000000000.log");
    fs::write(&segment, &bytes).unwrap();
    let output = highwater(&["log", "dump", segment.to_str().unwrap(), "-o", "json"]);
    assert_eq!((output.status.code(), json_lines(&output.stdout).len()), (Some(0), 1));

    *bytes.last_mut().unwrap() = 1;
    fs::write(&segment, &bytes).unwrap();
    let output = highwater(&["log", "dump", segment.to_str().unwrap(), "-o", "json"]);
    assert_eq!((output.status.code(), json_lines(&output.stdout).len()), (Some(1), 1));
}

#[test]
fn what_does_not_exist_is_told_as_such() {
    let missing = highwater(&["log", "dump", "/nowhere/at/all"]);
    assert_eq!(missing.status.code(), Some(3));
    let told = String::from_utf8(missing.stderr).unwrap();
    assert!(told.starts_with("error: cannot read /nowhere/at/all\n") && told.contains("try: "), "{told}");

    let empty = tempfile::tempdir().unwrap();
    let output = highwater(&["log", "dump", empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
}
