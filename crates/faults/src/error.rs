//! Why the suite itself cannot go on. What the cluster does wrong is a problem for the report, not an error.

use std::io;
use std::process::{Command, Output};

/// The host does not do what the suite needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HarnessError {
    /// A file, directory or process.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A program that should have done something.
    #[error("{command}: {output}")]
    Program {
        /// The program with its arguments.
        command: String,
        /// What it said.
        output: String,
    },
    /// Something that has to be there.
    #[error("{0}")]
    Missing(String),
    /// The cluster does not even start.
    #[error("the cluster does not start: {0}")]
    NoCluster(String),
}

impl HarnessError {
    /// For `map_err` on what the system refuses.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs a program to its end, which has to be a good one.
pub(crate) fn run(command: &mut Command) -> Result<Output, HarnessError> {
    let shown = || format!("{command:?}");
    let (shown, output) = (shown(), command.output());
    let output = output.map_err(HarnessError::io(shown.clone()))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    Err(HarnessError::Program { command: shown, output: format!("{}: {}", output.status, said.trim()) })
}
