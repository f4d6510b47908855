//! One directory that passes between the two brokers, and what is known of its contents.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use highwater_types::TimestampMs;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::Broker;
use crate::connection::Connection;
use crate::dump;
use crate::kafka::{Kafka, KafkaBroker};
use crate::program::{Missing, Program};
use crate::protocol::{Sequences, epoch_ends};
use crate::records::{Recipe, digest};

/// The directory, the installations, and how many records the topics with a codec have by now.
pub(crate) struct Exchange {
    dir: Option<TempDir>,
    pub(crate) kafka: Kafka,
    client: Program,
    pub(crate) recipe: Recipe,
    /// When this began.
    pub(crate) now: TimestampMs,
    written: u64,
    starts: u32,
}

/// All that clients see of a broker's topics, and where the leader epochs of the partitions end.
#[derive(Debug, PartialEq)]
pub(crate) struct Observation {
    topics: Value,
    epochs: BTreeMap<String, Vec<(i32, i64)>>,
}

impl Exchange {
    /// An empty directory.
    pub(crate) fn new() -> Result<Self, Missing> {
        let kafka = Kafka::find()?;
        let client = Program::java()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
        let now_ms = i64::try_from(now.as_millis()).expect("milliseconds fit for ages");
        // Ahead of the clock, and so of the time of transaction markers: one of these at the front of a segment would
        // otherwise keep it from ever rolling by the time of its records.
        let recipe = Recipe { seed: 7, partitions: 3, base_timestamp_ms: now_ms + 600_000, refused: Vec::new() };
        let dir = tempfile::tempdir().expect("a temporary directory can be created");
        Ok(Self { dir: Some(dir), kafka, client, recipe, now: TimestampMs(now_ms), written: 0, starts: 0 })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().expect("it is there until the end").path().join(name)
    }

    /// The log directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Makes the log directory Kafka's.
    pub(crate) fn format(&self) {
        self.kafka.format(&self.data(), &SETTINGS);
    }

    pub(crate) fn start_kafka(&mut self) -> KafkaBroker {
        self.starts += 1;
        self.kafka.start(&self.data(), &SETTINGS, &self.path(&format!("{}-kafka.log", self.starts)))
    }

