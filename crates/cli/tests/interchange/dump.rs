//! Every segment of a directory under Kafka's `DumpLogSegments`, held against `highwater log dump`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::kafka::Kafka;
use crate::program::Run;

/// A batch of a file, as either tool shows it: position, size, offsets, sequence, producer, checksum and so on.
type Batch = Vec<(&'static str, String)>;

/// What Kafka's tool does not accept in the files of `partitions`, line by line.
///
/// Decodes every record, compares each index with its log, and reads producer snapshots and transaction indexes; then
/// has the indexes checked by the two modes of the tool that only do that.
pub(crate) fn complaints(kafka: &Kafka, partitions: &[PathBuf]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (mode, extensions) in MODES {
        let files = files(partitions, extensions);
        let run = dump(kafka, mode, &files);
        if !run.is_success() {
            // An exception is how the tool takes some of what it reads.
            complaints.push(run.to_string());
            continue;
        }
        let lines = lines(&run);
        let dumped = lines.iter().filter(|line| line.starts_with("Dumping ")).count();
        assert_eq!(dumped, files.len(), "files that DumpLogSegments {mode} read");
        let mut file = "";
        for line in &lines {
            file = line.strip_prefix("Dumping ").unwrap_or(file);
            let is_batch = line.starts_with("baseOffset: ");
            let is_known =
                KNOWN.iter().any(|start| line.starts_with(start)) || FINE.iter().any(|end| line.ends_with(end));
            if !is_known || is_batch && !line.ends_with(" isvalid: true") {
                complaints.push(format!("{mode} {file}: {line}"));
            }
        }
        complaints.extend(errors(&run).into_iter().map(|line| format!("{mode}: {line}")));
    }
    complaints
}

/// What the tool printed as errors that are some.
///
/// It takes the first offset of every segment but the first for a gap; and compacted logs have gaps.
fn errors(run: &Run) -> Vec<String> {
    let mut errors = Vec::new();
    let mut log = "";
    for line in run.stderr.lines() {
        if let Some(path) = line.strip_prefix("Non-consecutive offsets in ") {
            log = path;
            continue;
        }
        let is_gap = line.contains(" is followed by ");
        let is_expected = COMPACTED.iter().any(|topic| log.contains(topic)) || line.starts_with("  -1 ");
        if !is_gap || !is_expected {
            errors.push(format!("{log}: {line}"));
        }
    }
    errors
}

/// Compares what both tools say of every batch.
///
/// # Panics
///
/// Where they do not agree.
pub(crate) fn compare(kafka: &Kafka, partitions: &[PathBuf]) {
    let theirs = theirs(kafka, partitions);
    let ours: BTreeMap<_, _> = partitions.iter().flat_map(|partition| ours(partition)).collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "files with batches");
    for (file, batches) in &ours {
        for (at, (ours, theirs)) in batches.iter().zip(&theirs[file]).enumerate() {
            assert_eq!(ours, theirs, "{}, batch {at}, ours and Kafka's", file.display());
        }
        assert_eq!(batches.len(), theirs[file].len(), "batches of {}", file.display());
    }
}

fn ours(partition: &Path) -> BTreeMap<PathBuf, Vec<Batch>> {
    let output = Command::new(env!("CARGO_BIN_EXE_highwater"))
        .args(["log", "dump", "-o", "json"])
        .arg(partition)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line).expect("each line is an object");
        assert_eq!(line["valid_crc"], true, "{line}");
        let text = |field: &Value| field.as_str().map_or_else(|| field.to_string(), str::to_owned);
        let horizon = line["delete_horizon_ms"].as_i64();
        let horizon = horizon.map_or_else(|| "OptionalLong.empty".to_owned(), |at| format!("OptionalLong[{at}]"));
        let batch = FIELDS.iter().map(|(kafkas, ours)| match *kafkas {
            "deleteHorizonMs" => (*kafkas, horizon.clone()),
            _ => (*kafkas, text(&line[ours])),
        });
        files.entry(partition.join(text(&line["file"]))).or_default().push(batch.collect());
    }
    files
}

fn theirs(kafka: &Kafka, partitions: &[PathBuf]) -> BTreeMap<PathBuf, Vec<Batch>> {
    let mut files: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut file = PathBuf::new();
    let run = dump(kafka, "--deep-iteration", &self::files(partitions, &["log"]));
    assert!(run.is_success(), "{run}");
    for line in lines(&run) {
        if let Some(path) = line.strip_prefix("Dumping ") {
            file = path.into();
        } else if line.starts_with("baseOffset: ") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let value = |name: &str| {
                let at = words.iter().position(|word| word.strip_suffix(':') == Some(name));
                at.and_then(|at| words.get(at + 1)).unwrap_or_else(|| panic!("no {name} in {line}"))
            };
            let batch = FIELDS.iter().map(|(kafkas, _)| (*kafkas, (*value(kafkas)).to_owned()));
            files.entry(file.clone()).or_default().push(batch.collect());
        }
    }
    files
}

/// Runs the tool on files in any number.
fn dump(kafka: &Kafka, mode: &str, files: &[PathBuf]) -> Run {
    let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    kafka.tool("org.apache.kafka.tools.DumpLogSegments", &[mode, "--files"], Path::new(&paths.join(",")))
}

fn lines(run: &Run) -> Vec<String> {
    String::from_utf8_lossy(&run.output).lines().map(str::to_owned).collect()
}

/// The files with one of these extensions, in the order of their names.
fn files(partitions: &[PathBuf], extensions: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for partition in partitions {
        let entries = fs::read_dir(partition).unwrap_or_else(|error| panic!("{}: {error}", partition.display()));
        files.extend(entries.map(|entry| entry.expect("it can be listed").path()).filter(|path| {
            path.extension().is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
        }));
    }
    files.sort();
    files
}

/// The modes of the tool, and the kinds of files for which each is of use.
const MODES: [(&str, &[&str]); 3] = [
    ("--deep-iteration", &["log", "index", "timeindex", "txnindex", "snapshot"]),
    ("--index-sanity-check", &["index", "timeindex"]),
    ("--verify-index-only", &["index", "timeindex"]),
];

/// How the lines begin that are no complaints.
const KNOWN: [&str; 8] = [
    "Dumping ",
    "Log starting offset: ",
    "baseOffset: ",
    "| offset: ",
    "offset: ",
    "timestamp: ",
    "producerId: ",
    "version: 0 producerId: ",
];

/// And how they end.
const FINE: [&str; 2] = [" passed sanity check.", ".index is empty."];

/// Directories of compacted logs, as they stand in paths.
const COMPACTED: [&str; 3] = ["/compacted-", "/__consumer_offsets-", "/__transaction_state-"];

/// The names of a batch's fields in Kafka's dump and in ours.
const FIELDS: [(&str, &str); 17] = [
    ("baseOffset", "base_offset"),
    ("lastOffset", "last_offset"),
    ("count", "count"),
    ("baseSequence", "base_sequence"),
    ("lastSequence", "last_sequence"),
    ("producerId", "producer_id"),
    ("producerEpoch", "producer_epoch"),
    ("partitionLeaderEpoch", "leader_epoch"),
    ("isTransactional", "transactional"),
    ("isControl", "control"),
    ("deleteHorizonMs", "delete_horizon_ms"),
    ("position", "position"),
    ("CreateTime", "max_timestamp"),
    ("size", "size"),
    ("magic", "magic"),
    ("compresscodec", "compression"),
    ("crc", "crc"),
];
