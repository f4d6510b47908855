//! Runs the scripts of groups in `testdata/`; the head of `testdata/classic.txt` explains the commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod commands;
mod consumers;
mod names;
mod show;
mod topics;
mod world;

use highwater_testsupport::{Runner, run_file};

fn runner() -> Runner {
    let mut world = world::World::new();
    Box::new(move |line| commands::run(&mut world, line))
}

#[test]
fn classic_groups() {
    run_file("testdata/classic.txt", runner);
}

#[test]
fn static_members() {
    run_file("testdata/static.txt", runner);
}

#[test]
fn conversions() {
    run_file("testdata/convert.txt", runner);
}

#[test]
fn administrators() {
    run_file("testdata/admin.txt", runner);
}

#[test]
fn consumer_groups() {
    run_file("testdata/consumer.txt", runner);
}
