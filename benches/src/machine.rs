//! What the figures were measured on.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Machine, kernel, file system, compiler and commit, as far as they can be found out.
#[derive(Debug)]
pub struct Machine {
    cpu: String,
    cpus: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
    compiler: String,
    commit: String,
}

impl Machine {
    /// Looks at this machine, with the file system that holds `data`.
    pub fn describe(data: &Path) -> Self {
        let memory_kb = field("/proc/meminfo", "MemTotal:")
            .and_then(|text| text.strip_suffix(" kB").and_then(|kb| kb.trim().parse::<f64>().ok()))
            .unwrap_or(0.0);
        let dirty = output("git", &["-C", SOURCE, "status", "--porcelain", "--untracked-files=no"])
            .is_some_and(|text| !text.is_empty());
        let commit = output("git", &["-C", SOURCE, "rev-parse", "--short=12", "HEAD"]);
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            memory_gib: memory_kb / f64::from(1 << 20),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().into()),
            file_system: output("stat", &["-f", "-c", "%T", &data.to_string_lossy()]).unwrap_or_else(unknown),
            compiler: output("rustc", &["--version"]).unwrap_or_else(unknown),
            commit: commit.map_or_else(unknown, |commit| if dirty { format!("{commit} with changes") } else { commit }),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cpus, memory_gib, kernel, file_system, compiler, commit } = self;
        write!(
            f,
            "{cpus} x {cpu}, {memory_gib:.1} GiB, Linux {kernel}, data on {file_system}; {compiler}; commit {commit}"
        )
    }
}

fn unknown() -> String {
    "unknown".into()
}

/// The value behind the first line of `file` that starts with `name`, without a colon.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start_matches([':', ' ', '\t']).trim().to_owned())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The checkout that this program was built from.
const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
