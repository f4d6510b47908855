//! Kafka's own tools under their own names, with their flags and output.

mod cluster;
mod configs;
mod console;
mod dump_log;
mod failure;
mod groups;
mod link;
mod offsets;
mod perf;
mod replicas;
mod storage;
mod topics;
mod verifiable;
mod verifiable_consumer;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::CliError;

use failure::{Failure, java_name, said};

/// Stand in for Kafka's own tools.
#[derive(Debug, Subcommand)]
pub(crate) enum Compat {
    /// Make links named like Kafka's tools, which lead to this program.
    Link(link::Link),
    /// List the tools that this program stands in for.
    Ls,
}

/// A tool of Kafka's.
struct Tool {
    name: &'static str,
    run: fn(Vec<OsString>) -> ExitCode,
}

impl Compat {
    pub(crate) fn run(self) -> Result<(), CliError> {
        match self {
            Self::Link(link) => link.run(),
            Self::Ls => crate::output::print(&TOOLS.iter().map(|tool| format!("{}\n", tool.name)).collect::<String>()),
        }
    }
}

/// Runs a tool of Kafka's if the program was called by its name, as through a link, or with its name as the first word.
///
/// `arguments` are those of the process.
pub(crate) fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    let called = arguments.first().and_then(|path| tool(Path::new(path).file_name()?));
    let (tool, rest) = match (called, arguments.get(1)) {
        (Some(tool), _) => (tool, 1),
        (None, Some(word)) => (tool(word)?, 2),
        (None, None) => return None,
    };
    let words = std::iter::once(OsString::from(tool.name)).chain(arguments.iter().skip(rest).cloned());
    Some((tool.run)(words.collect()))
}

fn tool(name: &OsStr) -> Option<&'static Tool> {
    let name = name.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

/// Reads a tool's arguments. Kafka's tools exit with 1 where theirs make no sense.
fn parse<T: Parser>(arguments: Vec<OsString>) -> Result<T, ExitCode> {
    T::try_parse_from(arguments).map_err(|error| {
        // If there is nobody to tell, the exit code still says it.
        let _ = error.print();
        if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

/// Tells an error, if there is one. Kafka's tools end with 1 whatever it is.
fn end(outcome: Result<(), CliError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = error.report();
            ExitCode::FAILURE
        }
    }
}

/// The names of the tools.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.name)
}

const TOOLS: &[Tool] = &[
    Tool { name: "kafka-broker-api-versions", run: cluster::run_api_versions },
    Tool { name: "kafka-cluster", run: cluster::run_cluster },
    Tool { name: "kafka-configs", run: configs::run },
    Tool { name: "kafka-console-consumer", run: console::run_consumer },
    Tool { name: "kafka-console-producer", run: console::run_producer },
    Tool { name: "kafka-consumer-groups", run: groups::run },
    Tool { name: "kafka-consumer-perf-test", run: perf::run_consumer },
    Tool { name: "kafka-delete-records", run: offsets::run_delete },
    Tool { name: "kafka-dump-log", run: dump_log::run },
    Tool { name: "kafka-features", run: cluster::run_features },
    Tool { name: "kafka-get-offsets", run: offsets::run_get },
    Tool { name: "kafka-leader-election", run: replicas::run_election },
    Tool { name: "kafka-log-dirs", run: replicas::run_log_dirs },
    Tool { name: "kafka-metadata-quorum", run: cluster::run_quorum },
    Tool { name: "kafka-producer-perf-test", run: perf::run_producer },
    Tool { name: "kafka-reassign-partitions", run: replicas::run_reassign },
    Tool { name: "kafka-storage", run: storage::run },
    Tool { name: "kafka-topics", run: topics::run },
    Tool { name: "kafka-verifiable-consumer", run: verifiable_consumer::run },
    Tool { name: "kafka-verifiable-producer", run: verifiable::run },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_with_and_without_sh() {
        for tool in TOOLS {
            assert!(tool.name.starts_with("kafka-"), "{}", tool.name);
        }
        assert!(tool(OsStr::new("kafka-storage")).is_some());
        assert!(tool(OsStr::new("kafka-storage.sh")).is_some());
        assert!(tool(OsStr::new("kafka-nothing")).is_none());
    }
}
