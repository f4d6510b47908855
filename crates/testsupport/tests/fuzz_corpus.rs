//! Replays every input of the fuzz corpora through the bodies of the fuzz targets.
//!
//! An input that once was a finding lies in its corpus, so that it stays fixed without a fuzzer at hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use highwater_log::fuzzing as log;
use highwater_records::fuzzing as records;
use highwater_wire::fuzzing as wire;

macro_rules! replay {
    ($($target:ident => $body:path;)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), $body);
            }
        )*

        const TARGETS: &[&str] = &[$(stringify!($target)),*];
    };
}

replay! {
    fuzz_frame => wire::fuzz_frame;
    fuzz_request => wire::fuzz_request;
    fuzz_metadata_record => wire::fuzz_metadata_record;
    fuzz_batch => records::fuzz_batch;
    fuzz_records => records::fuzz_records;
    fuzz_legacy => records::fuzz_legacy;
    fuzz_validate => records::fuzz_validate;
    fuzz_offset_index => log::fuzz_offset_index;
    fuzz_time_index => log::fuzz_time_index;
    fuzz_txn_index => log::fuzz_txn_index;
    fuzz_checkpoint => log::fuzz_checkpoint;
    fuzz_manifest => log::fuzz_manifest;
    fuzz_producer_snapshot => log::fuzz_producer_snapshot;
    fuzz_epoch_checkpoint => log::fuzz_epoch_checkpoint;
    fuzz_meta_properties => log::fuzz_meta_properties;
    fuzz_segment_recovery => log::fuzz_segment_recovery;
}

/// Of crates that are tested with this one, which cannot depend on them.
const REPLAYED_THERE: &[&str] = &["fuzz_group_record"];

#[test]
fn every_target_is_replayed() {
    let targets: BTreeSet<_> = files(&fuzz().join("fuzz_targets")).into_iter().map(|path| stem(&path)).collect();
    assert_eq!(targets, TARGETS.iter().chain(REPLAYED_THERE).map(ToString::to_string).collect());
}

fn replay(target: &str, body: fn(&[u8])) {
    let inputs = files(&fuzz().join("corpus").join(target));
    assert!(!inputs.is_empty(), "{target} has no corpus");
    for input in inputs {
        let bytes = fs::read(&input).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(outcome.is_ok(), "{target} fails on {}", input.display());
    }
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}
