//! Nodes of a cluster, each a process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use highwater_types::Uuid;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A cluster on this machine. Dropping it kills every node.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    cluster_id: String,
    settings: Vec<String>,
    /// Ports of the controllers.
    voters: BTreeMap<u32, u16>,
    /// Whether the voters are in the metadata log, and not in the configuration.
    is_dynamic: bool,
    clients: BTreeMap<u32, u16>,
    nodes: BTreeMap<u32, Node>,
}

struct Node {
    child: Child,
    lines: Receiver<String>,
}

impl Cluster {
    /// A cluster with these controllers and brokers, some of which may be both, that has not been started. Its sessions
    /// are short, so that tests need not wait long for a node to be missed.
    pub(crate) fn new(controllers: &[u32], brokers: &[u32], settings: &[&str]) -> Self {
        let ports = free_ports(controllers.len() + brokers.len());
        let (first, second) = ports.split_at(controllers.len());
        let short = ["broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=300"];
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            cluster_id: "cluster-under-test".to_owned(),
            settings: short.iter().chain(settings).map(|setting| (*setting).to_owned()).collect(),
            voters: controllers.iter().copied().zip(first.iter().copied()).collect(),
            is_dynamic: false,
            clients: brokers.iter().copied().zip(second.iter().copied()).collect(),
            nodes: BTreeMap::new(),
        }
    }

    /// As [`new`](Self::new), but no node is configured with the voters: `format` says who they are.
    pub(crate) fn dynamic(controllers: &[u32], brokers: &[u32], settings: &[&str]) -> Self {
        let mut cluster = Self::new(controllers, brokers, settings);
        cluster.is_dynamic = true;
        cluster
    }

    /// Formats the directory of a node. Returns the id that it has then.
    pub(crate) fn format(&self, id: u32, arguments: &[&str]) -> Uuid {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["format", "--cluster-id", &self.cluster_id]).args(arguments);
        for setting in self.settings_of(id, &self.data(id), self.clients.get(&id).copied()) {
            command.args(["--set", &setting]);
        }
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.directory_id(id)
    }

    /// Id of the directory of a node.
    pub(crate) fn directory_id(&self, id: u32) -> Uuid {
        let meta = std::fs::read_to_string(self.data(id).join("meta.properties")).expect("it is formatted");
        let id = meta.lines().find_map(|line| line.strip_prefix("directory.id=")).expect("it has an id");
        id.parse().expect("ids are UUIDs")
    }

    /// Starts every node and waits until all brokers serve.
    pub(crate) fn start_all(&mut self) {
        let ids: Vec<u32> = self.voters.keys().chain(self.clients.keys()).copied().collect();
        for id in ids {
            if !self.nodes.contains_key(&id) {
                self.start(id);
            }
        }
        let brokers: Vec<u32> = self.clients.keys().copied().collect();
        brokers.into_iter().for_each(|id| self.wait_until_ready(id));
    }

    pub(crate) fn start(&mut self, id: u32) {
        let node = self.run(id, &self.data(id), &self.cluster_id, self.clients.get(&id).copied());
        self.nodes.insert(id, node);
    }

    /// Starts a broker that says it is `id` on another port, with data of its own, of cluster `cluster_id`.
    pub(crate) fn start_double(&self, id: u32, cluster_id: &str) -> Double {
        let port = free_ports(1)[0];
        let data = self.directory.path().join(format!("double-{port}"));
        Double(self.run(id, &data, cluster_id, Some(port)))
    }

    fn run(&self, id: u32, data: &Path, cluster_id: &str, client_port: Option<u16>) -> Node {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.arg("server").env("CLUSTER_ID", cluster_id).stdin(Stdio::null()).stdout(Stdio::piped());
        for setting in self.settings_of(id, data, client_port) {
            command.args(["--set", &setting]);
        }
        let log = File::options().create(true).append(true).open(data.with_extension("log")).expect("a log file");
        let mut child = command.stderr(log).spawn().expect("the binary runs");
        let out = child.stdout.take().expect("standard output is a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Node { child, lines }
    }

    fn settings_of(&self, id: u32, data: &Path, client_port: Option<u16>) -> Vec<String> {
        let mut listeners = Vec::new();
        let mut roles = Vec::new();
        if let Some(port) = client_port {
            listeners.push(format!("PLAINTEXT://127.0.0.1:{port}"));
            roles.push("broker");
        }
        if let Some(port) = self.voters.get(&id) {
            listeners.push(format!("CONTROLLER://127.0.0.1:{port}"));
            roles.push("controller");
        }
        let quorum = if self.is_dynamic {
            let servers: Vec<String> = self.voters.values().map(|port| format!("127.0.0.1:{port}")).collect();
            format!("controller.quorum.bootstrap.servers={}", servers.join(","))
        } else {
            let voters: Vec<String> = self.voters.iter().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
            format!("controller.quorum.voters={}", voters.join(","))
        };
        let own = vec![
            format!("process.roles={}", roles.join(",")),
            format!("node.id={id}"),
            quorum,
            format!("listeners={}", listeners.join(",")),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("log.dirs={}", data.display()),
        ];
        own.into_iter().chain(self.settings.iter().cloned()).collect()
    }

    /// Where the data of a node is.
    pub(crate) fn data(&self, id: u32) -> PathBuf {
        self.directory.path().join(format!("node-{id}"))
    }

    /// What a node has logged.
    pub(crate) fn log(&self, id: u32) -> String {
        std::fs::read_to_string(self.data(id).with_extension("log")).unwrap_or_default()
    }

    pub(crate) fn wait_until_ready(&self, id: u32) {
        let ready = self.nodes[&id].lines.recv_timeout(START_TIMEOUT);
        assert!(ready.is_ok_and(|line| line.starts_with("ready")), "node {id} is not ready:\n{}", self.log(id));
    }

    /// Ends a node with SIGKILL.
    pub(crate) fn kill(&mut self, id: u32) {
        let mut node = self.nodes.remove(&id).expect("the node runs");
        node.child.kill().expect("it can be killed");
        node.child.wait().expect("it can be waited for");
    }

    /// Ends a node with SIGTERM; it has to end well.
    pub(crate) fn stop(&mut self, id: u32) {
        let mut node = self.nodes.remove(&id).expect("the node runs");
        let pid = i32::try_from(node.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it can be told");
        let status = node.child.wait().expect("it can be waited for");
        assert!(status.success(), "node {id} ended with {status}:\n{}", self.log(id));
    }

    /// Port of a broker for clients.
    pub(crate) fn port(&self, id: u32) -> u16 {
        self.clients[&id]
    }

    /// Port of a controller for other nodes.
    pub(crate) fn controller_port(&self, id: u32) -> u16 {
        self.voters[&id]
    }

    /// The settings of a node as a file.
    pub(crate) fn properties(&self, id: u32) -> String {
        self.settings_of(id, &self.data(id), self.clients.get(&id).copied()).join("\n")
    }

    /// Gives a controller another port, while it does not run.
    pub(crate) fn move_controller(&mut self, id: u32) {
        self.voters.insert(id, free_ports(1)[0]);
    }

    /// The brokers that run.
    pub(crate) fn running(&self) -> Vec<u32> {
        self.nodes.keys().copied().filter(|id| self.clients.contains_key(id)).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.nodes.values_mut() {
            // It may have ended already.
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}

/// A process that should not be let in. Dropping it kills it.
pub(crate) struct Double(Node);

impl Double {
    /// Whether it is let in within `time`.
    pub(crate) fn is_ready_within(&self, time: Duration) -> bool {
        self.0.lines.recv_timeout(time).is_ok()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.0.child.kill();
        let _ = self.0.child.wait();
    }
}

/// Ports that were free just now; all are held until the last one is found.
fn free_ports(count: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let held: Vec<TcpListener> = (0..count).map(bind).collect();
    held.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}

const START_TIMEOUT: Duration = Duration::from_secs(30);
