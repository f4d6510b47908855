//! Apache Kafka: its broker as a process, and its tools.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::broker::tail;
use crate::program::{Missing, Run, answers, run};

/// An installation of Apache Kafka.
pub(crate) struct Kafka {
    class_path: OsString,
}

impl Kafka {
    /// The one whose jars `HIGHWATER_KAFKA_CLASSPATH` names.
    pub(crate) fn find() -> Result<Self, Missing> {
        let missing = |why| Missing { name: "Apache Kafka", why };
        let class_path = std::env::var_os("HIGHWATER_KAFKA_CLASSPATH")
            .ok_or_else(|| missing("not installed: HIGHWATER_KAFKA_CLASSPATH is not set"))?;
        if !answers(Command::new("java").arg("-version")) {
            return Err(missing("there is no java"));
        }
        Ok(Self { class_path })
    }

    /// Formats an empty directory, as `kafka-storage.sh format` does.
    pub(crate) fn format(&self, data: &Path, settings: &[(&str, &str)]) {
        let file = data.with_extension("properties");
        write_properties(&file, data, settings, free_ports());
        let run = self.tool("kafka.tools.StorageTool", &["format", "-t", CLUSTER_ID, "-c"], &file);
        assert!(run.is_success(), "{run}");
    }

    /// Runs one of Kafka's tools to its end.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str], last: &Path) -> Run {
        let mut command = self.java();
        command.arg(class).args(arguments).arg(last);
        run(command)
    }

    /// Starts a broker on a formatted directory and waits until it serves. Its log goes to the file `log`.
    pub(crate) fn start(&self, data: &Path, settings: &[(&str, &str)], log: &Path) -> KafkaBroker {
        let file = data.with_extension("properties");
        for _ in 1..STARTS_MAX {
            if let Some(broker) = self.try_start(&file, data, settings, log) {
                return broker;
            }
        }
        self.try_start(&file, data, settings, log).unwrap_or_else(|| panic!("no free ports\n{}", tail("its log", log)))
    }

    /// `None` if another process took a port before the broker had bound it.
    fn try_start(&self, file: &Path, data: &Path, settings: &[(&str, &str)], log: &Path) -> Option<KafkaBroker> {
        let ports = free_ports();
        write_properties(file, data, settings, ports);
        let stderr = File::create(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = self.java();
        command.args(["-Xmx512m", "kafka.Kafka"]).arg(file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn();
        let child = child.unwrap_or_else(|error| panic!("java does not start: {error}"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.0));
        let mut broker = KafkaBroker { child, address, data: data.to_owned(), log: log.to_owned() };
        let deadline = Instant::now() + START_TIMEOUT;
        while !broker.log_text().contains("Kafka Server started") {
            if let Some(status) = broker.child.try_wait().expect("the child was not yet waited for") {
                let was_taken = broker.log_text().contains("Address already in use");
                assert!(was_taken, "Kafka ended with {status}\n{}", tail("its log", log));
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "Kafka does not serve after {START_TIMEOUT:?}\n{}",
                tail("its log", log)
            );
            thread::sleep(POLL);
        }
        Some(broker)
    }

    fn java(&self) -> Command {
        let mut command = Command::new("java");
        // A short run is over before the optimizing compiler has paid for itself.
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        command.args(["-Dorg.slf4j.simpleLogger.showThreadName=false"]);
        // The settings, line by line.
        command.args(["-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn"]);
        command.arg("-cp").arg(&self.class_path);
        command
    }
}

/// A running broker of Apache Kafka. Dropping it kills the process.
pub(crate) struct KafkaBroker {
    child: Child,
    address: SocketAddr,
    data: PathBuf,
    log: PathBuf,
}

impl KafkaBroker {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it logged since its start.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends the signal and waits for the end of the process.
    ///
    /// # Panics
    ///
    /// If it is not gone in time, or leaves the directory unclean after SIGTERM.
    pub(crate) fn end(mut self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids fit 31 bits");
        kill(Pid::from_raw(pid), signal).expect("the broker is our child and was not yet waited for");
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait().expect("the child was not yet waited for").is_none() {
            assert!(Instant::now() < deadline, "Kafka still runs {STOP_TIMEOUT:?} after {signal}");
            thread::sleep(POLL);
        }
        let is_clean = self.data.join(".kafka_cleanshutdown").exists();
        assert_eq!(is_clean, signal == Signal::SIGTERM, "whether Kafka marked its directory as clean after {signal}");
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        // Both fail only when the process is gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let _ = writeln!(io::stderr(), "{}", tail("Kafka's log", &self.log));
        }
    }
}

fn write_properties(file: &Path, data: &Path, settings: &[(&str, &str)], (port, controller_port): (u16, u16)) {
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller_port}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         log.initial.task.delay.ms=100\n",
        data.display()
    );
    for (name, value) in settings {
        text.push_str(&format!("{name}={value}\n"));
    }
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// Two ports that nobody listened on a moment ago: Kafka has to be told both before it starts.
fn free_ports() -> (u16, u16) {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port exists");
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    let (first, second) = (listen(), listen());
    (port(&first), port(&second))
}

const CLUSTER_ID: &str = "aW50ZXJjaGFuZ2UtdGVzdA";
const STARTS_MAX: usize = 3;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
