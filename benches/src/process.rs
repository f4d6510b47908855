//! A server as a child process, and what it has used so far.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

/// A running server that announced itself with the line `ready ADDRESS`. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    process: Process,
}

/// A process whose CPU time is measured.
#[derive(Debug)]
pub struct Process {
    clock: ClockId,
}

impl Process {
    /// The process with this id.
    ///
    /// # Errors
    ///
    /// If there is none, or its clock is not for us.
    pub fn new(id: i32) -> io::Result<Self> {
        Ok(Self { clock: clock_getcpuclockid(Pid::from_raw(id))? })
    }

    /// CPU time used by all its threads so far, user and system, to the nanosecond.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        Ok(nix::time::clock_gettime(self.clock)?.into())
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    ///
    /// If it cannot be started, ends, or says something else first.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("standard output is a pipe")).read_line(&mut line);
        let address = line.trim_end().strip_prefix("ready ").and_then(|address| address.parse().ok());
        let process = Process::new(pid(&child).as_raw());
        match (read, address, process) {
            (Ok(_), Some(address), Ok(process)) => Ok(Self { child, address, process }),
            (read, _, _) => {
                // It may have ended by itself; either way it is gone afterwards.
                let _ = child.kill();
                let status = child.wait()?;
                read?;
                Err(io::Error::other(format!("{program}: said {line:?} instead of `ready ADDRESS` ({status})")))
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// CPU time used by all its threads so far, user and system, to the nanosecond.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    /// The process, to measure it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Memory it holds, in bytes.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kilobytes| kilobytes * 1024)
            .ok_or_else(|| io::Error::other("no VmRSS in /proc"))
    }

    /// Asks it to end with SIGTERM and waits until it has.
    ///
    /// # Errors
    ///
    /// If it cannot be signalled or waited for.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        kill(pid(&self.child), Signal::SIGTERM)?;
        self.child.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("process ids have 31 bits"))
}
