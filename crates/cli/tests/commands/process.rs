//! The real binary as a child process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// Runs `highwater` to its end.
pub(crate) fn highwater(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_highwater")).args(arguments).output().expect("the binary runs")
}

/// The exit code, standard output and standard error of `command`.
pub(crate) fn told(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The same with standard input.
fn fed(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // It may have ended without reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `highwater` with neither contexts nor brokers from outside, and its contexts in `home`.
pub(crate) fn at_home(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.env("XDG_CONFIG_HOME", home);
    for name in ["HIGHWATER_CONTEXT", "HIGHWATER_BROKERS", "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_BROKERS"] {
        command.env_remove(name);
    }
    command
}

/// A running broker. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    has_children: bool,
    /// Where it says it listens.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts `highwater dev` on a free port, with its temporary files under `temporary`.
    pub(crate) fn dev(arguments: &[&str], temporary: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        Self::start(command.args(["dev", "--port", "0"]).args(arguments).env("TMPDIR", temporary))
    }

    /// Starts `highwater dev` with several nodes, of which the first is the one to talk to.
    pub(crate) fn cluster(nodes: usize, temporary: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["dev", "--port", "0", "--nodes", &nodes.to_string()]).env("TMPDIR", temporary);
        let mut running = Self::start(&mut command);
        running.has_children = true;
        running
    }

    /// One in a folder of its own, which goes away with what is returned.
    pub(crate) fn alone() -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        (Self::dev(&[], folder.path()), folder)
    }

    /// Runs `highwater` against it to its end: the exit code, standard output and standard error.
    pub(crate) fn ask(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.tell(arguments, "")
    }

    /// The same with standard input.
    pub(crate) fn tell(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["-b", &self.address.to_string()]).args(arguments);
        fed(&mut command, input)
    }

    /// Creates a topic of one replica a partition on node 1, and waits until the brokers know of it, which a broker that
    /// did not create it learns a moment later.
    pub(crate) fn create_on_node_1(&self, topic: &str, assignment: &str) {
        assert_eq!(self.ask(&["topic", "create", topic, "--assignment", assignment]).0, Some(0));
        // Several in a row, since each may ask another broker.
        let mut known = 0;
        for _ in 0..1000 {
            known = if self.ask(&["topic", "describe", topic]).0 == Some(0) { known + 1 } else { 0 };
            if 5 < known {
                return;
            }
        }
        panic!("the brokers do not learn of {topic}");
    }

    /// Runs one of Kafka's tools against it.
    pub(crate) fn tool(&self, name: &str, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args([name, "--bootstrap-server", &self.address.to_string()]).args(arguments);
        fed(&mut command, input)
    }

    /// Starts `command`, which has to say where it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            stdout.read_line(&mut line).expect("standard output is readable");
            match line.strip_prefix("ready ") {
                Some(addresses) => break addresses.trim_end().split(',').next().unwrap_or_default(),
                None => assert!(line.starts_with("node "), "it said {line:?}"),
            }
        };
        let address = address.parse().expect("an address");
        Self { child, stdout, address, has_children: false }
    }

    /// Sends a signal by its name, waits for the end, and returns the exit code and what else was printed.
    pub(crate) fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let status = self.child.wait().expect("it can be waited for");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("standard output is readable");
        (status.code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        if self.has_children {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
