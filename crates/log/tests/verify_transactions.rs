//! Verification of transaction indexes: no damage goes unnoticed, and nothing sound is called damaged.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::Path;

use highwater_log::{Finding, LogConfig, MemDisk, Severity, VerifyOptions, verify_log};

use support::txn::{in_txn, mark, marker, whole_txn};
use support::{DIR, NOW, append, batch, new_log, path, produced};

const INDEX: &str = "00000000000000000000.txnindex";
const LAST_INDEX: &str = "00000000000000000013.txnindex";

/// Two segments, with two aborted transactions in the first (2 to 4, 5 to 7) and one that goes on into the second
/// (11 to 13), and committed ones between. At the end a marker that aborts nothing.
fn closed_log() -> MemDisk {
    let (disk, mut log) = new_log(LogConfig::default());
    append(&mut log, &batch(2, 10)).unwrap();
    whole_txn(&mut log, 1, 0, false);
    whole_txn(&mut log, 2, 0, false);
    mark(&mut log, &marker(3, 0, false, 0)).unwrap();
    append(&mut log, &batch(2, 10)).unwrap();
    append(&mut log, &in_txn(1, 0, 2, 2)).unwrap();
    log.roll(NOW).unwrap();
    mark(&mut log, &marker(1, 0, false, 0)).unwrap();
    whole_txn(&mut log, 2, 2, true);
    append(&mut log, &produced(5, 0, 0, 1)).unwrap();
    mark(&mut log, &marker(5, 0, false, 0)).unwrap();
    log.close(NOW).unwrap();
    disk
}

fn findings(disk: &MemDisk) -> Vec<Finding> {
    let done = verify_log(disk, Path::new(DIR), VerifyOptions::default(), &mut |_| ()).unwrap();
    let is_old_news = |finding: &Finding| finding.what == "no partition.metadata";
    done.findings.into_iter().filter(|finding| !is_old_news(finding)).collect()
}

/// What is found after `change` to a file.
fn found_after(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<(Severity, String, Option<u64>, String)> {
    let disk = closed_log();
    let mut bytes = disk.read(&path(name)).unwrap();
    change(&mut bytes);
    disk.write(&path(name), &bytes);
    let short = |finding: Finding| {
        let name = finding.path.file_name().unwrap().to_str().unwrap().to_owned();
        (finding.severity, name, finding.position, finding.what)
    };
    findings(&disk).into_iter().map(short).collect()
}

fn damage(name: &str, position: u64, what: &str) -> (Severity, String, Option<u64>, String) {
    (Severity::Damage, name.to_owned(), Some(position), what.to_owned())
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

#[test]
fn a_sound_log_has_no_findings() {
    let disk = closed_log();
    assert_eq!(disk.read(&path(INDEX)).unwrap().len(), 68);
    assert_eq!(disk.read(&path(LAST_INDEX)).unwrap().len(), 34);
    assert_eq!(findings(&disk), []);
    let entries = verify_log(&disk, Path::new(DIR), VerifyOptions::default(), &mut |_| ()).unwrap().index_entries;
    let mut without = disk.read(&path(INDEX)).unwrap();
    without.clear();
    disk.write(&path(INDEX), &without);
    let fewer = verify_log(&disk, Path::new(DIR), VerifyOptions::default(), &mut |_| ()).unwrap().index_entries;
    assert_eq!(entries, fewer + 2);
}

#[test]
fn an_aborted_transaction_that_is_not_listed_is_damage() {
    let found = found_after(INDEX, |bytes| bytes.truncate(34));
    let what = "abort marker of records from offset 5 on, which no transaction index names";
    let [(severity, name, _, found)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((*severity, name.as_str(), found.as_str()), (Severity::Damage, "00000000000000000000.log", what));
    let found = found_after(LAST_INDEX, Vec::clear);
    let what = "abort marker of records from offset 11 on, which no transaction index names";
    assert_eq!(found, [damage("00000000000000000013.log", 0, what)]);
}

#[test]
fn entries_that_contradict_the_log_are_damage() {
    let found = found_after(INDEX, |bytes| put(bytes, 34 + 2, 9));
    assert_eq!(found, [damage(INDEX, 34, "no abort marker of producer 9 at offset 7")]);
    let found = found_after(INDEX, |bytes| put(bytes, 34 + 18, 6));
    assert_eq!(found, [damage(INDEX, 34, "no abort marker of producer 2 at offset 6")]);
    let found = found_after(INDEX, |bytes| put(bytes, 34 + 10, 6));
    let what = "entry of a transaction from offset 6 on, which has records from 5 on";
    assert_eq!(found, [damage(INDEX, 34, what)]);
    assert_eq!(found_after(INDEX, |bytes| put(bytes, 34 + 10, 8)), [damage(INDEX, 34, "entry of offsets 8..=7")]);
    // The marker of a committed transaction.
    let found = found_after(LAST_INDEX, |bytes| {
        let mut second = bytes.clone();
        put(&mut second, 2, 2);
        put(&mut second, 18, 16);
        bytes.extend(second);
    });
    assert_eq!(found, [damage(LAST_INDEX, 34, "no abort marker of producer 2 at offset 16")]);
}

#[test]
fn entries_may_begin_below_the_records_and_be_stable_above_the_marker() {
    // The first records may have been deleted.
    assert_eq!(found_after(INDEX, |bytes| put(bytes, 34 + 10, 1)), []);
    // The oldest open transaction may be one that a follower was given together with the marker.
    assert_eq!(found_after(INDEX, |bytes| put(bytes, 34 + 26, 11)), []);
    for stable in [9, 10, 12, 14, 900] {
        let what = format!("entry stable up to {stable}, where no transaction begins");
        assert_eq!(found_after(INDEX, |bytes| put(bytes, 34 + 26, stable)), [damage(INDEX, 34, &what)]);
    }
}

#[test]
fn a_version_that_is_not_known_is_one_finding() {
    assert_eq!(found_after(INDEX, |bytes| bytes[35] = 1), [damage(INDEX, 34, "transaction index (version)")]);
}
