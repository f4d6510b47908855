//! The rules of the house that a machine can hold: who may depend on whom, what a state machine may not
//! touch, what every crate and file looks like. Each failure says which rule and why it is one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What each crate may need to run, of the crates of this workspace: itself builds on these, never the
/// other way round. What only tests and benches need is free.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("records", &["types"]),
    ("wire", &["types"]),
    ("log", &["records", "types"]),
    ("replication", &["types"]),
    ("raft", &["types"]),
    ("metadata", &["types"]),
    ("coordinator", &["types"]),
    ("assignor", &["types"]),
    ("group", &["assignor", "coordinator", "types"]),
    ("txn", &["coordinator", "types"]),
    ("producer", &["records", "types"]),
    ("consumer", &["assignor", "records", "types"]),
    ("client", &["producer", "consumer", "assignor", "wire", "records", "types"]),
    ("broker", &["log", "wire", "replication", "raft", "metadata", "coordinator", "group", "txn", "records", "types"]),
    ("cli", &["client", "broker", "log", "wire", "records", "types"]),
    ("testkit", &["broker", "log", "wire", "records", "types"]),
    ("wire-gen", &[]),
    (
        "sim",
        &[
            "broker",
            "log",
            "raft",
            "replication",
            "metadata",
            "coordinator",
            "group",
            "txn",
            "assignor",
            "producer",
            "records",
            "types",
        ],
    ),
    ("testsupport", &["log", "wire", "records", "types"]),
    ("faults", &["broker", "records", "sim", "testsupport", "types", "wire"]),
    ("examples", &["client", "broker", "log", "records", "testkit", "wire", "types"]),
    (
        "benches",
        &["client", "broker", "assignor", "coordinator", "group", "log", "records", "wire", "types", "testsupport"],
    ),
];

/// State machines: everything that happens to them is an input, so that one seed replays it.
const STATE_MACHINES: &[&str] =
    &["types", "replication", "raft", "metadata", "coordinator", "assignor", "group", "txn", "producer", "consumer"];

/// Crates that are not state machines but do no I/O either.
const WITHOUT_IO: &[&str] = &["records", "wire"];

const IO_WORDS: &[&str] =
    &["std::fs", "std::net", "std::thread", "std::process", "std::env", "std::os", "Instant::now", "SystemTime"];

/// Beyond I/O: what differs from run to run, or from thread to thread.
const IMPURE_WORDS: &[&str] = &[
    "std::time::Instant",
    "std::io",
    "HashMap",
    "HashSet",
    "RandomState",
    "Mutex",
    "RwLock",
    "Condvar",
    "mpsc",
    "unsafe {",
];

/// Everything the top level may hold. Cargo and git bring `target` and `.git`.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE",
    "crates",
    "examples",
    "benches",
    "fuzz",
    ".clippy.toml",
    ".rustfmt.toml",
    ".gitignore",
    ".ci",
    ".git",
    "target",
];

/// A module is one noun; past this it is several.
const FILE_LINES_MAX: usize = 1_000;

#[test]
fn crates_depend_downwards_only() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = folder(&package).to_owned();
        let Some((_, allowed)) = MAY_DEPEND_ON.iter().find(|(other, _)| *other == name) else {
            faults.push(format!("{name} is not in the table of allowed dependencies: decide where it belongs"));
            continue;
        };
        for dependency in run_time_dependencies(&package) {
            let Some(dependency) = dependency.strip_prefix("highwater-") else { continue };
            if !allowed.contains(&dependency) {
                faults.push(format!("{name} may not depend on {dependency}"));
            }
        }
    }
    report("the direction of dependencies keeps every layer usable without those above it", &faults);
}

#[test]
fn state_machines_are_pure() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = folder(&package).to_owned();
        if !STATE_MACHINES.contains(&name.as_str()) {
            continue;
        }
        let foreign =
            run_time_dependencies(&package).into_iter().filter(|dependency| !dependency.starts_with("highwater-"));
        let allowed: &[&str] = match name.as_str() {
            "types" => &[],
            // Pure too: subscriptions by pattern are resolved by the coordinator.
            "group" => &["thiserror", "regex"],
            // And by consumers of classic groups; fetched bytes are shared with applications.
            "consumer" => &["thiserror", "regex", "bytes"],
            _ => &["thiserror"],
        };
        faults.extend(
            foreign
                .filter(|other| !allowed.contains(&other.as_str()))
                .map(|other| format!("{name} depends on {other}")),
        );
        let source = directory(&package).join("src");
        faults.extend(uses_of(&source, &[IO_WORDS, IMPURE_WORDS].concat()));
        let bans = fs::read_to_string(directory(&package).join("clippy.toml")).unwrap_or_default();
        let banned = ["Instant::now", "SystemTime::now", "thread::spawn", "HashMap", "HashSet"];
        if name != "types" && !banned.iter().all(|word| bans.contains(word)) {
            faults.push(format!("{name}/clippy.toml does not ban {banned:?}"));
        }
    }
    report("time, randomness, disk and network are inputs of a state machine", &faults);
}