    pub(crate) fn start_highwater(&mut self) -> Broker {
        self.starts += 1;
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["server", "--set", "node.id=1", "--set", "process.roles=broker,controller"]);
        command.args(["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set"]);
        command.arg(format!("log.dirs={}", self.data().display()));
        for (name, value) in SETTINGS {
            command.args(["--set", &format!("{name}={value}")]);
        }
        Broker::run(command, self.path(&format!("{}-highwater.log", self.starts)))
    }

    /// Runs phases of the client on the topics with a past.
    pub(crate) fn histories(&self, broker: SocketAddr, phases: &str) -> Vec<Value> {
        self.run(broker, phases, 0, HISTORY_RECORDS, &[])
    }

    /// Creates a topic of one partition.
    pub(crate) fn create(&self, broker: SocketAddr, topic: &str) {
        self.run(broker, "create", 0, 0, &["--topics", topic]);
    }

    /// Deletes a topic; the directory that the broker set aside is still there when this returns.
    pub(crate) fn delete(&self, broker: SocketAddr, topic: &str) {
        self.run(broker, "delete", 0, 0, &["--topics", topic]);
        let prefix = format!("{topic}-0.");
        wait_until("the topic's directory is set aside", || {
            let is_its = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
            self.partitions().iter().any(|path| is_its(path) && is_set_aside(path))
        });
    }

    /// Adds records to the topics with a codec, by producers with new ids.
    pub(crate) fn produce(&mut self, broker: SocketAddr) {
        self.run(broker, "produce", self.written, PRODUCED_RECORDS, &[]);
        self.written += PRODUCED_RECORDS;
    }

    /// Reads the topics with a codec back and looks their offsets up by time.
    pub(crate) fn verify(&self, broker: SocketAddr) {
        let lines = self.run(broker, "verify,times", 0, self.written, &[]);
        let topics = lines[0]["topics"].as_array().expect("the phase lists topics");
        assert_eq!(topics.len(), CODECS.len());
        let want = digest(&self.recipe.by_partition(self.written));
        for topic in topics {
            assert_eq!(topic["digest"], want.as_str(), "digest of what was read: {topic}");
        }
    }

    /// Looks at everything there is.
    pub(crate) fn observe(&self, broker: SocketAddr) -> Observation {
        let topics = self.histories(broker, "describe").remove(0)["topics"].take();
        let mut connection = Connection::open(broker);
        let mut epochs = BTreeMap::new();
        for (topic, about) in topics.as_object().expect("the topics by their names") {
            for field in about.as_object().expect("fields by their names").keys() {
                if let Some(partition) = field.strip_prefix("partition ") {
                    let partition = partition.parse().expect("partitions are numbered");
                    epochs.insert(format!("{topic}-{partition}"), epoch_ends(&mut connection, topic, partition));
                }
            }
        }
        Observation { topics, epochs }
    }

    /// Compares what a broker shows with what the one before it showed of the same directory.
    ///
    /// # Panics
    ///
    /// If there is a difference, other than the leader epoch that begins with the new broker.
    pub(crate) fn expect_same(&self, broker: SocketAddr, before: &Observation) {
        let now = self.observe(broker);
        let mut differences = Vec::new();
        collect_differences("", &before.topics, &now.topics, &mut differences);
        assert!(differences.is_empty(), "the same directory looks different:\n{}", differences.join("\n"));
        assert!(before.epochs.values().any(|ends| 1 < ends.len()), "only one leader epoch everywhere");
        for (partition, ends) in &before.epochs {
            let known = now.epochs[partition].get(..ends.len());
            assert_eq!(known, Some(&ends[..]), "ends of the leader epochs of {partition}");
        }
    }

    /// Holds every file of the stopped broker against Kafka's and our own tools.
    pub(crate) fn inspect(&self) {
        // A deleted one is never closed: its indexes stay as long as they were made.
        let mut partitions = self.partitions();
        partitions.retain(|path| !is_set_aside(path));
        let complaints = dump::complaints(&self.kafka, &partitions);
        assert!(complaints.is_empty(), "DumpLogSegments:\n{}", complaints.join("\n"));
        dump::compare(&self.kafka, &partitions);
        let output = Command::new(env!("CARGO_BIN_EXE_highwater")).args(["log", "verify"]).arg(self.data()).output();
        let output = output.expect("the binary runs");
        assert!(output.status.success(), "highwater log verify: {output:?}");
    }

    /// Looks through what every highwater of this exchange logged.
    pub(crate) fn expect_no_warnings(&self) {
        for start in 1..=self.starts {
            let log = fs::read_to_string(self.path(&format!("{start}-highwater.log"))).unwrap_or_default();
            let loud: Vec<&str> =
                log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).collect();
            assert!(loud.is_empty(), "highwater warns:\n{}", loud.join("\n"));
        }
    }

    /// The directories of all partitions, deleted ones included.
    pub(crate) fn partitions(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data()).expect("the log directory is there");
        let mut partitions: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        partitions.retain(|path| path.is_dir());
        partitions.sort();
        partitions
    }

    /// Waits until retention has deleted the first segment of the topic `retained`.
    pub(crate) fn await_retention(&self) {
        let partition = self.data().join("retained-0");
        wait_until("the first segment is deleted", || segment_bases(&partition)[0] != 0);
    }

    /// Waits until the cleaner has been through all but the active segment of the topic `compacted`.
    pub(crate) fn await_compaction(&self) {
        let checkpoint = self.data().join("cleaner-offset-checkpoint");
        let partition = self.data().join("compacted-0");
        wait_until("the log is compacted", || {
            let text = fs::read_to_string(&checkpoint).unwrap_or_default();
            let cleaned = text.lines().find_map(|line| line.strip_prefix("compacted 0 ")?.parse().ok());
            cleaned.is_some() && cleaned == segment_bases(&partition).pop()
        });
    }

    fn run(&self, broker: SocketAddr, phases: &str, first: u64, count: u64, more: &[&str]) -> Vec<Value> {
        let mut options: Vec<String> = [
            ("--bootstrap", broker.to_string()),
            ("--codecs", CODECS.join(",")),
            ("--seed", self.recipe.seed.to_string()),
            ("--partitions", self.recipe.partitions.to_string()),
            ("--base-timestamp", self.recipe.base_timestamp_ms.to_string()),
            ("--first", first.to_string()),
            ("--count", count.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        options.extend(more.iter().map(|word| (*word).to_owned()));
        self.client.run(phases, &options, None)
    }

    /// Begins the topic of the producer that outlives its brokers.
    pub(crate) fn begin_sequences(&self, broker: SocketAddr) -> Sequences {
        self.create(broker, crate::protocol::SEQUENCES);
        Sequences::begin(broker, self.recipe.base_timestamp_ms)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if thread::panicking() {
            let kept = self.dir.take().map(TempDir::keep);
            let kept = kept.unwrap_or_default();
            let _ = writeln!(io::stderr(), "directory and logs are kept in {}", kept.display());
        }
    }
}

/// Base offsets of a partition's segments, ascending.
pub(crate) fn segment_bases(partition: &Path) -> Vec<i64> {
    let entries = fs::read_dir(partition).expect("the partition's directory is there");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name());
    let mut bases: Vec<i64> = names.filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse().ok()).collect();
    bases.sort_unstable();
    bases
}

/// The value of a setting of both brokers that is a number.
pub(crate) fn setting<N: std::str::FromStr>(name: &str) -> N {
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("{name} is no number in the settings"))
}

fn is_set_aside(partition: &Path) -> bool {
    partition.to_string_lossy().ends_with("-delete")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {WAIT_MAX:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn collect_differences(place: &str, before: &Value, now: &Value, differences: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(fields), Value::Object(others)) => {
            for name in fields.keys().chain(others.keys().filter(|name| !fields.contains_key(*name))) {
                collect_differences(&format!("{place}/{name}"), &before[name], &now[name], differences);
            }
        }
        _ if before != now => differences.push(format!("{place}: {now}, before {before}")),
        _ => {}
    }
}

/// All codecs of the record format; each has a topic.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// Records added to each topic with a codec at a time.
const PRODUCED_RECORDS: u64 = 500;
/// Records written to each topic with a past. Two records are 10 ms apart.
pub(crate) const HISTORY_RECORDS: u64 = 1_200;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Settings of both brokers: several segments in each log, many index entries, and prompt housekeeping.
const SETTINGS: [(&str, &str); 9] = [
    ("log.roll.ms", "4000"),
    ("log.index.interval.bytes", "300"),
    ("log.retention.check.interval.ms", "200"),
    ("log.cleaner.backoff.ms", "100"),
    ("offsets.topic.num.partitions", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
];
