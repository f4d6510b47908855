//! The files of a partition's directory.

use std::fs;
use std::path::Path;

/// The bytes of one segment's files.
pub(crate) struct Segment {
    pub(crate) base: i64,
    pub(crate) log: Vec<u8>,
    pub(crate) index: Vec<u8>,
    pub(crate) time_index: Vec<u8>,
}

/// All segments, in the order of their offsets.
pub(crate) fn segments(partition: &Path) -> Vec<Segment> {
    let entries = fs::read_dir(partition).expect("the partition's directory is where Kafka has it");
    let mut logs: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let segment = |path: &Path| Segment {
        base: path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("the name is the base offset"),
        log: read(path),
        index: read(&path.with_extension("index")),
        time_index: read(&path.with_extension("timeindex")),
    };
    logs.iter().map(|path| segment(path)).collect()
}
