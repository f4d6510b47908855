//! kcat in groups. It prints what it owns and reads, but not what it commits, so that only the outcome is
//! judged: that every record is read, and none twice where a member had the time to say goodbye.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::judge::What;
use super::members::Members;
use super::{PARTITIONS, SESSION_MS, TOPIC, start};
use crate::broker::Broker;
use crate::kcat::{command, create_topic, succeed, version};
use crate::table;

/// Three share, one leaves, one is killed, one returns; committed positions survive a restart of the broker.
pub(crate) fn works() {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let data = dir.path().join("data");
    let broker = start(&data, 0, SESSION_MS);
    create_topic(broker.address(), TOPIC, PARTITIONS);
    let lines = lines(dir.path());
    let mut members = Members::new(PARTITIONS, dir.path().join("logs"));

    feed(&broker, &lines);
    for name in ["a", "b", "c"] {
        members.start_foreign(name, member(&broker), parse);
    }
    wait_until_shared_by(&mut members, &["a", "b", "c"]);
    feed(&broker, &lines);
    wait_until_read(&mut members, 2);
    members.leave("b");
    wait_until_shared_by(&mut members, &["a", "c"]);
    feed(&broker, &lines);
    wait_until_read(&mut members, 3);
    let read = times_read(&members);
    assert!(read.values().all(|times| *times == 1), "read twice although the members left in peace: {read:?}");

    members.kill("c");
    wait_until_shared_by(&mut members, &["a"]);
    members.start_foreign("d", member(&broker), parse);
    wait_until_shared_by(&mut members, &["a", "d"]);
    feed(&broker, &lines);
    wait_until_read(&mut members, 4);
    members.leave("a");
    members.leave("d");

    let mut broker = broker;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let port = broker.address().port();
        broker.end(signal);
        broker = start(&data, port, SESSION_MS);
        assert_eq!(left(&broker), "", "read after {signal} although it was committed before");
    }
    broker.end(Signal::SIGTERM);
    table::GROUPS.record([
        "kcat",
        "classic",
        &version(),
        "share, leave, SIGKILL and return of a member, clean restart, SIGKILL",
    ]);
}

/// A member that commits ten times a second what it printed.
fn member(broker: &Broker) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", &broker.address().to_string(), "-u", "-f", "%p %o\\n"])
        .args(["-X", "session.timeout.ms=10000", "-X", "heartbeat.interval.ms=500"])
        .args(["-X", "auto.commit.interval.ms=100", "-X", "auto.offset.reset=earliest"])
        .args(["-G", GROUP, TOPIC]);
    kcat
}

/// What a member that ends at the end of all partitions still finds to read.
fn left(broker: &Broker) -> String {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", &broker.address().to_string(), "-e", "-f", "%p %o\\n"]).args([
        "-X",
        "auto.offset.reset=earliest",
        "-G",
        GROUP,
        TOPIC,
    ]);
    String::from_utf8_lossy(&succeed(kcat, broker).output).into_owned()
}

/// `partition offset` of a record, or `% Group g rebalanced (memberid m): assigned: t [0], t [1]`.
fn parse(line: &str) -> Option<Value> {
    if let Some(("% Group", rest)) = line.split_at_checked("% Group".len()) {
        let (_, change) = rest.split_once("): ")?;
        let (event, list) = change.split_once(": ")?;
        let inside = |part: &str| part.split_once(']')?.0.parse().ok();
        let partitions: Vec<usize> = list.split('[').skip(1).filter_map(inside).collect();
        return Some(json!({"event": event, "at": 0, "partitions": partitions}));
    }
    let (partition, offset) = line.split_once(' ')?;
    let record = (partition.parse::<usize>().ok()?, offset.parse::<u64>().ok()?);
    Some(json!({"event": "consumed", "at": 0, "records": [record]}))
}

/// Writes [`ROUND`] records to every partition.
fn feed(broker: &Broker, lines: &Path) {
    for partition in 0..PARTITIONS {
        let mut kcat = command(broker, "-P", TOPIC);
        kcat.args(["-p", &partition.to_string(), "-l"]).arg(lines);
        succeed(kcat, broker);
    }
}

fn lines(dir: &Path) -> PathBuf {
    let path = dir.join("lines");
    let mut file = File::create(&path).expect("the temporary directory is writable");
    for number in 0..ROUND {
        writeln!(file, "{number}").expect("the temporary directory is writable");
    }
    path
}

fn wait_until_shared_by(members: &mut Members, names: &[&str]) {
    members.wait_until(&format!("{names:?} share all partitions"), |members| members.is_shared_by(names));
}

fn wait_until_read(members: &mut Members, rounds: u64) {
    let what = format!("{rounds} rounds are read");
    let want: Vec<(usize, u64)> =
        (0..PARTITIONS).flat_map(|partition| (0..rounds * ROUND).map(move |offset| (partition, offset))).collect();
    members.wait_until(&what, |members| times_read(members).into_keys().eq(want.iter().copied()));
}

fn times_read(members: &Members) -> BTreeMap<(usize, u64), usize> {
    let mut times = BTreeMap::new();
    for event in members.events() {
        if let What::Consumed(records) = &event.what {
            records.iter().for_each(|record| *times.entry(*record).or_default() += 1);
        }
    }
    times
}

const GROUP: &str = "kcat";
/// Records that each partition gets at a time.
const ROUND: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_kcat_are_read() {
        let line = "% Group kcat rebalanced (memberid rdkafka-13ab): assigned: shared [0], shared [11]";
        assert_eq!(parse(line), Some(json!({"event": "assigned", "at": 0, "partitions": [0, 11]})));
        let line = "% Group kcat rebalanced (memberid rdkafka-13ab): revoked: shared [3]";
        assert_eq!(parse(line), Some(json!({"event": "revoked", "at": 0, "partitions": [3]})));
        assert_eq!(parse("7 41"), Some(json!({"event": "consumed", "at": 0, "records": [[7, 41]]})));
        assert_eq!(parse("% Reached end of topic shared [0] at offset 50"), None);
    }
}
