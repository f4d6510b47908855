//! Comparing directories and tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use highwater_records::{BatchView, Codec, DecompressLimit, Entry, RecordSet};
use serde_json::Value;

use super::Report;

/// Compares all files of two directories, byte for byte.
pub(super) fn compare_files(report: &mut Report, stage: &str, actual: &Path, expected: &Path) -> Result<(), String> {
    let (actual, expected) = (read_all(actual)?, read_all(expected)?);
    for name in actual.keys().filter(|name| !expected.contains_key(*name)) {
        report.check(&format!("{stage}/{name}"), Some("is there, but should not be".to_owned()));
    }
    for (name, expected) in &expected {
        let difference = match actual.get(name) {
            Some(actual) => match bytes_difference(actual, expected) {
                // No two implementations of a codec compress to the same bytes.
                Some(_) if name.contains(".log") && decode_alike(actual, expected) => {
                    report.decoded += 1;
                    None
                }
                other => other,
            },
            // Kafka creates this file with the log, and an empty one reads as none.
            None if name == "leader-epoch-checkpoint" && expected.is_empty() => None,
            None => Some("is missing".to_owned()),
        };
        report.check(&format!("{stage}/{name}"), difference);
    }
    Ok(())
}

fn read_all(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, fs::read(entry.path()).map_err(failed)?);
    }
    Ok(files)
}

fn bytes_difference(actual: &[u8], expected: &[u8]) -> Option<String> {
    if actual == expected {
        return None;
    }
    let at = actual.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(actual.len().min(expected.len()));
    let around = |bytes: &[u8]| {
        let end = (at + 16).min(bytes.len());
        bytes.get(at..end).unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    Some(format!(
        "{} bytes where {} are expected; from byte {at}: {} where {} is expected",
        actual.len(),
        expected.len(),
        around(actual),
        around(expected)
    ))
}

/// Whether two log files differ only in how compressed records of v2 batches are compressed, and in what follows from
/// that: the checksum, and the length of that batch.
fn decode_alike(actual: &[u8], expected: &[u8]) -> bool {
    let entries = |bytes| RecordSet::new(bytes).entries().collect::<Result<Vec<_>, _>>();
    let (Ok(actual), Ok(expected)) = (entries(actual), entries(expected)) else { return false };
    actual.len() == expected.len()
        && actual.iter().zip(&expected).all(|pair| match pair {
            (Entry::Batch(actual), Entry::Batch(expected)) => batches_alike(actual, expected),
            (actual, expected) => actual.bytes() == expected.bytes(),
        })
}

fn batches_alike(actual: &BatchView<'_>, expected: &BatchView<'_>) -> bool {
    if actual.bytes() == expected.bytes() {
        return true;
    }
    let header = |batch: &BatchView<'_>| {
        let mut bytes = *batch.header().as_bytes();
        bytes[8..12].fill(0);
        bytes[17..21].fill(0);
        bytes
    };
    let records = |batch: &BatchView<'_>| {
        let mut bytes = Vec::new();
        batch.decompress(DecompressLimit::default(), &mut bytes).map(|()| bytes)
    };
    let is_compressed = actual.codec().is_ok_and(Codec::is_compressed);
    let is_sound = actual.check_crc().is_ok() && expected.check_crc().is_ok();
    let (actual_records, expected_records) = (records(actual), records(expected));
    is_compressed
        && is_sound
        && header(actual) == header(expected)
        && actual_records.is_ok()
        && actual_records == expected_records
}

/// Compares two tables value by value, each difference with its path.
pub(super) fn compare_json(report: &mut Report, place: &str, actual: &Value, expected: &Value) {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            for name in actual.keys().filter(|name| !expected.contains_key(*name)) {
                report.check(&format!("{place}.{name}"), Some("is there, but should not be".to_owned()));
            }
            for (name, expected) in expected {
                compare_json(report, &format!("{place}.{name}"), actual.get(name).unwrap_or(&Value::Null), expected);
            }
        }
        (Value::Array(actual), Value::Array(expected)) if actual.len() == expected.len() => {
            for (index, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                compare_json(report, &format!("{place}[{index}]"), actual, expected);
            }
        }
        _ => {
            let differs = actual != expected;
            report.check(place, differs.then(|| format!("{actual} where {expected} is expected")));
        }
    }
}
