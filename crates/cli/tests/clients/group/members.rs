//! The members of one group as processes, and what they say while they live.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::judge::{Event, What};
use crate::broker::tail;

/// The processes of a group and everything that they said so far.
pub(crate) struct Members {
    running: BTreeMap<String, Process>,
    events: Vec<Event>,
    owners: BTreeMap<String, BTreeSet<usize>>,
    committed: Vec<u64>,
    /// Records in each partition, as the feed said last.
    fed: u64,
    lines: Receiver<(String, Option<Value>)>,
    sender: Sender<(String, Option<Value>)>,
    /// Where the members' stderr goes.
    logs: PathBuf,
}

struct Process {
    child: Child,
    /// Closing it asks the member to leave. Without it, SIGTERM does.
    stdin: Option<ChildStdin>,
}

impl Members {
    /// No members yet of a group that reads a topic of `partitions`.
    pub(crate) fn new(partitions: usize, logs: PathBuf) -> Self {
        std::fs::create_dir_all(&logs).expect("the temporary directory is writable");
        let (sender, lines) = mpsc::channel();
        Self {
            running: BTreeMap::new(),
            events: Vec::new(),
            owners: BTreeMap::new(),
            committed: vec![0; partitions],
            fed: 0,
            lines,
            sender,
            logs,
        }
    }

    /// Starts a process whose lines are those of `name`, a name that was not used before.
    pub(crate) fn start(&mut self, name: &str, mut command: Command) {
        let log = File::create(self.log(name)).expect("the temporary directory is writable");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        self.listen(name, stdout, |line| serde_json::from_str(line).ok(), true);
        let stdin = child.stdin.take();
        self.started(name, child, stdin);
    }

