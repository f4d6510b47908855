//! A client program: found on this machine or skipped by name, run with a time limit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::broker::{Broker, tail_of_text};

/// A client whose phases are sub-commands of one program.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) words: Vec<OsString>,
    /// The phases and options go into this environment variable, one a line, and not behind the words.
    pub(crate) variable: Option<&'static str>,
}

/// A client that is not on this machine.
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
}

impl Missing {
    /// Says so past the capture of test output, or fails where all clients are required.
    pub(crate) fn skip(&self) {
        let Self { name, why } = self;
        assert!(
            std::env::var("HIGHWATER_REQUIRE_CLIENTS").as_deref() != Ok("1"),
            "{name} is required and missing: {why}"
        );
        let _ = writeln!(std::io::stderr(), "skipped: {name} ({why})");
    }
}

impl Program {
    pub(crate) fn confluent_kafka() -> Result<Self, Missing> {
        Self::python("confluent-kafka", "client_confluent.py", "confluent_kafka")
    }

    pub(crate) fn kafka_python() -> Result<Self, Missing> {
        Self::python("kafka-python", "client_kafka_python.py", "kafka")
    }

    pub(crate) fn aiokafka() -> Result<Self, Missing> {
        Self::python("aiokafka", "client_aiokafka.py", "aiokafka")
    }

    pub(crate) fn java() -> Result<Self, Missing> {
        let missing = |why| Missing { name: "java", why };
        let class_path = std::env::var_os("HIGHWATER_JAVA_CLASSPATH")
            .ok_or_else(|| missing("not installed: HIGHWATER_JAVA_CLASSPATH is not set"))?;
        if !answers(Command::new("java").arg("-version")) {
            return Err(missing("not installed"));
        }
        // A short run is over before the optimizing compiler has paid for itself.
        let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"];
        let log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
        let mut words: Vec<OsString> = vec!["java".into()];
        words.extend(options.map(OsString::from));
        words.extend([log.into(), "-cp".into(), class_path, "highwater.Main".into()]);
        Ok(Self { name: "java", words, variable: None })
    }

    fn python(name: &'static str, script: &str, module: &str) -> Result<Self, Missing> {
        let interpreter = std::env::var_os("HIGHWATER_PYTHON").unwrap_or_else(|| "python3".into());
        let probe = format!("import {module}");
        if !answers(Command::new(&interpreter).args(["-c", &probe])) {
            return Err(Missing { name, why: "not installed" });
        }
        let script = sources().join("python").join(script);
        Ok(Self { name, words: vec![interpreter, "-B".into(), script.into()], variable: None })
    }

    /// The command of `phases` with `options`, not started.
    pub(crate) fn command(&self, phases: &str, options: &[String]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        match self.variable {
            Some(variable) => {
                let arguments: Vec<&str> = std::iter::once(phases).chain(options.iter().map(String::as_str)).collect();
                command.env(variable, arguments.join("\n"))
            }
            None => command.arg(phases).args(options),
        };
        command
    }

    /// Runs `phases` with `options` and returns one line of results for each.
    ///
    /// # Panics
    ///
    /// If a phase fails, with what the client and `broker` had to say.
    pub(crate) fn run(&self, phases: &str, options: &[String], broker: Option<&Broker>) -> Vec<Value> {
        let run = run(self.command(phases, options));
        let lines: Vec<Value> = run.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let failed = lines.iter().find_map(|line| line["error"].as_str());
        if failed.is_some() || !run.is_success() || lines.len() != phases.split(',').count() {
            let broker = broker.map(Broker::stderr_tail).unwrap_or_default();
            panic!("{} {phases}: {}\n{run}\n{broker}", self.name, failed.unwrap_or("ended early"));
        }
        lines
    }
}

/// Whether the command can be started and succeeds.
pub(crate) fn answers(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a finished process left behind.
pub(crate) struct Run {
    line: String,
    status: Option<ExitStatus>,
    pub(crate) output: Vec<u8>,
    stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.status.map_or_else(|| format!("still running after {LIMIT:?}"), |s| s.to_string());
        let stdout: String = self.stdout.chars().take(4000).collect();
        write!(f, "--- {} ({end})\n{stdout}\n{}", self.line, tail_of_text("its stderr", &self.stderr))
    }
}

/// Runs a command to its end, or kills it at [`LIMIT`].
pub(crate) fn run(mut command: Command) -> Run {
    let line = format!("{command:?}");
    let scratch = tempfile::NamedTempFile::new().expect("a temporary file can be created");
    let stderr: File = scratch.reopen().expect("the file was just created");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut stdout = child.stdout.take().expect("stdout was asked for as a pipe");
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let _ = stdout.read_to_end(&mut output);
        let _ = sender.send(output);
    });
    let (status, output) = match receiver.recv_timeout(LIMIT) {
        Ok(output) => (Some(child.wait().expect("the child exists until it is waited for")), output),
        Err(_) => {
            let _ = child.kill();
            let _ = child.wait();
            (None, receiver.recv().unwrap_or_default())
        }
    };
    let stdout = String::from_utf8_lossy(&output).into_owned();
    let stderr = String::from_utf8_lossy(&std::fs::read(scratch.path()).unwrap_or_default()).into_owned();
    Run { line, status, output, stdout, stderr }
}

/// The folder of this test.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Time for one run of a client, all codecs included.
const LIMIT: Duration = Duration::from_secs(300);
