//! Runs the scripts in `testdata`: what a producer is told, and what it asks for.
//!
//! Rerun with `REWRITE=1` to accept new output, then read the diff before committing it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;

use bench::Bench;
use highwater_testsupport::run_file;

fn run(path: &str) {
    run_file(path, || {
        let mut bench = Bench::default();
        Box::new(move |line| bench.run(line))
    });
}

#[test]
fn batches() {
    run("testdata/batches.txt");
}

#[test]
fn memory() {
    run("testdata/memory.txt");
}

#[test]
fn retries() {
    run("testdata/retries.txt");
}

#[test]
fn idempotence() {
    run("testdata/idempotence.txt");
}

#[test]
fn ends() {
    run("testdata/ends.txt");
}
