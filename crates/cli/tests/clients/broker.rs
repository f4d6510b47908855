//! The broker under test as a process: started on a free port, stopped, killed, never left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running broker. Dropping it kills the process.
pub(crate) struct Broker {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
    stderr: PathBuf,
}

impl Broker {
    /// Starts a broker on `data` and waits until it serves. What it writes to stderr is kept beside `data`.
    pub(crate) fn start(data: &Path) -> Self {
        let program =
            std::env::var("HIGHWATER_BROKER_CMD").unwrap_or_else(|_| env!("CARGO_BIN_EXE_highwater").to_owned());
        let mut command = Command::new(program);
        command.args(["dev", "--port", "0", "--data"]).arg(data);
        Self::run(command, data.with_extension("stderr"))
    }

    /// Starts a broker by `command` and waits until it serves. What it writes to the file `stderr` is kept.
    pub(crate) fn run(mut command: Command, stderr: PathBuf) -> Self {
        let log = open_to_append(&stderr);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker = Self { child, lines, address, stderr };
        broker.address = broker.wait_until_ready();
        broker
    }

    fn wait_until_ready(&self) -> SocketAddr {
        match self.lines.recv_timeout(START_TIMEOUT) {
            Ok(line) => line
                .strip_prefix("ready ")
                .and_then(|address| address.parse().ok())
                .unwrap_or_else(|| panic!("the broker's first line is {line:?}, not `ready ADDRESS`")),
            Err(error) => panic!("the broker printed no `ready` line: {error}\n{}", self.stderr_tail()),
        }
    }

    /// The address that clients are given, `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends the signal and waits for the end of the process. After SIGTERM the end has to be clean.
    ///
    /// # Panics
    ///
    /// If the broker is not gone in time, or reports a failure after SIGTERM.
    pub(crate) fn end(mut self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit 31 bits");
        kill(Pid::from_raw(pid), signal).expect("the broker is our child and was not yet waited for");
        // The end of its stdout is the end of the process.
        loop {
            match self.lines.recv_timeout(STOP_TIMEOUT) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    panic!("the broker still runs {STOP_TIMEOUT:?} after {signal}\n{}", self.stderr_tail())
                }
            }
        }
        let status = self.child.wait().expect("the child exists until it is waited for");
        // A JVM that stands in for the broker ends with 143 after SIGTERM.
        let is_clean = status.success() || status.code() == Some(143) && is_stand_in();
        assert!(
            is_clean || signal != Signal::SIGTERM,
            "the broker ended with {status} after SIGTERM\n{}",
            self.stderr_tail()
        );
    }

    /// The end of what the broker wrote to stderr, for the message of a failed test.
    pub(crate) fn stderr_tail(&self) -> String {
        tail("the broker's stderr", &self.stderr)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Both fail only when the process is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether another broker stands in for the binary of this crate.
pub(crate) fn is_stand_in() -> bool {
    std::env::var_os("HIGHWATER_BROKER_CMD").is_some()
}

/// The last lines of a file under a title.
pub(crate) fn tail(title: &str, path: &Path) -> String {
    tail_of_text(title, &String::from_utf8_lossy(&fs::read(path).unwrap_or_default()))
}

/// The last lines of a text under a title.
pub(crate) fn tail_of_text(title: &str, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    format!("--- {title}, last {} of {} lines\n{}", last.len(), lines.len(), last.join("\n"))
}

fn open_to_append(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JVM that stands in takes seconds; the broker itself takes milliseconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const TAIL_LINES: usize = 60;
