//! Runs the scripts in `testdata`: what a consumer is told, and what it asks for.
//!
//! Rerun with `REWRITE=1` to accept new output, then read the diff before committing it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answer;
mod batches;
mod bench;
mod show;

use bench::Bench;
use highwater_testsupport::run_file;

fn run(path: &str) {
    run_file(path, || {
        let mut bench = Bench::default();
        Box::new(move |line| bench.run(line))
    });
}

#[test]
fn positions() {
    run("testdata/positions.txt");
}

#[test]
fn fetching() {
    run("testdata/fetching.txt");
}

#[test]
fn records() {
    run("testdata/records.txt");
}

#[test]
fn commits() {
    run("testdata/commits.txt");
}

#[test]
fn classic() {
    run("testdata/classic.txt");
}

#[test]
fn modern() {
    run("testdata/modern.txt");
}

#[test]
fn ends() {
    run("testdata/ends.txt");
}
