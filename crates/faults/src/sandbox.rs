//! The suite runs inside namespaces of its own, so that nothing of it outlives it and no packet leaves it.
//!
//! The program starts itself again by `unshare`. Inside it is process 1: when it ends, however it ends, the kernel ends
//! all nodes, and with them go their networks and mounts. The outer process only waits, and closes the inner one's
//! standard input when it is told to end.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::error::{HarnessError, run};
use crate::stop::Stop;

/// What the inner program knows of where it is.
#[derive(Debug)]
pub(crate) struct Sandbox {
    /// Why it has no namespaces of its own, if so.
    pub(crate) missing: Option<String>,
    /// Set when the outer program ends or is told to.
    pub(crate) stop: Stop,
}

impl Sandbox {
    /// `None` in the outer program.
    pub(crate) fn inside() -> Option<Self> {
        let missing = std::env::var(INSIDE).ok()?;
        let stop = Stop::default();
        let told = stop.clone();
        thread::spawn(move || {
            // Nothing is ever sent: this waits for the end.
            let _ = std::io::stdin().lock().read(&mut [0]);
            told.set();
        });
        Some(Self { missing: (!missing.is_empty()).then_some(missing), stop })
    }
}

/// Starts this program again inside, and waits for it.
pub(crate) fn enter() -> Result<ExitCode, HarnessError> {
    let program = std::env::current_exe().map_err(HarnessError::io("find this program"))?;
    let missing = probe().err().map(|error| error.to_string());
    let mut command = if missing.is_some() { Command::new(&program) } else { unshare() };
    if missing.is_none() {
        command.arg(&program);
    }
    command.args(std::env::args_os().skip(1)).env(INSIDE, missing.unwrap_or_default());
    // A group of its own: Ctrl-C in the terminal is for this process.
    command.stdin(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(HarnessError::io("start again inside"))?;
    // Only now, for children inherit what is blocked.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block().map_err(|errno| HarnessError::Missing(format!("signals cannot be blocked: {errno}")))?;
    wait(child, &signals)
}

/// Ends the process with the inner one's code.
fn wait(mut child: Child, signals: &SigSet) -> Result<ExitCode, HarnessError> {
    let input = child.stdin.take();
    let pid = i32::try_from(child.id()).map(Pid::from_raw).expect("process ids fit 31 bits");
    let waiter = thread::spawn(move || {
        let code = child.wait().ok().and_then(|status| status.code()).unwrap_or(2);
        std::process::exit(code);
    });
    // An error would mean that there is no such signal.
    let _ = signals.wait();
    eprintln!("told to end: healing, then judging what there is");
    drop(input);
    let _ = signals.wait();
    // A second signal: at once. `unshare` takes the inner program with it, and that everything else.
    let _ = kill(pid, Signal::SIGKILL);
    let _ = waiter.join();
    Ok(ExitCode::from(2))
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}

/// Whether namespaces with a bridge and a small file system can be had here.
fn probe() -> Result<(), HarnessError> {
    let script = "ip link add hub type bridge && mount -t tmpfs tmpfs /run && nsenter --version";
    run(unshare().args(["sh", "-c", script])).map(drop)
}

/// Tells the inner program that it is; its value is why it is without namespaces, if it is.
const INSIDE: &str = "HIGHWATER_FAULTS_INSIDE";
