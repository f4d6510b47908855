//! A client against a cluster of real processes whose nodes are killed, moved and replaced.

use std::env;
use std::process::Command;

use crate::program::{self, Missing, Program, sources};

/// Every record that `library` was told to be acknowledged has to be where that was said.
///
/// # Panics
///
/// If one is not, or the cluster does not get over something in time.
pub(crate) fn keeps_what_it_acknowledged(found: Result<Program, Missing>, library: &str) {
    // The script administers the cluster with kafka-python, whichever client writes.
    if let Err(missing) = found.and(Program::kafka_python()) {
        return missing.skip();
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let python = env::var_os("HIGHWATER_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg("-B").arg(sources().join("python/cluster.py")).arg(env!("CARGO_BIN_EXE_highwater"));
    command.arg(directory.path()).arg(library);
    let run = program::run(command);
    let output = String::from_utf8_lossy(&run.output);
    assert!(run.is_success() && output.contains("lost nothing"), "{run}");
}