#[test]
fn formats_do_no_io() {
    let sources = packages().into_iter().filter(|package| WITHOUT_IO.contains(&folder(package)));
    let faults: Vec<String> = sources.flat_map(|package| uses_of(&directory(&package).join("src"), IO_WORDS)).collect();
    report("parsers of untrusted bytes must be usable, and fuzzed, anywhere", &faults);
}

#[test]
fn every_crate_introduces_itself() {
    let mut faults = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if name != format!("highwater-{}", folder(&package)) {
            faults.push(format!("{name} is in the folder {}", folder(&package)));
        }
        for field in ["description", "license", "rust_version"] {
            if package[field].as_str().is_none_or(str::is_empty) {
                faults.push(format!("{name} has no {field}"));
            }
        }
        let published = package["publish"].is_null();
        let readme = package["readme"].as_str().map(|readme| directory(&package).join(readme));
        if published && !readme.is_some_and(|readme| readme.is_file()) {
            faults.push(format!("{name} has no README.md"));
        }
    }
    report("every crate stands on its own", &faults);
}

#[test]
fn crate_roots_are_maps() {
    let mut faults = Vec::new();
    for root in sources(&workspace()).into_iter().filter(|path| path.ends_with("src/lib.rs")) {
        let text = fs::read_to_string(&root).unwrap();
        let code: String =
            text.lines().map(without_comment).filter(|line| !line.trim_start().starts_with('#')).collect();
        for statement in code.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let words = statement.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let is_map = words.starts_with("use ") || (words.starts_with("mod ") && !words.contains('{'));
            if !is_map {
                let start: String = statement.chars().take(60).collect();
                faults.push(format!("{}: {start}", shown(&root)));
            }
        }
    }
    report("lib.rs holds documentation, modules and re-exports, nothing else", &faults);
}

#[test]
fn files_are_short_and_finished() {
    let unfinished =
        [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore"), concat!("dbg", "!(")];
    let mut faults = Vec::new();
    for path in sources(&workspace()) {
        let text = fs::read_to_string(&path).unwrap();
        let generated = text.lines().next().is_some_and(|line| line.contains("Generated by"));
        let lines = text.lines().count();
        if FILE_LINES_MAX < lines && !generated {
            faults.push(format!("{} has {lines} lines, more than {FILE_LINES_MAX}", shown(&path)));
        }
        for (line, number) in text.lines().map(without_comment).zip(1..) {
            faults.extend(
                unfinished
                    .iter()
                    .filter(|word| line.contains(*word))
                    .map(|word| format!("{}:{number}: {word}", shown(&path))),
            );
        }
    }
    report("a file is one noun, and what is committed works", &faults);
}

#[test]
fn the_top_level_is_kept_clear() {
    let entries = fs::read_dir(workspace()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let allowed: BTreeSet<&str> = TOP_LEVEL.iter().copied().collect();
    let faults: Vec<String> = entries.filter(|name| !allowed.contains(name.as_str())).collect();
    report("the top level is the first thing that a reader sees", &faults);
}

fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}, but:\n  {}", faults.join("\n  "));
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The packages of the workspace, as cargo describes them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(!packages.is_empty());
    packages
}

fn directory(package: &Value) -> PathBuf {
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// The folder of a package, by which these rules call it.
fn folder(package: &Value) -> &str {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().file_name().unwrap().to_str().unwrap()
}

/// Names of what a package needs besides its tests and benches.
fn run_time_dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    let needed = all.filter(|dependency| dependency["kind"].as_str() != Some("dev"));
    needed.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

/// Every Rust file below a directory, but what cargo builds.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where the code below a directory uses one of these words. Comments may.
fn uses_of(directory: &Path, words: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for path in sources(directory) {
        let text = fs::read_to_string(&path).unwrap();
        for (line, number) in text.lines().map(without_comment).zip(1..) {
            let used = words.iter().filter(|word| line.contains(*word));
            faults.extend(used.map(|word| format!("{}:{number} uses {word}", shown(&path))));
        }
    }
    faults
}

/// The code on a line. A `//` inside a string ends it too early, which can only hide what follows.
fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap_or(path).display().to_string()
}
