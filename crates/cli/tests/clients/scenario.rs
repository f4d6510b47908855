//! What each client program is put through.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::broker::Broker;
use crate::program::Program;
use crate::records::{Recipe, digest};
use crate::table;

/// All codecs of the record format.
pub(crate) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Records per topic before the first restart.
pub(crate) const RECORDS: u64 = 10_000;
/// Records per topic written between the restarts.
pub(crate) const RECORDS_MORE: u64 = 2_000;
pub(crate) const PARTITIONS: usize = 3;
const SEED: u64 = 42;

/// Writes, restarts cleanly, reads, writes, restarts after SIGKILL, reads, looks up, administers.
pub(crate) fn survives_restarts(program: &Program) {
    let about = program.run("version", &[], None).remove(0);
    let recipe = recipe(&strings(&about["refused"]));
    let topics = CODECS.len() * strings(&about["suffixes"]).len();
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let data = dir.path().join("data");
    let run = |broker: &Broker, phases: &str, first: u64, count: u64| {
        let mut options = options(&broker.address().to_string(), &recipe, &CODECS);
        options.extend(["--first".into(), first.to_string(), "--count".into(), count.to_string()]);
        program.run(phases, &options, Some(broker))
    };

    let broker = Broker::start(&data);
    run(&broker, "produce,times", 0, RECORDS);
    broker.end(Signal::SIGTERM);

    let broker = Broker::start(&data);
    let verified = run(&broker, "verify", 0, RECORDS);
    check_verified(&verified[0], &recipe, RECORDS, topics);
    run(&broker, "produce", RECORDS, RECORDS_MORE);
    broker.end(Signal::SIGKILL);

    let broker = Broker::start(&data);
    let lines = run(&broker, "verify,times,admin", 0, RECORDS + RECORDS_MORE);
    check_verified(&lines[0], &recipe, RECORDS + RECORDS_MORE, topics);
    broker.end(Signal::SIGTERM);

    let mut exercised: Vec<String> =
        ["produce", "consume", "offsets by time", "clean restart", "SIGKILL"].map(String::from).into();
    exercised.extend(strings(&lines[2]["exercised"]).into_iter().map(|step| match step.as_str() {
        "create" | "delete" => format!("{step} topics"),
        _ => step,
    }));
    let idempotence = match program.name {
        "java" | "kafka-python" => "by default",
        _ => "with and without",
    };
    table::CLIENTS.record([program.name, version(&about), &CODECS.join(", "), idempotence, &exercised.join(", ")]);
}

/// Every client writes its topics; every other client reads them.
pub(crate) fn clients_read_each_other(programs: &[Program]) {
    const RECORDS: u64 = 500;
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let broker = Broker::start(&dir.path().join("data"));
    let count = ["--count".to_owned(), RECORDS.to_string()];
    let mut written = Vec::new();
    for program in programs {
        let about = program.run("version", &[], None).remove(0);
        let recipe = recipe(&strings(&about["refused"]));
        let mut options = options(&broker.address().to_string(), &recipe, &CODECS);
        options.extend(count.clone());
        program.run("produce", &options, Some(&broker));
        written.push((program.name, recipe, options));
    }
    for reader in programs {
        for (writer, recipe, options) in written.iter().filter(|(writer, ..)| *writer != reader.name) {
            let mut options = options.clone();
            options.extend(["--writer".to_owned(), (*writer).to_owned()]);
            options.extend(["--refused".to_owned(), recipe.refused.join(",")]);
            let verified = reader.run("verify", &options, Some(&broker));
            check_verified(&verified[0], recipe, RECORDS, CODECS.len());
        }
    }
    broker.end(Signal::SIGTERM);
}

/// A recipe whose timestamps lie in the last hours, inside every default retention time.
pub(crate) fn recipe(refused: &[String]) -> Recipe {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let hour_ago = i64::try_from(now.as_millis()).expect("milliseconds fit for ages") - 3_600_000;
    Recipe { seed: SEED, partitions: PARTITIONS, base_timestamp_ms: hour_ago, refused: refused.to_vec() }
}

/// The options that all phases share.
pub(crate) fn options(bootstrap: &str, recipe: &Recipe, codecs: &[&str]) -> Vec<String> {
    [
        ("--bootstrap", bootstrap.to_owned()),
        ("--codecs", codecs.join(",")),
        ("--seed", recipe.seed.to_string()),
        ("--partitions", recipe.partitions.to_string()),
        ("--base-timestamp", recipe.base_timestamp_ms.to_string()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

/// The client compared field by field; here its digest is held against our own of the same recipe.
fn check_verified(line: &Value, recipe: &Recipe, count: u64, topics: usize) {
    let want = digest(&recipe.by_partition(count));
    let found = line["topics"].as_array().expect("the phase `verify` lists topics");
    assert_eq!(found.len(), topics, "topics read: {line}");
    for topic in found {
        assert_eq!(topic["count"], count, "records read: {topic}");
        assert_eq!(topic["digest"], want.as_str(), "digest of what was read: {topic}");
    }
}

/// What the phase `version` says.
pub(crate) fn version(about: &Value) -> &str {
    about["version"].as_str().expect("the phase `version` prints one")
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|each| each.as_str().map(str::to_owned)).collect()
}