    /// Starts a process that ends by SIGTERM, and says in a language of its own on stdout and stderr what
    /// `parse` turns into that of the others.
    pub(crate) fn start_foreign(&mut self, name: &str, mut command: Command, parse: fn(&str) -> Option<Value>) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let stderr = child.stderr.take().expect("stderr was asked for as a pipe");
        self.listen(name, stdout, parse, true);
        self.listen(name, stderr, parse, false);
        self.started(name, child, None);
    }

    fn started(&mut self, name: &str, child: Child, stdin: Option<ChildStdin>) {
        let before = self.running.insert(name.to_owned(), Process { child, stdin });
        assert!(before.is_none(), "{name} is started twice");
        self.owners.insert(name.to_owned(), BTreeSet::new());
    }

    fn listen(
        &self,
        name: &str,
        output: impl Read + Send + 'static,
        parse: fn(&str) -> Option<Value>,
        ends_with_it: bool,
    ) {
        let (name, sender) = (name.to_owned(), self.sender.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(line) = parse(&line)
                    && sender.send((name.clone(), Some(line))).is_err()
                {
                    return;
                }
            }
            if ends_with_it {
                // Nobody listens any more when the test has failed.
                let _ = sender.send((name, None));
            }
        });
    }

    /// Takes in what the members say until `holds`.
    ///
    /// # Panics
    ///
    /// If it does not in time, or if a member ends of its own accord.
    pub(crate) fn wait_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = deadline();
        while !holds(self) {
            let (name, line) = self.receive(deadline, what);
            let Some(line) = line else { self.fail(&format!("{name} ended while waiting until {what}")) };
            self.take_in(&name, &line);
        }
    }

    /// Kills a member with SIGKILL.
    pub(crate) fn kill(&mut self, name: &str) {
        self.signal(name, Signal::SIGKILL);
        self.wait_for_end(name);
    }

    /// Asks a process to end, and waits for it.
    ///
    /// # Panics
    ///
    /// If it ends with a failure.
    pub(crate) fn leave(&mut self, name: &str) {
        if self.running.get_mut(name).expect("the process runs").stdin.take().is_none() {
            self.signal(name, Signal::SIGTERM);
        }
        let is_success = self.wait_for_end(name);
        if !is_success {
            self.fail(&format!("{name} ended with a failure"));
        }
    }

    fn signal(&self, name: &str, signal: Signal) {
        let pid = i32::try_from(self.running[name].child.id()).expect("process ids fit 31 bits");
        kill(Pid::from_raw(pid), signal).expect("the member is our child and was not yet waited for");
    }

    fn wait_for_end(&mut self, name: &str) -> bool {
        let deadline = deadline();
        loop {
            let (from, line) = self.receive(deadline, &format!("{name} ends"));
            match line {
                Some(line) => self.take_in(&from, &line),
                None if from == name => break,
                None => self.fail(&format!("{from} ended while waiting for the end of {name}")),
            }
        }
        let mut process = self.running.remove(name).expect("the process ran");
        let status = process.child.wait().expect("the child exists until it is waited for");
        // Of the moment nothing is known but that it came after everything that the member said.
        let at_ns = self.events.iter().rev().find(|event| event.member == name).map_or(0, |event| event.at_ns);
        self.push(Event { member: name.to_owned(), at_ns, what: What::Gone });
        self.owners.remove(name);
        status.success()
    }

    fn receive(&self, deadline: Instant, what: &str) -> (String, Option<Value>) {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).unwrap_or_else(|_| self.fail(&format!("not within {LIMIT:?}: {what}")))
    }

    fn take_in(&mut self, name: &str, line: &Value) {
        if line["event"] == "fed" {
            self.fed = line["rounds"].as_u64().expect("a count of rounds");
        } else if line["error"].is_string() {
            self.fail(&format!("{name} failed: {line}"));
        } else if let Some(event) = Event::parse(name, line) {
            self.push(event);
        }
    }

    fn push(&mut self, event: Event) {
        let owned = self.owners.entry(event.member.clone()).or_default();
        match &event.what {
            What::Assigned(given) => owned.extend(given),
            What::Revoked(taken) => owned.retain(|partition| !taken.contains(partition)),
            What::Committed(positions) => {
                for (partition, position) in positions {
                    if let Some(committed) = self.committed.get_mut(*partition) {
                        *committed = (*committed).max(*position);
                    }
                }
            }
            _ => {}
        }
        self.events.push(event);
    }

    /// Everything that was said, in the order in which it was heard.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Records in each partition, as the feed said last.
    pub(crate) fn fed(&self) -> u64 {
        self.fed
    }

    /// Says that the topic has records from before.
    pub(crate) fn already_fed(&mut self, records: u64) {
        self.fed = records;
    }

    /// The processes that run.
    pub(crate) fn names(&self) -> Vec<String> {
        self.running.keys().cloned().collect()
    }

    /// What a member owns at the moment.
    pub(crate) fn owned(&self, name: &str) -> &BTreeSet<usize> {
        &self.owners[name]
    }

    /// Whether these members, and no others, own all partitions and each has some.
    pub(crate) fn is_shared_by(&self, names: &[&str]) -> bool {
        let owned: Vec<&BTreeSet<usize>> = names.iter().map(|name| &self.owners[*name]).collect();
        let all: BTreeSet<usize> = owned.iter().flat_map(|each| each.iter().copied()).collect();
        all.len() == self.committed.len() && owned.iter().all(|each| !each.is_empty()) && {
            self.owners.values().map(BTreeSet::len).sum::<usize>() == self.committed.len()
        }
    }

    /// Whether every partition is committed at least up to here.
    pub(crate) fn is_committed(&self, position: u64) -> bool {
        self.committed.iter().all(|committed| *committed >= position)
    }

    /// Ends the test with what there is to see.
    pub(crate) fn fail(&self, why: &str) -> ! {
        let logs: String = self.running.keys().map(|name| tail(name, &self.log(name)) + "\n").collect();
        let rebalances = self.events.iter().filter(|event| event.what.is_rebalance());
        let rebalances: String = rebalances.map(|event| format!("{event:?}\n")).collect();
        let recent = &self.events[self.events.len().saturating_sub(RECENT)..];
        let recent: String = recent.iter().map(|event| format!("{event:?}\n")).collect();
        panic!(
            "{why}\nowned: {:?}\ncommitted: {:?}, fed: {}\n{logs}--- all rebalances\n{rebalances}--- the last events\n{recent}",
            self.owners, self.committed, self.fed
        );
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(name)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for process in self.running.values_mut() {
            // Both fail only when the process is gone, which is what is wanted.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

fn deadline() -> Instant {
    Instant::now() + LIMIT
}

/// For everything that is waited for; nothing is judged by how long it took.
const LIMIT: Duration = Duration::from_secs(120);
/// Events shown when a test fails.
const RECENT: usize = 40;
