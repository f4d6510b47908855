//! Counts the system calls of a running process with whatever tool the machine has.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs `work` and returns how many system calls the process `id` made meanwhile; `None` if no tool can tell.
///
/// `perf stat` is tried first because it hardly slows the process down; then `strace -c -f`.
///
/// # Errors
///
/// Whatever `work` fails with.
pub fn count(id: u32, scratch: &Path, mut work: impl FnMut() -> io::Result<()>) -> io::Result<Option<u64>> {
    for tool in [Tool::Perf, Tool::Strace] {
        let report = scratch.join("syscalls.txt");
        let Some(mut counter) = tool.attach(id, &report) else { continue };
        work()?;
        interrupt(&mut counter)?;
        let text = fs::read_to_string(&report).unwrap_or_default();
        if let Some(calls) = tool.parse(&text) {
            return Ok(Some(calls));
        }
    }
    Ok(None)
}

#[derive(Clone, Copy)]
enum Tool {
    Perf,
    Strace,
}

impl Tool {
    /// Starts the tool on the process; `None` if it is not there or not allowed to.
    fn attach(self, id: u32, report: &Path) -> Option<Child> {
        let id = id.to_string();
        let mut command = match self {
            Self::Perf => Command::new("perf"),
            Self::Strace => Command::new("strace"),
        };
        match self {
            Self::Perf => command.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &id, "-o"]).arg(report),
            Self::Strace => command.args(["-c", "-f", "-p", &id, "-o"]).arg(report),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut counter = command.spawn().ok()?;
        // Neither tool says when it has attached. An idle process makes no calls, so waiting a little longer than
        // needed changes nothing.
        let deadline = Instant::now() + ATTACH_TIME;
        while Instant::now() < deadline {
            if counter.try_wait().ok()?.is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(counter)
    }

    fn parse(self, report: &str) -> Option<u64> {
        match self {
            // "12345,,raw_syscalls:sys_enter,…"
            Self::Perf => {
                report.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?.split(',').next()?.parse().ok()
            }
            // "100.00    0.001234           5       246        12 total"
            Self::Strace => {
                report.lines().rfind(|line| line.ends_with("total"))?.split_whitespace().nth(3)?.parse().ok()
            }
        }
    }
}

/// Ends a tool the way a user at the terminal would, so that it writes its report.
fn interrupt(counter: &mut Child) -> io::Result<()> {
    let id = i32::try_from(counter.id()).expect("process ids have 31 bits");
    kill(Pid::from_raw(id), Signal::SIGINT)?;
    counter.wait()?;
    Ok(())
}

const ATTACH_TIME: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_of_both_tools_are_understood() {
        let perf = "# started on Fri Nov 20 12:00:00 2026\n\n12345,,raw_syscalls:sys_enter,901,100.00,,\n";
        assert_eq!(Tool::Perf.parse(perf), Some(12_345));
        assert_eq!(Tool::Perf.parse("<not supported>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ------------------\n\
                      \u{20}60.00    0.000600           5       120           recvfrom\n\
                      ------ ----------- ----------- --------- --------- ------------------\n\
                      100.00    0.001000           4       246        12 total\n";
        assert_eq!(Tool::Strace.parse(strace), Some(246));
    }
}
