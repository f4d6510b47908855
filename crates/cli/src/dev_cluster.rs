//! `highwater dev --nodes`: a cluster of processes on this machine.

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{CliError, Kind};
use crate::signals::EndSignals;

/// Starts the nodes, says where each is, and ends them all when a signal comes.
///
/// A node that ends is reported and stays down until Enter is pressed, so that one can be killed and the others watched.
pub(crate) fn run(count: u16, port: u16, data: &Path) -> Result<(), CliError> {
    let failed = |what: &'static str| move |error: io::Error| CliError::caused(what, &error);
    let program = std::env::current_exe().map_err(failed("cannot find this program"))?;
    // The children have to be ended, so this process takes the signals; they take none from the terminal.
    let signals = EndSignals::block().map_err(|errno| CliError::caused("cannot prepare for signals", &errno))?;
    let ports = free_ports(count).map_err(failed("cannot find free ports"))?;
    let controllers: Vec<String> =
        ports.iter().zip(1..).map(|(port, id): (_, u16)| format!("{id}@127.0.0.1:{port}")).collect();
    let clients = match port {
        0 => free_ports(count).map_err(failed("cannot find free ports"))?,
        first => (0..count).map(|index| first.saturating_add(index)).collect(),
    };
    let (ready, readies) = mpsc::channel();
    let mut nodes: Vec<Node> = (1..=count)
        .zip(clients.iter().zip(&ports))
        .map(|(id, (client, controller))| Node {
            id,
            address: format!("127.0.0.1:{client}"),
            settings: settings(
                id,
                count,
                *client,
                *controller,
                &controllers.join(","),
                &data.join(format!("node-{id}")),
            ),
            program: program.clone(),
            log: data.join(format!("node-{id}.log")),
            ready: Some(ready.clone()),
            child: None,
        })
        .collect();
    let outcome = nodes.iter_mut().try_for_each(Node::start).and_then(|()| {
        let deadline = Instant::now() + START_TIMEOUT;
        for _ in 0..count {
            // A node that has ended is told of below.
            let _ = readies.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        announce(&nodes);
        watch(&mut nodes, &signals)
    });
    nodes.iter_mut().for_each(Node::ask_to_end);
    let deadline = Instant::now() + END_TIMEOUT;
    nodes.iter_mut().for_each(|node| node.end(deadline));
    outcome
}

struct Node {
    id: u16,
    address: String,
    settings: Vec<String>,
    program: PathBuf,
    log: PathBuf,
    /// Is told when the node serves clients.
    ready: Option<mpsc::Sender<()>>,
    child: Option<Child>,
}

fn settings(id: u16, count: u16, client: u16, controller: u16, voters: &str, data: &Path) -> Vec<String> {
    let replicas = count.min(3);
    vec![
        "process.roles=broker,controller".to_owned(),
        format!("node.id={id}"),
        format!("controller.quorum.voters={voters}"),
        format!("listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("log.dirs={}", data.display()),
        format!("default.replication.factor={replicas}"),
        format!("min.insync.replicas={}", replicas.div_ceil(2)),
        format!("offsets.topic.replication.factor={replicas}"),
        format!("transaction.state.log.replication.factor={replicas}"),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        // Whoever kills a node to see what happens does not want to wait for nine seconds.
        "broker.session.timeout.ms=3000".to_owned(),
        "broker.heartbeat.interval.ms=500".to_owned(),
    ]
}

impl Node {
    fn start(&mut self) -> Result<(), CliError> {
        let failed = |error: &io::Error| CliError::caused(format!("cannot start node {}", self.id), error);
        let log = std::fs::File::options().create(true).append(true).open(&self.log).map_err(|error| failed(&error))?;
        let mut command = Command::new(&self.program);
        command.arg("server").env("CLUSTER_ID", CLUSTER_ID).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(log);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        // A group of its own: Ctrl-C in the terminal is for this process, which ends the nodes one after the other.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        if let (Some(out), Some(ready)) = (child.stdout.take(), self.ready.clone()) {
            // Ends with the node.
            let read = move || {
                for _ in io::BufReader::new(out).lines().map_while(Result::ok) {
                    // Nobody waits for a node that starts again.
                    let _ = ready.send(());
                }
            };
            std::thread::Builder::new().name("ready".into()).spawn(read).map_err(|error| failed(&error))?;
        }
        self.child = Some(child);
        Ok(())
    }

    /// How the node has ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    fn ask_to_end(&mut self) {
        if let Some(pid) = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()) {
            // It may have ended just now.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    fn end(&mut self, deadline: Instant) {
        while self.child.is_some() && self.ended().is_none() {
            if deadline <= Instant::now() {
                if let Some(child) = &mut self.child {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                self.child = None;
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn announce(nodes: &[Node]) {
    let mut out = io::stdout().lock();
    let addresses: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    for node in nodes {
        let pid = node.child.as_ref().map_or(0, Child::id);
        // If standard output is closed there is nobody to tell.
        let _ = writeln!(out, "node {} process {pid} at {} log {}", node.id, node.address, node.log.display());
    }
    let _ = writeln!(out, "ready {}", addresses.join(","));
    let _ = out.flush();
}

/// Reports nodes that end, and starts them again when Enter is pressed, until a signal comes.
fn watch(nodes: &mut [Node], signals: &EndSignals) -> Result<(), CliError> {
    let (lines, entered) = mpsc::channel();
    let is_closed = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&is_closed);
    // Ends with the process: nothing else can end a read of a terminal.
    let _ = std::thread::Builder::new().name("input".into()).spawn(move || {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(()).is_err() {
                return;
            }
        }
        closed.store(true, Ordering::Relaxed);
    });
    loop {
        let signal = signals
            .wait_at_most(Duration::from_millis(200))
            .map_err(|errno| CliError::caused("cannot wait for signals", &errno))?;
        if signal.is_some() {
            return Ok(());
        }
        for node in nodes.iter_mut() {
            if let Some(status) = node.ended() {
                let hint = if is_closed.load(Ordering::Relaxed) { "" } else { "; press Enter to start it again" };
                tell(&format!("node {} has ended ({status}){hint}", node.id));
            }
        }
        if nodes.iter().all(|node| node.child.is_none()) {
            let why = format!("see the logs of the nodes, such as {}", nodes[0].log.display());
            return Err(CliError::new(Kind::Failed, "every node has ended", why));
        }
        if entered.try_recv().is_ok() {
            for node in nodes.iter_mut().filter(|node| node.child.is_none()) {
                node.start()?;
                tell(&format!("node {} starts as process {}", node.id, node.child.as_ref().map_or(0, Child::id)));
            }
        }
    }
}

/// Says something to whoever watches.
fn tell(what: &str) {
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{what}");
}

/// Ports that were free just now.
fn free_ports(count: u16) -> io::Result<Vec<u16>> {
    // All are held until the last one is found, so that none is given twice.
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

const CLUSTER_ID: &str = "highwater-dev";
/// How long the nodes may take to find one another.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the nodes may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);
