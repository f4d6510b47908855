//! One node: a process with a directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use highwater_types::NodeId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::HarnessError;
use crate::network::{self, Host};
use crate::server::Launch;

/// Where clients find a node.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: NodeId,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Where the other nodes find its controller.
    pub(crate) controller_port: u16,
}

/// A node, whether it runs or not. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Node {
    endpoint: Endpoint,
    directory: PathBuf,
    /// Where its process is started, if it has a network of its own.
    host: Option<Host>,
    child: Option<Child>,
    is_paused: bool,
}

impl Node {
    /// A node with its files in `directory`, which is there.
    pub(crate) fn new(endpoint: Endpoint, directory: PathBuf, host: Option<Host>) -> Self {
        Self { endpoint, directory, host, child: None, is_paused: false }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.endpoint.id
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where its disk is mounted.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// Its log directory, on its disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.disk().join("data")
    }

    /// Its settings.
    pub(crate) fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    /// Syncs fail while this file exists, if the node was started with that in mind.
    pub(crate) fn sync_switch(&self) -> PathBuf {
        self.directory.join("syncs-fail")
    }

    /// What it logged in all its lives.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("log.txt")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Starts the process, unless it runs.
    pub(crate) fn start(&mut self, launch: &Launch) -> Result<(), HarnessError> {
        if self.is_running() {
            return Ok(());
        }
        let log = self.log();
        let open = || File::options().create(true).append(true).open(&log).map_err(HarnessError::io(shown(&log)));
        let program = launch.program.to_string_lossy();
        let mut command = network::at(self.host.unwrap_or(Host::Clients), &program);
        command.args(&launch.arguments).envs(launch.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(open()?).stderr(open()?);
        self.child = Some(command.spawn().map_err(HarnessError::io(format!("start node {}", self.id())))?);
        Ok(())
    }

    /// SIGKILL, also to a paused process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.is_paused = false;
    }

    pub(crate) fn pause(&mut self) {
        self.signal(Signal::SIGSTOP);
        self.is_paused = self.is_running();
    }

    pub(crate) fn resume(&mut self) {
        if self.is_paused {
            self.signal(Signal::SIGCONT);
            self.is_paused = false;
        }
    }

    /// SIGTERM; does not wait.
    pub(crate) fn ask_to_stop(&mut self) {
        self.resume();
        self.signal(Signal::SIGTERM);
    }

    /// SIGTERM; `false` if the process had to be killed after all.
    pub(crate) fn stop(&mut self) -> bool {
        self.ask_to_stop();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.is_running() {
            if self.ended().is_some() {
                return true;
            }
            if deadline <= Instant::now() {
                self.kill();
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }

    /// How the process has ended by itself since it was last asked, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        self.is_paused = false;
        Some(status)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()) {
            // It may have ended; it was not waited for, so the id is still its own.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
const LAST_LINES: usize = 15;
