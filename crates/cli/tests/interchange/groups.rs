//! Groups and their committed offsets, by Kafka's own tools.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::kafka::Kafka;
use crate::program::Run;

/// Writes records into a topic, as many as [`RECORDS`].
pub(crate) fn produce(kafka: &Kafka, broker: SocketAddr, topic: &str) {
    let (records, server) = (RECORDS.to_string(), format!("bootstrap.servers={broker}"));
    let words = ["--topic", topic, "--num-records", &records, "--record-size", "10", "--throughput", "-1"];
    run(kafka, "org.apache.kafka.tools.ProducerPerformance", &[&words[..], &["--producer-props", &server]].concat());
}

/// Joins a group, consumes `count` records, commits and leaves.
pub(crate) fn consume(kafka: &Kafka, broker: SocketAddr, topic: &str, group: &str, count: u32) {
    let (broker, count) = (broker.to_string(), count.to_string());
    let words = ["--bootstrap-server", &broker, "--topic", topic, "--group", group, "--from-beginning"];
    let limits = ["--max-messages", &count, "--timeout-ms", "30000"];
    let words = [&words[..], &limits].concat();
    let run = run(kafka, "org.apache.kafka.tools.consumer.ConsoleConsumer", &words);
    assert_eq!(text(&run).lines().count().to_string(), count, "records consumed\n{run}");
}

/// Commits an offset without joining, as an administrator does.
pub(crate) fn reset(kafka: &Kafka, broker: SocketAddr, topic: &str, group: &str, offset: u32) {
    let offset = offset.to_string();
    let words = ["--group", group, "--topic", topic, "--reset-offsets", "--to-offset", &offset, "--execute"];
    groups(kafka, broker, &words);
}

/// What the tool tells of all groups, their states and offsets.
pub(crate) fn describe(kafka: &Kafka, broker: SocketAddr) -> BTreeSet<String> {
    let list = text(&groups(kafka, broker, &["--list", "--state", "--type"]));
    let offsets = text(&groups(kafka, broker, &["--describe", "--all-groups", "--offsets", "--verbose"]));
    let lines = list.lines().chain(offsets.lines()).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with("GROUP ")).collect()
}

/// The keys and values of the offsets topic, as Kafka's tool decodes them.
pub(crate) fn dump(kafka: &Kafka, partition: &Path) -> Vec<String> {
    let files =
        fs::read_dir(partition).expect("the partition is there").map(|file| file.expect("it can be listed").path());
    let segments = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
    let mut segments: Vec<String> = segments.map(|file| file.display().to_string()).collect();
    segments.sort();
    let words = ["--offsets-decoder", "--files", &segments.join(",")];
    let run = run(kafka, "org.apache.kafka.tools.DumpLogSegments", &words);
    let lines = text(&run);
    let records = lines.lines().filter_map(|line| Some(line.split_once(" key: ")?.1.to_owned()));
    records.collect()
}

fn groups(kafka: &Kafka, broker: SocketAddr, words: &[&str]) -> Run {
    let broker = broker.to_string();
    let words = [&["--bootstrap-server", &*broker], words].concat();
    run(kafka, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &words)
}

fn run(kafka: &Kafka, class: &str, words: &[&str]) -> Run {
    let (last, words) = words.split_last().expect("there are words");
    let run = kafka.tool(class, words, Path::new(last));
    assert!(run.is_success(), "{run}");
    run
}

fn text(run: &Run) -> String {
    String::from_utf8_lossy(&run.output).into_owned()
}

/// Records that [`produce`] writes.
pub(crate) const RECORDS: u32 = 20;
