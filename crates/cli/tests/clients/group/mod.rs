//! What each client is put through in consumer groups.

mod judge;
pub(crate) mod kcat;
mod members;
pub(crate) mod mixed;

use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;

use crate::broker::Broker;
use crate::kcat::create_topic;
use crate::program::Program;
use crate::records::Recipe;
use crate::scenario::{options, recipe, strings, version};
use crate::table;
use judge::judge;
use members::Members;

const PARTITIONS: usize = 12;
const TOPIC: &str = "shared";

/// Heartbeats are frequent, so that rebalances are soon over. The same intervals stand in the clients' settings where
/// the protocol leaves them to the clients.
const SETTINGS: [(&str, &str); 4] = [
    ("group.initial.rebalance.delay.ms", "500"),
    ("group.consumer.min.session.timeout.ms", "6000"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
];

/// Members share, come and go, survive restarts of the broker; static ones restart unnoticed; positions are
/// sought and committed in every way; groups are administered.
pub(crate) fn works(program: &Program, protocol: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory can be created");
    let data = dir.path().join("data");
    let broker = start(&data, 0, SESSION_MS);
    create_topic(broker.address(), TOPIC, PARTITIONS);
    let client = Client { program, protocol, bootstrap: broker.address().to_string() };

    let mut group = Group::new(&client, "dynamic", dir.path());
    let alone = thread::scope(|scope| {
        // Most of its time it waits for the client to commit by itself.
        let alone = scope.spawn(|| program.run("version,group-positions,group-admin", &client.options("alone"), None));
        members_come_and_go(&mut group);
        alone.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    let broker = survives_restarts(&mut group, broker, &data);
    let end = group.end();
    static_members_restart_unnoticed(&client, end, dir.path());
    broker.end(Signal::SIGTERM);

    let mut exercised: Vec<String> =
        ["share, leave, SIGKILL and return of a member", "restart of a static member", "clean restart", "SIGKILL"]
            .map(String::from)
            .into();
    exercised.extend(alone[1..].iter().flat_map(|line| strings(&line["exercised"])));
    table::GROUPS.record([program.name, protocol, version(&alone[0]), &exercised.join(", ")]);
}

/// How soon a killed member is missed; long enough for heartbeats to arrive on a busy machine.
const SESSION_MS: u32 = 10_000;
/// For members that restart unnoticed: no client takes that long to start.
const SESSION_MS_LONG: u32 = 60_000;

/// A broker on `data` and `port`, which may be 0, with the settings of these tests.
fn start(data: &Path, port: u16, session_ms: u32) -> Broker {
    let mut command = match std::env::var("HIGHWATER_BROKER_CMD") {
        Ok(stand_in) => {
            let mut command = Command::new(stand_in);
            command.args(["dev", "--port", &port.to_string(), "--data"]).arg(data);
            command
        }
        // `highwater dev` takes no settings.
        Err(_) => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
            command.args(["server", "--set", &format!("listeners=PLAINTEXT://127.0.0.1:{port}")]);
            command.args(["--set", &format!("log.dirs={}", data.display())]);
            command.args(["--set", "offsets.topic.replication.factor=1"]);
            command
        }
    };
    for (name, value) in SETTINGS {
        command.args(["--set", &format!("{name}={value}")]);
    }
    command.args(["--set", &format!("group.consumer.session.timeout.ms={session_ms}")]);
    Broker::run(command, data.with_extension("stderr"))
}

/// Three share; one is killed, one leaves, one returns, and the writing goes on all the time.
fn members_come_and_go(group: &mut Group<'_>) {
    group.start_feed();
    for name in ["a", "b", "c"] {
        group.join(name, &[]);
    }
    group.wait_until_shared_by(&["a", "b", "c"]);
    group.wait_until_committed_past(1);
    group.members.kill("c");
    group.wait_until_shared_by(&["a", "b"]);
    group.members.leave("b");
    group.wait_until_shared_by(&["a"]);
    group.join("d", &[]);
    group.wait_until_shared_by(&["a", "d"]);
    group.end_feed();
}

/// The committed positions are there after SIGTERM and SIGKILL, and the members go on from them by themselves.
fn survives_restarts(group: &mut Group<'_>, mut broker: Broker, data: &Path) -> Broker {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let port = broker.address().port();
        broker.end(signal);
        broker = start(data, port, SESSION_MS_LONG);
        assert_eq!(group.committed(&broker), vec![Some(group.members.fed()); PARTITIONS], "committed after {signal}");
        group.start_feed();
        group.wait_until_committed_past(group.members.fed() + 1);
        group.end_feed();
    }
    broker
}

/// A static member that restarts gets back what it had, and the other does not notice.
fn static_members_restart_unnoticed(client: &Client<'_>, end: u64, dir: &Path) {
    let mut group = Group::new(client, "static", dir);
    group.members.already_fed(end);
    group.join_static("a", "one");
    group.join_static("b", "two");
    group.wait_until_shared_by(&["a", "b"]);
    group.wait_until_committed_past(end);

    let before = group.members.owned("b").clone();
    let rebalances = rebalances_of(&group, "a");
    group.members.leave("b");
    group.join_static("c", "two");
    group.members.wait_until("the restarted member has its partitions", |members| *members.owned("c") == before);
    // With the classic protocol nobody says that a process ends, so that a kill is a restart as well.
    let last = if client.protocol == "classic" {
        group.members.kill("c");
        group.join_static("d", "two");
        group.members.wait_until("the killed member has its partitions", |members| *members.owned("d") == before);
        "d"
    } else {
        "c"
    };

    group.start_feed();
    group.wait_until_committed_past(end + 1);
    group.end_feed();
    assert_eq!(rebalances_of(&group, "a"), rebalances, "assignments that the other member was told of");
    assert_eq!(*group.members.owned(last), before, "what the restarted member has");
    group.end();
}

fn rebalances_of(group: &Group<'_>, name: &str) -> usize {
    group.members.events().iter().filter(|event| event.member == name && event.what.is_rebalance()).count()
}

/// A client program and where it finds the broker.
struct Client<'a> {
    program: &'a Program,
    protocol: &'a str,
    bootstrap: String,
}

