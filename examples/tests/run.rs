//! The examples that end by themselves do end, and say what they are there to show.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::path::PathBuf;
use std::process::Command;

use highwater_testkit::EmbeddedBroker;

fn run(example: &str) -> String {
    run_with(example, &[])
}

/// Cargo builds the examples before the tests of this package, beside their folder.
fn run_with(example: &str, arguments: &[&str]) -> String {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(example);
    let output =
        Command::new(&path).args(arguments).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn embedded_log() {
    let said = run("embedded_log");
    for line in [
        "minute 1: offsets 60..=119",
        "from offset 100: 80 records, 16 of them warm",
        "minute 2 begins at offset 120",
        "after truncation the log ends at 120",
        "eight sensors: 80 records, all on the disk",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn compaction() {
    let said = run("compaction");
    for line in [
        "kept 10 of 1001 records",
        "  setting-3 = (deleted)",
        "  setting-9 = value 999",
        "a day later: 9 records, setting-3 is gone",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn cluster() {
    let said = run("cluster");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with("leads, in sync are [1, 2, 3]")), "{said}");
    assert!(lines.last().is_some_and(|line| line.contains("was shut down: node ")), "{said}");
}

#[test]
fn read_kafka_directory() {
    let said = run("read_kafka_directory");
    for line in [
        "payments-0: 3 segments, offsets 0..18",
        "  all: 13 records with 2529 bytes of values",
        "  committed: 6 records with 510 bytes of values",
    ] {
        assert!(said.lines().any(|said| said == line), "{line:?} is not in\n{said}");
    }
}

#[test]
fn producer_and_consumer_group() {
    let kafka = EmbeddedBroker::builder().topic("orders", 3).start().unwrap();
    let said = run_with("producer", &[&kafka.bootstrap()]);
    assert_eq!(said, "the apples are stored, 27 bytes of them\n1000 plums are stored\n");
    let said = run_with("consumer_group", &[&kafka.bootstrap()]);
    assert_eq!(said, "3 partitions are ours\nread 1001 records\n");
    // It has committed, and goes on from there.
    let said = run_with("consumer_group", &[&kafka.bootstrap()]);
    assert_eq!(said, "3 partitions are ours\nread 0 records\n");
}

#[test]
fn exactly_once_copy() {
    let kafka = EmbeddedBroker::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lines");
    let copy = || run_with("exactly_once_copy", &[file.to_str().unwrap(), &kafka.bootstrap()]);
    let lines = |count: usize| (0..count).map(|number| format!("line {number}\n")).collect::<String>();
    std::fs::write(&file, lines(100)).unwrap();
    assert_eq!(copy(), "began at line 0, copied 100\n");
    assert_eq!(copy(), "began at line 100, copied 0\n");
    std::fs::write(&file, lines(130)).unwrap();
    assert_eq!(copy(), "began at line 100, copied 30\n");
    let stored: String = kafka
        .records("lines")
        .unwrap()
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap() + "\n")
        .collect();
    assert_eq!(stored, lines(130));
}

#[test]
fn admin() {
    let kafka = EmbeddedBroker::start().unwrap();
    let said = run_with("admin", &[&kafka.bootstrap()]);
    let expected = "1 broker\n\
                    payments is made\n\
                    no good!: INVALID_TOPIC_EXCEPTION\n\
                    cleanup.policy = delete,compact (DYNAMIC_TOPIC_CONFIG)\n\
                    retention.ms = 3600000 (DYNAMIC_TOPIC_CONFIG)\n\
                    payments-0 ends at 0\n\
                    auditors are at 0 of payments-0\n";
    assert_eq!(said, expected);
}

#[test]
fn custom_partitioner() {
    let kafka = EmbeddedBroker::start().unwrap();
    let said = run_with("custom_partitioner", &[&kafka.bootstrap()]);
    let alarms = said.lines().filter(|line| *line == "alarm is in partition 0").count();
    assert_eq!((alarms, said.lines().filter(|line| line.ends_with("partition 0")).count()), (2, 2), "{said}");
    assert!(said.ends_with("the interceptor has seen 4 acknowledgements\n"), "{said}");
}

#[test]
fn async_tokio() {
    let kafka = EmbeddedBroker::builder().topic("pings", 1).start().unwrap();
    assert_eq!(run_with("async_tokio", &[&kafka.bootstrap()]), "heard 10 pings\n");
}

#[test]
fn embedded_broker() {
    assert_eq!(run("embedded_broker"), "stored after 2 refusals\nSome(\"four apples\")\n");
}
