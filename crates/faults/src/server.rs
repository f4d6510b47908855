//! What the nodes are: highwater, or Apache Kafka to compare it with.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::error::{HarnessError, run};

/// Kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// This repository's.
    Highwater,
    /// Apache Kafka, whose jars `HIGHWATER_KAFKA_CLASSPATH` names.
    Kafka,
}

/// A server as it is installed here.
#[derive(Debug)]
pub(crate) enum Server {
    Highwater { binary: PathBuf },
    Kafka { class_path: OsString },
}

/// What runs a node.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Server {
    /// Looks for it; `binary` is where highwater is, if that was said.
    pub(crate) fn find(kind: Kind, binary: Option<&Path>) -> Result<Self, HarnessError> {
        match kind {
            Kind::Highwater => {
                let beside = std::env::current_exe().map_err(HarnessError::io("find this program"))?;
                let binary = binary.map_or_else(|| beside.with_file_name("highwater"), Path::to_owned);
                if binary.is_file() {
                    return Ok(Self::Highwater { binary });
                }
                let build = "build it with `cargo build --release -p highwater-cli`, or say where it is with --binary";
                Err(HarnessError::Missing(format!("{} is not there: {build}", binary.display())))
            }
            Kind::Kafka => {
                let class_path = std::env::var_os("HIGHWATER_KAFKA_CLASSPATH");
                let missing = || HarnessError::Missing("HIGHWATER_KAFKA_CLASSPATH is not set".to_owned());
                Ok(Self::Kafka { class_path: class_path.ok_or_else(missing)? })
            }
        }
    }

    /// Formats the empty log directories of a node.
    pub(crate) fn format(&self, properties: &Path) -> Result<(), HarnessError> {
        match self {
            // The server does, for the cluster that its environment names.
            Self::Highwater { .. } => Ok(()),
            Self::Kafka { class_path } => {
                let mut command = Command::new("java");
                command.args(JAVA_OPTIONS).arg("-cp").arg(class_path);
                command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(properties);
                run(&mut command).map(drop)
            }
        }
    }

    /// How a node is started.
    pub(crate) fn launch(&self, properties: &Path) -> Launch {
        match self {
            Self::Highwater { binary } => Launch {
                program: binary.clone(),
                arguments: vec!["server".into(), "--config".into(), properties.into()],
                environment: vec![("CLUSTER_ID", CLUSTER_ID.into()), ("RUST_BACKTRACE", "1".into())],
            },
            Self::Kafka { class_path } => {
                let mut arguments: Vec<OsString> = JAVA_OPTIONS.iter().map(Into::into).collect();
                arguments.extend(["-cp".into(), class_path.clone(), "kafka.Kafka".into(), properties.into()]);
                Launch { program: "java".into(), arguments, environment: Vec::new() }
            }
        }
    }

    /// What a node writes to its log when it has found a fault of its own in itself.
    pub(crate) fn confessions(&self) -> &'static [&'static str] {
        match self {
            Self::Highwater { .. } => &["panicked at"],
            Self::Kafka { .. } => &[],
        }
    }
}

/// Small, and fast to start rather than fast for long.
const JAVA_OPTIONS: &[&str] = &[
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
];
/// A UUID as Kafka writes them.
const CLUSTER_ID: &str = "ZmF1bHRzLW9mLWhpZ2h3YQ";
