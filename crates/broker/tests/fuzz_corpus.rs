//! Replays the corpora of the fuzz targets whose bodies lie in this crate.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn fuzz_group_record() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/fuzz_group_record");
    let mut count = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let input = entry.unwrap().path();
        let bytes = fs::read(&input).unwrap();
        let outcome = catch_unwind(|| highwater_broker::fuzzing::fuzz_group_record(&bytes));
        assert!(outcome.is_ok(), "fuzz_group_record fails on {}", input.display());
        count += 1;
    }
    assert!(0 < count, "there is a corpus");
}
