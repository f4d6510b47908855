//! Comparing directories and tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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
            Some(actual) => bytes_difference(actual, expected),
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
