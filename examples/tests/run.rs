//! The examples that end by themselves do end, and say what they are there to show.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::path::PathBuf;
use std::process::Command;

/// Cargo builds the examples before the tests of this package, beside their folder.
fn run(example: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(example);
    let output = Command::new(&path).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn embedded_log() {
    let said = run("embedded_log");
    for line in [
        "minute 1: offsets 60..=119",
        "from offset 100: 80 records, 16 of them warm",
        "minute 2 begins at offset 120",
        "after truncation the log ends at 120",
        "eight sensors: 80 records, all on the disk",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn compaction() {
    let said = run("compaction");
    for line in [
        "kept 10 of 1001 records",
        "  setting-3 = (deleted)",
        "  setting-9 = value 999",
        "a day later: 9 records, setting-3 is gone",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn cluster() {
    let said = run("cluster");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with("leads, in sync are [1, 2, 3]")), "{said}");
    assert!(lines.last().is_some_and(|line| line.contains("was shut down: node ")), "{said}");
}

#[test]
fn read_kafka_directory() {
    let said = run("read_kafka_directory");
    for line in [
        "payments-0: 3 segments, offsets 0..18",
        "  all: 13 records with 2529 bytes of values",
        "  committed: 6 records with 510 bytes of values",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}
