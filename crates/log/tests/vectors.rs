//! Replays what Apache Kafka's own storage classes have recorded, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use highwater_testsupport::log_scenario::{find_scenarios, replay};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Replays all scenarios of a folder; returns how many there are.
fn replay_all(folder: &str, checks_min: usize) -> usize {
    let scenarios = find_scenarios(&data().join(folder)).unwrap();
    let mut checks = 0;
    for scenario in &scenarios {
        let report = replay(scenario).unwrap_or_else(|error| panic!("{}: {error}", scenario.display()));
        assert_eq!(report.unsupported, None, "{}", scenario.display());
        assert!(report.differences.is_empty(), "{}: {:#?}", scenario.display(), report.differences);
        checks += report.checks;
    }
    assert!(checks_min <= checks, "{folder}: only {checks} checks");
    scenarios.len()
}

#[test]
fn s01_index_and_reads() {
    assert_eq!(replay_all("s01-index-and-reads", 2_800), 1);
}

#[test]
fn s02_follower_multibatch() {
    assert_eq!(replay_all("s02-follower-multibatch", 1_000), 1);
}

#[test]
fn s03_transactions() {
    assert_eq!(replay_all("s03-transactions", 1_900), 1);
}

#[test]
fn s04_recovery() {
    assert_eq!(replay_all("s04-recovery", 11_900), 13);
}

#[test]
fn s05_truncate() {
    assert_eq!(replay_all("s05-truncate", 1_200), 10);
}

#[test]
fn s06_retention() {
    assert_eq!(replay_all("s06-retention", 2_500), 5);
}

#[test]
fn s07_compaction() {
    assert_eq!(replay_all("s07-compaction", 1_500), 3);
}

#[test]
fn s09_legacy() {
    assert_eq!(replay_all("s09-legacy", 9_000), 16);
}

#[test]
fn s10_leader_epochs() {
    assert_eq!(replay_all("s10-leader-epochs", 260), 1);
}

#[test]
fn s11_preallocate() {
    assert_eq!(replay_all("s11-preallocate", 800), 1);
}

#[test]
fn s13_roll_conditions() {
    assert_eq!(replay_all("s13-roll-conditions", 170), 1);
}

#[test]
fn s14_idempotence() {
    assert_eq!(replay_all("s14-idempotence", 160), 1);
}

/// A scenario of what is not built yet says so instead of passing.
#[test]
fn an_unknown_step_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let json = r#"{"config": {}, "steps": [{"op": "fold", "now": 0}]}"#;
    std::fs::write(dir.path().join("scenario.json"), json).unwrap();
    assert_eq!(replay(dir.path()).unwrap().unsupported.as_deref(), Some("unsupported step \"fold\""));
}