impl Client<'_> {
    fn options(&self, group: &str) -> Vec<String> {
        let mut options = options(&self.bootstrap, &Recipe { partitions: PARTITIONS, ..recipe(&[]) }, &["none"]);
        let own = [("--topic", TOPIC), ("--group", group), ("--protocol", self.protocol)];
        options.extend(own.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]));
        options
    }
}

/// A group of members of one client, and the producer that feeds it.
struct Group<'a> {
    client: &'a Client<'a>,
    name: &'a str,
    members: Members,
    feeds: usize,
}

impl<'a> Group<'a> {
    fn new(client: &'a Client<'a>, name: &'a str, dir: &Path) -> Self {
        Self { client, name, members: Members::new(PARTITIONS, dir.join(name)), feeds: 0 }
    }

    fn join_static(&mut self, member: &str, instance: &str) {
        let session_ms = SESSION_MS_LONG.to_string();
        self.join(member, &["--instance", instance, "--session-ms", &session_ms, "--commit", "async"]);
    }

    fn join(&mut self, member: &str, more: &[&str]) {
        self.join_with(self.client.program, member, more);
    }

    /// As [`join`](Self::join), with another client than the group's.
    fn join_with(&mut self, program: &Program, member: &str, more: &[&str]) {
        let mut options = self.client.options(self.name);
        options.extend(more.iter().map(|word| (*word).to_owned()));
        self.members.start(member, program.command("member", &options));
    }

    fn start_feed(&mut self) {
        let mut options = self.client.options(self.name);
        options.extend(["--first".into(), self.members.fed().to_string()]);
        self.feeds += 1;
        self.members.start(&self.feed(), self.client.program.command("feed", &options));
    }

    /// Ends the writing, and waits until all that was written is committed.
    fn end_feed(&mut self) {
        self.members.leave(&self.feed());
        self.wait_until_committed_past(self.members.fed());
    }

    fn feed(&self) -> String {
        format!("feed {}", self.feeds)
    }

    fn wait_until_shared_by(&mut self, names: &[&str]) {
        let what = format!("{names:?} share all partitions");
        self.members.wait_until(&what, |members| members.is_shared_by(names));
    }

    fn wait_until_committed_past(&mut self, position: u64) {
        let what = format!("all partitions are committed up to {position}");
        self.members.wait_until(&what, |members| members.is_committed(position));
    }

    /// The committed positions as the broker has them; `None` where there is none.
    fn committed(&self, broker: &Broker) -> Vec<Option<u64>> {
        let line = self.client.program.run("committed", &self.client.options(self.name), Some(broker)).remove(0);
        let positions = line["positions"].as_array().expect("the phase `committed` lists positions");
        positions.iter().map(serde_json::Value::as_u64).collect()
    }

    /// Lets all members leave and judges what they did. Returns the records in each partition.
    fn end(mut self) -> u64 {
        for name in self.members.names() {
            self.members.leave(&name);
        }
        let end = self.members.fed();
        if let Err(broken) = judge(self.members.events(), PARTITIONS, end) {
            self.members.fail(&format!("group {}: {broken}", self.name));
        }
        end
    }
}
