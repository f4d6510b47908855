//! `highwater doctor`.

use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cluster::{Verdict, describe};
use crate::connection::{Connection, Target};
use crate::consume::reader::bracketed;
use crate::error::{CliError, Kind};
use crate::output::{Cell, Column, Mood, Output, Table};
use crate::session::Session;
use crate::timestamp::now_ms;

/// Arguments of `highwater doctor`.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Also measure how long a sync to this directory takes; writes a file there and removes it.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// What was looked at, and how it is.
struct Findings(Vec<(String, Mood, String, String)>);

impl Findings {
    fn add(&mut self, check: impl Into<String>, mood: Mood, found: impl Into<String>, hint: impl Into<String>) {
        self.0.push((check.into(), mood, found.into(), hint.into()));
    }
}

impl Doctor {
    pub(crate) fn run(self, connection: &Connection) -> Result<(), CliError> {
        let target = connection.resolve()?;
        let mut findings = Findings(Vec::new());
        let is_there = check_bootstrap(&target, &mut findings);
        if is_there {
            match Session::open(connection) {
                Ok(session) => check_cluster(&session, &mut findings),
                Err(error) => findings.add("cluster", Mood::Bad, error.why(), ""),
            }
        }
        check_descriptors(&mut findings);
        if let Some(dir) = &self.dir {
            check_syncs(dir, &mut findings);
        }
        let mut table =
            Table::new(vec![Column::new("check"), Column::new("state"), Column::new("found"), Column::new("try")]);
        for (check, mood, found, hint) in &findings.0 {
            let word = match mood {
                Mood::Good => "ok",
                Mood::Fair => "warning",
                Mood::Bad => "failed",
            };
            let hint = if hint.is_empty() { Cell::Absent } else { hint.as_str().into() };
            table.row(vec![check.as_str().into(), Cell::State(word.into(), *mood), found.as_str().into(), hint]);
        }
        self.output.print(&table)?;
        let bad = findings.0.iter().filter(|(_, mood, ..)| *mood == Mood::Bad).count();
        if bad == 0 {
            return Ok(());
        }
        let kind = if is_there { Kind::Failed } else { Kind::Unreachable };
        Err(CliError::new(kind, format!("{bad} checks failed"), "the table tells which, and what to try"))
    }
}

/// Looks up and reaches each address that was given. Whether any takes a connection.
fn check_bootstrap(target: &Target, findings: &mut Findings) -> bool {
    let mut is_there = false;
    for broker in &target.brokers {
        let (mood, found) = reach(broker);
        is_there |= mood == Mood::Good;
        let hint = if mood == Mood::Good { "" } else { "start the broker, or correct the address given with -b" };
        findings.add(format!("bootstrap {broker}"), mood, found, hint);
    }
    is_there
}

fn reach(address: &str) -> (Mood, String) {
    let begin = Instant::now();
    let addresses: Vec<_> = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => return (Mood::Bad, format!("its name has no address: {error}")),
    };
    let mut last = "its name has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return (Mood::Good, format!("connects to {} in {}", address.ip(), milliseconds(begin.elapsed()))),
            Err(error) => last = format!("{}: {error}", address.ip()),
        }
    }
    (Mood::Bad, last)
}

fn check_cluster(session: &Session, findings: &mut Findings) {
    let begin = Instant::now();
    let cluster = match describe(session) {
        Ok(cluster) => cluster,
        Err(error) => return findings.add("cluster", Mood::Bad, error.why(), "see whether it is a Kafka broker"),
    };
    let found =
        format!("{} brokers answer for {} in {}", cluster.brokers.len(), cluster.id, milliseconds(begin.elapsed()));
    findings.add("cluster", Mood::Good, found, "");
    for broker in &cluster.brokers {
        let address = format!("{}:{}", bracketed(&broker.node.host), broker.node.port);
        let check = format!("broker {} at {address}", broker.node.id);
        if broker.is_fenced {
            findings.add(check, Mood::Bad, "it is registered but not there", "start it, or unregister it");
            continue;
        }
        let (mood, found) = reach(&address);
        let hint =
            if mood == Mood::Good { "" } else { "set advertised.listeners of the broker to what clients can reach" };
        findings.add(check, mood, found, hint);
    }
    match Verdict::of(session, &cluster) {
        Ok(verdict) => {
            let found = format!(
                "{} partitions, {} offline, {} under-replicated",
                verdict.partitions,
                verdict.offline.len(),
                verdict.under_replicated.len()
            );
            let hint = if verdict.mood() == Mood::Good { "" } else { "highwater cluster health" };
            findings.add("health", verdict.mood(), found, hint);
        }
        Err(error) => findings.add("health", Mood::Bad, error.why(), ""),
    }
    check_clock(session, findings);
}

/// Compares clocks by the time at which the leader of the quorum last had everything: now, by its own clock.
fn check_clock(session: &Session, findings: &mut Findings) {
    let before = now_ms();
    let Ok(quorum) = session.admin.describe_quorum().wait() else { return };
    let after = now_ms();
    let leader = quorum.voters.iter().find(|voter| Some(voter.id) == quorum.leader);
    let Some(at) = leader.and_then(|leader| leader.last_caught_up) else { return };
    let skew_ms =
        if at.value() < before { before.saturating_sub(at.value()) } else { at.value().saturating_sub(after).max(0) };
    let mood = if skew_ms < SKEW_MS_MAX { Mood::Good } else { Mood::Fair };
    let hint = if mood == Mood::Good { "" } else { "let both machines take their time from the same source" };
    findings.add("clock", mood, format!("differs from the controller's by about {skew_ms} ms"), hint);
}

fn check_descriptors(findings: &mut Findings) {
    let Ok(limits) = fs::read_to_string("/proc/self/limits") else { return };
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let mut numbers = line.trim_start_matches("Max open files").split_whitespace();
    let Some(soft) = numbers.next() else { return };
    let is_enough = soft == "unlimited" || soft.parse().is_ok_and(|soft: u64| DESCRIPTORS_MIN <= soft);
    let (mood, hint) = if is_enough { (Mood::Good, "") } else { (Mood::Fair, "ulimit -n 100000, for a broker") };
    findings.add("open files", mood, format!("this shell allows {soft}"), hint);
}

fn check_syncs(dir: &Path, findings: &mut Findings) {
    let check = format!("sync {}", dir.display());
    match measure_syncs(dir) {
        Ok(mut times) => {
            times.sort_unstable();
            let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
            let found = format!("p50 {}, p99 {}", milliseconds(at(50)), milliseconds(at(99)));
            let mood = if at(99) < SYNC_MAX { Mood::Good } else { Mood::Fair };
            let hint = if mood == Mood::Good { "" } else { "keep logs on a faster disk; acks=all waits for its syncs" };
            findings.add(check, mood, found, hint);
        }
        Err(error) => findings.add(check, Mood::Bad, error.to_string(), "give a directory that this user may write to"),
    }
}

fn measure_syncs(dir: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let block = [0x5a; 4096];
    (0..SYNCS)
        .map(|_| {
            file.write_all(&block)?;
            let begin = Instant::now();
            file.sync_data()?;
            Ok(begin.elapsed())
        })
        .collect()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

const CONNECT: Duration = Duration::from_secs(3);
/// Timestamps are refused by default when they are an hour ahead; a minute is worth a word.
const SKEW_MS_MAX: i64 = 60_000;
/// A broker has two or three open files for each partition, and a socket for each client.
const DESCRIPTORS_MIN: u64 = 65_536;
const SYNCS: usize = 100;
const SYNC_MAX: Duration = Duration::from_millis(50);
