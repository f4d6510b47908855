//! highwater's own client as one more program of the same phases, which `python/driver.py` and `python/group.py`
//! describe. The program is this test executable once more: see [`program`].

#![expect(clippy::print_stdout, reason = "the lines are what the program is for")]

mod administration;
mod group_administration;
mod member;
mod positions;
mod traffic;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use highwater_client::{
    Client, ClientError, ErrorCode, Offset, PartitionIndex, Producer, SendError, TopicName, TopicPartition,
};
use serde_json::{Value, json};

use crate::program::Program;
use crate::records::Recipe;

/// highwater's own client, which is this executable: one of its tests acts as the program. Always there.
pub(crate) fn program() -> Program {
    let this = std::env::current_exe().expect("a running executable has a path");
    let only = ["own::acts_as_client", "--exact", "--nocapture"].map(OsString::from);
    let words = std::iter::once(this.into_os_string()).chain(only).collect();
    Program { name: NAME, words, variable: Some(ARGUMENTS) }
}

/// Why a phase failed, in words.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Done = Result<Value, Failure>;

/// Not a test: with [`ARGUMENTS`] in the environment it is the client, which ends the process. Without, it does nothing.
#[test]
fn acts_as_client() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    // The harness may have begun a line.
    println!();
    let mut words = arguments.split('\n');
    let phases = words.next().expect("the phases come first").to_owned();
    let mut options = BTreeMap::new();
    while let Some(name) = words.next() {
        let value = words.next().expect("every option has a value");
        options.insert(name.trim_start_matches('-').to_owned(), value.to_owned());
    }
    process::exit(run(&phases, &Options(options)));
}

/// Runs the phases and prints a line for each. Returns the exit code.
fn run(phases: &str, options: &Options) -> i32 {
    for phase in phases.split(',') {
        let started = Instant::now();
        let result = perform(phase, options);
        let is_error = result.is_err();
        let mut line = result.unwrap_or_else(|Failure(why)| json!({ "error": why }));
        line["client"] = NAME.into();
        line["phase"] = phase.into();
        line["seconds"] = started.elapsed().as_secs_f64().into();
        println!("{line}");
        if is_error {
            return 1;
        }
    }
    0
}

fn perform(phase: &str, options: &Options) -> Done {
    if phase == "version" {
        let version = env!("CARGO_PKG_VERSION");
        return Ok(json!({ "version": version, "refused": [], "suffixes": ["", traffic::IDEMPOTENT] }));
    }
    let client = Client::new(options.text("bootstrap"))?;
    match phase {
        "produce" => traffic::produce(&client, options),
        "verify" => traffic::verify(&client, options),
        "times" => traffic::times(&client, options),
        "admin" => administration::run(&client, options),
        "member" => member::run(&client, options),
        "feed" => traffic::feed(&client, options),
        "committed" => group_administration::committed(&client, options),
        "group-positions" => positions::run(&client, options),
        "group-admin" => group_administration::run(&client, options),
        _ => Err(Failure(format!("no such phase: {phase}"))),
    }
}

/// What the phases are told.
struct Options(BTreeMap<String, String>);

impl Options {
    /// Empty if it was not given.
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Zero if it was not given.
    ///
    /// # Panics
    ///
    /// If it is not such a number.
    fn number(&self, name: &str) -> u64 {
        self.0.get(name).map_or(0, |text| text.parse().expect("options are numbers where numbers are due"))
    }

    fn partitions(&self) -> usize {
        usize::try_from(self.number("partitions")).expect("few partitions").max(1)
    }

    fn base_timestamp_ms(&self) -> i64 {
        i64::try_from(self.number("base-timestamp")).expect("a time of our days")
    }

    /// Records as this client, or the one whose topics are read, writes them.
    fn recipe(&self) -> Recipe {
        let refused = self.text("refused").split(',').filter(|what| !what.is_empty());
        Recipe {
            seed: self.number("seed"),
            partitions: self.partitions(),
            base_timestamp_ms: self.base_timestamp_ms(),
            refused: refused.map(str::to_owned).collect(),
        }
    }
}

fn at(topic: &str, partition: usize) -> TopicPartition {
    let topic = TopicName::new(topic).expect("tests have good names");
    TopicPartition { topic, partition: PartitionIndex::new(u32::try_from(partition).expect("few partitions")) }
}

fn number_of(partition: &TopicPartition) -> usize {
    usize::try_from(partition.partition.value()).expect("few partitions")
}

fn offset(number: usize) -> Offset {
    Offset::new(u64::try_from(number).expect("few records"))
}

#[expect(clippy::needless_pass_by_value, reason = "what is compared is mostly made for it")]
fn expect<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), Failure> {
    if got == want { Ok(()) } else { Err(Failure(format!("{what}: {got:?}, not {want:?}"))) }
}

fn expect_code<T>(code: ErrorCode, result: Result<T, ClientError>) -> Result<(), Failure> {
    match result {
        Err(error) if error.code() == Some(code) => Ok(()),
        Err(error) => Err(Failure(format!("{error}, not {}", code.name()))),
        Ok(_) => Err(Failure(format!("no error, where {} is due", code.name()))),
    }
}

/// Waits for a change that a broker may show a moment after it confirmed it.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let deadline = Instant::now() + DEADLINE;
    while !holds()? {
        if deadline < Instant::now() {
            return Err(Failure(format!("not within {DEADLINE:?}: {what}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Sends everything that was taken.
fn close(producer: &Producer<Vec<u8>, Vec<u8>>) -> Result<(), ClientError> {
    producer.close(DEADLINE).wait()
}

/// How many records were not acknowledged, and why the first was not.
fn check_sent(failed: &[SendError]) -> Result<(), Failure> {
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Failure(format!("{} records failed: {first}", failed.len()))),
    }
}

const DEADLINE: Duration = Duration::from_secs(60);
/// The environment variable with the arguments, one a line, that makes a client of this executable.
const ARGUMENTS: &str = "HIGHWATER_CLIENT_ARGUMENTS";
/// The name of this client.
const NAME: &str = "highwater";
