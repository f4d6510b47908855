//! Kafka's tools by their own names, against what Apache Kafka's print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{highwater, told};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/vectors")
}

#[test]
fn links_lead_to_the_tools() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let output = highwater(&["compat", "link", path, "--sh", "--dry-run"]);
    assert_eq!((output.status.code(), fs::read_dir(path).unwrap().count()), (Some(0), 0));
    let output = highwater(&["compat", "link", path, "--sh"]);
    assert_eq!(output.status.code(), Some(0));
    let made = String::from_utf8(output.stdout).unwrap();
    assert!(made.contains(&format!("{path}/kafka-dump-log\n{path}/kafka-dump-log.sh\n")), "{made}");
    // Again is no conflict.
    assert_eq!(highwater(&["compat", "link", path]).status.code(), Some(0));

    for name in ["kafka-storage", "kafka-storage.sh"] {
        let (code, uuid, _) = told(Command::new(folder.path().join(name)).arg("random-uuid"));
        assert_eq!((code, uuid.len()), (Some(0), 23), "{uuid}");
    }
    fs::remove_file(folder.path().join("kafka-storage")).unwrap();
    fs::write(folder.path().join("kafka-storage"), "mine").unwrap();
    assert_eq!(highwater(&["compat", "link", path]).status.code(), Some(7));
    assert_eq!(fs::read(folder.path().join("kafka-storage")).unwrap(), b"mine");
    assert_eq!(highwater(&["compat", "link", path, "--force"]).status.code(), Some(0));

    let listed = String::from_utf8(highwater(&["compat", "ls"]).stdout).unwrap();
    assert!(listed.lines().all(|name| folder.path().join(name).exists()), "{listed}");
}

/// Each file under `dump-log` is what Kafka 4.3 printed for the vector of that name: plain, with `--print-data-log`,
/// and with `--skip-record-metadata` too.
#[test]
fn dump_log_prints_what_kafka_prints() {
    let folder = tempfile::tempdir().unwrap();
    let segment = folder.path().join("00000000000000000000.log");
    let mut compared = 0;
    for entry in fs::read_dir(vectors().join("dump-log")).unwrap() {
        let expected = entry.unwrap().path();
        let name = expected.file_stem().unwrap().to_str().unwrap();
        fs::copy(vectors().join(name).with_extension("bin"), &segment).unwrap();
        let mut printed = String::new();
        for flags in [&[][..], &["--print-data-log"], &["--skip-record-metadata", "--print-data-log"]] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
            command.current_dir(&folder).args(["kafka-dump-log", "--files", "00000000000000000000.log"]).args(flags);
            let (code, out, _) = told(&mut command);
            assert_eq!(code, Some(0), "{name}");
            printed.push_str(&out);
        }
        assert_eq!(printed, fs::read_to_string(&expected).unwrap(), "{name}");
        compared += 1;
    }
    assert!(10 < compared);
}

#[test]
fn dump_log_tells_gaps_and_prints_indexes() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let log = file("00000000000000000000.log");
    fs::copy(vectors().join("m2-delete-horizon.bin"), &log).unwrap();
    let output = highwater(&["kafka-dump-log", "--files", &log, "--deep-iteration"]);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("Non-consecutive offsets in {log}\n  -1 is followed by 101\n  101 is followed by 104\n")
    );

    let index = file("00000000000000000100.index");
    fs::write(&index, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let output = highwater(&["kafka-dump-log", "--files", &index]);
    let expected = format!("Dumping {index}\noffset: 101 position: 0\noffset: 102 position: 5\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let times = file("00000000000000000000.timeindex");
    fs::write(&times, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let output = highwater(&["kafka-dump-log", "--files", &times]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("Dumping {times}\ntimestamp: 256 offset: 7\n"));

    assert_eq!(highwater(&["kafka-dump-log", "--files", &file("nope.log")]).status.code(), Some(1));
    assert_eq!(highwater(&["kafka-dump-log"]).status.code(), Some(1));
}

#[test]
fn storage_formats_as_kafka_does() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let config = folder.path().join("server.properties");
    fs::write(
        &config,
        format!(
            "node.id=1\nprocess.roles=broker,controller\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
             controller.listener.names=CONTROLLER\ncontroller.quorum.voters=1@localhost:9093\nlog.dirs={data}\n"
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = highwater(&[&["kafka-storage"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let info = ["info", "-c", config];
    assert_eq!(run(&info), (Some(1), format!("Found problem:\n  {data} does not exist\n\n")));
    let format = ["format", "-c", config, "-t", "rHlEF0o5RneIZ8fsPUNhNw"];
    let formatted = format!("Formatting metadata directory {data} with metadata.version 4.3-IV0.\n");
    assert_eq!(run(&format), (Some(0), formatted));
    let (code, told) = run(&info);
    assert_eq!(code, Some(0));
    let begin =
        format!("Found log directory:\n  {data}\n\nFound metadata: {{cluster.id=rHlEF0o5RneIZ8fsPUNhNw, directory.id=");
    assert!(told.starts_with(&begin) && told.ends_with(", node.id=1, version=1}\n\n"), "{told}");
    assert_eq!(run(&format).0, Some(1));
    let again = run(&[&format[..], &["--ignore-formatted"]].concat());
    assert_eq!(again, (Some(0), "All of the log directories are already formatted.\n".into()));
}
