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

use crate::broker::{Broker, tail};

/// A client whose phases are sub-commands of one program.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    words: Vec<OsString>,
}

impl Program {
    /// The Python client `name` in `script`, if its `module` can be imported.
    pub(crate) fn python(name: &'static str, script: &str, module: &str) -> Option<Self> {
        let interpreter = std::env::var_os("HIGHWATER_PYTHON").unwrap_or_else(|| "python3".into());
        let probe = format!("import {module}");
        if !answers(Command::new(&interpreter).args(["-c", &probe])) {
            skip(name, "not installed");
            return None;
        }
        let script = sources().join("python").join(script);
        Some(Self { name, words: vec![interpreter, "-B".into(), script.into()] })
    }

    /// The Java client, if it was compiled.
    pub(crate) fn java() -> Option<Self> {
        let name = "java";
        let Some(class_path) = std::env::var_os("HIGHWATER_JAVA_CLASSPATH") else {
            skip(name, "HIGHWATER_JAVA_CLASSPATH is not set");
            return None;
        };
        if !answers(Command::new("java").arg("-version")) {
            skip(name, "not installed");
            return None;
        }
        // A short run is over before the optimizing compiler has paid for itself.
        let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"];
        let log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error";
        let mut words: Vec<OsString> = vec!["java".into()];
        words.extend(options.map(OsString::from));
        words.extend([log.into(), "-cp".into(), class_path, "highwater.Main".into()]);
        Some(Self { name, words })
    }

    /// Runs `phases` with `options` and returns one line of results for each.
    ///
    /// # Panics
    ///
    /// If a phase fails, with what the client and `broker` had to say.
    pub(crate) fn run(&self, phases: &str, options: &[String], broker: Option<&Broker>) -> Vec<Value> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).arg(phases).args(options);
        let run = run(command);
        let lines: Vec<Value> =
            run.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let failed = lines.iter().find_map(|line| line["error"].as_str());
        if failed.is_some() || !run.is_success() || lines.len() != phases.split(',').count() {
            let broker = broker.map(Broker::stderr_tail).unwrap_or_default();
            panic!("{} {phases}: {}\n{run}\n{broker}", self.name, failed.unwrap_or("ended early"));
        }
        lines
    }
}

/// Says that a client is skipped, past the capture of test output, or fails where all are required.
pub(crate) fn skip(name: &str, why: &str) {
    assert!(
        std::env::var("HIGHWATER_REQUIRE_CLIENTS").as_deref() != Ok("1"),
        "{name} is required and missing: {why}"
    );
    let _ = writeln!(std::io::stderr(), "skipped: {name} ({why})");
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
    stderr: String,
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
        write!(f, "--- {} ({end})\n{stdout}\n{}", self.line, self.stderr)
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
    Run { line, status, output, stdout, stderr: tail("its stderr", scratch.path()) }
}

/// The folder of this test.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Time for one run of a client, all codecs included.
const LIMIT: Duration = Duration::from_secs(180);
